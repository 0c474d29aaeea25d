"""Parameters at full size, counted on the meta device.

Source of the numbers: MAM2, section 4.1 and table of parameters (256.83 M, 44.7 M trainable).
"""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from pullmatte.models.mam2.config import MAM2, SIZES, MAM2Config
from pullmatte.models.mam2.lora import add_lora, count_lora, trunk_of
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.sam2 import build_sam2
from pullmatte.models.mematte.network import MEMatteNetwork


def count(*modules: nn.Module | nn.Parameter) -> int:
    return sum(
        each.numel()
        for module in modules
        for each in ([module] if isinstance(module, nn.Parameter) else module.parameters())
    )


@pytest.fixture(scope="module")
def network() -> Iterator[MAM2Network]:
    with torch.device("meta"):
        made = MAM2Network(MAM2)
        add_lora(made)
        yield made


def test_whole_is_the_papers(network: MAM2Network) -> None:
    with torch.device("meta"):
        matter = MEMatteNetwork()
    trained = [each for each in network.parameters() if each.requires_grad]
    assert count(network, matter) == 256_828_143
    assert sum(each.numel() for each in trained) + count(matter) == 44_678_847


def test_parts_are_those_of_sam2_and_the_trimap_branch(network: MAM2Network) -> None:
    sam2, branch = network.sam2, network.decoder.trimap_branch
    assert branch is not None
    assert count_lora(network) == 2_658_816
    assert count(trunk_of(network)) - count_lora(network) == 212_149_296
    assert count(sam2.vision_encoder.neck) == 553_984
    assert count(network.decoder) - count(branch) == 4_215_109
    assert count(sam2.memory_attention) == 5_922_304
    assert count(sam2.memory_encoder) == 1_384_608
    assert count(branch.tokens, branch.mlps, branch.upscaler) == 494_144
    assert count(branch.mask_augment, branch.fusion) == 37_248


def test_lora_is_on_99_layers(network: MAM2Network) -> None:
    names = [name for name, _ in network.named_parameters() if "lora_A" in name]
    assert len(names) == 99


@pytest.mark.parametrize(
    ("size", "parameters"),
    [
        ("tiny", 38_962_498),
        ("small", 46_060_354),
        ("base_plus", 80_850_178),
        ("large", 224_446_642),
    ],
)
def test_sizes_are_sam2s(size: str, parameters: int) -> None:
    config = MAM2Config(sam2=SIZES[size], trimap="mask_band", second_pass="off")
    with torch.device("meta"):
        assert count(build_sam2(config.sam2)) == count(MAM2Network(config)) == parameters
