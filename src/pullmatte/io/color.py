"""sRGB, scene-linear light, and straight or premultiplied colour.

Source: IEC 61966-2-1 (the sRGB curve); its odd extension below 0 and its plain continuation above
1 are those of scRGB, IEC 61966-2-2.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_LINEAR_END = np.float32(0.0031308)
_ENCODED_END = np.float32(0.04045)
_SLOPE = np.float32(12.92)
_OFFSET = np.float32(0.055)
_GAMMA = 2.4


def srgb_to_linear(encoded: Array) -> Array:
    """Decode sRGB values to linear light.

    Args:
        encoded: Any shape, float32; [0, 1] is the sRGB range, values beyond it continue the curve.

    Returns:
        The same shape, float32; the sign is kept.
    """
    value = np.asarray(encoded, np.float32)
    size = np.abs(value)
    curve = np.power((size + _OFFSET) / (1 + _OFFSET), np.float32(_GAMMA))
    return np.copysign(np.where(size <= _ENCODED_END, size / _SLOPE, curve), value)


def linear_to_srgb(linear: Array) -> Array:
    """Encode linear light as sRGB values; the inverse of `srgb_to_linear`.

    Args:
        linear: Any shape, float32; values above 1 (highlights) and below 0 continue the curve.

    Returns:
        The same shape, float32; the sign is kept.
    """
    value = np.asarray(linear, np.float32)
    size = np.abs(value)
    curve = (1 + _OFFSET) * np.power(size, np.float32(1 / _GAMMA)) - _OFFSET
    return np.copysign(np.where(size <= _LINEAR_END, size * _SLOPE, curve), value)


def premultiply(image: Array, alpha: Array) -> Array:
    """Multiply straight colours by their alpha.

    Args:
        image: `H W 3` float32.
        alpha: `H W` float32 in [0, 1].

    Returns:
        `H W 3` float32, in whatever light (linear or encoded) the image is in.
    """
    return np.asarray(image, np.float32) * np.asarray(alpha, np.float32)[..., None]


def unpremultiply(image: Array, alpha: Array) -> Array:
    """Divide premultiplied colours by their alpha.

    Args:
        image: `H W 3` float32.
        alpha: `H W` float32; where it is 0 the colour (a pure glow) stays as it is.

    Returns:
        `H W 3` float32.
    """
    divisor = np.where(alpha > 0, alpha, 1).astype(np.float32)
    return np.asarray(image, np.float32) / divisor[..., None]
