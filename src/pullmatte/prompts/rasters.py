"""Prompts that are planes of pixels: a rough mask, a trimap."""

import os
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PromptError
from pullmatte.prompts.pictures import is_picture, picture_alpha, picture_to_plane

Kind = Literal["mask", "trimap"]


class _Raster:
    """What masks and trimaps share: a read-only array with a value's equality."""

    array: NDArray[Any]

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and np.array_equal(self.array, other.array)

    def __hash__(self) -> int:
        return hash((self.array.shape, self.array.tobytes()))

    def __repr__(self) -> str:
        rows, columns = self.array.shape
        return f"{type(self).__name__}({columns}x{rows})"

    def check(self, width: int, height: int) -> None:
        """Refuse a raster whose size isn't ``width`` by ``height`` pixels.

        Raises:
            PromptError: If the sizes differ.
        """
        rows, columns = self.array.shape
        if (columns, rows) != (width, height):
            kind = type(self).__name__.lower()
            raise PromptError(
                f"{kind} of {columns}x{rows} pixels for an image of {width}x{height}: "
                f"give a {kind} of the image's own size"
            )


@dataclass(frozen=True, eq=False, repr=False)
class Mask(_Raster):
    """A rough mask of the object.

    Attributes:
        array: `H W` bool. It may be given as bool, as floats in [0, 1], which count from 0.5, as
            integers, which count from half their range, as labels 0 and 1, as nested lists or as
            a PIL image, of which an alpha that varies is taken.

    Raises:
        PromptError: If it isn't one plane of numbers, or marks no pixel.
    """

    array: NDArray[Any]

    def __post_init__(self) -> None:
        plane = _as_plane(self.array, "mask")
        mask = plane >= _full_scale(plane, "mask") / 2
        if not mask.any():
            raise PromptError("mask is empty: mark at least one pixel of the object")
        mask.flags.writeable = False
        object.__setattr__(self, "array", mask)


@dataclass(frozen=True, eq=False, repr=False)
class Trimap(_Raster):
    """Known background, unknown band, known foreground.

    Attributes:
        array: `H W` float32 in {0, 0.5, 1}. Of other input, the type's lowest and full value
            are known background and foreground, and everything between is unknown.

    Raises:
        PromptError: If it isn't one plane of numbers, or has no unknown pixel.
    """

    array: NDArray[Any]

    def __post_init__(self) -> None:
        plane = _as_plane(self.array, "trimap")
        full = _full_scale(plane, "trimap")
        trimap = np.full(plane.shape, 0.5, np.float32)
        trimap[plane <= full / 512] = 0.0
        trimap[plane >= full * (1 - 1 / 512)] = 1.0
        if not (trimap == 0.5).any():
            raise PromptError(
                "trimap has no unknown pixel: mark the band to be matted "
                "with grey (0.5, or 128 of 255), or give it as mask instead"
            )
        trimap.flags.writeable = False
        object.__setattr__(self, "array", trimap)


def _as_plane(given: Any, kind: Kind) -> NDArray[Any]:
    """Take what was given as a finite `H W` plane of numbers, or say why not."""
    if isinstance(given, str | os.PathLike):
        raise PromptError(
            f"{kind} {str(given)!r} is a path: read it first, "
            f"with pullmatte.io.image.read_{kind}(path)"
        )
    if is_picture(given):
        alpha = picture_alpha(given) if kind == "mask" else None
        plane = picture_to_plane(given) if alpha is None else alpha
    else:
        try:
            plane = np.asarray(given)
        except (TypeError, ValueError) as error:
            raise PromptError(f"{kind} can't be read: give rows of one length") from error
    if plane.ndim != 2 or plane.size == 0:
        raise PromptError(f"{kind} of shape {plane.shape}: give one plane of height x width")
    if plane.dtype.kind not in "buif":
        raise PromptError(f"{kind} of type {plane.dtype}: give bool, integers or floats")
    if plane.dtype.kind == "f" and not np.isfinite(plane).all():
        raise PromptError(f"{kind} holds NaN or infinite values: give numbers in [0, 1]")
    return plane


def _full_scale(plane: NDArray[Any], kind: Kind) -> float:
    """Return the value that means 1 in `plane`, or say why there is none."""
    if plane.dtype.kind == "b":
        if kind == "trimap":
            raise PromptError("trimap of type bool has no unknown band: give it as mask instead")
        return 1.0
    low, high = float(plane.min()), float(plane.max())
    if plane.dtype.kind == "f":
        # Resampling with a sharp filter overshoots a little.
        if low < -0.5 or high > 1.5:
            raise PromptError(f"{kind} holds floats from {low:g} to {high:g}: give them in [0, 1]")
        return 1.0
    if kind == "mask" and (low, high) in {(0.0, 1.0), (1.0, 1.0)}:
        return 1.0
    if kind == "trimap" and 1 <= high <= 2:
        raise PromptError(
            f"trimap of whole numbers up to {high:g}: give 0, 128 and 255, or floats 0, 0.5 and 1"
        )
    if low < 0 or high > 65535:
        raise PromptError(
            f"{kind} holds integers from {low:g} to {high:g}: give 0 to 255, or 0 to 65535"
        )
    return 255.0 if high <= 255 and plane.dtype != np.uint16 else 65535.0
