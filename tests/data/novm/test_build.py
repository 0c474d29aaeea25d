"""The benchmarks are built small and read back; their frames follow from what is written."""

import json

import numpy as np
import pytest
from PIL import Image

from pullmatte.data.clip_layouts import open_test_clips
from pullmatte.data.held_out import HELD_OUT_SEEDS, is_held_out
from pullmatte.data.novm import CATEGORIES, CLIPS_PER_CATEGORY, build_novm, build_novm_free
from pullmatte.data.novm.categories import objects_of
from pullmatte.errors import DatasetError
from pullmatte.prompts import PromptFile

SIZE = (96, 64)


@pytest.fixture(scope="module")
def free(tmp_path_factory):
    out = tmp_path_factory.mktemp("free") / "set"
    build_novm_free(out, size=SIZE, frames=3, clips=10, foregrounds=True)
    return out


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def footage(root, frames=3, size=(30, 40)):
    for at in range(frames):
        rgba = np.zeros((*size, 4), np.uint8)
        rgba[5:25, 5 + at : 25 + at] = (200, 40, 10, 255)
        save(root / f"fire/torch/{at:04d}.png", rgba)
    return root


def room(folder):
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    save(folder / "room.png", picture)
    return folder


def test_ten_categories_have_five_clips_each():
    assert len(CATEGORIES) == 10
    assert {len(objects) for objects in CATEGORIES.values()} == {CLIPS_PER_CATEGORY}


def test_first_ten_clips_are_of_ten_categories(free):
    layout, clips = open_test_clips(free)
    assert layout.name == "novm"
    assert sorted({clip.category for clip in clips}) == sorted(CATEGORIES)
    assert {len(clip.images) for clip in clips} == {3}


def test_frames_follow_from_what_is_written(free):
    composed = 0
    for clip in open_test_clips(free)[1]:
        frames, alphas = list(clip.frames()), list(clip.truths())
        colour = np.asarray(Image.open(free / clip.name / "foreground/0000.png"))
        solid = alphas[0] == 255
        composed += solid.sum()
        np.testing.assert_array_equal(frames[0][solid], colour[solid])
    assert composed > 1000


def test_backgrounds_and_objects_move(free):
    for clip in open_test_clips(free)[1]:
        frames = list(clip.frames())
        assert (frames[0] != frames[2]).mean() > 0.2, clip.name


def test_box_is_tight_on_frame_0(free):
    for clip in open_test_clips(free)[1]:
        prompts = PromptFile.load(free / clip.name / "prompts.json")
        prompts.check(*SIZE, frame_count=3)
        box = prompts.on_frame(0)["object"].box
        rows, columns = np.nonzero(next(iter(clip.truths())))
        assert box is not None
        assert (box.x0, box.y0, box.x1 - 1, box.y1 - 1) == (
            columns.min(), rows.min(), columns.max(), rows.max()
        )  # fmt: skip


def test_manifest_says_from_what_it_was_made(free):
    document = json.loads((free / "manifest.json").read_text())
    assert document["benchmark"] == "novm-free"
    assert len({clip["seed"] for clip in document["clips"]}) == 10
    for clip in document["clips"]:
        assert clip["seed"] in HELD_OUT_SEEDS
        assert clip["licences"] == ["made by pullmatte, Apache-2.0"] * 2


def test_build_repeats(free, tmp_path):
    build_novm_free(tmp_path, size=SIZE, frames=3, clips=2)
    for clip in open_test_clips(tmp_path)[1]:
        for at in ("frames/0002.png", "alpha/0002.png"):
            first, second = (each / clip.name / at for each in (free, tmp_path))
            assert first.read_bytes() == second.read_bytes()


def test_second_build_into_a_folder_is_refused(free):
    with pytest.raises(DatasetError, match="holds a benchmark already"):
        build_novm_free(free)


def test_held_out_cutouts_stand_in(tmp_path):
    rgba = np.full((20, 30, 4), 255, np.uint8)
    for name in ("animals_pig", "animals_lion", "tree_fern", "vehicles_pig"):
        save(tmp_path / "art" / f"{name}.png", rgba)
    held = {path.stem for path in tmp_path.rglob("*.png") if is_held_out(path.name)}
    sources = {c: objects_of(c, tmp_path)[0].source for c in ("animals", "plant", "vehicles")}
    animal = next((name for name in sorted(held) if name.startswith("animals_")), None)
    assert ("animals_" in sources["animals"]) == (animal is not None)
    assert ("tree_" in sources["plant"]) == ("tree_fern" in held)
    assert "cut-out" not in objects_of("animals", tmp_path)[4].source


def test_given_footage_is_composed(tmp_path):
    shots, rooms = footage(tmp_path / "shots"), room(tmp_path / "rooms")
    records = build_novm(shots, rooms, tmp_path / "out", size=(64, 40))
    assert [(r.name, r.category, r.frames) for r in records] == [("fire_torch", "fire", 3)]
    clip = open_test_clips(tmp_path / "out")[1][0]
    assert clip.category == "fire"
    alpha, frame = next(iter(clip.truths())), next(iter(clip.frames()))
    assert alpha.shape == (40, 64)
    assert (frame[alpha == 255] == (200, 40, 10)).all()


@pytest.mark.parametrize(
    ("shots", "message"),
    [("rooms", "is a single picture"), ("none", "No folder")],
)
def test_footage_that_is_none_is_told(tmp_path, shots, message):
    rooms = room(tmp_path / "rooms")
    with pytest.raises(DatasetError, match=message):
        build_novm(tmp_path / shots, rooms, tmp_path / "out")


def test_object_that_comes_later_is_told(tmp_path):
    shots, rooms = footage(tmp_path / "shots"), room(tmp_path / "rooms")
    save(shots / "fire/torch/0000.png", np.zeros((30, 40, 4), np.uint8))
    with pytest.raises(DatasetError, match="isn't in frame 0"):
        build_novm(shots, rooms, tmp_path / "out", size=(64, 40))
