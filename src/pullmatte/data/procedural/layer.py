"""Layers of a drawing: premultiplied while they are stacked, straight when they are done."""

from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.data.procedural.palette import Colour
from pullmatte.data.samples import Image, Plane

Layer = NDArray[np.float32]
"""`H W 4` float32: sRGB times alpha, and alpha."""

FILL_STRENGTH = 2e-3
FILL_SHRINK = 8
FILL_SIGMA = 1.2
# Far enough apart that a wider level speaks only where a nearer one holds nothing.
FILL_WEIGHTS = (1.0, 1e-3, 1e-6, 1e-9)


class Appearance(NamedTuple):
    """How an object looks at one time.

    Attributes:
        colour: `H W 3` float32 sRGB, straight.
        alpha: `H W` float32.
    """

    colour: Image
    alpha: Plane


Painter = Callable[[float], Appearance]
"""Shows one object at a time in seconds; all its random numbers were drawn before."""


def empty_layer(size_px: int) -> Layer:
    """Return a square layer that shows nothing.

    Args:
        size_px: its side.

    Returns:
        `size size 4` zeros.
    """
    return np.zeros((size_px, size_px, 4), np.float32)


def layer_of(colour: Colour, alpha: NDArray[np.floating[Any]]) -> Layer:
    """Multiply a straight colour by its alpha.

    Args:
        colour: `H W 3`, or three numbers for all pixels.
        alpha: `H W`.

    Returns:
        The layer, `H W 4`.
    """
    alpha = np.asarray(alpha, np.float32)
    if colour.ndim == 1:
        planes = [*(alpha * c for c in colour.astype(np.float32)), alpha]
    else:
        planes = [np.asarray(colour * alpha[..., None], np.float32), alpha]
    return np.asarray(cv2.merge(planes), np.float32)


def shrunk(canvas: NDArray[np.uint8], steps: int) -> NDArray[np.uint8]:
    """Average fine pixels; halving twice is five times faster than quartering.

    Args:
        canvas: `H W` or `H W C`.
        steps: fine pixels along a pixel, a power of two.

    Returns:
        `h w` or `h w C`.
    """
    while steps > 1:
        size = canvas.shape[1] // 2, canvas.shape[0] // 2
        half = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
        canvas, steps = np.asarray(half, np.uint8), steps // 2
    return canvas


def dimmed(layer: Layer, factor: NDArray[np.floating[Any]]) -> Layer:
    """Multiply a layer's colour, which is changed and returned, and leave its alpha.

    Args:
        layer: `H W 4`.
        factor: `H W`.

    Returns:
        The layer.
    """
    plane = np.asarray(factor, np.float32)
    layer *= np.asarray(cv2.merge([plane, plane, plane, np.ones_like(plane)]), np.float32)
    return layer


def over(top: Layer, bottom: Layer) -> Layer:
    """Lay a layer over another one, which is changed and returned.

    Args:
        top: `H W 4`.
        bottom: `H W 4`; may be a view into a larger layer.

    Returns:
        The bottom, with the top over it.
    """
    bottom *= (1 - cv2.extractChannel(top, 3))[..., None]
    bottom += top
    return bottom


def appearance_of(layer: Layer) -> Appearance:
    """Divide by alpha, and let the colour go on where alpha is 0 or nearly so.

    Args:
        layer: `H W 4`.

    Returns:
        Straight colour, defined everywhere, and alpha.
    """
    alpha = np.asarray(np.clip(cv2.extractChannel(layer, 3), 0, 1), np.float32)
    colour = np.asarray(cv2.cvtColor(layer, cv2.COLOR_BGRA2BGR), np.float32)
    colour += _spread_colour(layer)
    colour *= (1 / (alpha + FILL_STRENGTH))[..., None]
    return Appearance(np.clip(colour, 0, 1, out=colour), alpha)


def _spread_colour(layer: Layer) -> Image:
    """Average the colour over ever wider neighbourhoods, the nearest counting most."""
    height, width = layer.shape[:2]
    size = max(width // FILL_SHRINK, 1), max(height // FILL_SHRINK, 1)
    level = np.asarray(cv2.resize(layer, size, interpolation=cv2.INTER_AREA), np.float32)
    total = np.zeros_like(level)
    for weight in FILL_WEIGHTS:
        soft = cv2.GaussianBlur(level, (0, 0), FILL_SIGMA)
        total += np.float32(weight) * np.asarray(cv2.resize(soft, size), np.float32)
        smaller = max(level.shape[1] // 4, 1), max(level.shape[0] // 4, 1)
        level = np.asarray(cv2.resize(level, smaller, interpolation=cv2.INTER_AREA), np.float32)
    colour = FILL_STRENGTH * total[..., :3] / np.maximum(total[..., 3:], 1e-30)
    return np.asarray(cv2.resize(colour, (width, height)), np.float32)
