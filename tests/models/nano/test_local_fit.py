"""Alpha as a local function of colour."""

import numpy as np
import torch
from torch import Tensor

from pullmatte.models.nano.local_fit import (
    Windows,
    applied,
    polished,
    spread_alpha,
    window_means,
)


def picture(seed: int = 0, size: int = 24) -> Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_an_affine_alpha_is_found_again() -> None:
    image = picture().double()
    alpha = (image * torch.tensor([0.4, -0.3, 0.2])[:, None, None]).sum(1, keepdim=True) + 0.3
    coefficients = Windows(image, torch.ones_like(alpha)).fit(alpha)
    assert (applied(coefficients, image) - alpha).abs().max() < 2e-3


def test_a_window_is_least_squares() -> None:
    image, generator = picture(1, 5).double(), torch.Generator().manual_seed(2)
    alpha, weight = (torch.rand(1, 1, 5, 5, generator=generator).double() for _ in range(2))
    found = Windows(image, weight, 2).fit(alpha)
    # Beyond the edge the last pixel counts on: numpy is shown the same window.
    rows = [np.pad(each[0].numpy(), ((0, 0), (4, 4), (4, 4)), mode="edge") for each in
            (image, alpha, weight)]  # fmt: skip
    total, mean = np.zeros(4), 0.0
    for dy in range(5):
        for dx in range(5):
            colours, wanted, weights = (
                each[:, 2 + dy : 7 + dy, 2 + dx : 7 + dx].reshape(len(each), -1) for each in rows
            )
            w, centred = weights[0] / weights[0].sum(), None
            middle, level = (colours * w).sum(1), (wanted[0] * w).sum()
            centred = colours - middle[:, None]
            matrix = (centred * w) @ centred.T + 1e-5 * np.eye(3)
            slope = np.linalg.solve(matrix, (centred * w) @ (wanted[0] - level))
            share = weights[0].mean()
            total += share * np.array([*slope, level - slope @ middle])
            mean += share
    assert np.allclose(found[0, :, 2, 2].numpy(), total / mean, atol=1e-4)


def test_greys_do_not_break_it() -> None:
    grey = picture(3)[:, :1].expand(-1, 3, -1, -1).contiguous()
    alpha = grey[:, :1] * 0.8
    coefficients = Windows(grey, torch.full_like(alpha, 1e-3)).fit(alpha)
    assert coefficients.isfinite().all()
    assert coefficients.abs().max() < 10
    assert (applied(coefficients, grey) - alpha).abs().max() < 0.02


def test_alpha_spreads_from_what_is_known() -> None:
    image = torch.zeros(1, 3, 16, 16)
    image[..., 8:] = 1
    known = torch.zeros(1, 1, 16, 16)
    known[..., :3], known[..., 13:] = 1, 1
    alpha = torch.where(known > 0, image[:, :1], torch.tensor(0.5))
    coefficients, found = spread_alpha(
        image, alpha, known, torch.zeros_like(known), rounds=8, flow=0.01
    )
    assert (found - image[:, :1]).abs().max() < 0.1
    assert coefficients.shape == (1, 4, 16, 16)


def test_means_repeat_the_edge() -> None:
    planes = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert window_means(planes, 1)[0, 0, 1, 1] == 4
    assert torch.isclose(window_means(planes, 1)[0, 0, 0, 0], torch.tensor(12 / 9))


def test_polishing_gives_a_blurred_alpha_the_pictures_edge() -> None:
    image = torch.full((1, 3, 32, 32), 0.2)
    image[..., 16:] = 0.8
    true = (image[:, :1] > 0.5).float()
    blurred = window_means(true, 5)
    trimap = torch.where(torch.arange(32) < 8, 0.0, torch.where(torch.arange(32) < 24, 0.5, 1.0))
    trimap = trimap.expand(1, 1, 32, 32)
    found = polished(image, trimap, torch.where(trimap == 0.5, blurred, trimap))
    assert (found - true).abs().mean() < 0.5 * (blurred - true).abs().mean()
    assert torch.equal(found[trimap != 0.5], trimap[trimap != 0.5])
