"""A model on clips: the stand-in is measured on a small set with known truth."""

import numpy as np
import pytest
from PIL import Image

import pullmatte as pm
from pullmatte.data.clip_layouts import open_test_clips
from pullmatte.errors import DatasetError
from pullmatte.eval.clips import by_category, measure_clip, spread
from pullmatte.models import MODELS, ModelSpec


@pytest.fixture
def matter(monkeypatch):
    spec = ModelSpec("fake", "stand-in", "pullmatte.testing:FakeModel", "Apache-2.0", True)
    monkeypatch.setitem(MODELS, "fake", spec)
    return pm.load("fake")


def build(root, empty=False):
    for name in ("fire_00", "fire_01", "water_00"):
        for at in range(3):
            alpha = np.zeros((30, 40), np.uint8)
            if not empty:
                alpha[5:20, 8 + at : 25 + at] = 255
            for folder, array in (("alpha", alpha), ("frames", np.dstack([alpha] * 3))):
                (root / name / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(root / name / folder / f"{at:04d}.png")
    entries = [f'{{"name": "{n}", "category": "{n[:-3]}"}}' for n in ("fire_00", "fire_01")]
    water = '{"name": "water_00", "category": "water"}'
    (root / "manifest.json").write_text(f'{{"clips": [{", ".join([*entries, water])}]}}')
    return open_test_clips(root)[1]


def test_every_frame_is_measured(tmp_path, matter):
    result = measure_clip(matter, build(tmp_path)[0])
    assert set(result.frames) == {"mad", "mse", "grad", "dtssd"}
    assert {len(values) for values in result.frames.values()} == {3}
    assert result.frames["dtssd"][0] == 0


def test_means_are_given_by_category(tmp_path, matter):
    results = [measure_clip(matter, clip) for clip in build(tmp_path)]
    table = by_category(results)
    assert list(table) == ["fire", "water", "all"]
    expected = (2 * table["fire"]["mad"] + table["water"]["mad"]) / 3
    assert table["all"]["mad"] == pytest.approx(expected)


def test_few_clips_are_of_many_categories(tmp_path):
    clips = build(tmp_path)
    assert [clip.name for clip in spread(clips, 2)] == ["fire_00", "water_00"]
    assert len(spread(clips, None)) == 3


def test_clip_without_its_object_is_told(tmp_path, matter):
    with pytest.raises(DatasetError, match="it gives no box"):
        measure_clip(matter, build(tmp_path, empty=True)[0])
