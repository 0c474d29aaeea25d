"""``pullmatte data``: sets and their terms, benchmarks."""

import json

import numpy as np
import pytest
from PIL import Image

from pullmatte.cli.app import run


def test_sets_are_listed_with_their_terms(capsys):
    assert run(["data", "sets"]) == 0
    out = capsys.readouterr().out
    assert "composition-1k" in out
    assert "commercial use allowed: MIT" in out


def test_chosen_sets_end_with_what_weights_may_be_used_for(capsys):
    assert run(["data", "sets", "am2k", "mose"]) == 0
    assert capsys.readouterr().out.endswith("weights for research only, because of MOSE\n")


def test_sets_as_json(capsys):
    assert run(["data", "sets", "duts", "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert line["research_only"] is True
    assert line["layout"] == [["DUTS-TR/DUTS-TR-Image", "DUTS-TR/DUTS-TR-Mask"]]


def test_unknown_set_is_one_line(capsys):
    assert run(["data", "sets", "x"]) == 2
    assert capsys.readouterr().err.startswith("pullmatte: Unknown training set 'x'. Known:")


def test_free_benchmark_is_built_by_one_command(tmp_path, capsys):
    out = tmp_path / "set"
    words = ["--size", "64x48", "--frames", "2", "--clips", "2"]
    assert run(["data", "novm-free", "--out", str(out), *words]) == 0
    assert "2 clips, 4 frames" in capsys.readouterr().err
    assert len(json.loads((out / "manifest.json").read_text())["clips"]) == 2


def test_own_footage_is_composed(tmp_path):
    rgba = np.full((20, 30, 4), 255, np.uint8)
    for at in range(2):
        (tmp_path / "f/torch").mkdir(parents=True, exist_ok=True)
        Image.fromarray(rgba).save(tmp_path / f"f/torch/{at}.png")
    (tmp_path / "b").mkdir()
    Image.fromarray(rgba[..., :3]).save(tmp_path / "b/room.png")
    folders = ["-f", str(tmp_path / "f"), "-b", str(tmp_path / "b"), "-o", str(tmp_path / "o")]
    assert run(["data", "novm", *folders, "--size", "64x48", "-q"]) == 0
    assert (tmp_path / "o/torch/frames/0001.png").is_file()


@pytest.mark.parametrize("size", ["512", "axb", "8x8"])
def test_size_that_makes_no_sense_is_one_line(size, tmp_path, capsys):
    assert run(["data", "novm-free", "--out", str(tmp_path), "--size", size, "-q"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
