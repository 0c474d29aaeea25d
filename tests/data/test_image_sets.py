"""Every training set of pictures is built as small real files and read back."""

import numpy as np
import pytest
from tiny_sets import build_stills, disc, picture, save, save_backgrounds

from pullmatte.data.image_sets import (
    ForegroundMaker,
    StillSettings,
    open_image_set,
    shuffled_place,
)
from pullmatte.data.set_files import list_files
from pullmatte.data.training_sets import TRAINING_SETS
from pullmatte.errors import DatasetError

STILLS = [
    (name, form)
    for name, known in TRAINING_SETS.items()
    for form in range(len(known.forms))
    if not known.content.startswith("clip")
]
SETTINGS = StillSettings(size_px=32, seed=3)
PLAIN = StillSettings(size_px=32, whole_chance=1, flip_chance=0, degraded_chance=0)


def opened(name, root, settings=SETTINGS, **options):
    return open_image_set(
        name, root, settings, backgrounds=save_backgrounds(root / "rooms"), **options
    )


@pytest.mark.parametrize(("name", "form"), STILLS)
def test_layout_gives_samples(tmp_path, name, form):
    source = opened(name, build_stills(name, tmp_path, form))
    sample = source.sample(1)
    assert sample.image.shape == (32, 32, 3)
    assert sample.image.dtype == sample.alpha.dtype == np.float32
    assert 0 <= sample.alpha.min() <= sample.alpha.max() <= 1
    assert sample.name.startswith(name)
    expected = "segmentation" if TRAINING_SETS[name].content == "masks" else "matting"
    assert sample.kind == expected


@pytest.mark.parametrize(("name", "form"), STILLS)
def test_samples_repeat(tmp_path, name, form):
    root = build_stills(name, tmp_path, form)
    first, second = opened(name, root), opened(name, root)
    second.sample(0)
    np.testing.assert_array_equal(first.sample(5).image, second.sample(5).image)
    np.testing.assert_array_equal(first.sample(5).alpha, second.sample(5).alpha)


@pytest.mark.parametrize("name", ["composition-1k", "am2k", "uhrsd", "duts", "transparent-460"])
def test_missing_folder_is_named(tmp_path, name):
    known = TRAINING_SETS[name]
    images, alphas = known.forms[0][0]
    save(tmp_path / images / "one.png", picture(0))
    with pytest.raises(DatasetError, match=f"has no {alphas}: .*{images} with {alphas}"):
        opened(name, tmp_path)


@pytest.mark.parametrize("name", ["distinctions-646", "p3m-10k", "dis5k"])
def test_missing_alpha_is_named(tmp_path, name):
    build_stills(name, tmp_path)
    (tmp_path / TRAINING_SETS[name].forms[0][0][1] / "two.png").unlink()
    with pytest.raises(DatasetError, match=r"Missing .*two\.png"):
        opened(name, tmp_path)


def test_refmatte_without_labels_is_told(tmp_path):
    build_stills("refmatte", tmp_path)
    (tmp_path / "train/refmatte_train_label.json").write_text("[]")
    with pytest.raises(DatasetError, match="expected JSON of mask name to image_name"):
        opened("refmatte", tmp_path)


def test_coco_matte_names_the_file_that_its_list_lacks(tmp_path):
    build_stills("coco-matte", tmp_path)
    (tmp_path / "alpha/one.png").unlink()
    with pytest.raises(DatasetError, match=r"Missing .*one\.png, which COCO_Matte\.json names"):
        opened("coco-matte", tmp_path)


def test_instances_are_samples_of_their_own(tmp_path):
    files = list_files(build_stills("i-him50k", tmp_path), TRAINING_SETS["i-him50k"])
    assert [each.name for each in files] == ["i-him50k a/0", "i-him50k a/1"]


def test_whole_photo_is_squashed_to_the_square(tmp_path):
    sample = opened("am2k", build_stills("am2k", tmp_path), PLAIN).sample(0)
    assert sample.alpha.mean() == pytest.approx(disc().mean() / 255, abs=0.01)


def test_sizes_that_differ_are_told(tmp_path):
    build_stills("duts", tmp_path)
    save(tmp_path / "DUTS-TR/DUTS-TR-Mask/one.png", disc()[:20])
    source = opened("duts", tmp_path)
    with pytest.raises(DatasetError, match=r"one\.png is 40x20 pixels and one\.jpg 40x30"):
        [source.sample(number) for number in range(2)]


def test_foregrounds_need_backgrounds(tmp_path):
    root = build_stills("composition-1k", tmp_path)
    with pytest.raises(DatasetError, match="give a folder of backgrounds"):
        open_image_set("composition-1k", root)


def test_nothing_is_read_at_construction(tmp_path):
    build_stills("composition-1k", tmp_path)
    (tmp_path / "Training_set/combined_fg/one.png").write_bytes(b"not a picture")
    (tmp_path / "Training_set/combined_fg/two.png").write_bytes(b"nor this")
    source = opened("composition-1k", tmp_path)
    with pytest.raises(DatasetError, match=r"Can't read .* as a picture"):
        source.sample(0)


def test_listed_foregrounds_are_transparent(tmp_path):
    known = TRAINING_SETS["composition-1k"]
    images, alphas = known.forms[0][0]
    save(tmp_path / images / "glass-602889_1920.png", picture(0))
    save(tmp_path / alphas / "glass-602889_1920.png", disc())
    cutout = ForegroundMaker(list_files(tmp_path, known), 16)(np.random.default_rng(0))
    assert cutout.opacity == "transparent"
    assert max(cutout.rgba.shape) <= 16 + 4


def test_part_of_a_set_can_be_chosen(tmp_path):
    root = build_stills("p3m-10k", tmp_path)
    source = opened("p3m-10k", root, only={"two"})
    assert {source.sample(number).name for number in range(4)} == {"p3m-10k two"}
    source = opened("p3m-10k", root, most=1)
    assert len({source.sample(number).name for number in range(4)}) == 1
    with pytest.raises(DatasetError, match="No sample of the set is left"):
        opened("p3m-10k", root, only={"three"})


def test_every_file_is_shown_once_in_a_round():
    places = [shuffled_place(number, 5, seed=1) for number in range(10)]
    assert sorted(places[:5]) == sorted(places[5:]) == list(range(5))
    assert places[:5] != places[5:]


def test_clips_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="open it with open_clip_set"):
        open_image_set("mose", tmp_path)
