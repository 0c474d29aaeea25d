"""Miniature networks whose masks have both signs and whose trimaps have three levels."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from pullmatte.models.mam2.config import MINIATURE, MAM2Config
from pullmatte.models.mam2.network import MAM2Network


def scatter(module: torch.nn.Module, seed: int) -> None:
    """Give weights that say something: fresh ones of SAM 2 hardly do."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if "norm" in name or name.endswith("scale"):
                value.copy_(noise * 0.1 + (name.endswith(("weight", "scale"))))
            elif name.endswith("bias"):
                value.copy_(noise * 0.1)
            elif value.ndim >= 2 and "embed" not in name and "token" not in name:
                value.copy_(noise * (1.4 / value[0].numel() ** 0.5))
            else:
                value.copy_(noise * 0.7)
        for name, value in module.named_buffers():
            if name.endswith("positional_embedding"):
                again = torch.Generator().manual_seed(seed)  # two copies of one table
                value.copy_(torch.randn(value.shape, generator=again))


def build(config: MAM2Config = MINIATURE, seed: int = 5) -> MAM2Network:
    """Build a network in which objects are nearly always there."""
    network = MAM2Network(config).eval().requires_grad_(False)
    scatter(network, seed)
    network.decoder.pred_obj_score_head.proj_out.bias += 3
    mlps = [*network.decoder.output_hypernetworks_mlps]
    if network.decoder.trimap_branch is not None:
        mlps += [*network.decoder.trimap_branch.mlps]
    for mlp in mlps:
        mlp.proj_out.weight *= 0.1
    return network


@pytest.fixture(scope="session")
def make_network() -> Callable[..., MAM2Network]:
    return build


@pytest.fixture(scope="module")
def network() -> MAM2Network:
    return build()


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).random((90, 130, 3), np.float32)
