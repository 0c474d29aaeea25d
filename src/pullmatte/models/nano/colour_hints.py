"""What known colours around a place say of its alpha, before any network looks at it.

Source: the compositing equation I = alpha F + (1 - alpha) B, solved for alpha with F and B taken
from the known regions nearby, as sampling-based matting does.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

LEVELS = 7
HINTS = 6
"""Planes: alpha, misfit and contrast, each by near colours and by far ones."""
_NEAR, _FAR = 0.02, 0.6
_TINY = 1e-4


def colour_hints(image: Tensor, trimap: Tensor) -> Tensor:
    """Estimate alpha at each place from the colours of the known regions.

    Args:
        image: `B 3 H W` in [0, 1].
        trimap: `B 1 H W` in {0, 0.5, 1}.

    Returns:
        `B HINTS H W`: alpha in [0, 1], how far the mixed colour is from the true one, and how far
        foreground and background are apart; all 0.5, 0 and 0 where a region isn't known at all.
    """
    inside, outside = (trimap == 1).to(image.dtype), (trimap == 0).to(image.dtype)
    near_front, far_front = spread_colours(image, inside)
    near_back, far_back = spread_colours(image, outside)
    known = torch.amax(inside, (1, 2, 3), keepdim=True) * torch.amax(outside, (1, 2, 3), True)
    near = _solved(image, near_front, near_back, known)
    return torch.cat([near, _solved(image, far_front, far_back, known)], dim=1)


def spread_colours(image: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """Spread a region's colours over the whole picture: sharply, and as wide averages.

    Args:
        image: `B 3 H W`.
        region: `B 1 H W` in {0, 1}.

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
        far = (sums[level] + _FAR * far) / (weights[level] + _FAR) if level > 2 else far
    return near, far


def _fit(maps: Tensor, size: torch.Size) -> Tensor:
    if maps.shape[-2:] == size:
        return maps
    grown = F.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)
    return grown[..., : size[0], : size[1]]


def _solved(image: Tensor, front: Tensor, back: Tensor, known: Tensor) -> Tensor:
    apart = front - back
    squared = (apart * apart).sum(1, keepdim=True)
    alpha = ((image - back) * apart).sum(1, keepdim=True) / (squared + 1e-3)
    alpha = alpha.clamp(0, 1)
    misfit = (image - back - alpha * apart).square().sum(1, keepdim=True).clamp(min=1e-8).sqrt()
    contrast = squared.clamp(min=1e-8).sqrt()
    return torch.cat([alpha * known + 0.5 * (1 - known), misfit * known, contrast * known], dim=1)
