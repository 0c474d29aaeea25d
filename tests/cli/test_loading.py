"""Flags that choose how a model runs: what they do, and one line where they can't be followed."""

import json
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from pullmatte.cli.app import run
from pullmatte.io.image import load_picture
from pullmatte.models import MODELS
from pullmatte.testing import FakeModel

BOX = ("--box", "4,5,30,25")


class Still(FakeModel):
    """A model for photos, with settings, that reads captions."""

    said: dict = {}  # noqa: RUF012 - what the last one was told, for the test to see
    together: list = []  # noqa: RUF012 - how many objects it was handed at once

    def __init__(self, *, device, dtype="float32", fit="squash", size_px=1024, batch_size=1):
        Still.said = {"device": device, "dtype": dtype, "fit": fit, "size_px": size_px}
        Still.together = []
        self.limit = batch_size

    def predict_many(self, encoded, prompts, *, opacity="auto"):
        Still.together.append(len(prompts))
        return [self.predict(encoded, prompt) for prompt in prompts]

    def predict(self, encoded, prompt, *, opacity="auto", caption=None):
        Still.said["caption"] = caption
        return super().predict(encoded, prompt, opacity=opacity)


@pytest.fixture
def still(fake, monkeypatch):
    """Make a model called still, which runs on a choice of devices but has no weights."""
    module = ModuleType("still_models")
    module.Still = Still
    monkeypatch.setitem(sys.modules, "still_models", module)
    spec = replace(
        MODELS["fake"],
        name="still",
        builder="still_models:Still",
        licence="MIT",
        restrictions="be good",
        video=False,
        captions=True,
        size_px=1024,
        devices=("cuda", "cpu"),
        dtypes=("float32", "bfloat16"),
    )
    monkeypatch.setitem(MODELS, "still", spec)
    return lambda verb, *words: run([verb, *map(str, words), "--model", "still"])


def test_settings_reach_the_model_and_the_start_line(still, photo, tmp_path, capsys):
    words = ("--device", "cpu", "--dtype", "bfloat16", "--fit", "pad", "--size", 512)
    code = still("image", photo, tmp_path / "o.png", *BOX, *words, "--caption", "a red fish")
    assert code == 0
    assert Still.said == {
        "device": "cpu", "dtype": "bfloat16", "fit": "pad", "size_px": 512, "caption": "a red fish"
    }  # fmt: skip
    first = capsys.readouterr().err.splitlines()[0]
    assert first == (
        "pullmatte: still · cpu · bfloat16 · MIT, commercial use allowed; be good · alpha straight"
    )


def test_second_model_works_out_the_edge(still, photo, tmp_path, capsys):
    assert still("image", photo, tmp_path / "o.png", *BOX, "--matter", "classical") == 0
    assert "pullmatte: still+classical · cpu" in capsys.readouterr().err
    assert load_picture(tmp_path / "o.png").alpha is not None


def test_tiles_of_a_photo_smaller_than_one_change_nothing(still, photo, tmp_path):
    assert still("image", photo, tmp_path / "a.png", *BOX, "--tiles", "-q") == 0
    assert still("image", photo, tmp_path / "b.png", *BOX, "-q") == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--fit", "pad"), "--fit: model 'classical' has no such setting; leave it out"),
        (("--size", "512"), "--size: model 'classical' has no such setting"),
        (("--batch", "2"), "--batch: model 'classical' has no such setting"),
        (("--batch", "0"), "Invalid value for '--batch'"),
        (("--tiles",), "leave tiles out"),
        (("--caption", "a fish"), "model 'classical' takes no captions"),
        (("--matter", "classical"), "given twice"),
        (("--matter", "nope"), "unknown model 'nope'"),
        (("--dtype", "float16"), "no dtype 'float16': give float32"),
        (("--device", "cuda"), "no device 'cuda': give auto or cpu"),
        (("--model", "weights.pth"), "weights.pth"),
        (("--model", "sdmatte"), "models pull sdmatte"),
    ],
)
def test_flags_that_can_not_be_followed_are_one_line(
    words, says, photo, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("PULLMATTE_HOME", str(tmp_path / "home"))
    command = ["image", str(photo), str(tmp_path / "o.png"), *BOX, "--model", "classical", *words]
    assert run(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pullmatte: ")
    assert says in line
    assert not (tmp_path / "o.png").exists()


@pytest.mark.parametrize("model", ["still", "sdmatte"])
def test_video_refuses_models_for_photos_at_once(model, still, clip, tmp_path, capsys):
    assert run(["video", str(clip), str(tmp_path / "o.mov"), "--model", model]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"model '{model}' mattes photos only: for clips take nano or classical" in line


def test_second_model_finishes_a_clip_frame_by_frame(fake, clip, tmp_path, capsys):
    words = ["video", str(clip), str(tmp_path / "o.%04d.png"), "--box", "4,4,40,28", "--model"]
    assert run([*words, "fake", "--matter", "classical", "--only-alpha"]) == 0
    assert "pullmatte: fake+classical" in capsys.readouterr().err
    assert len(list(tmp_path.glob("o.*.png"))) == 12


def test_folder_is_not_begun_with_a_caption_that_nothing_reads(fake, photo, tmp_path, capsys):
    words = ["image", str(tmp_path), str(tmp_path / "out"), "--model", "fake", "--caption", "x"]
    assert run(words) == 2
    assert "takes no captions" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_batch_says_how_many_objects_go_at_once(still, photo, tmp_path):
    boxes = [word for name in range(10) for word in ("--box", f"o{name}=4,5,30,25")]
    assert still("image", photo, tmp_path / "o.png", *boxes, "--batch", 9, "-q") == 0
    assert Still.together == [9, 1]


@pytest.mark.parametrize("words", [(), ("--matter", "classical"), ("--tiles",)])
def test_whole_batches_pass_through_stages(words, still, photo, tmp_path):
    boxes = [word for name in range(10) for word in ("--box", f"o{name}=4,5,30,25")]
    assert still("image", photo, tmp_path / "o.png", *boxes, "--batch", 20, *words, "-q") == 0
    assert Still.together == [10]


@pytest.fixture
def boxes_only(still, monkeypatch):
    """Make still a model that was made for boxes."""
    monkeypatch.setitem(MODELS, "still", replace(MODELS["still"], prompts=("box",)))
    return still


def test_mask_beside_a_box_is_left_out_with_a_word(boxes_only, photo, tmp_path, capsys):
    Image.fromarray(np.full((30, 40), 255, np.uint8)).save(tmp_path / "m.png")
    words = ("--mask", tmp_path / "m.png", "--point", "35,28", *BOX)
    assert boxes_only("image", photo, tmp_path / "a.png", *words) == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert first.endswith("alpha straight · mask and point left out: still takes box alone")
    assert boxes_only("image", photo, tmp_path / "b.png", *BOX, "-q") == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_mask_alone_is_refused_by_a_model_for_boxes(boxes_only, photo, tmp_path, capsys):
    Image.fromarray(np.full((30, 40), 255, np.uint8)).save(tmp_path / "m.png")
    assert boxes_only("image", photo, tmp_path / "a.png", "--mask", tmp_path / "m.png") == 2
    assert "takes box, not mask alone: give a box" in capsys.readouterr().err


@pytest.mark.parametrize("folder", [True, False])
def test_caption_without_its_encoder_is_refused_before_encoding(
    folder, still, photo, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(Still, "captions", False, raising=False)
    monkeypatch.setattr(Still, "encode", None)
    source, out = (tmp_path, tmp_path / "out") if folder else (photo, tmp_path / "o.png")
    assert still("image", source, out, *BOX, "--caption", "a fish") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "without its text encoder: convert the weights with --keep-text-encoder" in line
    assert not out.exists()


def test_eval_takes_the_same_flags(still, tmp_path, capsys):
    for name in ("original", "mask"):
        (tmp_path / "set" / name).mkdir(parents=True)
    plane = np.zeros((40, 50, 3), np.uint8)
    plane[10:30, 10:40] = 255
    Image.fromarray(plane).save(tmp_path / "set/original/a.png")
    Image.fromarray(plane[..., 0]).save(tmp_path / "set/mask/a.png")
    words = ("--dataset", tmp_path / "set", "--prompt", "box", "--out", tmp_path / "run")
    assert still("eval", *words, "--fit", "pad", "--json", "-q") == 0
    assert Still.said["fit"] == "pad"
    assert json.loads(capsys.readouterr().out)
