import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pullmatte.models.sdmatte import strip_convolution
from pullmatte.models.sdmatte.strip_convolution import (
    convolve,
    convolve_doubled,
    convolve_with_shortcut,
    halve,
)

SIZES = [(1, 1), (2, 9), (17, 12), (33, 40), (64, 97)]


@pytest.fixture(params=["tiles", "direct"], autouse=True)
def small_strips(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strip_convolution, "_DIRECT_PIXELS", 160)
    monkeypatch.setattr(strip_convolution, "_ACTIVATED_VALUES", 1500)
    least = 0 if request.param == "tiles" else 1 << 40
    monkeypatch.setattr(strip_convolution, "_TILED_PIXELS", least)


def make_map(height: int, width: int, channels: int = 16) -> Tensor:
    return torch.randn(height, width, channels, generator=torch.Generator().manual_seed(5))


def make_layer(inputs: int, outputs: int, **options: int) -> nn.Conv2d:
    torch.manual_seed(6)
    return nn.Conv2d(inputs, outputs, **({"kernel_size": 3, "padding": 1} | options))


def through(layer: nn.Conv2d, x: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = layer(x.permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    return result


def near(result: Tensor, wanted: Tensor) -> bool:
    return result.shape == wanted.shape and bool(
        (result - wanted).abs().max() < 1e-5 * wanted.abs().max()
    )


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_convolve_equals_norm_silu_and_convolution(size: tuple[int, int]) -> None:
    x, layer, scale, shift = make_map(*size), make_layer(16, 24), torch.rand(16), torch.rand(16)
    wanted = through(layer, F.silu(x * scale + shift))
    assert near(convolve(x, layer, (scale, shift)), wanted)
    ones = torch.ones(*size, 24)
    assert near(convolve(x, layer, (scale, shift), out=ones, add=True), wanted + 1)
    assert near(convolve(x, layer), through(layer, x))


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_doubled_equals_nearest_enlargement(size: tuple[int, int]) -> None:
    x, layer = make_map(*size), make_layer(16, 24)
    large = x.repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert near(convolve_doubled(x, layer), through(layer, large))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_doubled_in_half_precision_stays_near(dtype: torch.dtype) -> None:
    x, layer = make_map(20, 30), make_layer(16, 24)
    result = convolve_doubled(x.to(dtype), layer.to(dtype))
    wanted = convolve_doubled(x.to(dtype).float(), layer.float())
    assert result.dtype == dtype
    torch.testing.assert_close(result.float(), wanted, atol=0.03, rtol=0.02)


@pytest.mark.parametrize("size", [(2, 2), (8, 18), (34, 40)])
@torch.no_grad()
def test_halve_pads_right_and_below(size: tuple[int, int]) -> None:
    x, layer = make_map(*size), make_layer(16, 24, stride=2, padding=0)
    assert near(halve(x, layer), through(layer, F.pad(x, (0, 0, 0, 1, 0, 1))))


@pytest.mark.parametrize("outputs", [8, 16, 24])
@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_shortcut_in_the_inputs_memory_is_right(size: tuple[int, int], outputs: int) -> None:
    x, affine = make_map(*size, 32), (torch.rand(32), torch.rand(32))
    layer, shortcut = make_layer(32, outputs), make_layer(32, outputs, kernel_size=1, padding=0)
    wanted = through(shortcut, x), through(layer, F.silu(x * affine[0] + affine[1]))
    place = x.data_ptr()
    straight, hidden = convolve_with_shortcut(x, layer, shortcut, affine)
    assert near(straight, wanted[0])
    assert near(hidden, wanted[1])
    assert (straight.data_ptr() == place) == (outputs <= 16)
