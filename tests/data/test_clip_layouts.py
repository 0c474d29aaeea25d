"""Test sets of clips, each as a small real folder."""

import numpy as np
import pytest
from tiny_sets import disc, picture, save

from pullmatte.data.clip_layouts import CLIP_LAYOUTS, open_test_clips
from pullmatte.errors import DatasetError

PLACES = {
    "novm": "fire_00",
    "youtubematte": "youtubematte_1920x1080/youtubematte_motion/0000",
    "videomatte240k": "videomatte_motion/0000",
}


def build(root, name, images=None, marks="{:04d}"):
    layout = CLIP_LAYOUTS[name]
    for at in range(3):
        mark = marks.format(at)
        save(root / PLACES[name] / (images or layout.images[0]) / f"{mark}.png", picture(at))
        save(root / PLACES[name] / layout.alphas / f"{at:04d}.png", disc(at))
    return root


@pytest.mark.parametrize("name", CLIP_LAYOUTS)
def test_layout_is_recognised(tmp_path, name):
    layout, clips = open_test_clips(build(tmp_path, name))
    assert layout.name == name
    assert [clip.name for clip in clips] == [PLACES[name]]
    np.testing.assert_array_equal(list(clips[0].frames())[1], picture(1))
    np.testing.assert_array_equal(list(clips[0].truths())[2], disc(2))


def test_frames_with_an_ending_are_matched(tmp_path):
    _, clips = open_test_clips(build(tmp_path, "videomatte240k", "rgb", "{:04d}_rgb"))
    assert len(clips[0].images) == 3


@pytest.mark.parametrize("name", CLIP_LAYOUTS)
def test_missing_frame_is_named(tmp_path, name):
    layout = CLIP_LAYOUTS[name]
    build(tmp_path, name)
    (tmp_path / PLACES[name] / layout.images[0] / "0001.png").unlink()
    with pytest.raises(DatasetError, match=rf"Missing .*{layout.images[0]}.0001\.png"):
        open_test_clips(tmp_path)


def test_folder_without_clips_is_told(tmp_path):
    with pytest.raises(DatasetError, match="expected folders with frames/ and alpha/"):
        open_test_clips(tmp_path)


def test_wanted_layout_is_told_when_it_is_missing(tmp_path):
    with pytest.raises(DatasetError, match="expected folders with har/ and pha/"):
        open_test_clips(build(tmp_path, "novm"), "youtubematte")


def test_damaged_manifest_is_told(tmp_path):
    build(tmp_path, "novm")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(DatasetError, match="expected the manifest of a benchmark"):
        open_test_clips(tmp_path)
