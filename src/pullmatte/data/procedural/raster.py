"""Filled outlines with exact edges, and light on what they enclose."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.data.procedural.layer import shrunk
from pullmatte.data.procedural.pose import Points
from pullmatte.data.samples import Image, Plane

EDGE_STEPS = 4
SHIFT = 4
FAR = 2**20


@dataclass(frozen=True)
class Light:
    """A far light and what comes from all around.

    Attributes:
        direction: x, y and z towards the light, z to the viewer, of length 1.
        ambient: share of light on a side that is turned away.
        strength: of both together, 1 on average.
    """

    direction: tuple[float, float, float]
    ambient: float
    strength: float


def draw_light(generator: np.random.Generator) -> Light:
    """Draw a light, mostly from above and the front.

    Args:
        generator: drawn from.

    Returns:
        The light.
    """
    vector = np.array([generator.normal(0, 0.7), generator.normal(-0.5, 0.5), 0.0])
    vector[2] = generator.uniform(0.25, 1.2)
    x, y, z = (float(v) for v in vector / np.linalg.norm(vector))
    return Light(
        (x, y, z), float(generator.uniform(0.2, 0.75)), float(generator.uniform(0.8, 1.15))
    )


def coverage(contours: Sequence[Points], width_px: int, height_px: int) -> Plane:
    """Fill closed contours, by the even-odd rule, each pixel with its covered share.

    Args:
        contours: `N 2` each, in pixels.
        width_px: of the plane.
        height_px: of the plane.

    Returns:
        `H W` in [0, 1].
    """
    mask = np.zeros((height_px * EDGE_STEPS, width_px * EDGE_STEPS), np.uint8)
    cv2.fillPoly(mask, [fixed(c, EDGE_STEPS) for c in contours], 255, cv2.LINE_8, SHIFT)
    return shrunk(mask, EDGE_STEPS).astype(np.float32) / np.float32(255)


def fixed(points: Points, steps: int) -> NDArray[np.int32]:
    """Turn pixels into the whole numbers that drawing takes, on a canvas of finer pixels.

    Args:
        points: `... 2`, where (0, 0) is the corner of a pixel.
        steps: fine pixels along a pixel.

    Returns:
        `... 2` int32 with `SHIFT` fractional bits, where (0, 0) is the centre of a fine pixel.
    """
    scaled = (points * steps - 0.5) * (1 << SHIFT)
    whole: NDArray[np.int32] = np.clip(np.rint(scaled), -FAR, FAR).astype(np.int32)
    return whole


def bounds(contours: Sequence[Points], size_px: int) -> tuple[int, int, int, int] | None:
    """Find the part of a square that contours touch.

    Args:
        contours: `N 2` each, in pixels.
        size_px: side of the square.

    Returns:
        x0 y0 x1 y1 with a pixel of margin, or None if they are outside.
    """
    points = np.concatenate(list(contours))
    x0, y0 = np.maximum(np.floor(points.min(0)).astype(int) - 1, 0)
    x1, y1 = np.minimum(np.ceil(points.max(0)).astype(int) + 1, size_px)
    if x1 - x0 < 1 or y1 - y0 < 1:
        return None
    return int(x0), int(y0), int(x1), int(y1)


def relief(mask: Plane, radius_px: float) -> Plane:
    """Puff a mask up like a cushion.

    Args:
        mask: `H W` in [0, 1].
        radius_px: how far from its edge it still rises.

    Returns:
        `H W`, height in pixels.
    """
    height = np.zeros_like(mask)
    for share in (1.0, 0.5, 0.25):
        side = max(int(radius_px * share), 1) * 2 + 1
        soft = cv2.blur(cv2.blur(mask, (side, side)), (side, side))
        height += np.sqrt(np.maximum(soft - 0.2, 0) / 0.8) * (share * radius_px)
    return height


def lighting(height: Plane, light: Light, gloss: float, sharpness: float) -> tuple[Plane, Plane]:
    """Light a relief.

    Args:
        height: `H W`, in pixels.
        light: the light.
        gloss: strength of the highlight.
        sharpness: of the highlight, 5 for satin to 200 for glass.

    Returns:
        The factor of the surface's own colour, and what the highlight adds, `H W` each.
    """
    right = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    down = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    length = 1 / np.sqrt(right * right + down * down + 1)
    x, y, z = light.direction
    facing = np.maximum((z - right * x - down * y) * length, 0)
    diffuse = light.strength * (light.ambient + (1 - light.ambient) * facing)
    half = np.array([x, y, z + 1]) / np.linalg.norm([x, y, z + 1])
    mirror = np.maximum((half[2] - right * half[0] - down * half[1]) * length, 0)
    return diffuse, gloss * mirror**sharpness


def lit(colour: Image, diffuse: Plane, highlight: Plane) -> Image:
    """Put light on colours.

    Args:
        colour: `H W 3`.
        diffuse: `H W` factor.
        highlight: `H W` added white.

    Returns:
        `H W 3` in [0, 1].
    """
    shown = colour * diffuse[..., None]
    shown += highlight[..., None]
    return np.clip(shown, 0, 1, out=shown)
