"""The result: an alpha with its foreground, trimap and mask."""

from collections.abc import Callable
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PullmatteError

Array = NDArray[np.float32]


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
        """
        self.alpha = alpha
        self.image = image
        self.mask = mask
        self.trimap = trimap
        self._foreground = image if foreground is None else foreground

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

    def composite(self, background: "str | tuple[float, ...] | Array" = "checker") -> Array:
        """Lay the object over a new background.

        Both are blended as they are encoded for display, as browsers and paint programs do.

        Args:
            background: A colour name, ``#rrggbb``, three values in [0, 1], ``"checker"``, or an
                `H W 3` image of the matte's size.

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


def make_background(
    background: "str | tuple[float, ...] | Array", width: int, height: int
) -> Array:
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
    if isinstance(background, str) and background == "checker":
        return _checker(width, height)
    colour = _colour(background) if isinstance(background, str) else background
    plate = np.asarray(colour, np.float32)
    if plate.shape == (3,):
        return np.broadcast_to(plate, (height, width, 3)).copy()
    if plate.shape != (height, width, 3):
        raise PullmatteError(
            f"background of shape {plate.shape}: give a colour, 'checker', "
            f"or an image of {height}x{width}x3"
        )
    return plate


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
