"""Thin tapered strands: how they grow, and how they are drawn finer than a pixel."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.data.procedural.layer import Layer, shrunk
from pullmatte.data.procedural.pose import Points
from pullmatte.data.procedural.raster import FAR, SHIFT

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.floating[Any]]

STEPS = 14
FINE = 4
# Lines along a diagonal leave no pixel between them if they are nearer than half its diagonal.
LINE_SPACING = 0.7
GROUPS = 48


@dataclass(frozen=True)
class Growth:
    """How strands leave their roots; each plane has a number per strand.

    Attributes:
        roots: `N 2`, object coordinates.
        angles: `N`, direction at the root, in radians, y down.
        lengths: `N`, object coordinates.
        bends: `N`, how far the direction turns from root to tip, in radians.
        curls: `N`, amplitude of the direction's waves, in radians.
        turns: `N`, how many waves along a strand.
        phases: `N`, of the waves.
        fall: how strongly directions turn downwards, 0 to 1 and more.
        clumps: `N`, the index of the strand that each one leans to.
        clumping: how close the tips come to it, 0 to 1.
        wind: how far a gust turns the tips, in radians.
        rate: of gusts, in radians a second.
        steps: points along each strand.
    """

    roots: Points
    angles: Numbers
    lengths: Numbers
    bends: Numbers
    curls: Numbers
    turns: Numbers
    phases: Numbers
    fall: float
    clumps: NDArray[np.int64]
    clumping: float
    wind: float
    rate: float
    steps: int = STEPS

    def curves(self, time: float = 0.0) -> Points:
        """Return where the strands run.

        Args:
            time: in seconds.

        Returns:
            `N steps 2`, object coordinates, from root to tip.
        """
        along = np.linspace(0, 1, self.steps)
        gust = np.sin(self.rate * time + self.phases[self.clumps, None] * 0.3 - 2 * along)
        angle = self.angles[:, None] + self.bends[:, None] * along
        wave = self.turns[:, None] * along * 2 * np.pi + self.phases[:, None]
        angle = angle + self.curls[:, None] * np.sin(wave)
        angle = angle + self.wind * along * gust
        x, y = np.cos(angle), np.sin(angle) + self.fall * along * 1.5
        norm = np.maximum(np.hypot(x, y), 1e-6)
        moves = (
            np.stack([x / norm, y / norm], -1) * (self.lengths / (self.steps - 1))[:, None, None]
        )
        moves[:, 0] = 0
        points = self.roots[:, None] + np.cumsum(moves, 1)
        pull = self.clumping * along[:, None] ** 1.5
        return np.asarray(points + pull * (points[self.clumps] - points))


def nearest_clump(roots: Points, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Choose strands that lead and find the nearest one for each strand.

    Args:
        roots: `N 2`.
        count: how many lead.
        generator: drawn from.

    Returns:
        `N` indices.
    """
    leaders = generator.choice(len(roots), min(count, len(roots)), replace=False)
    ahead = roots[leaders]
    distance = (ahead**2).sum(1) - 2 * roots @ ahead.T
    return np.asarray(leaders[distance.argmin(1)], np.int64)


def fine_canvas(size_px: int) -> Bytes:
    """Return a canvas of finer pixels to draw strands on, premultiplied.

    Args:
        size_px: side of the square.

    Returns:
        `4S 4S 4` zeros.
    """
    return np.zeros((size_px * FINE, size_px * FINE, 4), np.uint8)


def draw_strands(
    canvas: Bytes,
    curves_px: Points,
    widths_px: Numbers,
    colours: Numbers,
    *,
    taper: float = 1.0,
    opacity: float = 1.0,
    groups: int = GROUPS,
) -> None:
    """Draw strands over a canvas, in their order.

    Args:
        canvas: `4S 4S 4` uint8.
        curves_px: `N K 2`, in pixels of the picture.
        widths_px: `N`, at the root; no strand is thinner than a quarter pixel.
        colours: `N 3`, sRGB; strands that follow each other share one.
        taper: share of the width that is lost towards the tip.
        opacity: alpha that is written.
        groups: how many colours are used at most.
    """
    count = len(curves_px)
    middle = ((curves_px * FINE - 0.5) * (1 << SHIFT)).astype(np.float32)
    side = _sides(middle, widths_px * (FINE << SHIFT), taper)
    for group in np.array_split(np.arange(count), min(groups, count)):
        colour = np.clip(colours[group].mean(0), 0, 1) * (255 * opacity)
        number = 1 + int(np.ceil(max(widths_px[group].max() * FINE - 1, 0) / LINE_SPACING))
        lines: Points = middle[group][None]
        if number > 1:
            places = np.linspace(-0.5, 0.5, number, dtype=np.float32)[:, None, None, None]
            lines = lines + places * side[group]
        whole = np.clip(lines.reshape(-1, *middle.shape[1:]), -FAR, FAR).astype(np.int32)
        paint = (*(float(c) for c in colour), 255.0 * opacity)
        cv2.polylines(canvas, list(whole), False, paint, 1, cv2.LINE_8, SHIFT)


def _sides(middle: Points, widths: Numbers, taper: float) -> Points:
    """Return how far each strand reaches across, less the width of a line."""
    along = np.empty_like(middle)
    along[:, 1:-1] = middle[:, 2:] - middle[:, :-2]
    along[:, 0], along[:, -1] = middle[:, 1] - middle[:, 0], middle[:, -1] - middle[:, -2]
    keep = 1 - taper * np.linspace(0, 1, middle.shape[1]) ** 2
    reach = np.maximum(widths - (1 << SHIFT), 0)[:, None] * keep
    reach = reach / np.maximum(np.hypot(along[..., 0], along[..., 1]), 1e-6)
    return np.stack([-along[..., 1] * reach, along[..., 0] * reach], -1).astype(np.float32)


def strand_layer(canvas: Bytes) -> Layer:
    """Shrink a canvas to the picture's own pixels.

    Args:
        canvas: `4S 4S 4`, premultiplied.

    Returns:
        `S S 4`, premultiplied.
    """
    return shrunk(canvas, FINE).astype(np.float32) / np.float32(255)
