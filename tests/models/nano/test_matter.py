"""nano's matter, with random weights."""

import numpy as np
import pytest
import torch

from pullmatte.errors import PullmatteError
from pullmatte.models.nano import matter as module
from pullmatte.models.nano.matter import NanoMatter
from pullmatte.models.nano.matter_network import MatterConfig, MatterNetwork


@pytest.fixture(scope="module")
def matter() -> NanoMatter:
    torch.manual_seed(0)
    return NanoMatter(MatterNetwork(MatterConfig(widths=(8, 8, 8), depths=(0, 1, 1))))


def photo(height: int = 70, width: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    trimap = np.zeros((height, width), np.float32)
    trimap[20:50, 20:60] = 0.5
    trimap[30:40, 30:50] = 1
    return rng.random((height, width, 3), np.float32), trimap


def test_known_pixels_stay_and_unknown_are_in_range(matter: NanoMatter) -> None:
    image, trimap = photo()
    alpha = matter.matte(image, trimap)
    known = trimap != 0.5
    assert (alpha[known] == trimap[known]).all()
    assert 0 <= alpha[~known].min() < alpha[~known].max() <= 1
    assert alpha.dtype == np.float32


def test_known_trimap_is_returned_without_a_run(matter: NanoMatter) -> None:
    image, trimap = photo()
    flat = np.where(trimap == 0.5, np.float32(0), trimap)
    found = matter.matte(np.full_like(image, np.nan), flat)
    assert (found == flat).all()
    assert found is not flat


def test_tiles_cover_everything_and_agree_nearly(
    matter: NanoMatter, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, trimap = photo(256, 320)
    trimap[10:250, 10:310] = 0.5
    trimap[100:150, 100:200] = 1
    whole = matter.matte(image, trimap)
    monkeypatch.setattr(module, "TILE_PX", 160)
    monkeypatch.setattr(module, "OVERLAP_PX", 64)
    tiled = matter.matte(image, trimap)
    assert np.isfinite(tiled).all()
    assert np.abs(tiled - whole).mean() < 0.05


def test_nan_is_told(matter: NanoMatter) -> None:
    image, trimap = photo()
    with pytest.raises(PullmatteError, match="isn't finite"):
        matter.matte(np.full_like(image, np.nan), trimap)
