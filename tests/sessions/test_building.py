"""What a model is built with: device, precision, settings, a second model, tiles."""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from pullmatte import MODELS, load
from pullmatte.errors import MissingDependency, PromptError, PullmatteError
from pullmatte.models import ModelSpec
from pullmatte.sessions.batching import BATCH_SIZE
from pullmatte.sessions.load import Matter
from pullmatte.testing import FakeModel

IMAGE = np.random.default_rng(3).random((40, 60, 3), dtype=np.float32)
SPEC = ModelSpec(
    name="deep",
    summary="a stand-in with a choice of everything",
    builder="deep_models:build",
    licence="MIT",
    commercial_use=False,
    restrictions="no harm",
    links=("https://example.org",),
    video=False,
    captions=True,
    size_px=32,
    prompts=("box", "mask"),
    devices=("cuda", "mps", "cpu"),
    dtypes=("float32", "bfloat16"),
)


class Deep(FakeModel):
    """Takes note of what it was built with and told."""

    def __init__(self, **built):
        self.built = built

    def predict(self, encoded, prompt, *, opacity="auto", caption=None):
        self.caption = caption
        return super().predict(encoded, prompt, opacity=opacity)


@pytest.fixture(autouse=True)
def deep(monkeypatch):
    module = ModuleType("deep_models")
    module.build = lambda *, device, dtype="float32", fit="squash", size_px=32: Deep(
        device=device, dtype=dtype, fit=fit, size_px=size_px
    )
    monkeypatch.setitem(sys.modules, "deep_models", module)
    monkeypatch.setitem(MODELS, "deep", SPEC)
    box_only = replace(SPEC, name="box-only", prompts=("box",), captions=False)
    monkeypatch.setitem(MODELS, "box-only", box_only)


def machine(monkeypatch, *, cuda=0, mps=False):
    """Let torch say that this machine has other devices."""
    torch = ModuleType("torch")
    torch.cuda = SimpleNamespace(is_available=lambda: cuda > 0, device_count=lambda: cuda)
    torch.backends = SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps))
    monkeypatch.setitem(sys.modules, "torch", torch)


@pytest.mark.parametrize(
    ("here", "asked", "expected"),
    [
        ({}, "auto", "cpu"),
        ({"cuda": 1}, "auto", "cuda"),
        ({"mps": True}, "auto", "mps"),
        ({"cuda": 2, "mps": True}, "cuda:1", "cuda:1"),
        ({"cuda": 2}, "cpu", "cpu"),
    ],
)
def test_device_is_the_best_there_is(monkeypatch, here, asked, expected):
    machine(monkeypatch, **here)
    loaded = load("deep", device=asked)
    assert loaded.device == loaded.model.built["device"] == expected


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("cuda", "device 'cuda' isn't here, only cpu, mps: give one, or auto"),
        ("cuda:0", "isn't here"),
        ("tpu", "no device 'tpu': give auto or cuda or mps or cpu"),
        ("cuda:x", "no device 'cuda:x'"),
        ("cpu:1", "isn't here"),
    ],
)
def test_device_that_is_not_here_is_refused(monkeypatch, asked, says):
    machine(monkeypatch, mps=True)
    with pytest.raises(PullmatteError, match=says):
        load("deep", device=asked)


def test_torch_is_asked_for_only_where_it_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert load("classical").device == "cpu"
    with pytest.raises(MissingDependency, match=r"needs torch: pip install torch"):
        load("deep")


def test_precision_and_settings_reach_the_builder_and_the_label(monkeypatch):
    machine(monkeypatch)
    plain, loaded = load("deep"), load("deep", dtype="bfloat16", fit="pad", size_px=16)
    assert loaded.model.built == {
        "device": "cpu", "dtype": "bfloat16", "fit": "pad", "size_px": 16
    }  # fmt: skip
    assert (plain.label, plain.dtype) == ("deep", "float32")
    assert loaded.label == "deep (dtype=bfloat16, fit=pad, size_px=16)"
    with pytest.raises(PullmatteError, match="no dtype 'int4': give float32 or bfloat16"):
        load("deep", dtype="int4")


def test_what_was_built_knows_its_precision_and_whether_it_reads(monkeypatch):
    machine(monkeypatch)
    monkeypatch.setattr(Deep, "dtype", "torch.bfloat16", raising=False)
    monkeypatch.setattr(Deep, "captions", False, raising=False)
    monkeypatch.setattr(Deep, "size_px", 24, raising=False)
    loaded = load("deep", tiles=True)
    assert (loaded.dtype, loaded.captions, loaded.model.tile_px) == ("bfloat16", False, 24)
    assert loaded.label == "deep+tiles (dtype=bfloat16)"


def test_unknown_setting_names_those_there_are(monkeypatch):
    machine(monkeypatch)
    with pytest.raises(PullmatteError, match=r"no setting 'speed': it has fit, size_px$"):
        load("deep", speed=11)
    with pytest.raises(PullmatteError, match=r"no setting 'weights'|no setting 'device'"):
        load("deep", weights="x")
    with pytest.raises(PullmatteError, match=r"unknown option 'fit': known are .*band"):
        load("classical", fit="pad")


def test_clips_are_refused_by_models_for_photos(monkeypatch):
    machine(monkeypatch)
    with pytest.raises(
        PullmatteError, match="'deep' mattes photos only: for clips take nano or classical"
    ):
        load("deep").open_video(IMAGE[None])


def test_second_model_brings_its_terms_and_its_trimaps(monkeypatch):
    machine(monkeypatch)
    both = load("deep", matter="classical")
    assert both.spec.name == "deep+classical"
    assert both.spec.licence == "MIT + Apache-2.0"
    assert not both.spec.commercial_use
    assert both.spec.restrictions == "no harm"
    assert both.spec.prompts == ("box", "mask", "trimap")
    matte = both.open_image(IMAGE).predict(box=(10, 10, 50, 30))
    assert matte.trimap is not None
    trimap = np.full((40, 60), 0.5, np.float32)
    trimap[:5], trimap[30:] = 0, 1
    assert both.open_image(IMAGE).predict(trimap=trimap).alpha[:5].max() == 0


def test_second_models_are_told_apart(monkeypatch):
    machine(monkeypatch)
    monkeypatch.setitem(MODELS, "also", replace(SPEC, name="also", prompts=("trimap",)))
    weights = {"a/w": (MODELS["also"], Path("a/w")), "b/w": (MODELS["also"], Path("b/w"))}
    monkeypatch.setattr(
        "pullmatte.models.weights.resolve", lambda name: weights.get(name) or (MODELS[name], None)
    )
    module = sys.modules["deep_models"]
    plain = module.build
    module.build = lambda *, weights=None, **more: plain(**more)
    assert load("deep", matter="also").label == "deep+also"
    labels = [load("deep", matter=name).label for name in weights]
    assert labels == [f"deep+also (matter=also (weights={name}))" for name in weights]
    assert load("deep", matter="classical", fit="pad").label == "deep+classical (fit=pad)"


def test_batch_size_is_handed_over_and_makes_no_other_label():
    loaded = Matter(SPEC, FakeModel(), options={"batch_size": 3, "fit": "pad"})
    assert loaded.label == "deep (fit=pad)"
    assert loaded.open_image(IMAGE)._batch_size == 3
    assert Matter(SPEC, FakeModel()).open_image(IMAGE)._batch_size == BATCH_SIZE


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (
            {"matter": "deep"},
            "'deep' is no matter for trimaps: give as matter one of nano or classical",
        ),
        ({"matter": "nope"}, "unknown model 'nope'"),
        ({"name": "classical", "matter": "classical"}, "given twice: leave matter out"),
        ({"name": "classical", "tiles": True}, "full size anyway: leave tiles out, or take one of"),
    ],
)
def test_combinations_without_sense_are_refused(monkeypatch, choice, says):
    machine(monkeypatch)
    with pytest.raises(PullmatteError, match=says):
        load(**{"name": "deep", **choice})


def test_tiles_are_of_the_size_that_the_model_runs_at(monkeypatch):
    machine(monkeypatch)
    tiled = load("deep", tiles=True, size_px=16)
    assert tiled.spec.name == "deep+tiles"
    assert tiled.model.tile_px == 16
    assert load("deep", tiles=True).model.tile_px == 32
    assert load("deep", tiles=True, matter="classical").spec.name == "deep+tiles+classical"
    assert tiled.open_image(IMAGE).predict(box=(10, 10, 50, 30)).alpha.max() <= 1


def test_caption_goes_to_models_that_read(monkeypatch):
    machine(monkeypatch)
    loaded = load("deep")
    photo = loaded.open_image(IMAGE)
    photo.predict(box=(0, 0, 9, 9), caption="the boy on the left")
    assert loaded.model.caption == "the boy on the left"
    photo.predict(box=(0, 0, 9, 9))
    assert loaded.model.caption is None
    with pytest.raises(PromptError, match="caption is empty"):
        photo.predict(caption=" ")
    with pytest.raises(PromptError, match="model 'classical' takes no captions"):
        load("classical").open_image(IMAGE).predict(caption="the boy")


def test_prompts_that_a_model_was_not_made_for_are_refused(monkeypatch):
    machine(monkeypatch)
    photo = load("box-only").open_image(IMAGE)
    photo.predict(box=(0, 0, 9, 9), points=[(3, 3)], labels=[0])
    photo.predict()
    with pytest.raises(PromptError, match="'box-only' takes box, not point alone: give a box"):
        photo.predict(points=[(3, 3)])
    with pytest.raises(PromptError, match="not mask and point alone"):
        photo.predict(mask=np.ones((40, 60)), points=[(3, 3)])
