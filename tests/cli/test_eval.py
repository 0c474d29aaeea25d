"""``pullmatte eval`` from the command to its files, with the public stand-in model."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pullmatte.cli.app import run
from pullmatte.models import MODELS, ModelSpec


@pytest.fixture
def command(tmp_path, monkeypatch):
    """A plain data set of two images, and the stand-in as a model called fake."""
    spec = ModelSpec("fake", "stand-in", "pullmatte.testing:FakeModel", "Apache-2.0", True)
    monkeypatch.setitem(MODELS, "fake", spec)
    alpha = np.zeros((30, 40), np.uint8)
    alpha[5:25, 8:30] = 255
    for name in "ab":
        for kind, array in (("image", np.full((30, 40, 3), 200, np.uint8)), ("alpha", alpha)):
            (tmp_path / "set" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(tmp_path / "set" / kind / f"{name}.png")
    options = ("--dataset", tmp_path / "set", "--out", tmp_path / "out", "--model", "fake")
    return lambda *more: run(["eval", *map(str, options), *map(str, more)])


def test_tables_and_sheet_are_written(command, tmp_path, capsys):
    assert command("--prompt", "box,point", "--worst", "2") == 0
    out, err = capsys.readouterr()
    assert "region: whole image" in out
    assert "| box    |      2 |" in out
    assert "worst.png" in err
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"report.md", "report.csv", "report.json", "images.csv", "worst.png"}


def test_json_stands_alone_on_stdout(command, capsys):
    assert command("--prompt", "mask", "--json", "--quiet") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["settings"]["seed"] == 0
    assert err == ""


def test_model_for_boxes_is_measured_with_boxes(command, monkeypatch, capsys):
    monkeypatch.setitem(MODELS, "fake", replace(MODELS["fake"], prompts=("box",)))
    assert command() == 0
    out, err = capsys.readouterr()
    assert "prompts box (all that it takes)" in err
    assert "| box    |      2 |" in out
    assert "| mask" not in out


def test_kind_that_a_model_does_not_take_is_refused_once(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(MODELS, "fake", replace(MODELS["fake"], prompts=("box",)))
    assert command("--prompt", "box,mask") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'fake' takes box, not mask" in line
    assert not (tmp_path / "out").exists()


def test_failed_image_ends_with_1_and_is_named(command, tmp_path, capsys):
    (tmp_path / "set" / "image" / "b.png").write_bytes(b"no picture")
    assert command("--prompt", "box", "--quiet") == 1
    assert "pullmatte: b, box:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--prompt", "scribble"), "box,point,mask,trimap"),
        (("--protocol", "sad"), "Known: sdmatte"),
        (("--layout", "aim"), "Known: refmatte"),
        (("--opacity", "half"), "dataset, auto"),
        (("--worst", "-1"), "0 or more"),
        (("--limit", "0"), "1 or more"),
        (("--points", "0"), "1 or more"),
        (("--protocol", "dim"), "no trimaps"),
        (("--trimaps", "trimap9"), "trimap9"),
    ],
)
def test_unusable_options_end_with_2_and_one_line(command, capsys, more, words):
    assert command(*more, "--quiet") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert len(err.splitlines()) == 1
