"""Cords and yarn: thick threads, shaded round, smooth or woolly."""

import cv2
import numpy as np

from pullmatte.data.procedural.hair import Hair
from pullmatte.data.procedural.layer import Appearance, Painter, appearance_of, dimmed
from pullmatte.data.procedural.noise import Noise
from pullmatte.data.procedural.outlines import ellipse
from pullmatte.data.procedural.palette import Colour, any_colour
from pullmatte.data.procedural.pose import Points, draw_pose
from pullmatte.data.procedural.raster import SHIFT, fixed
from pullmatte.data.procedural.strands import FINE, Bytes, Growth, fine_canvas, strand_layer

Thread = tuple[list[Points], float]
"""Curves, `N 2` each, in object coordinates, and how wide the thread is."""

ROUNDNESS = ((1.0, 0.55, 0.0), (0.65, 0.85, 0.12), (0.3, 1.1, 0.2))


def draw_cords(canvas: Bytes, curves_px: list[Points], width_px: float, colour: Colour) -> None:
    """Draw cords over a canvas: dark at their sides, light along their middle.

    Args:
        canvas: from `strands.fine_canvas`.
        curves_px: `N 2` each, in pixels of the picture.
        width_px: of all of them.
        colour: of all of them.
    """
    full = width_px * FINE
    for share, shade, shift in ROUNDNESS:
        thick = round(full * share)
        if thick < 1 and share < 1:
            break
        lines = [fixed(c - shift * width_px / 2, FINE) for c in curves_px]
        tone = np.clip(colour * (shade if full >= 2 else 1), 0, 1) * 255
        paint = (*(float(v) for v in tone), 255.0)
        cv2.polylines(canvas, lines, False, paint, max(thick, 1), cv2.LINE_8, SHIFT)


def yarn(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw yarn: a ball, a tangle, or loosely knitted rows, with wool that stands off it.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    pose = draw_pose(generator, tilt=1.0)
    curves, width = (_ball, _tangle, _knitting)[generator.integers(3)](generator)
    first, second = any_colour(generator), any_colour(generator)
    two = generator.random() < 0.25
    tones = [
        (second if two and n % 2 else first) * generator.normal(1, 0.1) for n in range(len(curves))
    ]
    wool = _wool(generator, size_px, curves, width, first)
    loose = float(generator.normal(0, 0.04))
    rate = float(generator.uniform(1, 4))

    def paint(time: float) -> Appearance:
        canvas = fine_canvas(size_px)
        wool.draw(canvas, pose, time)
        for curve, tone in zip(curves, tones, strict=True):
            bend = loose * np.sin(rate * time + 2 * curve[:, ::-1])
            placed = pose.place(curve + bend, size_px, time)
            draw_cords(canvas, [placed], width * pose.scale * size_px, tone.astype(np.float32))
        return appearance_of(dimmed(strand_layer(canvas), wool.sheen))

    return paint


def _ball(generator: np.random.Generator) -> Thread:
    """Wind threads around a ball, each seen as half an ellipse."""
    width = float(generator.uniform(0.03, 0.08))
    curves = [ellipse((0, 0), (0.72, 0.72)) * s for s in np.arange(0.05, 1, width)]
    for _ in range(int(4 / width)):
        flat, angle = generator.uniform(0, 0.95), generator.uniform(0, 2 * np.pi)
        turn = np.linspace(0, np.pi, 24)
        arc = np.stack([0.78 * np.cos(turn), 0.78 * flat * np.sin(turn)], -1)
        cos, sin = np.cos(angle), np.sin(angle)
        curves.append(arc @ np.array([[cos, sin], [-sin, cos]]))
    return [*curves, _loose_end(generator, np.array([0.3, 0.7]))], width


def _tangle(generator: np.random.Generator) -> Thread:
    """Let one thread run in wide uneven loops."""
    turn = np.linspace(0, 2 * np.pi * generator.uniform(3, 14), 400)
    rates = generator.uniform(0.6, 1.4, 4)
    x = np.sin(turn * rates[0]) + 0.5 * np.sin(turn * rates[1] * 1.7 + 1)
    y = np.cos(turn * rates[2]) + 0.5 * np.sin(turn * rates[3] * 1.3)
    line = np.stack([x, y], -1) * 0.58
    pieces: list[Points] = list(np.array_split(line, 8))
    return pieces, float(generator.uniform(0.015, 0.06))


def _knitting(generator: np.random.Generator) -> Thread:
    """Knit loops, row by row, so that holes stay between them."""
    rows, loops = int(generator.integers(5, 18)), int(generator.integers(6, 20))
    turn = np.linspace(0, 2 * np.pi * loops, 24 * loops)
    lean, high = generator.uniform(0.5, 1.0), generator.uniform(0.5, 0.75)
    x = (turn / (np.pi * loops) - 1) * 0.9 + lean * np.sin(2 * turn) * 0.9 / loops
    curves: list[Points] = []
    for row in range(rows):
        y = ((row + 0.5) / rows * 2 - 1) * 0.85
        curves.append(np.stack([x, y - high * np.cos(turn) * 1.7 / rows], -1))
    return curves, float(min(1.7 / rows, 1.8 / loops) * generator.uniform(0.2, 0.42))


def _loose_end(generator: np.random.Generator, start: Points) -> Points:
    along = np.linspace(0, 1, 40)
    turn = generator.normal(0, 2) * along + 0.8 * np.sin(along * generator.uniform(3, 9))
    steps = np.stack([np.cos(turn), np.sin(turn)], -1) * generator.uniform(0.5, 1.5) / 40
    return np.asarray(start + np.cumsum(steps, 0))


def _wool(
    generator: np.random.Generator,
    size_px: int,
    curves: list[Points],
    width: float,
    colour: Colour,
) -> Hair:
    """Let fine short hair stand off a thread to all sides."""
    spots = np.concatenate(curves)
    count = int(generator.choice([20, 400, 2000]))
    roots = spots[generator.integers(0, len(spots), count)]
    length = width * float(generator.uniform(0.7, 3))
    growth = Growth(
        roots=roots,
        angles=generator.uniform(0, 2 * np.pi, count),
        lengths=length * generator.lognormal(0, 0.4, count),
        bends=generator.normal(0, 1, count),
        curls=generator.uniform(0, 0.8, count),
        turns=np.full(count, 1.0),
        phases=generator.uniform(0, 2 * np.pi, count),
        fall=0.0,
        clumps=np.arange(count),
        clumping=0.0,
        wind=float(generator.normal(0, 0.2)),
        rate=float(generator.uniform(2, 6)),
    )
    tones = colour * generator.normal(1.1, 0.1, (count, 1))
    thin = np.full(count, 0.4 * size_px / 512)
    sheen = np.clip(1 + 0.15 * Noise(generator, 4, 3).at(size_px), 0.4, 1.6)
    return Hair(growth, thin, tones, float(generator.uniform(0.5, 1)), sheen)
