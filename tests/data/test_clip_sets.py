"""Every training set of clips is built as small real files and read back."""

import json

import numpy as np
import pytest
from tiny_sets import build_clips, disc, save_backgrounds

from pullmatte.data.clip_files import PaletteClips, RunLengthClips
from pullmatte.data.clip_sets import FootageSettings, open_clip_set
from pullmatte.data.training_sets import TRAINING_SETS
from pullmatte.errors import DatasetError

CLIPS = [
    (name, form)
    for name, known in TRAINING_SETS.items()
    for form in range(len(known.forms))
    if known.content.startswith("clip")
]
SETTINGS = FootageSettings(size_px=32, frames=3, seed=3)


def opened(name, root):
    return open_clip_set(name, root, SETTINGS, backgrounds=save_backgrounds(root / "rooms"))


@pytest.mark.parametrize(("name", "form"), CLIPS)
def test_layout_gives_clips(tmp_path, name, form):
    clip = opened(name, build_clips(name, tmp_path, form)).clip(1)
    assert clip.images.shape == (3, 32, 32, 3)
    assert clip.images.dtype == clip.alphas.dtype == np.float32
    assert clip.alphas.max() == 1
    assert clip.name.startswith(name)
    masks = TRAINING_SETS[name].content == "clip masks"
    assert clip.kind == ("segmentation" if masks else "matting")


@pytest.mark.parametrize(("name", "form"), CLIPS)
def test_clips_repeat(tmp_path, name, form):
    root = build_clips(name, tmp_path, form)
    first, second = opened(name, root), opened(name, root)
    second.clip(0)
    np.testing.assert_array_equal(first.clip(4).images, second.clip(4).images)
    np.testing.assert_array_equal(first.clip(4).alphas, second.clip(4).alphas)


def test_short_clips_go_back_and_forth(tmp_path):
    build_clips("mose", tmp_path)
    settings = FootageSettings(size_px=32, frames=9)
    assert len(open_clip_set("mose", tmp_path, settings).clip(0).images) == 9


def test_object_numbers_become_a_mask(tmp_path):
    build_clips("mose", tmp_path)
    clips = PaletteClips(tmp_path / "train/JPEGImages", tmp_path / "train/Annotations")
    footage = clips.read(0, [2, 3], np.random.default_rng(0))
    np.testing.assert_array_equal(footage.alphas[1] == 255, disc(3) > 127)


def test_run_lengths_become_a_mask(tmp_path):
    build_clips("youtube-vis", tmp_path)
    clips = RunLengthClips(tmp_path / "train/JPEGImages", tmp_path / "train/instances.json")
    footage = clips.read(0, [2, 5], np.random.default_rng(0))
    np.testing.assert_array_equal(footage.alphas[0] == 255, disc(2) > 127)
    assert not footage.alphas[1].any()


def test_packed_run_lengths_are_refused(tmp_path):
    build_clips("youtube-vis", tmp_path)
    path = tmp_path / "train/instances.json"
    document = json.loads(path.read_text())
    document["annotations"][0]["segmentations"] = [{"size": [30, 40], "counts": "abc"}] * 6
    path.write_text(json.dumps(document))
    with pytest.raises(DatasetError, match="expected a mask as a list of run lengths for 40x30"):
        opened("youtube-vis", tmp_path).clip(0)


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("mose", "train/Annotations/v/00003.png", r"Missing .*00003\.png"),
        ("videomatte240k", "train/pha/0001/00003.jpg", r"Missing .*00003\.png"),
        ("videomatting108", "FG_done/cat/c/0003.png", r"Can't read .*0003\.png"),
        ("youtube-vis", "train/JPEGImages/v/00003.jpg", r"Can't read .*00003\.jpg"),
    ],
)
def test_missing_frame_is_named(tmp_path, name, path, message):
    build_clips(name, tmp_path)
    (tmp_path / path).unlink()
    source = opened(name, tmp_path)
    with pytest.raises(DatasetError, match=message):
        [source.clip(number) for number in range(20)]


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("videomatting108", "train_videos.txt", "expected VideoMatting108's lists"),
        ("youtube-vis", "train/instances.json", r"has no train/instances\.json"),
    ],
)
def test_missing_list_is_named(tmp_path, name, path, message):
    build_clips(name, tmp_path)
    (tmp_path / path).unlink()
    with pytest.raises(DatasetError, match=message):
        opened(name, tmp_path)


def test_composed_frames_show_what_alpha_says(tmp_path):
    build_clips("videomatting108", tmp_path)
    settings = FootageSettings(size_px=30, frames=2, degraded_chance=0, flip_chance=0)
    clip = open_clip_set("videomatting108", tmp_path, settings).clip(0)
    assert clip.opacity == "opaque"
    assert 0.1 < clip.alphas.mean() < 0.6


def test_pictures_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="open it with open_image_set"):
        open_clip_set("duts", tmp_path)
