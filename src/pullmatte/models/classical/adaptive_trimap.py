"""From a mask to a trimap whose unknown band is as wide as the place needs."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.models.protocol import BoolMask, Plane


@dataclass(frozen=True)
class BandConfig:
    """How wide the unknown band is, as half widths.

    Attributes:
        base: Share of the square root of the object's area, on a smooth sure edge.
        texture: How much a fully textured or uncertain edge widens the band, as a factor.
        least_px: Narrowest half width in pixels.
        most: Widest half width, as a share of the square root of the object's area.
    """

    base: float = 0.012
    texture: float = 2.0
    least_px: float = 2.0
    most: float = 0.08


def make_trimap(
    image: NDArray[np.uint8],
    mask: BoolMask,
    likelihood: Plane | None = None,
    config: BandConfig | None = None,
) -> Plane:
    """Put an unknown band round a mask's contour.

    The half width grows with the object's size, with the texture along the edge (hair, leaves),
    and where the colours contradict the mask.

    Args:
        image: `H W 3` uint8.
        mask: `H W` bool.
        likelihood: `H W` in [0, 1], how likely each pixel's colour is foreground, if known.
        config: The widths; the defaults when left out.

    Returns:
        `H W` float32 in {0, 0.5, 1}; all 0 or all 1 for a mask without contour.
    """
    config = config or BandConfig()
    if mask.all() or not mask.any():
        return mask.astype(np.float32)
    size_px = float(np.sqrt(mask.sum()))
    rough = edge_roughness(image, mask, likelihood)
    half_px = config.base * size_px * (1 + config.texture * rough)
    half_px = np.clip(half_px, config.least_px, max(config.least_px, config.most * size_px))
    distance = contour_distance(mask)
    trimap = mask.astype(np.float32)
    trimap[np.abs(distance) <= half_px] = 0.5
    return trimap


def contour_distance(mask: BoolMask) -> Plane:
    """Signed distance to a mask's contour in pixels, positive inside; `H W` float32."""
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    most = float(sum(mask.shape))  # without a contour the distances are near the largest float
    return np.asarray(np.clip(inside - outside, -most, most), np.float32)


def edge_roughness(image: NDArray[np.uint8], mask: BoolMask, likelihood: Plane | None) -> Plane:
    """Measure in [0, 1] how textured or uncertain the contour is round each pixel.

    Args:
        image: `H W 3` uint8.
        mask: `H W` bool.
        likelihood: `H W` in [0, 1], or None.

    Returns:
        `H W` float32 in [0, 1].
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    reach = max(3, round(0.03 * float(np.sqrt(mask.sum()))))
    window = (2 * reach + 1, 2 * reach + 1)
    fine = cv2.GaussianBlur(grey, (0, 0), 1.0) - cv2.GaussianBlur(grey, (0, 0), 3.0)
    near = (np.abs(contour_distance(mask)) <= reach).astype(np.float32)
    share = cv2.blur(near, window) + 1e-3
    texture = np.sqrt(np.maximum(cv2.blur(near * fine**2, window), 0) / share)
    rough = np.clip(texture / 0.08, 0, 1)
    if likelihood is not None:
        wrong = near * np.abs(likelihood - mask)
        rough = np.maximum(rough, np.clip(2 * cv2.blur(wrong, window) / share, 0, 1))
    return np.asarray(rough, np.float32)
