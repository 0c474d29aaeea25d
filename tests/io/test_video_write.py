import dataclasses
import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pullmatte.errors import UnsupportedFormat, WriteError
from pullmatte.io.clip import VideoInfo
from pullmatte.io.sequence_write import open_writer
from pullmatte.io.video import open_video
from pullmatte.io.video_write import VideoWriter
from pullmatte.io.yuv import ColorTags

COUNT = 12
PTS = (0, 1001, 3003, 3503, 5005, 6006, 6507, 8008, 9009, 12012, 12512, 13013)


def facts(width=96, height=64, **changes) -> VideoInfo:
    info = VideoInfo(
        path=Path("source.mov"),
        codec="h264",
        width=width,
        height=height,
        time_base=Fraction(1, 24000),
        pts=PTS,
        last_duration=1001,
        average_rate=Fraction(24000, 1001),
        color=ColorTags(1, 1, 1, 1),
    )
    return dataclasses.replace(info, **changes)


def picture(number: int, info: VideoInfo) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture and a soft alpha that move with the frame number."""
    y, x = np.mgrid[: info.height, : info.width].astype(np.float32)
    x, y = x / max(info.width, 2), y / max(info.height, 2)
    span = 1 if info.width > 50 else 0.1
    image = np.stack(
        [0.5 - span * (0.5 - x), 0.5 - span * (0.5 - y), np.full_like(x, number / COUNT)], -1
    )
    alpha = np.clip(3 * (x - 0.05 * number) * (1 - y), 0, 1)
    return image.astype(np.float32), alpha.astype(np.float32)


def write(path: Path, info: VideoInfo, **settings) -> Path:
    with open_writer(path, info, **settings) as writer:
        for number in range(writer.next_frame, info.frame_count):
            image, alpha = picture(number, info)
            writer.write(number, image, alpha)
    return path


def times(info: VideoInfo) -> list[Fraction]:
    return [stamp * info.time_base for stamp in info.pts]


@pytest.mark.parametrize(
    ("name", "alpha_error", "color_error"),
    [("a.mov", 0.26 / 255, 1.5 / 255), ("a.mkv", 0.51 / 1023, 1.5 / 1023), ("a.webm", 0.02, 0.02)],
)
def test_cutout_is_read_back_as_it_was(name, alpha_error, color_error, tmp_path):
    info = facts()
    with open_video(write(tmp_path / name, info, segment_frames=5)) as clip:
        assert len(clip) == COUNT
        assert clip.info.has_alpha
        for frame in clip:
            image, alpha = picture(frame.index, info)
            assert np.abs(frame.alpha - alpha).max() <= alpha_error
            assert np.abs(frame.image - image).mean() <= color_error


@pytest.mark.parametrize(
    ("name", "error"), [("m.mov", 1 / 255), ("m.mkv", 0.0005), ("m.mp4", 0.03), ("m.webm", 0.03)]
)
def test_grey_matte_is_read_back_as_it_was(name, error, tmp_path):
    info = facts()
    with open_video(write(tmp_path / name, info, content="alpha", segment_frames=5)) as clip:
        assert not clip.info.has_alpha
        for frame in clip:
            assert np.abs(frame.image - picture(frame.index, info)[1][..., None]).max() < error


@pytest.mark.parametrize("name", ["o.mov", "o.mkv", "o.mp4", "o.webm"])
def test_opaque_clip_is_read_back_as_it_was(name, tmp_path):
    info = facts()
    with open_video(write(tmp_path / name, info, content="opaque", segment_frames=5)) as clip:
        assert not clip.info.has_alpha
        for frame in clip:
            assert np.abs(frame.image - picture(frame.index, info)[0]).mean() < 0.01


@pytest.mark.parametrize("start", [0, 12000, 501, -3003])
@pytest.mark.parametrize("name", ["t.mov", "t.mp4", "t.mkv", "t.webm"])
def test_every_timestamp_is_kept(name, start, tmp_path):
    info = facts(pts=tuple(stamp + start for stamp in PTS))
    content = "opaque" if name.endswith("mp4") else "cutout"
    with open_video(write(tmp_path / name, info, content=content, segment_frames=5)) as clip:
        # Containers can't begin before zero: all is put later.
        late = max(Fraction(0), -times(info)[0])
        want = [time + late for time in times(info)]
        if name.endswith(("mov", "mp4")):
            assert times(clip.info) == want
            assert clip.info.last_duration * clip.info.time_base == Fraction(1001, 24000)
        else:
            # Matroska and WebM count whole milliseconds.
            assert times(clip.info) == pytest.approx(want, abs=0.0005001)


@pytest.mark.parametrize("name", ["c.mov", "c.mkv", "c.webm", "c.mp4"])
@pytest.mark.parametrize("codes", [(1, 1, 1, 1), (9, 16, 9, 1), (5, 6, 5, 1), (2, 2, 2, 1)])
def test_colour_tags_are_kept(name, codes, tmp_path):
    info = facts(color=ColorTags(*codes))
    content = "opaque" if name.endswith("mp4") else "cutout"
    with open_video(write(tmp_path / name, info, content=content)) as clip:
        untagged_prores = codes[0] == 2 and name == "c.mov"
        want = ColorTags(*((1, 1, 1, 1) if untagged_prores else codes))
        # H.264 without tags doesn't say "limited" either: it is what that means.
        assert dataclasses.replace(clip.info.color, range=clip.info.color.range or 1) == want
        image = picture(3, info)[0]
        assert np.abs(clip.frame(3).image - image).mean() < 0.01


@pytest.mark.parametrize("name", ["f.mov", "f.mkv", "f.webm", "f.mp4"])
def test_full_range_source_keeps_its_colours(name, tmp_path):
    info = facts(color=ColorTags(1, 1, 1, 2))
    content = "opaque" if name.endswith("mp4") else "cutout"
    with open_video(write(tmp_path / name, info, content=content)) as clip:
        assert clip.info.color.range == (1 if name == "f.mov" else 2)
        assert np.abs(clip.frame(3).image - picture(3, info)[0]).mean() < 0.01


@pytest.mark.parametrize("size", [(95, 63), (1, 1), (2, 2), (33, 17)])
@pytest.mark.parametrize("name", ["s.mov", "s.mkv", "s.webm", "s.mp4"])
@pytest.mark.parametrize("content", ["cutout", "opaque"])
def test_odd_sizes_are_kept(name, size, content, tmp_path):
    info = facts(*size)
    if name.endswith("mp4") and content == "cutout":
        pytest.skip("MP4 holds no alpha, tested elsewhere")
    with open_video(write(tmp_path / name, info, content=content)) as clip:
        assert (clip.info.width, clip.info.height) == size
        assert np.abs(clip.frame(5).image - picture(5, info)[0]).mean() < 0.03


def test_pixel_aspect_is_kept(tmp_path):
    info = facts(sample_aspect_ratio=Fraction(4, 3))
    for name in ("p.mov", "p.mkv", "p.webm"):
        with open_video(write(tmp_path / name, info)) as clip:
            assert clip.info.sample_aspect_ratio == Fraction(4, 3)


def test_ten_bits_are_really_used(tmp_path):
    info = facts(256, 32, bit_depth=10)
    ramp = np.tile(np.linspace(0.3, 0.42, 256, dtype=np.float32), (32, 1))
    image = np.repeat(ramp[..., None], 3, 2)
    with VideoWriter(tmp_path / "deep.mov", dataclasses.replace(info, pts=(0,))) as writer:
        writer.write(0, image, ramp)
    with open_video(tmp_path / "deep.mov") as clip:
        frame = clip.frame(0)
        # 8 bits would give 31 levels.
        assert len(np.unique(np.round(frame.image[..., 1] * 1023))) > 90
        assert len(np.unique(frame.alpha)) > 115
        assert np.abs(frame.image - image).mean() < 0.7 / 1023


def sound_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(stream) if p.size]


@pytest.mark.parametrize("name", ["a.mov", "a.mkv", "a.mp4"])
def test_sound_is_copied_packet_by_packet(name, make_clip, tmp_path):
    source = make_clip(tmp_path / "loud.mp4", sound="aac", pts=tuple(range(2, 32)))
    with open_video(source) as clip:
        info = clip.info
        with open_writer(tmp_path / name, info, content="opaque", audio_from=source) as writer:
            for frame in clip:
                writer.write(frame.index, frame.image)
    before, after = sound_packets(source), sound_packets(tmp_path / name)
    assert [data for _, data in after] == [data for _, data in before]
    grid = Fraction(1, 1000) if name.endswith("mkv") else Fraction(0)
    assert all(abs(a - b) <= grid / 2 for (a, _), (b, _) in zip(after, before, strict=True))
    with open_video(tmp_path / name) as clip:
        assert times(clip.info) == times(info)


def test_sound_that_webm_cannot_hold_becomes_opus(make_clip, tmp_path):
    source = make_clip(tmp_path / "loud.mp4", sound="aac")
    settings = {"content": "opaque", "audio_from": source}
    with open_video(source) as clip, open_writer(tmp_path / "a.webm", clip.info, **settings) as w:
        assert "Opus" in w.notes[0]
        for frame in clip:
            w.write(frame.index, frame.image)
    with av.open(str(tmp_path / "a.webm")) as container:
        assert container.streams.audio[0].codec_context.name == "opus"
        heard = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    assert len(heard) / 48000 == pytest.approx(1.2, abs=0.05)
    assert np.sqrt(np.mean(heard[2000:-2000] ** 2)) == pytest.approx(0.3 / 2**0.5, rel=0.1)


@pytest.mark.parametrize("name", ["x.mp4", "x.avi", "x.m4v"])
def test_alpha_in_h264_is_refused_with_the_way_out(name, tmp_path):
    with pytest.raises(UnsupportedFormat, match=r"ProRes 4444.*VP9.*FFV1.*--bg"):
        VideoWriter(tmp_path / name, facts())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x.xyz", "x", "x.png"])
def test_unknown_suffix_is_refused(name, tmp_path):
    with pytest.raises(UnsupportedFormat, match=r"expected \.mov"):
        VideoWriter(tmp_path / name, facts())


def test_input_is_never_overwritten(make_clip, tmp_path):
    source = make_clip(tmp_path / "in.mov")
    with open_video(source) as clip, pytest.raises(WriteError, match="input"):
        VideoWriter(source, clip.info)
    assert sound_free(source)


def sound_free(path: Path) -> bool:
    with open_video(path) as clip:
        return len(clip) == 30 and not clip.info.has_audio


def test_missing_folder_is_refused_at_once(tmp_path):
    with pytest.raises(WriteError, match="doesn't exist; create it first"):
        VideoWriter(tmp_path / "no" / "out.mov", facts())


def test_frames_out_of_order_or_of_wrong_size_are_refused(tmp_path):
    info = facts()
    image, alpha = picture(0, info)
    writer = VideoWriter(tmp_path / "out.mov", info)
    with pytest.raises(WriteError, match="frame 3 came, expected frame 0"):
        writer.write(3, image, alpha)
    with pytest.raises(WriteError, match="as alpha, expected"):
        writer.write(0, image, alpha[:, 1:])
    with pytest.raises(WriteError, match="nothing as image"):
        writer.write(0, None, alpha)
    writer.abort()
    assert not (tmp_path / "out.mov").exists()


def test_unfinished_clip_never_appears(tmp_path):
    info = facts()
    writer = VideoWriter(tmp_path / "out.mov", info)
    writer.write(0, *picture(0, info))
    with pytest.raises(WriteError, match="1 of 12 frames were written"):
        writer.finish()
    assert not (tmp_path / "out.mov").exists()


def test_premultiplied_is_multiplied_and_said(tmp_path):
    info = facts()
    path = write(tmp_path / "pre.mkv", info, premultiplied=True)
    with open_video(path) as clip:
        image, alpha = picture(4, info)
        np.testing.assert_allclose(clip.frame(4).image, image * alpha[..., None], atol=2 / 1023)
    with av.open(io.BytesIO(path.read_bytes())) as container:
        comment = {key.lower(): value for key, value in container.metadata.items()}["comment"]
    assert "premultiplied" in comment
