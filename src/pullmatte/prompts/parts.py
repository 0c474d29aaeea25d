"""What a person says about an object: points, a box, a rough mask, a trimap.

Coordinates are ``(x, y)`` in pixels of the original, upright image: (0, 0) is the upper left
corner of the upper left pixel, so a point lies in ``0 <= x < width`` and a box in
``0 <= x0 < x1 <= width``.
"""

import math
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pullmatte.errors import PromptError
from pullmatte.prompts.rasters import Mask, Trimap

# Ten places drawn from a stretch leave a fifth of it beyond them, and objects have thin ends. Too
# large a box costs less than one that cuts the object, but one of the whole picture says nothing.
_BOX_GROWTHS, _LEAST_REACH = (1.9, 1.7, 1.5, 1.35), 4.0


@dataclass(frozen=True)
class Point:
    """One click.

    Attributes:
        x: Column in pixels, ``0 <= x < width``.
        y: Row in pixels, ``0 <= y < height``.
        label: 1 to include what lies there, 0 to exclude it.
    """

    x: float
    y: float
    label: int = 1

    def __post_init__(self) -> None:
        for name in ("x", "y"):
            object.__setattr__(self, name, _coordinate(getattr(self, name), "point"))
        try:
            object.__setattr__(self, "label", {0: 0, 1: 1}[self.label])
        except (KeyError, TypeError) as error:
            raise PromptError(
                f"point label {_short(self.label)}: use 1 (include) or 0 (exclude)"
            ) from error

    def check(self, width: int, height: int) -> None:
        """Refuse a point outside an image of ``width`` by ``height`` pixels.

        Raises:
            PromptError: If it lies outside.
        """
        if not (0 <= self.x < width and 0 <= self.y < height):
            raise PromptError(
                f"point ({self.x:.10g}, {self.y:.10g}) lies outside the {width}x{height} image: "
                f"give 0 <= x < {width} and 0 <= y < {height}"
            )


@dataclass(frozen=True)
class Box:
    """A box around the whole object, ``x0 y0 x1 y1`` in pixels; the far edges are exclusive."""

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        for name in ("x0", "y0", "x1", "y1"):
            object.__setattr__(self, name, _coordinate(getattr(self, name), "box"))
        if not (self.x0 < self.x1 and self.y0 < self.y1):
            raise PromptError(
                f"box {self} is empty: give X0,Y0,X1,Y1 with X0 < X1 and Y0 < Y1 "
                "(upper left corner, then lower right)"
            )

    def __str__(self) -> str:
        return f"({self.x0:.10g}, {self.y0:.10g}, {self.x1:.10g}, {self.y1:.10g})"

    def check(self, width: int, height: int) -> None:
        """Refuse a box that leaves an image of ``width`` by ``height`` pixels.

        Raises:
            PromptError: If any edge lies outside.
        """
        if self.x0 < 0 or self.y0 < 0 or self.x1 > width or self.y1 > height:
            raise PromptError(
                f"box {self} leaves the {width}x{height} image: "
                f"keep it within (0, 0, {width}, {height})"
            )


@dataclass(frozen=True)
class Prompt:
    """All that was said about one object on one frame.

    Attributes:
        points: Clicks, in the order given.
        box: The box, if any.
        mask: The rough mask, if any.
        trimap: The user's trimap, if any; it stands above everything else.
    """

    points: tuple[Point, ...] = ()
    box: Box | None = None
    mask: Mask | None = None
    trimap: Trimap | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", tuple(self.points))

    @classmethod
    def of(
        cls,
        *,
        points: "Iterable[Point] | ArrayLike | None" = None,
        labels: ArrayLike | None = None,
        box: "Box | tuple[float, float, float, float] | ArrayLike | None" = None,
        mask: "Mask | ArrayLike | None" = None,
        trimap: "Trimap | ArrayLike | None" = None,
    ) -> Self:
        """Build a prompt from whatever a caller has at hand.

        Args:
            points: `N` `Point` objects, an `N 2` array of (x, y) in pixels, or one such pair.
            labels: `N` values 1 or 0; all 1 when left out.
            box: A `Box` or ``(x0, y0, x1, y1)`` in pixels.
            mask: A `Mask`, or an `H W` array or PIL image that can become one.
            trimap: A `Trimap`, or an `H W` array or PIL image that can become one.

        Raises:
            PromptError: If any of them can't be read as what it should be.
        """
        return cls(
            points=_as_points(points, labels),
            box=_as_box(box),
            # Both classes read whatever holds a plane, also PIL images.
            mask=mask if mask is None or isinstance(mask, Mask) else Mask(mask),  # type: ignore[arg-type]
            trimap=trimap if trimap is None or isinstance(trimap, Trimap) else Trimap(trimap),  # type: ignore[arg-type]
        )

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said."""
        return not self.points and self.box is None and self.mask is None and self.trimap is None

    def check(self, width: int, height: int) -> None:
        """Refuse a prompt that doesn't fit an image of ``width`` by ``height`` pixels.

        Raises:
            PromptError: If a part lies outside the image or has another size.
        """
        for part in (*self.points, self.box, self.mask, self.trimap):
            if part is not None:
                part.check(width, height)

    def merged(self, later: "Prompt") -> "Prompt":
        """Add what was said later: points add up, a box, mask or trimap replaces the old one."""
        return replace(
            self,
            points=self.points + later.points,
            box=later.box or self.box,
            mask=later.mask or self.mask,
            trimap=later.trimap or self.trimap,
        )


def _short(value: object) -> str:
    """Show any value on one line of bounded length."""
    return " ".join(reprlib.repr(value).split())


def _coordinate(value: Any, what: str) -> float:
    """Take `value` as a finite number, or say why not."""
    try:
        if isinstance(value, str | bytes) or np.ndim(value) > 0:
            raise TypeError("not a number")
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise PromptError(f"{what} coordinate {_short(value)}: give a number of pixels") from error
    if not math.isfinite(number):
        raise PromptError(f"{what} coordinate {number}: give a finite number of pixels")
    return number


def _as_points(points: Any, labels: Any) -> tuple[Point, ...]:
    """Pair points with labels, or say why they don't pair."""
    if points is None:
        if labels is not None:
            raise PromptError("labels without points: give points too")
        return ()
    if isinstance(points, Point):
        points = [points]
    try:
        listed = list(points)
        if any(isinstance(p, Point) for p in listed):
            return _ready_points(listed, labels)
        pairs = np.asarray(listed, dtype=float)
        pairs = pairs.reshape(-1, 2) if pairs.shape in ((2,), (0,)) else pairs
        flags = np.ones(len(pairs)) if labels is None else np.asarray(labels, float).reshape(-1)
    except (TypeError, ValueError) as error:
        raise PromptError(f"points {_short(points)}: give N pairs of x, y and N labels") from error
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise PromptError(f"points of shape {pairs.shape}: give N pairs of x, y; labels go apart")
    if len(pairs) != len(flags):
        raise PromptError(f"{len(pairs)} points with {len(flags)} labels: give one label a point")
    if not np.isin(flags, (0.0, 1.0)).all():
        raise PromptError(f"labels {_short(labels)}: use 1 (include) or 0 (exclude)")
    return tuple(Point(x, y, int(label)) for (x, y), label in zip(pairs, flags, strict=True))


def _ready_points(points: list[Any], labels: Any) -> tuple[Point, ...]:
    """Take `Point` objects as they are."""
    if labels is not None:
        raise PromptError("labels beside Point objects: the label belongs in the Point")
    if not all(isinstance(p, Point) for p in points):
        raise PromptError("Point objects among other points: give one kind")
    return tuple(points)


def _as_box(box: Any) -> Box | None:
    """Take four numbers as a box, or say why not."""
    if box is None or isinstance(box, Box):
        return box
    try:
        corners = list(box)
    except TypeError as error:
        raise PromptError(f"box {_short(box)}: give four numbers x0, y0, x1, y1") from error
    if len(corners) != 4 or isinstance(box, str | bytes):
        raise PromptError(f"box {_short(box)}: give four numbers x0, y0, x1, y1")
    return Box(*corners)


def box_round(
    inside: Sequence[tuple[float, float]] | NDArray[np.float32], size: tuple[int, ...]
) -> tuple[float, float, float, float]:
    """Guess an object's box from many clicks in it: theirs, nearly twice as large.

    Args:
        inside: (x, y) of the clicks, at least one.
        size: Width and height of the picture, that the box stays in and doesn't fill.

    Returns:
        x0, y0, x1, y1.
    """
    for growth in _BOX_GROWTHS:
        sides: list[tuple[float, float]] = []
        for values, most in zip(zip(*inside, strict=True), size, strict=True):
            middle, half = (min(values) + max(values)) / 2, (max(values) - min(values)) / 2
            reach = max(half * growth, _LEAST_REACH)
            low, high = max(0.0, float(middle - reach)), min(float(most), float(middle + reach))
            sides.append((low, high))
        if any(low > 0 or high < most for (low, high), most in zip(sides, size, strict=True)):
            break
    (x0, x1), (y0, y1) = sides
    return x0, y0, x1, y1
