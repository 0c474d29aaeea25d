"""A small network with random weights, and prompts for it."""

from collections.abc import Callable

import pytest
import torch

from pullmatte.models.sdmatte.config import AutoencoderConfig, SDMatteConfig, UNetConfig
from pullmatte.models.sdmatte.network import PromptBatch, SDMatteNetwork
from pullmatte.models.sdmatte.prompt_maps import PromptMap

TINY = SDMatteConfig(
    unet=UNetConfig(channels=(32, 32, 64, 64), heads=(1, 2, 4, 4), norm_groups=8, context_width=64),
    autoencoder=AutoencoderConfig(channels=(32, 32, 64, 64), layers_per_block=1),
    size_px=128,
)
TINY_LITE = SDMatteConfig(
    unet=UNetConfig(
        channels=(32, 32, 32, 32),
        heads=(1, 2, 4, 4),
        layers_per_block=1,
        norm_groups=8,
        context_width=64,
    ),
    autoencoder=AutoencoderConfig(kind="tiny", channels=(16, 16, 16, 16), scale=1.0),
    size_px=128,
)


def make_network(config: SDMatteConfig = TINY, seed: int = 0) -> SDMatteNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = SDMatteNetwork(config).eval().requires_grad_(False)
        # The default start is too quiet: what goes in would hardly be seen in what comes out.
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(2)
        network.text_embedding.normal_()
    return network


def batch_of(*maps: PromptMap, transparent: bool = False) -> PromptBatch:
    import numpy as np

    return PromptBatch(
        maps=torch.from_numpy(np.stack([each.values for each in maps])[:, None]),
        kinds=tuple(each.kind for each in maps),
        coordinates=tuple(torch.tensor(each.coordinates) for each in maps),
        opacity=torch.full((len(maps),), 0.0 if transparent else 1.0),
    )


@pytest.fixture(scope="session")
def network() -> SDMatteNetwork:
    return make_network()


@pytest.fixture
def image() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    small = torch.rand(1, 3, 8, 8, generator=generator)
    return torch.nn.functional.interpolate(small, size=(128, 128), mode="bilinear")


@pytest.fixture(scope="session")
def build() -> Callable[..., SDMatteNetwork]:
    return make_network


@pytest.fixture(scope="session")
def batch() -> Callable[..., PromptBatch]:
    return batch_of


@pytest.fixture(scope="session")
def tiny() -> SDMatteConfig:
    return TINY


@pytest.fixture(scope="session")
def tiny_lite() -> SDMatteConfig:
    return TINY_LITE
