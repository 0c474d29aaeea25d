from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pullmatte.models.mam2.config import MINIATURE, MAM2Config
from pullmatte.models.mam2.fast_memory_attention import attend_memory_fast
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.sam2 import attend_memory

Inputs = tuple[Tensor, Tensor, Tensor, Tensor, int]


def make_inputs(side: int = 16, memories: int = 3, pointers: int = 6, objects: int = 1) -> Inputs:
    generator = torch.Generator().manual_seed(3)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    tokens, count = side**2, memories * side**2 + pointers
    return (
        noise(objects, tokens, 128),
        noise(1, tokens, 128),
        noise(objects, count, 64),
        noise(objects, count, 64),
        pointers,
    )


def soften(attention: Any, factor: float = 0.3) -> Any:
    """Keep scores from being so large that rounding decides what is looked at."""
    for layer in attention.layers:
        for part in (layer.self_attn, layer.cross_attn_image):
            part.q_proj.weight.data *= factor
            part.q_proj.bias.data *= factor
    return attention


@pytest.fixture
def attention(make_network: Callable[..., MAM2Network]) -> Any:
    return soften(make_network().sam2.memory_attention)


def worst(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).abs().max())


@pytest.mark.parametrize("memories", [1, 3, 8])
@pytest.mark.parametrize("pointers", [0, 2, 32])
def test_any_number_of_memories_gives_what_transformers_gives(
    attention: Any, memories: int, pointers: int
) -> None:
    inputs = make_inputs(memories=memories, pointers=pointers)
    found, expected = attend_memory_fast(attention, *inputs), attend_memory(attention, *inputs)
    assert not torch.equal(found, expected), "it went the plain way"
    assert worst(found, expected) < 2e-5
    assert float(expected.std()) > 0.5


@pytest.mark.parametrize("image_px", [32, 96, 224, 352])
def test_any_grid_gives_what_transformers_gives(
    make_network: Callable[..., MAM2Network], image_px: int
) -> None:
    sizes = replace(MINIATURE.sam2, image_px=image_px)
    attention = soften(make_network(MAM2Config(sam2=sizes)).sam2.memory_attention)
    inputs = make_inputs(side=image_px // 16)
    assert worst(attend_memory_fast(attention, *inputs), attend_memory(attention, *inputs)) < 2e-5


def test_objects_do_not_see_each_other(attention: Any) -> None:
    current, position, memory, memory_position, pointers = inputs = make_inputs(objects=3)
    found = attend_memory_fast(attention, *inputs)
    assert worst(found, attend_memory(attention, *inputs)) < 2e-5
    alone = attend_memory_fast(
        attention, current[1:2], position, memory[1:2], memory_position[1:2], pointers
    )
    assert torch.equal(found[1:2], alone)
    assert not torch.equal(found[0], found[1])


def test_positions_are_shared_between_objects(attention: Any) -> None:
    current, position, memory, memory_position, pointers = make_inputs(objects=2)
    each = attend_memory_fast(
        attention, current, position.expand_as(current), memory, memory_position, pointers
    )
    shared = attend_memory_fast(attention, current, position, memory, memory_position, pointers)
    assert torch.equal(each, shared)


def test_large_scores_stay_finite(attention: Any) -> None:
    inputs = make_inputs()
    found = attend_memory_fast(soften(attention, 300.0), *inputs)
    assert found.isfinite().all()


@pytest.mark.parametrize("factor", [-3000.0, 3000.0])
def test_scores_far_on_one_side_of_0_do_not_vanish(
    make_network: Callable[..., MAM2Network], factor: float
) -> None:
    sizes = replace(MINIATURE.sam2, image_px=32)
    attention: Any = make_network(MAM2Config(sam2=sizes)).sam2.memory_attention
    for layer in attention.layers:
        part = layer.cross_attn_image
        part.q_proj.weight.zero_()
        part.q_proj.bias.copy_(factor * part.k_proj.bias)
    current, position, memory, memory_position, _ = make_inputs(side=2, pointers=0)
    inputs = current, position, 0.01 * memory, 0 * memory_position, 0
    assert worst(attend_memory_fast(attention, *inputs), attend_memory(attention, *inputs)) < 1e-4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_nearer_to_the_truth_than_the_plain_way(
    attention: Any, dtype: torch.dtype
) -> None:
    attention.to(dtype)
    attention.rotary_emb.float()  # as `sam2.restore_constants` does it
    halves = tuple(each.to(dtype) for each in make_inputs()[:4])
    found = attend_memory_fast(attention, *halves, 6)
    plain = attend_memory(attention, *halves, 6)
    truth = attend_memory(attention.float(), *(each.float() for each in halves), 6)
    assert found.dtype == dtype
    assert worst(found, truth) < worst(plain, truth)


def test_double_precision_is_kept(attention: Any) -> None:
    inputs = tuple(each.double() for each in make_inputs()[:4])
    found = attend_memory_fast(attention.double(), *inputs, 6)
    assert found.dtype == torch.float64
    assert worst(found, attend_memory(attention, *inputs, 6)) < 1e-5


def test_gradients_go_the_plain_way(attention: Any) -> None:
    current, *rest = make_inputs()
    current.requires_grad_()
    found = attend_memory_fast(attention, current, *rest)
    assert torch.equal(found, attend_memory(attention, current, *rest))
    found.sum().backward()
    assert current.grad is not None
    with torch.no_grad():
        assert not torch.equal(attend_memory_fast(attention, current, *rest), found)


def test_autocast_goes_the_plain_way(attention: Any) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        inputs = make_inputs()
        found = attend_memory_fast(attention, *inputs)
        assert torch.equal(found, attend_memory(attention, *inputs))


def test_dropout_in_training_goes_the_plain_way(attention: Any) -> None:
    inputs = make_inputs()
    attention.train()
    torch.manual_seed(0)
    found = attend_memory_fast(attention, *inputs)
    torch.manual_seed(0)
    assert torch.equal(found, attend_memory(attention, *inputs))


def test_a_replaced_layer_is_not_passed_over(attention: Any) -> None:
    class Doubled(nn.Linear):
        def forward(self, tokens: Tensor) -> Tensor:
            return 2 * super().forward(tokens)

    first = attention.layers[0].cross_attn_image
    first.v_proj, old = Doubled(64, 128), first.v_proj
    first.v_proj.load_state_dict(old.state_dict())
    inputs = make_inputs()
    with torch.no_grad():
        found = attend_memory_fast(attention, *inputs)
        assert torch.equal(found, attend_memory(attention, *inputs))


def test_inputs_are_not_changed(attention: Any) -> None:
    inputs = make_inputs()
    before = [each.clone() for each in inputs[:4]]
    attend_memory_fast(attention, *inputs)
    assert all(torch.equal(a, b) for a, b in zip(before, inputs[:4], strict=True))
