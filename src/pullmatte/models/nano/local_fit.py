"""Alpha as a local affine function of colour, fitted to what is known and to what seems so.

Source: Levin, Lischinski and Weiss, A Closed-Form Solution to Natural Image Matting, whose colour
line model it is; He, Sun and Tang, Guided Image Filtering, for fitting it window by window.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

RADIUS = 2
_RIDGE = 1e-5
_TINY = 1e-6
_WHOLE = 0.9999
_POLISH = 0.02
_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_FIRST, _LATER = 0.01, 0.05
"""Weights of places by how far their colours explain them, in the first round and in others."""


def local_fit(image: Tensor, alpha: Tensor, weight: Tensor, radius: int = RADIUS) -> Tensor:
    """Fit alpha = a · colour + b in each window by weighted least squares.

    Args:
        image: `B 3 H W` in [0, 1].
        alpha: `B 1 H W`.
        weight: `B 1 H W`, at least 0.
        radius: Of the windows, in pixels.

    Returns:
        `B 4 H W`: a and b at each place, the mean of those of all windows over it, each counting
        by its weight.
    """
    moments = [image * weight, alpha * weight, image * alpha * weight]
    moments += [image[:, i : i + 1] * image[:, j : j + 1] * weight for i, j in _PAIRS]
    windows = window_means(torch.cat([weight, *moments], dim=1), radius)
    total = windows[:, :1] + _TINY
    sizes = [3, 1, 3, *(1 for _ in _PAIRS)]
    mean, mean_alpha, product, *squares = torch.split(windows[:, 1:] / total, sizes, dim=1)
    covariance = [
        square - mean[:, i : i + 1] * mean[:, j : j + 1] + (_RIDGE if i == j else 0)
        for square, (i, j) in zip(squares, _PAIRS, strict=True)
    ]
    slope = _solved(covariance, torch.unbind((product - mean * mean_alpha)[:, :, None], dim=1))
    offset = mean_alpha - (slope * mean).sum(1, keepdim=True)
    fitted = torch.cat([slope, offset], dim=1) * total
    return window_means(fitted, radius) / window_means(total, radius)


def _solved(matrix: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """Solve a symmetric system of three at each place, by its factors L D L'.

    Cofactors would be shorter, but lose all digits where colours lie on a line, as greys do.
    """
    rr, rg, rb, gg, gb, bb = matrix
    rr = rr.clamp(min=_RIDGE)
    green, blue = rg / rr, rb / rr
    gg = (gg - green * rg).clamp(min=_RIDGE)
    cross = gb - blue * rg
    last = cross / gg
    bb = (bb - blue * rb - last * cross).clamp(min=_RIDGE)
    second = right[1] - green * right[0]
    third = (right[2] - blue * right[0] - last * second) / bb
    second = second / gg - last * third
    return torch.cat([right[0] / rr - green * second - blue * third, second, third], dim=1)


def applied(coefficients: Tensor, image: Tensor) -> Tensor:
    """Return a · colour + b, `B 1 H W`, of `B 4 H W` and `B 3 H W`."""
    return (coefficients[:, :3] * image).sum(1, keepdim=True) + coefficients[:, 3:]


def spread_alpha(
    image: Tensor,
    alpha: Tensor,
    known: Tensor,
    trust: Tensor,
    *,
    rounds: int,
    flow: float,
    start: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Spread alpha from where it is known, in rounds, each fitted to the one before.

    Args:
        image: `B 3 H W` in [0, 1].
        alpha: `B 1 H W`: true where it's known, elsewhere a guess.
        known: `B 1 H W` in {0, 1}.
        trust: `B 1 H W` in [0, 1], in the guess.
        rounds: How many.
        flow: Weight that every place has after the first round; the greater, the further alpha
            spreads in a round, and the more of it is lost.
        start: The same in the first round.

    Returns:
        The last fit's coefficients, `B 4 H W`, and the alpha by it, `B 1 H W` in [0, 1].
    """
    found, coefficients = alpha, alpha
    for at in range(rounds):
        ours = _LATER * trust + flow if at else _FIRST * trust + start
        weight = known + (1 - known) * ours
        coefficients = local_fit(image, found, weight)
        fitted = applied(coefficients, image).clamp(0, 1)
        found = torch.where(known > 0, alpha, fitted)
    return coefficients, found


def polished(image: Tensor, trimap: Tensor, alpha: Tensor) -> Tensor:
    """Press an alpha to be a local function of colour, in a few rounds at half the size.

    What a network found keeps its parts and gets the picture's edges.

    Args:
        image: `B 3 H W` in [0, 1], sides even.
        trimap: `B 1 H W` in {0, 0.5, 1}.
        alpha: `B 1 H W`, in known regions the trimap.

    Returns:
        `B 1 H W` in [0, 1]; known regions are unchanged.
    """
    known = (trimap != 0.5).to(image.dtype)
    small, guess, share = (F.avg_pool2d(each, 2) for each in (image, alpha, known))
    whole = (share > _WHOLE).to(image.dtype)
    coefficients, _ = spread_alpha(
        small, guess, whole, torch.zeros_like(whole), rounds=4, flow=_POLISH, start=_POLISH
    )
    grown = F.interpolate(coefficients, scale_factor=2.0, mode="bilinear")
    return torch.where(trimap == 0.5, applied(grown, image).clamp(0, 1), trimap)


def window_means(planes: Tensor, radius: int) -> Tensor:
    """Return the mean over the square window round each place, edges repeated."""
    framed = F.pad(planes, (radius, radius, radius, radius), mode="replicate")
    # Pooling would do the same, several times slower.
    return _sums(_sums(framed, radius, -2), radius, -1) / (2 * radius + 1) ** 2


def _sums(planes: Tensor, radius: int, axis: int) -> Tensor:
    length = planes.shape[axis] - 2 * radius
    total = planes.narrow(axis, 0, length)
    for at in range(1, 2 * radius + 1):
        total = total + planes.narrow(axis, at, length)
    return total
