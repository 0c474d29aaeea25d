"""The result: an alpha with its foreground, trimap and mask."""

from collections.abc import Callable
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PullmatteError, ReadError
from pullmatte.prompts.pictures import is_picture, picture_to_rgb

Array = NDArray[np.float32]


def as_image(image: Any) -> Array:
    """Take whatever a caller calls an image as `H W 3` float32 in [0, 1].

    Args:
        image: `H W 3`, `H W 4` (alpha is dropped), `H W 1` or `H W`, floats in [0, 1] or unsigned
            integers of full range, or a PIL image, whose EXIF turn is applied. It isn't changed.

    Returns:
        A read-only view of the same memory where that is float32 already, else a copy. HDR values
        over 1 stay.

    Raises:
        ReadError: If it has another shape or type, holds no pixel, or holds NaN.
    """
    if isinstance(image, str | bytes | PathLike):
        raise ReadError("image given as a path: open it with pullmatte.read_image first")
    try:
        array = np.asarray(picture_to_rgb(image) if is_picture(image) else image)
    except (TypeError, ValueError, OSError) as error:
        raise ReadError("image can't be read: give height x width x 3 numbers") from error
    if array.dtype.kind not in "uf" or array.ndim not in (2, 3) or array.size == 0:
        raise ReadError(
            f"image of shape {array.shape} and type {array.dtype}: "
            "give height x width x 3, floats in [0, 1] or unsigned integers"
        )
    if array.ndim == 2:
        array = array[..., None]
    if array.shape[2] not in (1, 3, 4):
        raise ReadError(f"image of shape {array.shape}: give three channels (RGB)")
    array = np.broadcast_to(array[..., :3], (*array.shape[:2], 3))
    return _scaled(array)


def _scaled(array: NDArray[Any]) -> Array:
    """Bring unsigned integers into [0, 1], and refuse floats that aren't numbers or on that scale.

    Returns:
        Read-only float32.
    """
    if array.dtype.kind == "u":
        scaled = array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)
    else:
        scaled = np.ascontiguousarray(array, np.float32)
        if not np.isfinite(scaled).all():
            raise ReadError("image holds NaN or infinite values: give floats in [0, 1]")
        highest = float(scaled.max())
        if highest > 16 and np.array_equal(scaled, np.rint(scaled)):
            raise ReadError(
                f"image of whole numbers up to {highest:g} as floats: "
                "divide by 255 (or 65535), or give unsigned integers"
            )
    view = scaled.view()
    view.flags.writeable = False
    return view


class Matte:
    """One object's matte on one image or frame.

    Attributes:
        alpha: `H W` float32 in [0, 1].
        image: `H W 3` float32 in [0, 1], as it went in.
        mask: `H W` bool, or None where the model makes none.
        trimap: `H W` float32 in {0, 0.5, 1}, or None where the model makes none.
    """

    def __init__(
        self,
        alpha: Array,
        image: Array,
        *,
        mask: NDArray[np.bool_] | None = None,
        trimap: Array | None = None,
        foreground: Array | Callable[[], Array] | None = None,
    ) -> None:
        """Hold the parts; `foreground` may be a function that is called on first use.

        Without a `foreground` the image's own colours stand in for it.

        Raises:
            PullmatteError: If alpha and image aren't `H W` and `H W 3` of one size.
        """
        if alpha.ndim != 2 or image.shape != (*alpha.shape, 3):
            raise PullmatteError(
                f"alpha of shape {alpha.shape} for an image of shape {image.shape}: "
                "give H W and H W 3 of one size"
            )
        self.alpha = alpha
        self.image = image
        self.mask = mask
        self.trimap = trimap
        self._foreground = image if foreground is None else foreground

    def __repr__(self) -> str:
        return f"Matte({self.size[0]}x{self.size[1]})"

    @property
    def foreground(self) -> Array:
        """`H W 3` float32 in [0, 1]: the object's own colour, free of the old background."""
        if callable(self._foreground):
            self._foreground = self._foreground()
        return self._foreground

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.alpha.shape
        return width, height

    def cutout(self, *, premultiplied: bool = False) -> Array:
        """Return `H W 4` float32 RGBA in [0, 1], straight unless `premultiplied`."""
        colour = self.foreground
        if premultiplied:
            colour = colour * self.alpha[..., None]
        return np.dstack([colour, self.alpha])

    def composite(self, background: Any = "checker") -> Array:
        """Lay the object over a new background.

        Both are blended as they are encoded for display, as browsers and paint programs do.

        Args:
            background: A colour name, ``#rrggbb``, three values in [0, 1], ``"checker"``, or an
                image of the matte's size: `H W 3` floats in [0, 1] or unsigned integers, or PIL.

        Returns:
            `H W 3` float32 in [0, 1].

        Raises:
            PullmatteError: If the background is none of these.
        """
        plate = make_background(background, *self.size)
        alpha = self.alpha[..., None]
        return self.foreground * alpha + plate * (1 - alpha)

    def save(self, path: str | PathLike[str], **options: Any) -> None:
        """Write a cut-out; the format follows the file name.

        PNG, WebP and TIFF get straight alpha, EXR scene-linear premultiplied half floats.

        Args:
            path: Where to.
            **options: As for `pullmatte.io.image.write_image`.

        Raises:
            WriteError: If it can't be written, or the format holds no alpha.
        """
        from pullmatte.io.image import write_image

        write_image(path, image=self.foreground, alpha=self.alpha, **options)


def make_background(background: Any, width: int, height: int) -> Array:
    """Make the plate that `Matte.composite` lays an object over.

    Args:
        background: As for `Matte.composite`.
        width: In pixels.
        height: In pixels.

    Returns:
        `H W 3` float32 in [0, 1].

    Raises:
        PullmatteError: If the background is none of the forms known.
    """
    if isinstance(background, str):
        if background == "checker":
            return _checker(width, height)
        background = _colour(background)
    if isinstance(background, list | tuple | np.ndarray) and _is_colour(background):
        return np.full((height, width, 3), _checked_colour(background), np.float32)
    plate = as_image(background)
    if plate.shape != (height, width, 3):
        raise PullmatteError(
            f"background of shape {plate.shape}: give a colour, 'checker', "
            f"or an image of {height}x{width}x3"
        )
    return plate


def _is_colour(background: Any) -> bool:
    return len(background) == 3 and all(np.isscalar(value) for value in background)


def _checked_colour(colour: Any) -> Array:
    """Take three values in [0, 1]."""
    try:
        values = np.asarray(colour, np.float32)
    except (TypeError, ValueError) as error:
        raise PullmatteError("background colour can't be read: give three numbers") from error
    if not ((values >= 0) & (values <= 1)).all():
        shown = ", ".join(f"{v:g}" for v in values)
        raise PullmatteError(
            f"background colour ({shown}): give values in [0, 1], or a name like '#ff8000'"
        )
    return values


def _colour(name: str) -> tuple[float, ...]:
    """Read a CSS colour name or ``#rrggbb``."""
    from PIL import ImageColor

    try:
        rgb = ImageColor.getrgb(name)
    except ValueError:
        raise PullmatteError(
            f"unknown colour {name!r}: give a name like 'white', '#rrggbb' or 'checker'"
        ) from None
    return tuple(v / 255 for v in rgb[:3])


def _checker(width: int, height: int, cell_px: int = 16) -> Array:
    rows = np.arange(height)[:, None] // cell_px
    columns = np.arange(width)[None, :] // cell_px
    grey = np.where((rows + columns) % 2 == 0, 0.8, 0.6).astype(np.float32)
    return np.repeat(grey[..., None], 3, axis=2)
