import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pullmatte.models.sdmatte.winograd import Plan, TileConvolution, doubling_plan, plain_plan


def padded_strip(height: int, width: int, channels: int) -> Tensor:
    strip = torch.randn(height + 2, width + 2, channels, generator=torch.Generator().manual_seed(1))
    strip[0] = strip[-1] = strip[:, 0] = strip[:, -1] = 0
    return strip


def kernel(outputs: int, inputs: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(outputs, inputs, 3, 3, generator=generator)
    return weight, torch.randn(outputs, generator=generator)


def oracle(strip: Tensor, weight: Tensor, bias: Tensor, scale: int) -> Tensor:
    image = strip[1:-1, 1:-1].permute(2, 0, 1)[None].double()
    large = F.interpolate(image, scale_factor=scale, mode="nearest")
    return F.conv2d(large, weight.double(), bias.double(), padding=1)[0].permute(1, 2, 0)


def worst(result: Tensor, truth: Tensor) -> float:
    return ((result - truth).abs().max() / truth.abs().max()).item()


@pytest.mark.parametrize("plan", [plain_plan(), doubling_plan()], ids=["plain", "doubling"])
@pytest.mark.parametrize("size", [(4, 8), (8, 100), (12, 4), (4, 1000)])
@torch.no_grad()
def test_tiles_equal_a_direct_convolution(plan: Plan, size: tuple[int, int]) -> None:
    strip, (weight, bias) = padded_strip(*size, 24), kernel(40, 24)
    scale = plan.block // plan.step
    out = torch.full((scale * size[0], scale * size[1], 40), torch.nan)
    TileConvolution(plan, weight, bias)(strip, out, add=False)
    assert worst(out, oracle(strip, weight, bias, scale)) < 5e-6


@torch.no_grad()
def test_cut_output_keeps_its_part() -> None:
    strip, (weight, bias) = padded_strip(8, 12, 16), kernel(16, 16)
    out = torch.empty(5, 10, 16)
    TileConvolution(plain_plan(), weight, bias)(strip, out, add=False)
    assert worst(out, oracle(strip, weight, bias, 1)[:5, :10]) < 5e-6


@torch.no_grad()
def test_adding_to_a_slice_leaves_the_other_channels_alone() -> None:
    strip, (weight, _) = padded_strip(4, 8, 16), kernel(16, 16)
    memory = torch.ones(4, 8, 32)
    TileConvolution(plain_plan(), weight, None)(strip, memory[..., 16:], add=True)
    truth = oracle(strip, weight, torch.ones(16), 1)
    assert worst(memory[..., 16:], truth) < 5e-6
    assert (memory[..., :16] == 1).all()


@torch.no_grad()
def test_one_convolution_serves_strips_of_several_sizes() -> None:
    weight, bias = kernel(16, 16)
    convolution = TileConvolution(plain_plan(), weight, bias)
    for height, width in ((8, 16), (4, 8), (8, 32)):
        strip, out = padded_strip(height, width, 16), torch.empty(height, width, 16)
        convolution(strip, out, add=False)
        assert worst(out, oracle(strip, weight, bias, 1)) < 5e-6


def test_rows_of_a_strip_are_whole_tiles() -> None:
    convolution = TileConvolution(plain_plan(), *kernel(16, 16))
    assert all(convolution.rows(width) % 4 == 0 for width in (1, 7, 64, 5000))
