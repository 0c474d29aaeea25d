"""``pullmatte train nano`` and its kin."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pullmatte.cli.app import run
from pullmatte.data.held_out import is_held_out
from pullmatte.models.nano.checkpoint import load_networks

SHORT = ["--steps", "1", "--batch", "1", "--cpu", "--quiet", "--size", "64"]


@pytest.fixture(scope="module")
def art(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("art")
    rgba = np.zeros((30, 30, 4), np.uint8)
    rgba[3:27, 3:27] = (200, 100, 0, 255)
    name = next(n for n in ("ball", "cube", "duck") if not is_held_out(f"{n}.png"))
    for part, pixels in (("cutouts/toys", rgba), ("backgrounds/land", rgba[..., :3])):
        (place / part).mkdir(parents=True)
        Image.fromarray(pixels).save(place / part / f"{name}.png")
    return place


@pytest.mark.parametrize(
    "verb",
    [
        "nano",
        "nano-clips",
        "nano-memory",
        "nano-see-through",
        "nano-judge",
        "nano-alphas",
        "nano-matter",
    ],
)
def test_a_step_gives_a_folder_that_loads(verb: str, art: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    assert run(["train", verb, str(place), "--art", str(art), *SHORT, "--afresh"]) == 0
    load_networks(place / "model")


def test_another_models_folder_is_refused(
    art: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["train", "nano", str(tmp_path / "run"), "--art", str(art), "--start", "classical"]
    assert run([*asked, *SHORT]) == 2
    assert "classical" in capsys.readouterr().err
