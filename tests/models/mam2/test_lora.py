"""LoRA: it adds, it can be left out, and it merges away."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pullmatte.models.mam2.config import MINIATURE
from pullmatte.models.mam2.lora import add_lora, merge_lora, trunk_of, without_lora
from pullmatte.models.mam2.network import MAM2Network


@pytest.fixture
def tuned(make_network) -> MAM2Network:
    """A network whose additions have been trained a little."""
    network = make_network()
    add_lora(network)
    generator = torch.Generator().manual_seed(0)
    for name, value in trunk_of(network).named_parameters():
        if "lora_B" in name:
            value.data.copy_(torch.randn(value.shape, generator=generator) * 0.02)
    return network.eval()


def top_of(network: MAM2Network) -> Tensor:
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network.encode(image).top


def test_fresh_lora_changes_nothing(make_network) -> None:
    network = make_network()
    before = top_of(network)
    add_lora(network)
    assert torch.equal(top_of(network.eval()), before)


def test_lora_can_be_left_out(make_network, tuned) -> None:
    with without_lora(tuned):
        plain = top_of(tuned)
    assert torch.equal(plain, top_of(make_network()))
    assert float((plain - top_of(tuned)).abs().max()) > 0.1


def test_merging_keeps_the_answer_and_the_released_names(make_network, tuned) -> None:
    before = top_of(tuned)
    merge_lora(tuned)
    assert tuned.state_dict().keys() == make_network().state_dict().keys()
    assert float((top_of(tuned) - before).abs().max()) < 1e-3 * float(before.abs().max())


def test_the_trunk_alone_is_frozen(tuned) -> None:
    frozen = [name for name, value in tuned.named_parameters() if not value.requires_grad]
    assert frozen
    assert all(name.startswith("sam2.vision_encoder.backbone.") for name in frozen)
    assert not [name for name in frozen if "lora_" in name]


def test_rank_0_only_freezes(make_network) -> None:
    network = make_network(replace(MINIATURE, lora_rank=0))
    add_lora(network)
    assert not any(value.requires_grad for value in trunk_of(network).parameters())
    assert network.sam2.no_memory_embedding.requires_grad


def test_gradients_reach_the_additions(tuned) -> None:
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    tuned.encode(image).top.square().mean().backward()
    added = [value for name, value in tuned.named_parameters() if "lora_" in name]
    assert added
    assert all(value.grad is not None and value.grad.abs().max() > 0 for value in added)
