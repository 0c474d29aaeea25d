"""Alpha as a local affine function of colour, fitted to what is known and to what seems so.

Source: Levin, Lischinski and Weiss, A Closed-Form Solution to Natural Image Matting, whose colour
line model it is; He, Sun and Tang, Guided Image Filtering, for fitting it window by window.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import torch
from torch import Tensor
from torch.nn import functional as F

from pullmatte.models.mam2.quick_planes import doubled, halved

RADIUS = 2
_RIDGE = 1e-5
_TINY = 1e-6
_WHOLE = 0.9999
_POLISH, _ROUNDS = 0.02, 8
_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_FIRST, _LATER = 0.01, 0.05
"""Weights of places by how far their colours explain them, in the first round and in others."""


class Windows:
    """Windows over a picture, in which places count by their weights.

    What doesn't depend on alpha is worked out once.
    """

    def __init__(self, image: Tensor, weight: Tensor, radius: int = RADIUS) -> None:
        """Look at a picture, `B 3 H W` in [0, 1], with weights, `B 1 H W`, at least 0.

        Args:
            image: It.
            weight: They.
            radius: Of the windows, in pixels.
        """
        self._weighed, self._weight, self._radius = image * weight, weight, radius
        squares = [image[:, i : i + 1] * self._weighed[:, j : j + 1] for i, j in _PAIRS]
        means = window_means(torch.cat([weight, self._weighed, *squares], dim=1), radius)
        self._total = means[:, :1] + _TINY
        self._whole = window_means(self._total, radius)
        self._mean = means[:, 1:4] / self._total
        covariance = [
            square / self._total
            - self._mean[:, i : i + 1] * self._mean[:, j : j + 1]
            + (_RIDGE if i == j else 0)
            for square, (i, j) in zip(torch.split(means[:, 4:], 1, dim=1), _PAIRS, strict=True)
        ]
        self._factors = _factored(covariance)

    def fit(self, alpha: Tensor) -> Tensor:
        """Fit alpha = a · colour + b in each window by weighted least squares.

        Args:
            alpha: `B 1 H W`.

        Returns:
            `B 4 H W`: a and b at each place, the mean of those of all windows over it, each
            counting by its weight.
        """
        moments = torch.cat([alpha * self._weight, alpha * self._weighed], dim=1)
        means = window_means(moments, self._radius) / self._total
        level, product = means[:, :1], means[:, 1:]
        right = product - self._mean * level
        slope = self._factors.solve(*torch.split(right, 1, dim=1))
        offset = level - (slope * self._mean).sum(1, keepdim=True)
        fitted = torch.cat([slope, offset], dim=1) * self._total
        return window_means(fitted, self._radius) / self._whole


@dataclass(frozen=True, eq=False)
class _Factors:
    """L D L' of a symmetric matrix of three at each place.

    Cofactors would be shorter, but lose all digits where colours lie on a line, as greys do.
    """

    red: Tensor
    green: Tensor
    blue: Tensor
    of_green: Tensor
    of_blue: Tensor
    last: Tensor

    def solve(self, red: Tensor, green: Tensor, blue: Tensor) -> Tensor:
        """Solve for a right side, `B 1 H W` three times; the solution is `B 3 H W`."""
        second = green - self.of_green * red
        third = (blue - self.of_blue * red - self.last * second) / self.blue
        second = second / self.green - self.last * third
        first = red / self.red - self.of_green * second - self.of_blue * third
        return torch.cat([first, second, third], dim=1)


def _factored(matrix: Sequence[Tensor]) -> _Factors:
    rr, rg, rb, gg, gb, bb = matrix
    rr = rr.clamp(min=_RIDGE)
    green, blue = rg / rr, rb / rr
    gg = (gg - green * rg).clamp(min=_RIDGE)
    cross = gb - blue * rg
    last = cross / gg
    bb = (bb - blue * rb - last * cross).clamp(min=_RIDGE)
    return _Factors(rr, gg, bb, green, blue, last)


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
    weights = [known + (1 - known) * (_FIRST * trust + start)]
    weights.append(known + (1 - known) * (_LATER * trust + flow))
    windows = Windows(image, weights[0])
    for at in range(rounds):
        if at == 1 and not torch.equal(*weights):
            windows = Windows(image, weights[1])
        coefficients = windows.fit(found)
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
    small, guess, share = (halved(each) for each in (image, alpha, known))
    whole = (share > _WHOLE).to(image.dtype)
    coefficients, _ = spread_alpha(
        small, guess, whole, torch.zeros_like(whole), rounds=_ROUNDS, flow=_POLISH, start=_POLISH
    )
    grown = doubled(coefficients)
    return torch.where(trimap == 0.5, applied(grown, image).clamp(0, 1), trimap)


def window_means(planes: Tensor, radius: int) -> Tensor:
    """Return the mean over the square window round each place, edges repeated, without gradient.

    Args:
        planes: `B C H W`.
        radius: Of the window, in pixels.
    """
    side = 2 * radius + 1
    if planes.device.type == "cpu" and planes.dtype in (torch.float32, torch.float64):
        source = planes.detach().contiguous()
        means = torch.empty_like(source)
        for plane, mean in zip(
            source.flatten(0, 1).numpy(), means.flatten(0, 1).numpy(), strict=True
        ):
            cv2.blur(plane, (side, side), dst=mean, borderType=cv2.BORDER_REPLICATE)
        return means
    framed = F.pad(planes, (radius, radius, radius, radius), mode="replicate")
    # Pooling would do the same, several times slower.
    return _sums(_sums(framed, radius, -2), radius, -1) / side**2


def _sums(planes: Tensor, radius: int, axis: int) -> Tensor:
    length = planes.shape[axis] - 2 * radius
    total = planes.narrow(axis, 0, length)
    for at in range(1, 2 * radius + 1):
        total = total + planes.narrow(axis, at, length)
    return total
