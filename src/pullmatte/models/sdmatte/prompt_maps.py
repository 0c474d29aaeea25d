"""Prompt maps: what the network is shown and told of a prompt.

Each kind of prompt is a picture on the network's square, and numbers that say where it is. The
numbers are pixel indices / size: a box's greatest index is the last one inside, while its map
leaves that row and column out. Released weights were trained so.

Source: SDMatte, sections 3.2 to 3.4, and its data code.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from pullmatte.errors import PromptError
from pullmatte.models.sdmatte.fit import Fit, normalise
from pullmatte.prompts import Box, Prompt

PromptKind = Literal["box", "mask", "points", "trimap", "auto"]
TrimapAs = Literal["mask", "trimap"]
Plane = NDArray[np.float32]
BoolMask = NDArray[np.bool_]
Extent = tuple[int, int, int, int]
"""x_min, y_min, x_max, y_max as pixel indices, the greatest ones inside."""

POINT_SIGMA_PX = 35.0
"""Standard deviation of a point's spot on a square of 1024 pixels."""
MINIMUM_POINTS = 10
MOST_NUMBERS = 840

_SIGMA_SQUARE = 1024
_EVERYWHERE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class PromptMap:
    """One prompt as the network takes it.

    Attributes:
        kind: What it is; the network embeds "points" apart from all others.
        values: `S S` float32 in [0, 1], 1 where the prompt is.
        coordinates: In [0, 1]: x_min, y_min, x_max, y_max, or x, y of each point.
    """

    kind: PromptKind
    values: Plane
    coordinates: tuple[float, ...]

    @property
    def masks_attention(self) -> bool:
        """Whether self-attention is kept to where the map is above 0."""
        return self.kind in {"box", "mask", "points"}


def box_map(shape: tuple[int, int], extent: Extent | None) -> PromptMap:
    """Show a box.

    Args:
        shape: Rows and columns of the map, both `S` for the network.
        extent: The box; None for an empty one.

    Returns:
        1 inside but for the last row and column, which the released code leaves out.
    """
    rows, columns = shape
    values = np.zeros(shape, np.float32)
    if extent is None:
        return PromptMap("box", values, _EVERYWHERE)
    x_min, y_min, x_max, y_max = extent
    values[y_min:y_max, x_min:x_max] = 1
    return PromptMap("box", values, normalise(extent, columns, rows))


def mask_map(mask: BoolMask) -> PromptMap:
    """Show a rough mask, and tell its bounds.

    Args:
        mask: `S S` bool.

    Returns:
        1 inside; an empty mask has its bounds everywhere.
    """
    extent = _bounds(mask)
    rows, columns = mask.shape
    numbers = _EVERYWHERE if extent is None else normalise(extent, columns, rows)
    return PromptMap("mask", mask.astype(np.float32), numbers)


def points_map(
    shape: tuple[int, int],
    points: Sequence[tuple[int, int]],
    sigma_px: float = POINT_SIGMA_PX,
    *,
    minimum_points: int = MINIMUM_POINTS,
) -> PromptMap:
    """Show points as Gaussian spots of height 1, the highest one at each place.

    Args:
        shape: Rows and columns of the map, both `S` for the network.
        points: Column and row of each.
        sigma_px: The spots' standard deviation on this map.
        minimum_points: Fewer points are filled up with zeros to so many: with ten, the released
            weights see the one layout of numbers that they were trained with. 0 fills nothing up.

    Returns:
        The spots. They end four sigma away, and the map's border reflects them.

    Raises:
        PromptError: If there are more points than the coordinate embedding can hold.
    """
    if 2 * len(points) > MOST_NUMBERS:
        raise PromptError(
            f"{len(points)} points: give at most {MOST_NUMBERS // 2}, or a box or a mask instead"
        )
    rows, columns = shape
    values = np.zeros(shape, np.float32)
    for column, row in points:
        _add_spot(values, column, row, sigma_px)
    numbers = normalise([index for point in points for index in point], columns, rows)
    missing = 2 * (minimum_points - len(points))
    return PromptMap("points", values, numbers + (0.0,) * missing)


def trimap_map(trimap: Plane) -> PromptMap:
    """Show a trimap.

    Args:
        trimap: `S S` float32 in {0, 0.5, 1}.

    Returns:
        The trimap. The code knows this kind, but the released weights weren't trained with it.
    """
    return PromptMap("trimap", np.array(trimap, np.float32), _EVERYWHERE)


def auto_map(shape: tuple[int, int]) -> PromptMap:
    """Ask for whatever stands out.

    Args:
        shape: Rows and columns of the map, both `S` for the network.

    Returns:
        1 everywhere. The code knows this kind, but the released weights weren't trained with it.
    """
    return PromptMap("auto", np.ones(shape, np.float32), _EVERYWHERE)


def make_prompt_map(
    prompt: Prompt,
    fit: Fit,
    *,
    point_sigma_px: float = POINT_SIGMA_PX,
    minimum_points: int = MINIMUM_POINTS,
    trimap_as: TrimapAs = "mask",
) -> PromptMap:
    """Turn what a person said into what the network takes.

    The network takes one kind of prompt at a time, so the part that says most speaks alone: a
    trimap before a mask, before a box, before the points to include. Points to exclude can't be
    said to it. Where nothing is included, the whole image is the box.

    Args:
        prompt: In pixels of the image, and inside it.
        fit: How the image lies on the square.
        point_sigma_px: Standard deviation of a point's spot on a square of 1024 pixels; it scales
            with the square.
        minimum_points: Fewer points are filled up with zeros to so many.
        trimap_as: What a trimap becomes: "mask", of all that isn't known background, was trained;
            "trimap" was not.

    Returns:
        The map on the square, `S S`.

    Raises:
        PromptError: If there are too many points.
    """
    shape = (fit.size, fit.size)
    if prompt.trimap is not None:
        if trimap_as == "trimap":
            return trimap_map(fit.trimap(prompt.trimap.array))
        return mask_map(fit.mask(prompt.trimap.array > 0))
    if prompt.mask is not None:
        return mask_map(fit.mask(prompt.mask.array))
    if prompt.box is not None:
        return box_map(shape, _extent(prompt.box, fit))
    pixels = [fit.pixel(point.x, point.y) for point in prompt.points if point.label == 1]
    if not pixels:
        return box_map(shape, _extent(Box(0, 0, fit.width, fit.height), fit))
    sigma_px = point_sigma_px * fit.size / _SIGMA_SQUARE
    return points_map(shape, pixels, sigma_px, minimum_points=minimum_points)


def _bounds(mask: BoolMask) -> Extent | None:
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def _extent(box: Box, fit: Fit) -> Extent:
    """Find a box's first and last pixels on the square, two at least: one would show nothing."""
    x0, y0, x1, y1 = fit.box(box)
    left, top, right, bottom = fit.content
    x_min, x_max = _span(x0, x1, left, right)
    y_min, y_max = _span(y0, y1, top, bottom)
    return x_min, y_min, x_max, y_max


def _span(first: float, end: float, low: int, high: int) -> tuple[int, int]:
    at = min(max(math.floor(first + 0.5), low), max(high - 2, low))
    return at, min(max(math.floor(end + 0.5) - 1, at + 1), max(high - 1, at + 1))


def _add_spot(values: Plane, column: int, row: int, sigma_px: float) -> None:
    """Raise `values` to one point's spot.

    A Gaussian of a single pixel is the product of two lines, so nothing is filtered in two
    dimensions, and only the spot's own window is touched.
    """
    rows, columns = values.shape
    down, across = _line(rows, row, sigma_px), _line(columns, column, sigma_px)
    y, x = _support(down), _support(across)
    # Rounded where scipy's filter rounds, so that both give the same bits.
    spot = np.outer(down[y].astype(np.float32), across[x]).astype(np.float32)
    spot /= spot.max()
    np.maximum(values[y, x], spot, out=values[y, x])


def _line(length: int, at: int, sigma_px: float) -> NDArray[np.float64]:
    line = np.zeros(length)
    line[at] = 1
    return np.asarray(gaussian_filter1d(line, sigma_px, mode="reflect", truncate=4.0))


def _support(line: NDArray[np.float64]) -> slice:
    present = np.flatnonzero(line)
    return slice(int(present[0]), int(present[-1]) + 1)
