"""What known colours around a place say of its alpha, before any network looks at it.

Source: the compositing equation I = alpha F + (1 - alpha) B, solved for alpha with F and B taken
from the known regions nearby, as sampling-based matting does; then spread by `local_fit`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pullmatte.models.mam2.quick_planes import doubled, halved
from pullmatte.models.nano.local_fit import spread_alpha

LEVELS = 6
SCALE = 2
"""Hints are worked out at half the picture's size."""
HINTS = 20
"""Planes: image, three classes, alpha, misfit and contrast by near colours and by far ones, near
colours' distance to the image's, and alpha as two fits spread it."""
_NEAR, _FAR = 0.02, 0.6
_TINY = 1e-4
_MISFIT, _CONTRAST = 0.05, 0.02


@dataclass(frozen=True, eq=False)
class Hints:
    """Hints for a picture of `H W` pixels.

    Attributes:
        planes: `B HINTS H/2 W/2`.
        coefficients: `B 4 H/2 W/2`, of the finer of the two fits.
        coarse: `B 1 H/2 W/2`, alpha by the coarser one.
    """

    planes: Tensor
    coefficients: Tensor
    coarse: Tensor

    def part(self, rows: slice, columns: slice) -> "Hints":
        """Cut out what concerns a part of the picture; its edges are even."""
        window = (..., _halved(rows), _halved(columns))
        return Hints(self.planes[window], self.coefficients[window], self.coarse[window])


def _halved(pixels: slice) -> slice:
    return slice(pixels.start // SCALE, pixels.stop // SCALE)


@torch.no_grad()
def colour_hints(image: Tensor, trimap: Tensor) -> Hints:
    """Estimate alpha at each place from the colours of the known regions.

    Where a region isn't known at all, alpha by colours is 0.5, and misfit and contrast are 0.

    Args:
        image: `B 3 H W` in [0, 1], sides multiples of 4.
        trimap: `B 1 H W` in {0, 0.5, 1}.
    """
    small = halved(image)
    inside, outside = (halved((trimap == level).to(image.dtype)) for level in (1, 0))
    near_front, far_front = spread_colours(small, inside)
    near_back, far_back = spread_colours(small, outside)
    known = torch.amax(inside, (1, 2, 3), keepdim=True) * torch.amax(outside, (1, 2, 3), True)
    known = (known > 0).to(image.dtype)
    near = _solved(small, near_front, near_back, known)
    far = _solved(small, far_front, far_back, known)
    coefficients, fine, coarse = _spread(small, inside, outside, near)
    planes = [small - 0.5, inside, outside, 1 - inside - outside, near, far]
    planes += [near_front - small, near_back - small, fine, coarse]
    return Hints(torch.cat(planes, dim=1), coefficients, coarse)


def _spread(
    image: Tensor, inside: Tensor, outside: Tensor, near: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Spread alpha at this scale and at half of it: coefficients, and alpha by both."""
    alpha, misfit, contrast = (near[:, at : at + 1] for at in range(3))
    trust = torch.exp(-((misfit / _MISFIT) ** 2)) * contrast**2 / (contrast**2 + _CONTRAST)
    known = (inside + outside).clamp(max=1)
    guess = inside + (1 - known) * alpha
    whole = (known > 1 - _TINY).to(image.dtype)
    coefficients, fine = spread_alpha(image, guess, whole, trust, rounds=6, flow=0.01)
    halves = [halved(each) for each in (image, guess, whole, trust)]
    halves[2] = (halves[2] > 1 - _TINY).to(image.dtype)
    _, coarse = spread_alpha(*halves, rounds=3, flow=0.05)
    return coefficients, fine, doubled(coarse)


def spread_colours(image: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """Spread a region's colours over the whole picture: sharply, and as wide averages.

    Args:
        image: `B 3 H W`.
        region: `B 1 H W` in [0, 1], the share of each place that is in it.

    Returns:
        `B 3 H W`, twice.
    """
    sums, weights = [image * region], [region]
    for _ in range(LEVELS):
        if min(sums[-1].shape[-2:]) < 2:
            break
        sums.append(F.avg_pool2d(sums[-1], 2, ceil_mode=True, count_include_pad=False))
        weights.append(F.avg_pool2d(weights[-1], 2, ceil_mode=True, count_include_pad=False))
    mean = sums[-1].mean((2, 3), keepdim=True) / (weights[-1].mean((2, 3), keepdim=True) + _TINY)
    near = far = mean.expand_as(sums[-1])
    for level in range(len(sums) - 1, -1, -1):
        size = sums[level].shape[-2:]
        near, far = (_fit(each, size) for each in (near, far))
        near = (sums[level] + _NEAR * near) / (weights[level] + _NEAR)
        far = (sums[level] + _FAR * far) / (weights[level] + _FAR) if level > 1 else far
    return near, far


def _fit(maps: Tensor, size: torch.Size) -> Tensor:
    if maps.shape[-2:] == size:
        return maps
    grown = doubled(maps)
    return grown[..., : size[0], : size[1]]


def _solved(image: Tensor, front: Tensor, back: Tensor, known: Tensor) -> Tensor:
    apart = front - back
    squared = (apart * apart).sum(1, keepdim=True)
    alpha = ((image - back) * apart).sum(1, keepdim=True) / (squared + 1e-3)
    alpha = alpha.clamp(0, 1)
    misfit = (image - back - alpha * apart).square().sum(1, keepdim=True).clamp(min=1e-8).sqrt()
    contrast = squared.clamp(min=1e-8).sqrt()
    return torch.cat([alpha * known + 0.5 * (1 - known), misfit * known, contrast * known], dim=1)
