"""PIL images as prompts and images, for callers who have them; PIL isn't loaded for others."""

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

_PLAIN_MODES = ("1", "L", "I", "F", "I;16", "I;16L", "I;16B")


def is_picture(value: object) -> "TypeGuard[PILImage]":
    """Tell whether `value` is a PIL image."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(value, pil.Image)


def upright(picture: "PILImage") -> "PILImage":
    """Apply the EXIF turn; the given picture stays as it is."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(picture)


def picture_to_plane(picture: "PILImage") -> NDArray[Any]:
    """Read one plane: the picture's own where it has only one, else the brightest channel.

    Returns:
        `H W` of the picture's own type, upright.
    """
    picture = upright(picture)
    if picture.mode in _PLAIN_MODES:
        return np.asarray(picture)
    return np.asarray(np.asarray(picture.convert("RGB")).max(axis=2))


def picture_alpha(picture: "PILImage") -> NDArray[np.uint8] | None:
    """Return a cut-out's alpha, `H W` uint8, or None where there is none or it is all one value."""
    if not picture.has_transparency_data:
        return None
    alpha = np.asarray(upright(picture.convert("RGBA")))[..., 3]
    return alpha if alpha.min() < alpha.max() else None


def picture_to_rgb(picture: "PILImage") -> NDArray[Any]:
    """Read colours: `H W 3` or grey `H W`, unsigned integers or float32, upright.

    Palettes, CMYK and the like are converted, alpha is dropped.
    """
    picture = upright(picture)
    if picture.mode.startswith("I"):
        # 32-bit "I" is how Pillow holds 16-bit greys.
        return np.asarray(picture).clip(0, 65535).astype(np.uint16)
    if picture.mode in ("L", "F"):
        return np.asarray(picture)
    return np.asarray(picture.convert("RGB"))
