"""Sessions on the real network, small and with random weights: batches, tiles, second stage."""

import numpy as np
import pytest
import torch

from pullmatte import load
from pullmatte.models.protocol import BatchModel, Model
from pullmatte.models.sdmatte.config import AutoencoderConfig, SDMatteConfig, UNetConfig
from pullmatte.models.sdmatte.model import SDMatteModel, SDMatteOptions
from pullmatte.models.sdmatte.network import SDMatteNetwork
from pullmatte.prompts import Box, Mask, Point, Prompt
from pullmatte.sessions.image import ImageSession
from pullmatte.sessions.second_stage import SecondStage, trimap_from_alpha
from pullmatte.sessions.tiling import Tiled, edge_weight

CONFIG = SDMatteConfig(
    unet=UNetConfig(channels=(32, 32, 32, 32), heads=(1, 1, 1, 1), layers_per_block=1,
                    norm_groups=8, context_width=32),
    autoencoder=AutoencoderConfig(channels=(16, 16, 16, 16), layers_per_block=1, norm_groups=4),
    size_px=64,
)  # fmt: skip
IMAGE = np.random.default_rng(0).random((90, 150, 3), dtype=np.float32)
DISC = np.hypot(*(np.mgrid[:90, :150] - np.array([45, 70])[:, None, None])) < 30
PROMPTS = {
    "box": Prompt(box=Box(20, 10, 90, 80)),
    "mask": Prompt(mask=Mask(DISC)),
    "points": Prompt(points=(Point(60, 40), Point(80, 50))),
}


@pytest.fixture(scope="module")
def model() -> SDMatteModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SDMatteModel(SDMatteNetwork(CONFIG), SDMatteOptions(batch_size=2))


def test_several_objects_in_one_pass_are_the_same_as_one_by_one(model):
    assert isinstance(model, BatchModel)
    photo = ImageSession(model, IMAGE, foreground=False)
    together = photo.predict_objects(PROMPTS, opacity="opaque")
    for name, prompt in PROMPTS.items():
        alone = photo.predict(prompt, opacity="opaque")
        np.testing.assert_allclose(together[name].alpha, alone.alpha, atol=2e-5)


def test_tiles_change_nothing_away_from_edges(model):
    tiled: Model = Tiled(model, 64)
    coarse = model.predict(model.encode(IMAGE), PROMPTS["mask"], opacity="opaque").alpha
    fine = tiled.predict(tiled.encode(IMAGE), PROMPTS["mask"], opacity="opaque").alpha
    change = edge_weight(coarse, 150 / 64)
    np.testing.assert_array_equal(fine[change == 0], coarse[change == 0])
    assert fine.shape == (90, 150)
    assert np.abs(fine - coarse).max() > 0


def test_second_stage_keeps_to_the_trimap_between(model):
    both = SecondStage(model, load("classical").model)
    answer = both.predict(both.encode(IMAGE), PROMPTS["box"], opacity="opaque")
    coarse = model.predict(model.encode(IMAGE), PROMPTS["box"], opacity="opaque").alpha
    trimap = trimap_from_alpha(coarse)
    np.testing.assert_array_equal(answer.trimap, trimap)
    known = trimap != 0.5
    np.testing.assert_array_equal(answer.alpha[known], trimap[known])
