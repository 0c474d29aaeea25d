"""The verbs of ``pullmatte train``: flags from settings, tuning end to end, errors as one line."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from pullmatte.cli.app import run
from pullmatte.models.mam2.checkpoint import load_network
from pullmatte.train.export import export_mam2
from pullmatte.train.mam2_lessons import MAM2Settings


@pytest.fixture(scope="module")
def tiny() -> ModuleType:
    if "tiny_recipes" not in sys.modules:
        place = Path(__file__).parents[1] / "train" / "tiny_recipes.py"
        spec = importlib.util.spec_from_file_location("tiny_recipes", place)
        sys.modules["tiny_recipes"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["tiny_recipes"])
    return sys.modules["tiny_recipes"]


@pytest.fixture(scope="module")
def weights(tiny, tmp_path_factory) -> Path:
    """A folder of tiny MAM2."""
    folder = tmp_path_factory.mktemp("weights") / "mam2"
    network = tiny.make_mam2(["image_matting"]).network
    export_mam2(network, network.state_dict(), folder, MAM2Settings())
    return folder


@pytest.fixture(scope="module")
def frames(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    clip = tiny.Discs().clip(0)
    for at, (image, alpha) in enumerate(zip(clip.images, clip.alphas, strict=True)):
        Image.fromarray(np.uint8(image * 255)).save(folder / f"disc.{at:03d}.png")
        Image.fromarray(np.uint8(alpha * 255)).save(folder / f"disc.{at:03d}.alpha.png")
    return folder


def test_tuning_ends_with_a_model(weights, frames, tmp_path, capsys) -> None:
    arguments = ["train", "finetune", str(tmp_path / "run"), "--frames", str(frames)]
    arguments += ["--start", str(weights), "--cpu", "--json", "--steps", "2", "--log-every", "1"]
    assert run(arguments) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("step") for line in lines] == [1, 2, None]
    assert {"trimap", "focal"} < lines[0].keys()
    tuned, before = load_network(Path(lines[-1]["model"])), load_network(weights)
    name = "sam2.mask_decoder.trimap_branch.tokens.weight"
    assert not tuned.state_dict()[name].equal(before.state_dict()[name])


def test_dry_run_writes_nothing(weights, frames, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["train", "mam2", str(tmp_path / "run"), "--data", f"image_matting={frames}:2"]
    arguments += ["--data", f"video_matting={frames}", "--start", str(weights), "--dry-run"]
    assert run([*arguments, "--cpu", "--prompts", "box,point", "--corrections", "0"]) == 0
    said = capsys.readouterr().out
    assert "million of them learn" in said
    assert "100000 steps" in said
    assert not list(tmp_path.iterdir())


def test_help_tells_each_setting_with_its_default(capsys) -> None:
    assert run(["train", "mam2", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--learning-rate" in said
    assert "Default: 0.0004." in said
    assert "Give 'selective' or 'both'." in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--data", "x", "--opacity", "red"], "--opacity 'red': give opaque or transparent"),
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--data", "sound=x"], "give one of image_segmentation"),
        (["--data", "x", "--steps", "0"], "MAM2Settings.steps is 0: give 1 or more"),
        (["--data", "x", "--prompts", "line"], "give several, each 'box' or 'point' or 'mask'"),
        (["--data", "x", "--speed", "3"], "No such option: --speed"),
    ],
)
def test_what_cant_be_is_one_line(weights, tmp_path, capsys, more, said) -> None:
    assert run(["train", "mam2", str(tmp_path / "run"), "--start", str(weights), *more]) == 2
    complaint = capsys.readouterr().err
    assert said in complaint
    assert len(complaint.splitlines()) == 1


def test_litesdmatte_wants_a_teacher(tmp_path, capsys) -> None:
    assert run(["train", "litesdmatte", str(tmp_path), "--start", "x", "--data", "y"]) == 2
    assert "give --teacher sdmatte" in capsys.readouterr().err
