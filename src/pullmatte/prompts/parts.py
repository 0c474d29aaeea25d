"""What a person says about an object: points, a box, a rough mask, a trimap.

Coordinates are ``(x, y)`` in pixels of the original, upright image: (0, 0) is the upper left
corner of the upper left pixel, so a point lies in ``0 <= x < width`` and a box in
``0 <= x0 < x1 <= width``.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pullmatte.errors import PromptError


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
        if not (math.isfinite(self.x) and math.isfinite(self.y)):
            raise PromptError(f"point ({self.x}, {self.y}): give finite pixel coordinates")
        if self.label not in (0, 1):
            raise PromptError(f"point label {self.label!r}: use 1 (include) or 0 (exclude)")

    def check(self, width: int, height: int) -> None:
        """Refuse a point outside an image of ``width`` by ``height`` pixels.

        Raises:
            PromptError: If it lies outside.
        """
        if not (0 <= self.x < width and 0 <= self.y < height):
            raise PromptError(
                f"point ({self.x:g}, {self.y:g}) lies outside the {width}x{height} image: "
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
        if not all(math.isfinite(v) for v in (self.x0, self.y0, self.x1, self.y1)):
            raise PromptError(f"box {self}: give finite pixel coordinates")
        if not (self.x0 < self.x1 and self.y0 < self.y1):
            raise PromptError(
                f"box {self} is empty: give X0,Y0,X1,Y1 with X0 < X1 and Y0 < Y1 "
                "(upper left corner, then lower right)"
            )

    def __str__(self) -> str:
        return f"({self.x0:g}, {self.y0:g}, {self.x1:g}, {self.y1:g})"

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


class _Raster:
    """What masks and trimaps share: a read-only array with a value's equality."""

    array: NDArray[Any]

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and np.array_equal(self.array, other.array)

    def __hash__(self) -> int:
        return hash((self.array.shape, self.array.tobytes()))

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


def _as_plane(array: ArrayLike, kind: str) -> NDArray[Any]:
    """Take `array` as a finite `H W` plane of numbers, or say why not."""
    plane = np.asarray(array)
    if plane.ndim != 2 or plane.size == 0:
        raise PromptError(f"{kind} of shape {plane.shape}: give one plane of height x width")
    if plane.dtype.kind not in "buif":
        raise PromptError(f"{kind} of type {plane.dtype}: give bool, integers or floats")
    if plane.dtype.kind == "f" and not np.isfinite(plane).all():
        raise PromptError(f"{kind} holds NaN or infinite values: give numbers in [0, 1]")
    return plane


def _full_scale(plane: NDArray[Any]) -> float:
    """Return the value that means 1 in `plane`'s type."""
    return float(np.iinfo(plane.dtype).max) if plane.dtype.kind in "ui" else 1.0


@dataclass(frozen=True, eq=False)
class Mask(_Raster):
    """A rough mask of the object.

    Attributes:
        array: `H W`. Bool; integers count from half their type's range, floats from 0.5.

    Raises:
        PromptError: If it isn't one plane of numbers, or marks no pixel.
    """

    array: NDArray[Any]

    def __post_init__(self) -> None:
        plane = _as_plane(self.array, "mask")
        mask = plane.copy() if plane.dtype == np.bool_ else plane > _full_scale(plane) / 2
        if not mask.any():
            raise PromptError("mask is empty: mark at least one pixel of the object")
        mask.flags.writeable = False
        object.__setattr__(self, "array", mask)


@dataclass(frozen=True, eq=False)
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
        if plane.dtype == np.bool_:
            raise PromptError("trimap of type bool has no unknown band: give it as mask instead")
        full = _full_scale(plane)
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

    @classmethod
    def of(
        cls,
        *,
        points: "Iterable[Point | tuple[float, float]] | ArrayLike | None" = None,
        labels: ArrayLike | None = None,
        box: "Box | tuple[float, float, float, float] | ArrayLike | None" = None,
        mask: "Mask | ArrayLike | None" = None,
        trimap: "Trimap | ArrayLike | None" = None,
    ) -> Self:
        """Build a prompt from whatever a caller has at hand.

        Args:
            points: `N` points, or an `N 2` array of (x, y) in pixels.
            labels: `N` values 1 or 0; all 1 when left out.
            box: A `Box` or ``(x0, y0, x1, y1)`` in pixels.
            mask: A `Mask` or an `H W` array.
            trimap: A `Trimap` or an `H W` array.

        Raises:
            PromptError: If any of them can't be read as what it should be.
        """
        return cls(
            points=_as_points(points, labels),
            box=_as_box(box),
            mask=mask if mask is None or isinstance(mask, Mask) else Mask(np.asarray(mask)),
            trimap=(
                trimap
                if trimap is None or isinstance(trimap, Trimap)
                else Trimap(np.asarray(trimap))
            ),
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


def _as_points(points: Any, labels: Any) -> tuple[Point, ...]:
    """Pair points with labels, or say why they don't pair."""
    if points is None:
        if labels is not None:
            raise PromptError("labels without points: give points too")
        return ()
    listed = list(points)
    if listed and all(isinstance(p, Point) for p in listed):
        if labels is not None:
            raise PromptError("labels beside Point objects: the label belongs in the Point")
        return tuple(listed)
    try:
        pairs = np.asarray(listed, dtype=float).reshape(-1, 2)
        flags = np.ones(len(pairs)) if labels is None else np.asarray(labels, float).reshape(-1)
    except (TypeError, ValueError) as error:
        raise PromptError(f"points {points!r}: give N pairs of x, y and N labels") from error
    if len(pairs) != len(flags):
        raise PromptError(f"{len(pairs)} points with {len(flags)} labels: give one label a point")
    if not np.isin(flags, (0.0, 1.0)).all():
        raise PromptError(f"labels {labels!r}: use 1 (include) or 0 (exclude)")
    return tuple(
        Point(float(x), float(y), int(label)) for (x, y), label in zip(pairs, flags, strict=True)
    )


def _as_box(box: Any) -> Box | None:
    """Take four numbers as a box, or say why not."""
    if box is None or isinstance(box, Box):
        return box
    try:
        corners = [float(v) for v in box]
        return Box(*corners)
    except (TypeError, ValueError) as error:
        raise PromptError(f"box {box!r}: give four numbers x0, y0, x1, y1") from error
