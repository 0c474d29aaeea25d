"""Folders of cut-outs and of backgrounds, held in memory for composing scenes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures
from PIL import UnidentifiedImageError

from pullmatte.data.samples import Cutout, SampleOpacity
from pullmatte.errors import DatasetError

Bytes = NDArray[np.uint8]
CUTOUT_SIDE_PX = 640
BACKGROUND_SIDE_PX = 1024
SOLID = 0.95
SOLID_SHARE = 0.05
"""An object of which less than this share is solid counts as transparent."""
_SUFFIXES = {".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff"}


@dataclass(frozen=True, eq=False)
class StoredCutout:
    """A cut-out as it is kept: 8 bits, straight, its colour going on under alpha 0.

    Attributes:
        rgba: `H W 4` uint8, cropped to what is not empty.
        kind: the folder that it came from.
        opacity: whether anything of it is solid.
    """

    rgba: Bytes
    kind: str
    opacity: SampleOpacity


def read_cutouts(
    folder: Path,
    *,
    side_px: int = CUTOUT_SIDE_PX,
    leave: Callable[[Path], bool] = lambda path: False,
) -> list[StoredCutout]:
    """Read every picture with an alpha channel below a folder, in the order of their names.

    Args:
        folder: its first level of folders names the kinds.
        side_px: larger ones are made smaller, premultiplied.
        leave: says of a file whether it is left alone.

    Raises:
        DatasetError: If there is none, or one can't be read or has no alpha channel.
    """
    found = []
    for path in _pictures(folder):
        if leave(path):
            continue
        rgba = _shrunk(_read(path, "RGBA"), side_px)
        extent = cv2.boundingRect((rgba[..., 3] > 2).astype(np.uint8))
        left, top, width, height = extent
        if min(width, height) < 8:
            continue
        rgba = extended(rgba[top : top + height, left : left + width])
        parts = path.relative_to(folder).parts
        kind = parts[0] if len(parts) > 1 else folder.name
        found.append(
            StoredCutout(rgba, kind, opacity_of(rgba[..., 3] > SOLID * 255, rgba[..., 3] > 5))
        )
    if not found:
        raise DatasetError(f"{folder}: no cut-outs of 8 pixels or more in it; give RGBA pictures")
    return found


def read_backgrounds(
    folder: Path,
    *,
    side_px: int = BACKGROUND_SIDE_PX,
    leave: Callable[[Path], bool] = lambda path: False,
) -> list[Bytes]:
    """Read every picture below a folder, `H W 3` uint8, in the order of their names.

    Args:
        folder: where they are.
        side_px: larger ones are made smaller.
        leave: says of a file whether it is left alone.

    Raises:
        DatasetError: If there is none, or one can't be read.
    """
    paths = [path for path in _pictures(folder) if not leave(path)]
    found = [_smaller(_read(path, "RGB"), side_px) for path in paths]
    if not found:
        raise DatasetError(f"{folder}: no pictures in it; give photos without a salient object")
    return found


def stored(cutout: Cutout) -> StoredCutout:
    """Keep a made cut-out as a read one is kept."""
    rgba = np.dstack([cutout.colour, cutout.alpha])
    whole = np.clip(np.rint(rgba * 255), 0, 255).astype(np.uint8)
    left, top, width, height = cv2.boundingRect((whole[..., 3] > 2).astype(np.uint8))
    whole = whole[top : top + max(height, 1), left : left + max(width, 1)]
    return StoredCutout(np.ascontiguousarray(whole), cutout.kind, cutout.opacity)


def opacity_of(solid: NDArray[np.bool_], there: NDArray[np.bool_]) -> SampleOpacity:
    """Say whether an object is solid anywhere worth telling.

    Args:
        solid: `H W`, where it hides what is behind it.
        there: `H W`, where any of it is.
    """
    return "transparent" if solid.sum() < SOLID_SHARE * max(there.sum(), 1) else "opaque"


def extended(rgba: Bytes) -> Bytes:
    """Let colours go on under alpha 0: the nearest ones, blurred.

    What is stored there is often black or white, and any resizing would bring it in.
    """
    alpha = rgba[..., 3].astype(np.float32) / 255
    if alpha.min() >= 0.02:
        return rgba
    colour = rgba[..., :3].astype(np.float32)
    total, weight = colour * alpha[..., None], alpha.copy()
    filled, known = total.copy(), weight.copy()
    # Ever wider blurs: each fills what the narrower ones left without weight.
    for side in (3, 9, 27, 81, 243):
        spread, near = (cv2.blur(each, (side, side)) for each in (total, weight))
        empty = known < 1e-3
        filled[empty], known[empty] = spread[empty], near[empty]
    mean = total.sum((0, 1)) / max(float(weight.sum()), 1e-6)
    filled = np.where(known[..., None] < 1e-3, mean, filled / np.maximum(known, 1e-3)[..., None])
    kept = np.clip(np.rint(np.where(alpha[..., None] > 0.02, colour, filled)), 0, 255)
    return np.dstack([kept.astype(np.uint8), rgba[..., 3]])


def _pictures(folder: Path) -> Sequence[Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; give one with pictures in it")
    return sorted(each for each in folder.rglob("*") if each.suffix.lower() in _SUFFIXES)


def _read(path: Path, mode: str) -> Bytes:
    try:
        with Pictures.open(path) as picture:
            if (
                mode == "RGBA"
                and "A" not in picture.getbands()
                and "transparency" not in picture.info
            ):
                raise DatasetError(f"{path}: no alpha channel; cut-outs are RGBA pictures")
            return np.asarray(picture.convert(mode), np.uint8)
    except (OSError, UnidentifiedImageError) as error:
        raise DatasetError(f"{path}: can't be read as a picture ({error})") from error


def _shrunk(rgba: Bytes, side_px: int) -> Bytes:
    if max(rgba.shape[:2]) <= side_px:
        return rgba
    alpha = rgba[..., 3:].astype(np.float32) / 255
    premultiplied = np.dstack([rgba[..., :3] * alpha, alpha])
    small = _smaller(premultiplied, side_px)
    weight = np.maximum(small[..., 3:], 1 / 1024)
    straight = np.dstack([small[..., :3] / weight, small[..., 3:] * 255])
    return np.asarray(np.clip(np.rint(straight), 0, 255), np.uint8)


def _smaller(picture: NDArray[Any], side_px: int) -> NDArray[Any]:
    height, width = picture.shape[:2]
    scale = side_px / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), picture.dtype)
