import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pullmatte.errors import ReadError, UnsupportedFormat, WriteError
from pullmatte.io.clip import VideoInfo
from pullmatte.io.image import load_picture, write_image
from pullmatte.io.sequence_write import open_writer
from pullmatte.io.video import open_video


def picture(number: int, width: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    return rng.random((12, width, 3)).astype(np.float32), rng.random((12, width)).astype(np.float32)


def lay_out(folder: Path, name: str, numbers: range, bit_depth: int | None = None) -> None:
    for number in numbers:
        write_image(folder / (name % number), image=picture(number)[0], bit_depth=bit_depth)


@pytest.mark.parametrize("pattern", ["shot.%04d.png", "shot.####.png", ""])
def test_sequence_opens_by_pattern_or_folder(pattern, tmp_path):
    lay_out(tmp_path, "shot.%04d.png", range(1001, 1006))
    with open_video(tmp_path / pattern, rate=24) as clip:
        assert len(clip) == 5
        assert clip.info.start_frame == 1001
        assert clip.info.time_base == Fraction(1, 24)
        assert (clip.info.width, clip.info.height) == (20, 12)
        for frame in clip.frames(reverse=True):
            want = picture(1001 + frame.index)[0]
            assert np.abs(frame.image - want).max() <= 0.5001 / 255


@pytest.mark.parametrize(("suffix", "error"), [("png", 0.5001 / 65535), ("tif", 0.5001 / 65535)])
def test_sixteen_bits_stay_sixteen_bits(suffix, error, tmp_path):
    lay_out(tmp_path, f"s_%03d.{suffix}", range(1, 3), bit_depth=16)
    with open_video(tmp_path / f"s_%03d.{suffix}") as clip:
        assert clip.info.bit_depth == 16
        assert np.abs(clip.frame(1).image - picture(2)[0]).max() <= error


def test_exr_sequence_stays_precise(tmp_path):
    lay_out(tmp_path, "s.%04d.exr", range(5, 8))
    with open_video(tmp_path / "s.####.exr") as clip:
        assert clip.info.bit_depth == 32
        assert np.abs(clip.frame(2).image - picture(7)[0]).max() < 5e-4


def test_gap_names_the_missing_number(tmp_path):
    lay_out(tmp_path, "s.%04d.png", range(1, 6))
    (tmp_path / "s.0003.png").unlink()
    with pytest.raises(ReadError, match=r"frame 3 is missing \(s\.0003\.png\)"):
        open_video(tmp_path / "s.%04d.png")


def test_differing_size_names_the_file(tmp_path):
    lay_out(tmp_path, "s.%04d.png", range(1, 4))
    write_image(tmp_path / "s.0002.png", image=picture(2, width=30)[0])
    with (
        open_video(tmp_path / "s.%04d.png") as clip,
        pytest.raises(ReadError, match=r"s\.0002\.png is 30x12.*20x12"),
    ):
        _ = clip.frame(1).image


@pytest.mark.parametrize("name", ["none.%04d.png", "none.####.exr", "a%02d_%02d.png"])
def test_pattern_without_files_is_refused(name, tmp_path):
    with pytest.raises(ReadError, match="expected"):
        open_video(tmp_path / name)


def test_folder_with_two_sequences_is_refused(tmp_path):
    lay_out(tmp_path, "a.%04d.png", range(2))
    lay_out(tmp_path, "b.%04d.png", range(2))
    with pytest.raises(ReadError, match="2 numbered sequences"):
        open_video(tmp_path)


INFO = VideoInfo(Path("in.mp4"), "h264", 20, 12, Fraction(1, 25), tuple(range(3)))


@pytest.mark.parametrize(
    ("name", "depth", "error"),
    [
        ("o.%04d.png", 8, 0.5001 / 255),
        ("o.####.png", 16, 0.5001 / 65535),
        ("o_%03d.tif", 16, 0.5001 / 65535),
        ("o.%d.webp", 8, 0.5001 / 255),
        ("o.%04d.exr", 8, 5e-4),
    ],
)
def test_written_sequence_is_read_back(name, depth, error, tmp_path):
    info = dataclasses.replace(INFO, start_frame=1001, bit_depth=depth)
    with open_writer(tmp_path / name, info) as writer:
        for number in range(3):
            writer.write(number, *picture(number))
    with open_video(tmp_path / name) as clip:
        assert clip.info.start_frame == 1001
        for frame in clip:
            image, alpha = picture(frame.index)
            assert np.abs(frame.alpha - alpha).max() <= error
            seen = alpha > 0.1
            assert np.abs(frame.image - image)[seen].max() <= max(error, 2e-3)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_matte_sequence_is_grey(tmp_path):
    with open_writer(tmp_path / "m.%03d.png", INFO, content="alpha", bit_depth=16) as writer:
        for number in range(3):
            writer.write(number, None, picture(number)[1])
    read = load_picture(tmp_path / "m.002.png").image
    assert np.abs(read - picture(2)[1][..., None]).max() <= 0.5001 / 65535


def test_named_mattes_go_into_exr_only(tmp_path):
    image, alpha = picture(0)
    info = dataclasses.replace(INFO, pts=(0,))
    with open_writer(tmp_path / "m.%03d.exr", info) as writer:
        writer.write(0, image, alpha, mattes={"torch": alpha})
    with pytest.raises(UnsupportedFormat, match="only EXR"):
        open_writer(tmp_path / "m.%03d.png", info).write(0, image, alpha, mattes={"torch": alpha})


def test_alpha_in_jpeg_sequence_is_refused_at_once(tmp_path):
    with pytest.raises(UnsupportedFormat):
        open_writer(tmp_path / "m.%03d.jpg", INFO)
    assert list(tmp_path.iterdir()) == []


def test_sequence_never_overwrites_its_source(tmp_path):
    lay_out(tmp_path, "s.%04d.png", range(1, 4))
    with open_video(tmp_path / "s.%04d.png") as clip, pytest.raises(WriteError, match="input"):
        open_writer(tmp_path / "s.####.png", clip.info)
