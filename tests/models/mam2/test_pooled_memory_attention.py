"""Memory attention over pooled memories."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoLayerNorm

from pullmatte.errors import PullmatteError
from pullmatte.models.mam2.memory import FEATURES, Selection, assemble
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.pooled_memory_attention import attend_pooled
from pullmatte.models.mam2.sam2 import attend_memory
from pullmatte.models.nano.config import sized

SIDE = 64


def network(pool: int, looking: int = 1) -> MAM2Network:
    config = sized(SIDE)
    sam2 = replace(config.sam2, memory_pool=pool, looking_pool=looking, memory_layers=2)
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
def test_places_that_look_as_one_learn_the_same_and_keep_their_own() -> None:
    attention, side = network(1).sam2.memory_attention, SIDE // 16
    rest = (drawn(1, side * side + 7, 64, seed=3), drawn(1, side * side + 7, 64, seed=4))
    # Places that are the same in twos learn the same, whether they look as one or not.
    coarse = drawn(1, 128, side // 2, side // 2, seed=1)
    even = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3).flatten(2).transpose(1, 2)
    nowhere = torch.zeros(1, side * side, 128)
    own = 0.1 * drawn(1, side * side, 128, seed=5)

    def learnt(looking: int, tokens: Tensor) -> Tensor:
        return attend_pooled(1, looking)(attention, tokens, nowhere, *rest, 7)

    fine, together = learnt(1, even), learnt(2, even)
    assert (together - fine).abs().mean() < 0.25 * (fine - even).abs().mean()
    apart = (learnt(2, even + own) - together).unflatten(1, (side // 2, 2, side // 2, 2))
    assert apart.std((2, 4)).mean() > 0.05


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


@pytest.mark.parametrize("name", ["memory_pool", "looking_pool"])
def test_a_pool_that_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(PullmatteError, match=name):
        replace(sized(SIDE).sam2, **{name: 3})


@torch.no_grad()
def test_narrow_norms_are_transformers_own() -> None:
    layers = network(1).sam2.memory_encoder.mask_downsampler.layers
    assert len(layers) == 4
    for layer in layers:
        ours, width = layer.layer_norm, layer.conv.out_channels
        theirs = Sam2VideoLayerNorm(width, data_format="channels_first")
        ours.weight.copy_(drawn(width, seed=1))
        ours.bias.copy_(drawn(width, seed=2))
        theirs.load_state_dict(ours.state_dict())
        maps = 3 * drawn(2, width, 9, 7, seed=3) + 1
        assert (ours(maps) - theirs(maps)).abs().max() < 1e-5
