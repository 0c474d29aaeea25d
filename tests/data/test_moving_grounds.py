"""Backgrounds of every sort, and cameras that stay over their picture."""

import numpy as np
import pytest
from tiny_sets import picture, save

from pullmatte.data.moving_grounds import (
    back_and_forth,
    camera_over,
    covering,
    ground_frames,
    list_grounds,
)
from pullmatte.errors import DatasetError


def test_pictures_and_folders_of_frames_are_told_apart(tmp_path):
    save(tmp_path / "places/room.png", picture(0))
    save(tmp_path / "places/hall.png", picture(1))
    for at in range(3):
        save(tmp_path / "street" / f"{at:04d}.jpg", picture(at))
    found = list_grounds(tmp_path)
    assert [(g.name, g.moves) for g in found] == [
        ("places/hall.png", False), ("places/room.png", False), ("street", True)
    ]  # fmt: skip


def test_frames_of_a_clip_are_shown_in_their_order(tmp_path):
    for at in range(5):
        save(tmp_path / "street" / f"{at:04d}.png", np.full((30, 40, 3), 50 * at, np.uint8))
    ground = list_grounds(tmp_path)[0]
    shown = [f[0, 0, 0] for f in ground_frames(ground, 7, (40, 30), np.random.default_rng(0))]
    assert set(np.abs(np.diff(np.array(shown, int)))) == {50}


def test_video_is_a_ground(tmp_path):
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for at in range(4):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * at, np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames = list(ground_frames(list_grounds(tmp_path)[0], 3, (32, 32), np.random.default_rng(0)))
    assert [frame.shape for frame in frames] == [(32, 32, 3)] * 3


@pytest.mark.parametrize("seed", range(4))
def test_camera_never_leaves_the_picture(seed):
    # Past the edge the picture would be mirrored, so its last column would not be the only one.
    ramp = np.broadcast_to(np.linspace(20, 235, 200).astype(np.uint8)[None, :, None], (100, 200, 3))
    frames = camera_over(np.ascontiguousarray(ramp), 60, (64, 36), np.random.default_rng(seed))
    for frame in frames:
        assert (np.diff(frame[18, :, 0].astype(int)) >= -1).all()


def test_covering_keeps_the_sides():
    shown = covering(np.tile(np.arange(80, dtype=np.uint8)[None, :, None], (40, 1, 3)), (20, 20))
    assert shown.shape == (20, 20, 3)
    assert shown[0, 0, 0] >= 20
    assert shown[0, -1, 0] <= 60


def test_short_clip_goes_back_and_forth():
    assert back_and_forth(6, 3, np.random.default_rng(0)) == [0, 1, 2, 1, 0, 1]
    assert back_and_forth(3, 1, np.random.default_rng(0)) == [0, 0, 0]
    assert back_and_forth(3, 5, np.random.default_rng(0), stride=2) == [0, 2, 4]


def test_empty_folder_is_told(tmp_path):
    with pytest.raises(DatasetError, match="expected video files, folders of frames, or pictures"):
        list_grounds(tmp_path)
