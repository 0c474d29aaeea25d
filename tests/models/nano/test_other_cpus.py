"""What nano gives hardly depends on what the CPU can do."""

from pathlib import Path

import numpy as np
import pytest

import pullmatte as pm
from pullmatte.models.mam2 import quick_layers

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_a_cpu_without_bfloat16_gives_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    image = pm.read_image(EXAMPLES / "coffee.png")[..., :3]
    alphas = []
    for able in (False, True):
        monkeypatch.setattr(quick_layers, "_multiplies_bfloat16", lambda able=able: able)
        photo = pm.load("nano").open_image(image, foreground=False)
        alphas.append(photo.predict(box=(75, 15, 485, 392)).alpha)
    apart = np.abs(alphas[0] - alphas[1])
    assert alphas[0].mean() > 0.1
    # Where an answer stands on an edge a few pixels may fall to the other side.
    assert 0 < apart.mean() < 5e-4
    assert np.mean(apart > 2 / 255) < 0.005
