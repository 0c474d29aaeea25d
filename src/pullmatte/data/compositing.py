"""Layers put over each other: in linear light, premultiplied, with exact alpha."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
_STEPS = 4095


def _to_linear(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _to_encoded(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)


_LINEAR = _to_linear(np.linspace(0, 1, 256)).astype(np.float32)
# Square roots are spread about evenly over what the eye tells apart; so are the steps.
_ENCODED = _to_encoded(np.linspace(0, 1, _STEPS + 1) ** 2).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer on the canvas.

    Attributes:
        colour: `H W 3` float32, premultiplied, in the canvas's light.
        alpha: `H W` float32 in [0, 1].
    """

    colour: Floats
    alpha: Floats


def decoded(colour: Bytes, *, linear: bool) -> Floats:
    """Turn sRGB bytes into floats in [0, 1], of linear light if wanted."""
    if linear:
        return _LINEAR[colour]
    return colour.astype(np.float32) / np.float32(255)


def encoded(colour: Floats, *, linear: bool) -> Floats:
    """Turn a canvas of `decoded` colours back into sRGB in [0, 1], to 1/4000."""
    held: Floats = np.clip(colour, 0, 1).astype(np.float32)
    if not linear:
        return held
    found: Floats = _ENCODED[np.rint(np.sqrt(held) * _STEPS).astype(np.int32)]
    return found


def placed(
    rgba: Bytes, matrix: NDArray[np.float64], size_px: tuple[int, int], *, linear: bool
) -> Layer:
    """Put a straight cut-out on an empty canvas.

    Args:
        rgba: `h w 4` uint8.
        matrix: 2 × 3, from its pixels to the canvas's.
        size_px: the canvas's width and height.
        linear: whether the canvas is of linear light.
    """
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale < 0.6:
        # Bilinear sampling alone would skip pixels and give thin parts holes.
        rgba, matrix = _halved(rgba, matrix, scale)
    alpha = rgba[..., 3:].astype(np.float32) / np.float32(255)
    whole = np.dstack([decoded(rgba[..., :3], linear=linear) * alpha, alpha])
    how = cv2.INTER_LINEAR if scale < 1.2 else cv2.INTER_CUBIC
    warped = cv2.warpAffine(whole, matrix, size_px, flags=how, borderValue=(0, 0, 0, 0))
    warped = np.clip(np.asarray(warped, np.float32), 0, 1)
    # Cubic sampling overshoots; colour beyond alpha would shine.
    return Layer(np.minimum(warped[..., :3], warped[..., 3:]), np.ascontiguousarray(warped[..., 3]))


def _halved(
    rgba: Bytes, matrix: NDArray[np.float64], scale: float
) -> tuple[Bytes, NDArray[np.float64]]:
    height, width = rgba.shape[:2]
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    alpha = rgba[..., 3:].astype(np.float32) / 255
    small = cv2.resize(
        np.dstack([rgba[..., :3] * alpha, alpha * 255]), size, interpolation=cv2.INTER_AREA
    )
    straight = small[..., :3] * (255 / np.maximum(small[..., 3:], 0.25))
    whole = np.clip(np.rint(np.dstack([straight, small[..., 3]])), 0, 255).astype(np.uint8)
    back = np.array([[width / size[0], 0, 0], [0, height / size[1], 0], [0, 0, 1]])
    # Pixel centres: half a pixel on either side of the change of size.
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    full = np.vstack([matrix, [0, 0, 1]])
    moved: NDArray[np.float64] = (full @ np.linalg.inv(shift) @ back @ shift)[:2]
    return whole, moved


def over(layer: Layer, below: Floats) -> Floats:
    """Put a layer over an opaque canvas, `H W 3` in the same light."""
    return layer.colour + below * (1 - layer.alpha[..., None])


def joined(front: Layer, back: Layer) -> Layer:
    """Put a layer over another: both are then one object."""
    left = 1 - front.alpha
    return Layer(front.colour + back.colour * left[..., None], front.alpha + back.alpha * left)


def shadowed(
    below: Floats, alpha: Floats, shift_px: tuple[float, float], blur_px: float, strength: float
) -> Floats:
    """Darken a canvas where an object's soft shadow falls.

    Args:
        below: `H W 3`, the canvas.
        alpha: `H W`, of the object that throws it.
        shift_px: (x, y), where to it falls.
        blur_px: Standard deviation of its softness.
        strength: In [0, 1], how dark it is.
    """
    height, width = alpha.shape
    matrix = np.array([[1, 0, shift_px[0]], [0, 1, shift_px[1]]], np.float64)
    moved = cv2.warpAffine(alpha, matrix, (width, height))
    soft = cv2.GaussianBlur(moved, (0, 0), max(blur_px, 0.3))
    found: Floats = below * (1 - np.float32(strength) * soft[..., None])
    return found
