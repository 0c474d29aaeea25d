"""The bias, the keys that it leaves, and attention without its matrix."""

import math

import pytest
import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor

from pullmatte.models.sdmatte import masked_self_attention as masked
from pullmatte.models.sdmatte.masked_self_attention import (
    MaskedSelfAttention,
    attention_bias,
    fit_bias,
    visible_keys,
)
from pullmatte.models.sdmatte.prompt_maps import points_map


@pytest.fixture
def layer() -> Attention:
    torch.manual_seed(0)
    made = Attention(query_dim=32, heads=4, dim_head=8, processor=MaskedSelfAttention())
    return made.eval().requires_grad_(False)


@pytest.fixture
def tokens() -> Tensor:
    return torch.randn(2, 4096, 32, generator=torch.Generator().manual_seed(1))


def box_bias(*boxes: tuple[int, int, int, int], side: int = 512) -> Tensor:
    maps = torch.zeros(len(boxes), 1, side, side)
    for at, (left, top, right, bottom) in enumerate(boxes):
        maps[at, :, top:bottom, left:right] = 1
    return attention_bias(maps)


def by_formula(layer: Attention, tokens: Tensor, bias: Tensor) -> Tensor:
    """Equation 4 as it stands, with the whole matrix, in float64."""
    double = tokens.double()
    query, key, value = (
        (double @ w.weight.double().T).unflatten(-1, (4, 8)).transpose(1, 2)
        for w in (layer.to_q, layer.to_k, layer.to_v)
    )
    scores = query @ key.transpose(-1, -2) / math.sqrt(8) + bias[:, None].double()
    mixed = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
    out = layer.to_out[0]
    return mixed @ out.weight.double().T + out.bias.double()


def test_bias_takes_the_top_left_pixel_of_each_cell() -> None:
    prompt_map = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    bias = attention_bias(prompt_map)
    assert torch.equal(bias.reshape(8, 8), (1 - prompt_map[0, 0, ::8, ::8]) * -10000)


@pytest.mark.parametrize("side", [64, 32, 16, 8])
def test_layers_of_every_size_take_the_top_left_place(side: int) -> None:
    bias = torch.arange(4096.0).reshape(1, 1, 4096)
    step = 64 // side
    expected = bias.reshape(64, 64)[::step, ::step]
    assert torch.equal(fit_bias(bias, side * side).reshape(side, side), expected)


def test_attention_is_equation_4(layer: Attention, tokens: Tensor) -> None:
    bias = box_bias((100, 60, 300, 420), (8, 8, 40, 500))
    ours = layer(tokens, attention_mask=bias)
    assert float((ours - by_formula(layer, tokens, bias)).abs().max()) < 2e-6


def test_soft_spots_keep_their_differences(layer: Attention, tokens: Tensor) -> None:
    places = torch.linspace(0.99, 0.9999, 4096).expand(2, 1, -1)
    bias = (1 - places) * -10000
    ours = layer(tokens, attention_mask=bias)
    assert float((ours - by_formula(layer, tokens, bias)).abs().max()) < 2e-5


def test_dropped_keys_change_nothing(
    layer: Attention, tokens: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    bias = box_bias((100, 60, 300, 420), (8, 8, 40, 500))
    few = layer(tokens, attention_mask=bias)
    monkeypatch.setattr(masked, "_WORTH", 10**9)
    assert float((few - layer(tokens, attention_mask=bias)).abs().max()) < 1e-6


def test_only_keys_in_the_prompt_are_kept() -> None:
    kept, index = visible_keys(box_bias((64, 64, 128, 128), (0, 0, 512, 256)))
    assert index is not None
    assert index.shape == (2, 64 * 32)
    assert sorted(index[0, :64].tolist()) == [
        64 * y + x for y in range(8, 16) for x in range(8, 16)
    ]
    assert kept[0, 0, :64].eq(0).all()
    assert kept[0, 0, 64:].eq(-10000).all()
    assert kept[1].eq(0).all()


def test_empty_prompt_masks_nothing(layer: Attention, tokens: Tensor) -> None:
    bias = box_bias((0, 0, 0, 0), (0, 0, 0, 0))
    assert torch.equal(layer(tokens, attention_mask=bias), layer(tokens))


def test_infinite_penalty_is_a_hard_mask(layer: Attention, tokens: Tensor) -> None:
    maps = torch.full((2, 1, 512, 512), 0.999)
    maps[0, :, :200, :200] = 1
    ours = layer(tokens, attention_mask=attention_bias(maps, math.inf))
    hard = torch.where(maps == 1, maps, 0.0)
    expected = layer(tokens, attention_mask=attention_bias(hard))
    assert torch.allclose(ours[0], expected[0], atol=1e-6)
    assert torch.allclose(ours[1], layer(tokens)[1], atol=1e-6)


@pytest.mark.parametrize("side", [64, 16])
def test_infinite_penalty_leaves_a_points_nearest_place(side: int) -> None:
    spot = points_map((512, 512), [(203, 131)], 17.5).values
    bias = attention_bias(torch.from_numpy(spot)[None, None], math.inf)
    kept, index = visible_keys(fit_bias(bias, side * side))
    seen = (kept[0, 0] > -100).nonzero().flatten()
    places = seen if index is None else index[0, seen]
    column, row = round(203 / 512 * side), round(131 / 512 * side)
    assert places.tolist() == [row * side + column]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near(layer: Attention, tokens: Tensor, dtype: torch.dtype) -> None:
    soft = (1 - torch.linspace(0.999, 1, 4096).expand(2, 1, -1)) * -10000
    for bias in (box_bias((100, 60, 300, 420), (8, 8, 40, 500)), soft):
        exact = layer.float()(tokens, attention_mask=bias)
        half = layer.to(dtype)(tokens.to(dtype), attention_mask=bias)
        assert half.dtype == dtype
        assert float((half.float() - exact).abs().max()) < 0.02 * float(exact.abs().max())


def test_gradients_reach_the_prompted_tokens(layer: Attention, tokens: Tensor) -> None:
    inputs = tokens[:1, :1024].clone().requires_grad_()
    layer(inputs, attention_mask=box_bias((0, 0, 128, 64), side=256)).sum().backward()
    assert inputs.grad is not None
    assert torch.isfinite(inputs.grad).all()
    assert inputs.grad.abs().sum() > 0
