"""Equation 1: how coordinates share their code."""

import math

import pytest
import torch

from pullmatte.errors import PromptError
from pullmatte.models.sdmatte.coordinate_embedding import CoordinateEmbedding, divisor_for
from pullmatte.models.sdmatte.opacity_embedding import sinusoid


@pytest.mark.parametrize(
    ("points", "count", "width"),
    [
        (1, 2, 840),
        (3, 6, 280),
        (8, 16, 105),
        (10, 20, 84),
        (11, 24, 70),
        (13, 28, 60),
        (17, 35, 48),
    ],
)
def test_points_share_the_code_as_released(points: int, count: int, width: int) -> None:
    assert divisor_for(2 * points) == count
    assert 1680 // count == width


def test_too_many_points_are_refused() -> None:
    assert divisor_for(840) == 840
    with pytest.raises(PromptError, match="421 points: give at most 420"):
        divisor_for(842)


@pytest.mark.parametrize("width", [84, 105])
def test_sinusoid_is_cosines_then_sines(width: int) -> None:
    half = width // 2
    angles = [0.3 * math.exp(-math.log(10000) * k / half) for k in range(half)]
    expected = [*map(math.cos, angles), *map(math.sin, angles), *[0.0] * (width % 2)]
    assert sinusoid(torch.tensor(0.3), width).tolist() == pytest.approx(expected, abs=1e-6)


def test_each_prompt_goes_through_its_own_branch() -> None:
    torch.manual_seed(0)
    embedding = CoordinateEmbedding(1280, 1680, 32).eval().requires_grad_(False)
    box, points = torch.rand(4), torch.rand(20)
    both = embedding([box, points], [False, True])
    assert torch.allclose(both[0], embedding([box], [False])[0], atol=1e-6)
    assert torch.allclose(both[1], embedding([points], [True])[0], atol=1e-6)
    assert not torch.allclose(embedding([box], [True]), embedding([box], [False]), atol=1e-3)


def test_order_of_numbers_counts() -> None:
    torch.manual_seed(0)
    embedding = CoordinateEmbedding(1280, 1680, 32).eval().requires_grad_(False)
    swapped = embedding([torch.tensor([0.2, 0.1, 0.3, 0.9])], [False])
    assert not torch.allclose(
        embedding([torch.tensor([0.1, 0.2, 0.9, 0.3])], [False]), swapped, atol=1e-3
    )
