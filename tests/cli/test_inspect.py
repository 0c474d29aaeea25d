"""``pullmatte models inspect``: the picture is written, and holds what was asked for."""

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pullmatte.cli.app import run
from pullmatte.eval.pictures import GAP_PX, LABEL_PX, TILE_PX
from pullmatte.models import MODELS

_path = Path(__file__).parents[1] / "models" / "sdmatte" / "released.py"
_spec = importlib.util.spec_from_file_location("released", _path)
released = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(released)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A converted folder with a tiny network."""
    folder = tmp_path_factory.mktemp("weights")
    source = released.write(folder / "SDMatte.pth", released.weights())
    assert run(["models", "convert", "sdmatte", str(source), str(folder / "out")]) == 0
    return folder / "out"


def inspect(weights: Path, *words: object) -> int:
    settings = ["--model", weights, "--size", 128, "--quiet"]
    return run(["models", "inspect", *map(str, [*words, *settings])])


def test_each_object_gets_its_block(weights, photo, tmp_path):
    out = tmp_path / "sheet.png"
    assert inspect(weights, photo, out, "--box", "one=5,5,30,20", "--point", "two=20,15") == 0
    with Image.open(out) as sheet:
        assert sheet.format == "PNG"
        # Two blocks of three lines of four tiles.
        tile = round(TILE_PX[0] * 30 / 40)
        block = 3 * (LABEL_PX + tile + GAP_PX) + GAP_PX
        assert sheet.size == (GAP_PX + 4 * (TILE_PX[0] + GAP_PX), LABEL_PX + 2 * block)


def test_mask_tile_shows_the_box(weights, photo, tmp_path):
    out = tmp_path / "sheet.png"
    assert inspect(weights, photo, out, "--box", "10,0,30,30") == 0
    pixels = np.asarray(Image.open(out).convert("RGB")).astype(int)
    tile = round(TILE_PX[0] * 30 / 40)
    top = LABEL_PX + (LABEL_PX + tile + GAP_PX) + LABEL_PX
    line = pixels[top + tile // 2, GAP_PX : GAP_PX + TILE_PX[0]]
    warm = line[:, 0] - line[:, 2] > 60
    assert warm[90:230].all()
    assert not warm[:70].any()
    assert not warm[250:].any()


def test_default_name_stands_beside_the_photo(weights, photo):
    assert inspect(weights, photo) == 0
    assert photo.with_name("photo_attention.png").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sheet.jpg"], "is a PNG"),
        (["--opacity", "auto"], "opaque or transparent"),
        (["--box", "1,1,500,5"], "500"),
    ],
)
def test_bad_input_is_one_line(weights, photo, capsys, words, said):
    assert inspect(weights, photo, *words) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


def test_other_models_cant_be_looked_into(photo, capsys):
    assert run(["models", "inspect", str(photo), "--model", "classical"]) == 2
    assert "only sdmatte and litesdmatte" in capsys.readouterr().err


def test_other_models_are_refused_without_torch(photo):
    code = (
        "import sys; sys.modules['torch'] = None; from pullmatte.cli.app import run; "
        f"sys.exit(run(['models', 'inspect', {str(photo)!r}, '--model', 'classical']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("pullmatte: model 'classical' can't be looked into")


def test_prompts_that_a_model_was_not_made_for_are_not_looked_into(
    weights, photo, monkeypatch, capsys
):
    monkeypatch.setitem(MODELS, "sdmatte", replace(MODELS["sdmatte"], prompts=("box",)))
    assert inspect(weights, photo, "--point", "5,5") == 2
    assert "takes box, not point alone" in capsys.readouterr().err
    words = ["--model", str(weights), "--size", "128", "--point", "5,5", "--box", "3,3,20,20"]
    assert run(["models", "inspect", str(photo), *words]) == 0
    assert "point left out: sdmatte takes box alone" in capsys.readouterr().err


def test_photo_is_never_overwritten(weights, photo, capsys):
    before = photo.read_bytes()
    assert inspect(weights, photo, photo) == 2
    assert "input" in capsys.readouterr().err
    assert photo.read_bytes() == before
