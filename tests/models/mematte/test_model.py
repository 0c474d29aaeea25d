"""MEMatte as a matter: what is known stays, and only what is needed is computed."""

import numpy as np
import pytest
import torch

from pullmatte.errors import PromptError, PullmatteError
from pullmatte.models.mematte import model as module
from pullmatte.models.mematte.config import MEMatteConfig
from pullmatte.models.mematte.model import MEMatteModel, MEMatteOptions, part_of
from pullmatte.models.mematte.network import MEMatteNetwork
from pullmatte.prompts import Prompt

TINY = MEMatteConfig(width=32, heads=2, blocks=4, window=4, global_blocks=(1, 3), pretrained_px=64)


@pytest.fixture
def network() -> MEMatteNetwork:
    torch.manual_seed(0)
    return MEMatteNetwork(TINY)


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).random((90, 130, 3), np.float32)


@pytest.fixture
def trimap() -> np.ndarray:
    made = np.zeros((90, 130), np.float32)
    made[20:60, 40:100] = 0.5
    made[30:50, 50:90] = 1
    return made


def test_known_pixels_stay(network, photo, trimap):
    given = trimap.copy()
    found = MEMatteModel(network).predict(photo, Prompt.of(trimap=trimap))
    assert found.alpha.dtype == np.float32
    assert (found.alpha[trimap == 0] == 0).all()
    assert (found.alpha[trimap == 1] == 1).all()
    assert found.alpha[trimap == 0.5].std() > 0
    assert np.array_equal(trimap, given)


def test_without_unknown_pixels_nothing_is_run(network, photo, monkeypatch):
    monkeypatch.setattr(network, "forward", None)
    trimap = np.ones((90, 130), np.float32)
    assert np.array_equal(MEMatteModel(network).matte(photo, trimap), trimap)


def test_margin_looks_at_a_part_alone(network):
    photo = np.random.default_rng(0).random((130, 160, 3), np.float32)
    trimap = np.zeros((130, 160), np.float32)
    trimap[20:60, 40:90] = 0.5
    elsewhere = photo.copy()
    elsewhere[96:], elsewhere[:, :32], elsewhere[:, 128:] = 0, 1, 0
    part = MEMatteModel(network, MEMatteOptions(margin_px=8))
    assert np.array_equal(part.matte(elsewhere, trimap), part.matte(photo, trimap))
    whole = MEMatteModel(network)
    assert not np.array_equal(whole.matte(elsewhere, trimap), whole.matte(photo, trimap))


def test_parts_keep_to_the_photo_and_to_multiples():
    unknown = np.zeros((90, 130), bool)
    unknown[20:60, 40:100] = True
    assert part_of(unknown, 0) == (slice(20, 60), slice(40, 100))
    assert part_of(unknown, 50) == (slice(0, 90), slice(0, 130))
    assert part_of(unknown, 5, 32) == (slice(0, 90), slice(32, 128))


def test_large_photos_are_decoded_in_tiles(network, photo, trimap, monkeypatch):
    model = MEMatteModel(network, MEMatteOptions(tile_px=64))
    whole = model.matte(photo, trimap)
    monkeypatch.setattr(module, "_WHOLE_PX", 100)
    assert np.abs(model.matte(photo, trimap) - whole).max() < 1e-5


def test_cap_counts(network, photo, trimap):
    few = MEMatteModel(network, MEMatteOptions(most_tokens=1)).matte(photo, trimap)
    assert not np.array_equal(few, MEMatteModel(network).matte(photo, trimap))


def test_other_prompts_are_refused(network, photo):
    with pytest.raises(PromptError, match="mattes trimaps"):
        MEMatteModel(network).predict(photo, Prompt.of(box=(1, 1, 20, 20)))


@pytest.mark.parametrize("changed", [{"most_tokens": -1}, {"margin_px": -1}, {"tile_px": 100}])
def test_impossible_options_are_refused(changed):
    with pytest.raises(PullmatteError, match=next(iter(changed))):
        MEMatteOptions(**changed)
