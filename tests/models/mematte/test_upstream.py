"""ViTMatte by transformers is the oracle of our network without routing."""

import json
import warnings
from pathlib import Path

import pytest
import torch
from transformers import VitDetConfig, VitMatteConfig, VitMatteForImageMatting

from pullmatte.models.mematte.config import MEMatteConfig
from pullmatte.models.mematte.network import MEMatteNetwork
from pullmatte.models.mematte.upstream import to_ours
from pullmatte.models.weights import load_strictly

TINY = MEMatteConfig(
    width=48,
    heads=3,
    blocks=4,
    window=7,
    global_blocks=(1, 3),
    pretrained_px=112,
    trained_px=128,
    routed=False,
)


@pytest.fixture(scope="module")
def oracle() -> VitMatteForImageMatting:
    backbone = VitDetConfig(
        hidden_size=48, num_hidden_layers=4, num_attention_heads=3, num_channels=4,
        image_size=128, pretrain_image_size=112, patch_size=16, window_size=7,
        window_block_indices=[0, 2], residual_block_indices=[1, 3],
        use_absolute_position_embeddings=True, use_relative_position_embeddings=True,
        out_features=["stage4"],
    )  # fmt: skip
    config = VitMatteConfig(
        backbone_config=backbone,
        hidden_size=48,
        convstream_hidden_sizes=[48, 96, 192],
        fusion_hidden_sizes=[256, 128, 64, 32],
    )
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = VitMatteForImageMatting(config).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.normal_(*((0, 0.15) if parameter.ndim > 1 else (0.5, 0.3)))
    return made


@pytest.mark.parametrize("size", [(128, 128), (160, 96)])
def test_without_routing_it_is_vitmatte(
    oracle: VitMatteForImageMatting, size: tuple[int, int]
) -> None:
    network = MEMatteNetwork(TINY)
    load_strictly(network, {to_ours(n): v.clone() for n, v in oracle.state_dict().items()})
    network.eval()
    picture = torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(1))
    expected = oracle(picture).alphas
    with torch.no_grad():
        features, routes = network.backbone(picture, 1)
        alpha = network.decoder(features, picture)
    assert routes == []
    assert float(expected.std()) > 1e-3
    assert float((alpha - expected).abs().max()) < 1e-5


def test_released_names_stay(shared: Path) -> None:
    record = json.loads((shared / "parity/mematte/mematte_vits_state_dict.json").read_text())
    assert {to_ours(name) for name in record} == set(record)
    assert to_ours("teacher_backbone.pos_embed") is None
