"""Between an image of any size and the square that the network looks at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PullmatteError
from pullmatte.prompts import Box

FitKind = Literal["squash", "pad"]
Padding = Literal["edge", "grey"]
Pixels = NDArray[np.float32]
BoolMask = NDArray[np.bool_]

_GREY = 0.5


def normalise(indices: Sequence[float], columns: int, rows: int) -> tuple[float, ...]:
    """Turn pixel indices into the network's coordinates: index / size, without a half pixel.

    Args:
        indices: x, y, x, y, … on the network's square.
        columns: Its width in pixels.
        rows: Its height in pixels.

    Returns:
        As many numbers, in [0, 1).

    Source: SDMatte, section 3.3, and its data code.
    """
    return tuple(index / (rows if at % 2 else columns) for at, index in enumerate(indices))


@dataclass(frozen=True)
class Fit:
    """How an image of ``width`` by ``height`` pixels lies on the square.

    All is resampled bilinearly and without antialiasing, as the network was trained.

    Attributes:
        width: The image's width in pixels.
        height: The image's height in pixels.
        size: The square's side in pixels.
        kind: "squash" stretches the image over the whole square, as in training. "pad" keeps its
            aspect and puts it in the middle, where training saw objects most.
        padding: What "pad" fills the rest of a picture with: its "edge" pixels repeated, which
            draws no line that training never saw, or mid-"grey". Planes are filled with 0.

    Raises:
        PullmatteError: If there is no such kind or padding, or a size is below 1.

    Source: SDMatte's data code for "squash"; "pad" is ours.
    """

    width: int
    height: int
    size: int = 1024
    kind: FitKind = "squash"
    padding: Padding = "edge"

    def __post_init__(self) -> None:
        for what, given, known in (
            ("fit", self.kind, get_args(FitKind)),
            ("padding", self.padding, get_args(Padding)),
        ):
            if given not in known:
                raise PullmatteError(f"{what} {given!r}: use {' or '.join(known)}")
        if min(self.width, self.height, self.size) < 1:
            raise PullmatteError(
                f"image of {self.width}x{self.height} pixels on a square of {self.size}: "
                "give sizes of 1 or more"
            )

    @property
    def content(self) -> tuple[int, int, int, int]:
        """Where the image lies on the square: x0, y0, x1, y1 in pixels, far edges exclusive."""
        if self.kind == "squash":
            return 0, 0, self.size, self.size
        longest = max(self.width, self.height)
        across = max(1, round(self.width * self.size / longest))
        down = max(1, round(self.height * self.size / longest))
        left, top = (self.size - across) // 2, (self.size - down) // 2
        return left, top, left + across, top + down

    def image(self, image: Pixels) -> Pixels:
        """Put the picture on the square.

        Args:
            image: `H W 3` float32 in [0, 1].

        Returns:
            `S S 3` float32 in [0, 1].
        """
        content = self._resized(image, cv2.INTER_LINEAR)
        if self.padding == "grey":
            return self._framed(content, cv2.BORDER_CONSTANT, _GREY)
        return self._framed(content, cv2.BORDER_REPLICATE)

    def plane(self, plane: Pixels) -> Pixels:
        """Put an alpha on the square.

        Args:
            plane: `H W` float32 in [0, 1].

        Returns:
            `S S` float32 in [0, 1]; 0 beside the image.
        """
        return self._framed(self._resized(plane, cv2.INTER_LINEAR))

    def trimap(self, trimap: Pixels) -> Pixels:
        """Put a trimap on the square; no level is made that it doesn't have.

        Args:
            trimap: `H W` float32 in {0, 0.5, 1}.

        Returns:
            `S S` float32 in {0, 0.5, 1}; 0 beside the image.
        """
        return self._framed(self._resized(trimap, cv2.INTER_NEAREST_EXACT))

    def mask(self, mask: BoolMask) -> BoolMask:
        """Put a mask on the square.

        Where the image is the larger, the nearest pixel counts, which gives a mask that was drawn
        on the square back as it was; where it is the smaller, edges are drawn smoothly.

        Args:
            mask: `H W` bool.

        Returns:
            `S S` bool, False beside the image; never empty unless `mask` is.
        """
        left, top, right, bottom = self.content
        shrinks = self.width >= right - left and self.height >= bottom - top
        plane = mask.astype(np.float32)
        fitted = self._resized(plane, cv2.INTER_NEAREST_EXACT if shrinks else cv2.INTER_LINEAR)
        inside = fitted >= _GREY
        if not inside.any():
            # A tiny object lies between the samples; averages see it.
            inside = self._resized(plane, cv2.INTER_AREA) > 0
        framed: BoolMask = self._framed(inside.astype(np.float32)) > 0
        return framed

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point of the image, (x, y) in pixels, lies on the square, in pixels."""
        left, top, right, bottom = self.content
        return left + x * (right - left) / self.width, top + y * (bottom - top) / self.height

    def box(self, box: Box) -> tuple[float, float, float, float]:
        """Return where a box of the image lies on the square: x0, y0, x1, y1 in pixels."""
        return *self.point(box.x0, box.y0), *self.point(box.x1, box.y1)

    def pixel(self, x: float, y: float) -> tuple[int, int]:
        """Return the column and row of the square's pixel that holds a point of the image."""
        left, top, right, bottom = self.content
        column, row = self.point(x, y)
        return (
            min(max(math.floor(column), left), right - 1),
            min(max(math.floor(row), top), bottom - 1),
        )

    def restore(self, alpha: Pixels) -> Pixels:
        """Bring the network's alpha back to the image's size.

        Args:
            alpha: `S S` float32.

        Returns:
            `H W` float32 in [0, 1].
        """
        left, top, right, bottom = self.content
        content = np.ascontiguousarray(alpha[top:bottom, left:right])
        size = (self.width, self.height)
        restored = cv2.resize(content, size, interpolation=cv2.INTER_LINEAR)
        return np.clip(np.asarray(restored, np.float32), 0.0, 1.0)

    def _resized(self, pixels: Pixels, interpolation: int) -> Pixels:
        left, top, right, bottom = self.content
        size = (right - left, bottom - top)
        return np.asarray(cv2.resize(pixels, size, interpolation=interpolation), np.float32)

    def _framed(
        self, content: Pixels, border: int = cv2.BORDER_CONSTANT, value: float = 0.0
    ) -> Pixels:
        left, top, right, bottom = self.content
        if (right - left, bottom - top) == (self.size, self.size):
            return content
        edges = (top, self.size - bottom, left, self.size - right)
        return np.asarray(cv2.copyMakeBorder(content, *edges, border, value=[value] * 4))
