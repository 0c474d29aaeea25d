"""A user's own frames: what is found, how it varies, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pullmatte.errors import DatasetError
from pullmatte.train.frames import FrameFolder, find_frames, read_frame


def write(folder: Path, name: str, side: int = 40, *, deep: bool = False) -> None:
    image = np.full((side, side, 3), 200, np.uint8)
    alpha = np.zeros((side, side), np.uint16 if deep else np.uint8)
    alpha[10:30, 10:30] = 65535 if deep else 255
    Image.fromarray(image).save(folder / f"{name}.png")
    Image.fromarray(alpha).save(folder / f"{name}.alpha.png")


def test_pictures_with_mattes_are_found(tmp_path) -> None:
    write(tmp_path, "shoe")
    write(tmp_path, "vase", deep=True)
    Image.new("RGB", (9, 9)).save(tmp_path / "unused.jpg")
    assert [frame.image.name for frame in find_frames(tmp_path)] == ["shoe.png", "vase.png"]
    for frame in find_frames(tmp_path):
        image, alpha = read_frame(frame)
        assert image.dtype == alpha.dtype == np.float32
        assert set(np.unique(alpha)) == {0, 1}


def test_numbers_that_follow_make_a_clip(tmp_path) -> None:
    for number in (1, 2, 3, 5, 6):
        write(tmp_path, f"torch.{number:04d}")
    clips = FrameFolder(tmp_path, clip_frames=2).clips
    assert [[f.image.name[6:10] for f in run] for run in clips] == [
        ["0001", "0002", "0003"],
        ["0005", "0006"],
    ]
    source = FrameFolder(tmp_path, clip_frames=3)
    assert source.clip(0).images.shape[0] == 3
    assert np.array_equal(source.clip(1).images, source.clip(1).images)


def test_samples_vary_but_are_repeatable_and_keep_the_object(tmp_path) -> None:
    write(tmp_path, "shoe")
    source = FrameFolder(tmp_path)
    first, other = source.sample(0), source.sample(1)
    assert np.array_equal(source.sample(0).image, first.image)
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)
    assert min(source.sample(number).alpha.sum() for number in range(20)) > 0.6 * 400
    plain = FrameFolder(tmp_path, vary=False).sample(3)
    assert plain.image.shape == (40, 40, 3)


def test_odd_folders_are_refused(tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"no picture has a matte; put name.alpha.png"):
        find_frames(tmp_path)
    write(tmp_path, "shoe")
    Image.new("L", (8, 8)).save(tmp_path / "shoe.alpha.png")
    with pytest.raises(DatasetError, match="of 8x8 pixels, its picture of 40x40"):
        FrameFolder(tmp_path).sample(0)
    (tmp_path / "shoe.png").unlink()
    with pytest.raises(DatasetError, match="a matte without its picture"):
        find_frames(tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        find_frames(tmp_path / "nowhere")


def test_clips_are_refused_where_there_are_none(tmp_path) -> None:
    write(tmp_path, "shoe")
    with pytest.raises(DatasetError, match="no 4 frames with mattes follow one another"):
        FrameFolder(tmp_path).clip(0)
