"""Runs over small real folders with the public stand-in model."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pullmatte.data.layouts import open_dataset
from pullmatte.errors import DatasetError, PromptError, PullmatteError, ReadError
from pullmatte.eval.protocols import measure
from pullmatte.eval.report import statement
from pullmatte.eval.run import Result, evaluate, load_run
from pullmatte.testing import FakeMatter, FakeModel

NAMES = ("a", "b", "c")


@pytest.fixture
def folder(tmp_path):
    """Three images of 40 columns by 30 rows with soft discs, and trimaps."""
    y, x = np.mgrid[:30, :40]
    for number, name in enumerate(NAMES):
        alpha = np.clip(9.5 + number - np.hypot(x - 18, y - 14), 0, 1)
        trimap = np.where((alpha > 0) & (alpha < 1), 128, alpha * 255)
        grey = np.full((30, 40, 3), 150 + 40 * number)
        for kind, array in (("image", grey), ("alpha", alpha * 255), ("trimap", trimap)):
            (tmp_path / "set" / kind).mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(array.astype(np.uint8))
            picture.save(tmp_path / "set" / kind / f"{name}.png")
    return tmp_path / "set"


def run(folder, **options):
    return evaluate(FakeMatter(), folder, out=folder.parent / "out", **options)


def test_every_image_and_kind_is_measured(folder):
    done = run(folder)
    assert [(r.kind, r.name) for r in done.results] == [
        (kind, name) for kind in ("box", "point", "mask", "trimap") for name in NAMES
    ]
    assert not done.failed
    assert done.settings.licence == "Apache-2.0"
    assert done.settings.trimaps == "trimap"


def test_saved_matte_is_what_was_measured(folder):
    done = run(folder)
    for result in done.results:
        matte = np.asarray(Image.open(done.matte_path(result)))
        truth = np.asarray(Image.open(folder / "alpha" / f"{result.name}.png"))
        expected = measure("sdmatte", matte, truth)
        assert result.metrics == pytest.approx(expected, rel=1e-6)


def test_dim_counts_the_unknown_pixels_alone(folder):
    done = run(folder, prompts=("trimap",), protocol="dim")
    result = done.results[0]
    matte = np.asarray(Image.open(done.matte_path(result)))
    truth, trimap = (np.asarray(Image.open(folder / k / "a.png")) for k in ("alpha", "trimap"))
    assert result.metrics == pytest.approx(measure("dim", matte, truth, trimap), rel=1e-6)


def test_resumed_run_equals_an_uninterrupted_one(folder):
    whole = evaluate(FakeMatter(), folder, out=folder.parent / "whole", seed=5)
    run(folder, seed=5, limit=1, prompts=("point",))
    lines = folder.parent / "out" / "results.jsonl"
    with lines.open("a") as file:
        file.write('{"name": "b", "kind": "po')
    resumed = run(folder, seed=5)
    assert [(r.name, r.kind, r.metrics) for r in resumed.results] == [
        (r.name, r.kind, r.metrics) for r in whole.results
    ]
    assert len(lines.read_text().splitlines()) == 12


def test_resume_computes_only_what_is_missing(folder):
    calls = []

    class Counting(FakeMatter):
        def open_image(self, image, **options):
            calls.append(1)
            return super().open_image(image, **options)

    out = folder.parent / "out"
    evaluate(Counting(), folder, out=out, prompts=("box",), limit=2)
    evaluate(Counting(), folder, out=out, prompts=("box",))
    assert len(calls) == 3
    evaluate(Counting(), folder, out=out, prompts=("box",), resume=False)
    assert len(calls) == 6


def test_failed_image_is_recorded_and_tried_again(folder):
    good = (folder / "image" / "b.png").read_bytes()
    (folder / "image" / "b.png").write_bytes(good[:40])
    done = run(folder, prompts=("box",))
    assert [result.name for result in done.failed] == ["b"]
    assert "b.png" in done.failed[0].error
    (folder / "image" / "b.png").write_bytes(good)
    assert not run(folder, prompts=("box",)).failed


def test_odd_sizes_and_empty_alphas_are_recorded(folder):
    Image.new("L", (8, 8), 255).save(folder / "alpha" / "a.png")
    Image.new("L", (40, 30), 0).save(folder / "alpha" / "c.png")
    done = run(folder, prompts=("mask",))
    assert {r.name: r.error for r in done.failed}.keys() == {"a", "c"}
    assert "expected one size" in done.failed[0].error
    assert "no object" in done.failed[1].error


def test_error_of_a_model_is_recorded(folder):
    class Broken(FakeMatter):
        def open_image(self, image, **options):
            raise ZeroDivisionError("two\nlines")

    done = evaluate(Broken(), folder, out=folder.parent / "out", prompts=("box",), limit=1)
    assert done.failed[0].error == "ZeroDivisionError: two lines"


def test_prompts_don_t_depend_on_the_run(folder):
    alone = run(folder, prompts=("point",), seed=1)
    among = evaluate(FakeMatter(), folder, out=folder.parent / "all", seed=1)
    points = [r for r in among.results if r.kind == "point"]
    assert [r.metrics for r in points] == [r.metrics for r in alone.results]


def test_progress_counts_every_result(folder):
    seen = []
    run(folder, prompts=("box", "mask"), limit=2, progress=lambda *at: seen.append(at))
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4), (4, 4)]


def test_other_settings_don_t_mix(folder):
    run(folder, prompts=("box",), limit=1)
    with pytest.raises(PullmatteError, match="seed 0 there, 1 now"):
        run(folder, prompts=("box",), seed=1)
    assert run(folder, prompts=("box",), seed=1, resume=False).settings.seed == 1


def test_semat_is_measured_at_its_long_side(folder):
    done = run(folder, prompts=("box",), protocol="semat", limit=1)
    larger = run(folder, prompts=("box",), protocol="sdmatte", limit=1, resume=False)
    ratio = done.results[0].metrics["sad"] / larger.results[0].metrics["sad"]
    assert ratio == pytest.approx((1024 / 40) ** 2, rel=0.05)


def test_data_set_flag_reaches_the_model(folder):
    seen = []

    class Watching(FakeMatter):
        def open_image(self, image, **options):
            session = super().open_image(image, **options)
            predict = session.predict
            session.predict = lambda p, opacity: (seen.append(opacity), predict(p))[1]
            return session

    (folder / "image").rename(folder / "original")
    (folder / "alpha").rename(folder / "mask")
    evaluate(Watching(), folder, out=folder.parent / "1", prompts=("box",), limit=1)
    out = folder.parent / "2"
    evaluate(Watching(), folder, out=out, prompts=("box",), limit=1, opacity="auto")
    assert seen == ["opaque", "auto"]


class CaptionMatter(FakeMatter):
    """Takes captions, and writes down which."""

    def __init__(self):
        super().__init__()
        self.spec = replace(self.spec, captions=True)
        self.captions = True
        self.seen = []

    def open_image(self, image, **options):
        session = super().open_image(image, **options)
        predict = session.predict

        def heard(prompt, *, caption=None, **others):
            self.seen.append(caption)
            return predict(prompt, **others)

        session.predict = heard
        return session


def captioned(folder):
    """Make the three images' folder a RefMatte-RW-100 of which b has no expression."""
    (folder / "alpha").rename(folder / "mask")
    labels = {
        name: {
            "image_name": f"{name}.jpg",
            "expressions": [] if name == "b" else ["x", f"the {name}"],
        }
        for name in NAMES
    }
    (folder / "refmatte_rw100_label.json").write_text(json.dumps(labels))
    return folder


def test_captions_reach_a_model_that_takes_them(folder):
    matter, out = CaptionMatter(), folder.parent / "out"
    run = evaluate(matter, captioned(folder), out=out, prompts=("box", "mask"))
    assert matter.seen == ["the a"] * 2 + [None] * 2 + ["the c"] * 2
    assert run.settings.captions
    assert not run.failed
    assert "the last expression" in statement(run)["captions"]


@pytest.mark.parametrize(("matter", "captions"), [(FakeMatter(), True), (CaptionMatter(), False)])
def test_captions_stay_away_from_other_runs(folder, matter, captions):
    out = folder.parent / "out"
    run = evaluate(matter, captioned(folder), out=out, prompts=("box",), captions=captions)
    assert not run.failed
    assert not run.settings.captions
    assert getattr(matter, "seen", [None] * 3) == [None] * 3
    assert "none, though" in statement(run)["captions"]


def test_captions_stay_away_from_weights_without_text_encoder(folder):
    matter = CaptionMatter()
    matter.captions = False
    run = evaluate(matter, captioned(folder), out=folder.parent / "out", prompts=("box",))
    assert (run.settings.captions, matter.seen) == (False, [None] * 3)


def test_data_set_without_captions_has_none(folder):
    run = evaluate(CaptionMatter(), folder, out=folder.parent / "out", prompts=("box",), limit=1)
    assert (run.settings.captions, statement(run)["captions"]) == (False, "none")


def test_unusable_requests_are_refused(folder):
    with pytest.raises(PromptError, match="'scribble'"):
        run(folder, prompts=("scribble",))
    with pytest.raises(PullmatteError, match="Known: sdmatte"):
        run(folder, protocol="sad")
    with pytest.raises(PullmatteError, match="Limit 0"):
        run(folder, limit=0)
    with pytest.raises(PullmatteError, match="0 points"):
        run(folder, point_count=0)
    with pytest.raises(PullmatteError, match="Seed -1"):
        run(folder, seed=-1)
    for path in (folder / "trimap").iterdir():
        path.unlink()
    (folder / "trimap").rmdir()
    with pytest.raises(DatasetError, match="no trimaps"):
        run(folder, protocol="dim")
    with pytest.raises(ReadError, match=r"run\.json"):
        load_run(folder)


def test_loaded_run_equals_the_one_returned(folder):
    done = run(folder, prompts=("box",))
    assert load_run(done.folder) == done
    assert open_dataset(folder).name == done.settings.dataset


def test_undefined_values_are_valid_json():
    line = Result("a", "box", {"mse": math.nan, "sad": 1.0}).to_json()
    assert json.loads(line)["metrics"] == {"mse": None, "sad": 1.0}
    assert math.isnan(Result.from_json(line).metrics["mse"])


def test_memory_that_ran_out_is_recorded_in_one_line(folder, monkeypatch, caplog):
    def encode(self, image):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")

    monkeypatch.setattr(FakeModel, "encode", encode)
    (result, *_) = run(folder, prompts=("box",), limit=1).failed
    assert result.error.startswith("out of memory: give a smaller image")
    assert caplog.text == ""
