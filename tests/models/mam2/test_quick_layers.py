"""Quicker ways give what torch's own do."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pullmatte.models.mam2 import quick_layers
from pullmatte.models.mam2.plane_norm import PlaneNorm
from pullmatte.models.mam2.quick_layers import (
    Tokenwise,
    attend_few,
    convolved,
    halved_precision,
    linear,
    quicken,
)
from pullmatte.models.mam2.quick_planes import doubled, halved, maps_of, reduced, tokens_of
from pullmatte.models.mam2.refinement import Residual

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(1, 1024, 24), (2, 3, 512, 24), (7, 24), (1, 1024, 24, 2)])
@pytest.mark.parametrize("biased", [True, False])
def test_linear_layers_give_the_same(shape: tuple[int, ...], biased: bool) -> None:
    tokens = noise(*shape)
    # The last is turned round: nothing of it lies in a row.
    tokens = tokens.transpose(2, 3) if len(shape) == 4 and shape[-1] == 2 else tokens
    layer = Tokenwise(tokens.shape[-1], 40, bias=biased)
    expected = F.linear(tokens, layer.weight, layer.bias)
    with torch.inference_mode():
        torch.testing.assert_close(layer(tokens), expected, **CLOSE)
    torch.testing.assert_close(layer(tokens), expected, rtol=0, atol=0)


def test_linear_layers_learn() -> None:
    tokens = noise(1, 1024, 24).requires_grad_()
    weight = noise(40, 24, seed=1).requires_grad_()
    linear(tokens, weight).sum().backward()
    assert tokens.grad is not None
    assert weight.grad is not None
    torch.testing.assert_close(tokens.grad[0, 0], weight.detach().sum(0), **CLOSE)


def test_linear_layers_become_quick_ones_and_keep_their_weights() -> None:
    class Own(nn.Linear):
        pass

    module = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 5)), Own(5, 6))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    quicken(module)
    assert [type(part) for part in (module[0], module[1][0], module[2])] == [
        Tokenwise,
        Tokenwise,
        Own,
    ]
    after = module.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize(("queries", "keys"), [(1024, 11), (256, 32), (1024, 33), (11, 1024)])
@pytest.mark.parametrize("masked", [True, False])
def test_few_keys_are_attended_to_as_many_are(queries: int, keys: int, masked: bool) -> None:
    query, key, value = (
        noise(2, 8, count, 8, seed=at) for at, count in enumerate((queries, keys, keys))
    )
    mask = noise(2, 1, queries, keys, seed=3) if masked else None
    expected = F.scaled_dot_product_attention(query, key, value, mask, scale=0.7)
    with torch.inference_mode():
        found, weights = attend_few(
            nn.Identity(), query, key, value, mask, scaling=0.7, is_causal=False
        )
    assert weights is None
    torch.testing.assert_close(found, expected.transpose(1, 2), **CLOSE)


def test_convolutions_are_rounded_only_where_nobody_learns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    block = Residual(16)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))
    maps = noise(1, 16, 20, 20)
    monkeypatch.setattr(quick_layers, "_multiplies_bfloat16", lambda: False)
    with torch.inference_mode():
        exact = block(maps)
    monkeypatch.setattr(quick_layers, "_multiplies_bfloat16", lambda: True)
    torch.testing.assert_close(block(maps), exact, **CLOSE)
    with torch.inference_mode():
        rounded = block(maps)
    assert rounded.dtype == torch.float32
    change = (exact - maps).abs().max()
    assert 0 < (rounded - exact).abs().max() < 0.02 * change


def test_other_precisions_are_left_alone() -> None:
    maps = noise(1, 4, 6, 6).double()
    convolution = nn.Conv2d(4, 5, 3, 2, 1, bias=False).double()
    with torch.inference_mode():
        assert halved_precision(maps).dtype == torch.float64
        torch.testing.assert_close(convolved(convolution, maps), convolution(maps))


@pytest.mark.parametrize("channels_last", [True, False])
def test_planes_are_halved_and_doubled_as_torch_does(channels_last: bool) -> None:
    planes = noise(2, 5, 12, 18)
    if channels_last:
        planes = planes.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(halved(planes), F.avg_pool2d(planes, 2), **CLOSE)
    larger = F.interpolate(planes, scale_factor=2.0, mode="bilinear")
    torch.testing.assert_close(doubled(planes), larger, **CLOSE)


def test_doubled_planes_learn() -> None:
    planes = noise(1, 1, 4, 4).requires_grad_()
    (doubled(planes).sum() + halved(planes).sum()).backward()
    assert planes.grad is not None
    torch.testing.assert_close(planes.grad, torch.full((1, 1, 4, 4), 4.25))
    with torch.no_grad():
        torch.testing.assert_close(
            doubled(planes), F.interpolate(planes, scale_factor=2.0, mode="bilinear"), **CLOSE
        )


@pytest.mark.parametrize("side", [48, 24, 16, 12, 8, 7])
def test_maps_are_reduced_to_means(side: int) -> None:
    maps = noise(2, 3, 48, 48)
    torch.testing.assert_close(
        reduced(maps, side), F.interpolate(maps, (side, side), mode="area"), **CLOSE
    )


@pytest.mark.parametrize("batch", [1, 3])
def test_maps_of_tokens_have_channels_last(batch: int) -> None:
    tokens = noise(batch, 6 * 5, 4)
    maps = maps_of(tokens, 6)
    torch.testing.assert_close(maps, tokens.transpose(1, 2).reshape(batch, 4, 6, 5))
    # Pooling keeps the layout of what it takes for channels last.
    assert F.max_pool2d(maps, 2).stride(1) == 1
    assert torch.equal(tokens_of(maps), tokens)


def test_a_norm_over_planes_is_that_over_channels() -> None:
    norm = PlaneNorm([6])
    nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(1))
    nn.init.normal_(norm.bias, generator=torch.Generator().manual_seed(2))
    maps = 3 + noise(2, 6, 5, 7)
    turned = F.layer_norm(maps.permute(0, 2, 3, 1), (6,), norm.weight, norm.bias, 1e-6)
    torch.testing.assert_close(norm(maps), turned.permute(0, 3, 1, 2), **CLOSE)
