"""Memory attention over pooled memories."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pullmatte.errors import PullmatteError
from pullmatte.models.mam2.memory import FEATURES, Selection, assemble
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.pooled_memory_attention import attend_pooled
from pullmatte.models.mam2.sam2 import attend_memory
from pullmatte.models.nano.config import sized

SIDE = 64


def network(pool: int) -> MAM2Network:
    config = sized(SIDE)
    sam2 = replace(config.sam2, memory_pool=pool, memory_layers=2)
    torch.manual_seed(0)
    return MAM2Network(replace(config, sam2=sam2)).eval()


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_without_pooling_it_is_sam2s() -> None:
    attention, tokens = network(1).sam2.memory_attention, (SIDE // 16) ** 2
    inputs = (
        drawn(2, tokens, 128, seed=1),
        drawn(1, tokens, 128, seed=2),
        drawn(2, 3 * tokens + 6, 64, seed=3),
        drawn(2, 3 * tokens + 6, 64, seed=4),
    )
    found, expected = attend_pooled(1)(attention, *inputs, 6), attend_memory(attention, *inputs, 6)
    assert (found - expected).abs().max() < 1e-5


@torch.no_grad()
def test_memories_are_a_quarter_as_long_and_say_nearly_the_same() -> None:
    fine, coarse = network(1), network(2)
    image = torch.nn.functional.interpolate(drawn(1, 3, 4, 4, seed=5).sigmoid(), (SIDE, SIDE))
    logits = drawn(1, 1, 2, 2, seed=6) * 9
    tops = []
    for each in (fine, coarse):
        frame = each.encode(image)
        memory = each.memory(frame, logits, torch.ones(1, 1, dtype=torch.bool), hard=True)
        selection = Selection(((0, {FEATURES: memory}), (2, {FEATURES: memory})), ())
        found = assemble(each.sam2, selection, each.config.sam2)
        top = each.condition(frame, found.memory, found.memory_position, found.pointer_tokens)
        tops.append((memory.shape[1], found.memory.shape[1], top))
    (whole, together, wanted), (pooled, fewer, got) = tops
    assert (whole, together, pooled, fewer) == (16, 32, 4, 8)
    assert (got - wanted).abs().mean() < 0.1 * wanted.abs().mean()


def test_a_pool_that_does_not_fit_is_refused() -> None:
    with pytest.raises(PullmatteError, match="memory_pool"):
        replace(sized(SIDE).sam2, memory_pool=3)
