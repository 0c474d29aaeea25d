"""Puts what is drawn in a square on a wide canvas, where it moves and is smeared by its motion."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.data.compositing import placed
from pullmatte.data.cutouts import StoredCutout
from pullmatte.data.moving_grounds import Size
from pullmatte.data.moving_scenes import bent
from pullmatte.data.procedural import motion_blurred
from pullmatte.data.procedural.layer import Appearance, Painter, appearance_of, layer_of
from pullmatte.data.samples import Cutout

Design = Callable[[int, np.random.Generator], Painter]
Path = NDArray[np.float64]

RATE = 24
"""Frames a second."""
TRIES = 8
FAINT, LEAST_SEEN = 0.004, 0.012
SHUTTER = 0.5
"""Share of a frame's time in which the shutter is open."""


def staged(
    design: Design,
    frames: int,
    size: Size,
    rng: np.random.Generator,
    *,
    crossing: bool = False,
    filling: bool = False,
    speed: float = 1.0,
) -> Iterator[Appearance]:
    """Show an object for some frames.

    An object that lies wholly in its square moves about; one that its square cuts is shown so
    large that the canvas lies inside the square.

    Args:
        design: draws the object.
        frames: how many.
        size: the canvas's width and height.
        rng: all random numbers come from it.
        crossing: whether it goes from one side towards the other, instead of about a place.
        filling: whether it is shown large in any case.
        speed: of its own time.

    Yields:
        `H W` each.
    """
    width, height = size
    times = [speed * at / RATE for at in range(frames)]
    if not filling:
        for _ in range(TRIES):
            side = round(height * rng.uniform(0.7, 1.15))
            painter = design(side, rng)
            if _lies_inside([painter(time).alpha for time in (0.0, times[-1] / 2, times[-1])]):
                yield from _moving(painter, times, side, size, rng, crossing)
                return
    for _ in range(TRIES):
        painter = design(max(size), rng)
        room = max(size) - np.array([height, width])
        top, left = (int(rng.uniform(0.2, 0.8) * each) for each in room)
        window = slice(top, top + height), slice(left, left + width)
        if float(painter(0.0).alpha[window].mean()) > LEAST_SEEN:
            break
    for time in times:
        colour, alpha = painter(time)
        yield Appearance(colour[window], alpha[window])


def cutout_design(cutout: StoredCutout, bend: float = 0.03) -> Design:
    """Return what draws a cut-out that bends and sways.

    Args:
        cutout: is fitted into the square.
        bend: by how much, as a share of its size; 0 for stiff things.
    """

    def design(size_px: int, generator: np.random.Generator) -> Painter:
        height, width = cutout.rgba.shape[:2]
        scale = 0.82 * size_px / max(height, width)
        first, second = generator.standard_normal((2, 4, 4, 2)) * bend * max(height, width)
        rate, swing = generator.uniform(2, 5), generator.normal(0, 0.05)
        mirror = -1 if generator.random() < 0.5 else 1
        middle = np.array([(width - 1) / 2, (height - 1) / 2])

        def paint(time: float) -> Appearance:
            angle = swing * np.sin(rate * time)
            cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
            linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([mirror, 1])
            offset = (size_px - 1) / 2 - linear @ middle
            waves = first * np.sin(rate * time) + second * (1 - np.cos(rate * time))
            rgba = bent(cutout.rgba, waves.astype(np.float32)) if bend and time else cutout.rgba
            matrix = np.hstack([linear, offset[:, None]])
            layer = placed(rgba, matrix, (size_px, size_px), linear=False)
            return appearance_of(np.dstack([layer.colour, layer.alpha]))

        return paint

    return design


def _lies_inside(alphas: list[NDArray[np.float32]]) -> bool:
    """Say whether an object is seen at all, and never touches the edge of its square."""
    rims = [np.concatenate([a[0], a[-1], a[:, 0], a[:, -1]]).max() for a in alphas]
    return max(rims) < FAINT and float(alphas[0].mean()) > LEAST_SEEN


def _moving(
    painter: Painter,
    times: list[float],
    side: int,
    size: Size,
    rng: np.random.Generator,
    crossing: bool,
) -> Iterator[Appearance]:
    path = _path(len(times), side, size, rng, crossing)
    steps = np.gradient(path, axis=0) if len(path) > 1 else np.zeros_like(path)
    for at, time in enumerate(times):
        layer = layer_of(*painter(time))
        matrix = np.array([[1, 0, path[at, 0]], [0, 1, path[at, 1]]])
        shown = appearance_of(np.asarray(cv2.warpAffine(layer, matrix, size), np.float32))
        shift = steps[at] * SHUTTER
        if np.hypot(*shift) > 1:
            smeared = motion_blurred(
                Cutout(shown.colour, shown.alpha, ""), (float(shift[0]), float(shift[1]))
            )
            shown = Appearance(smeared.colour, smeared.alpha)
        yield shown


def _path(frames: int, side: int, size: Size, rng: np.random.Generator, crossing: bool) -> Path:
    """Draw where the square's corner is in each frame, `T 2`."""
    room = np.array(size) - side
    middle = room / 2 + rng.uniform(-0.3, 0.3, 2) * np.maximum(room, 0.15 * side)
    time = np.arange(frames)[:, None] / RATE
    reach = rng.uniform(0.02, 0.12, 2) * size[0] * (1, 0.5)
    rate, phase = rng.uniform(1, 4, 2), rng.uniform(0, 2 * np.pi, 2)
    path = middle + reach * (np.sin(rate * time + phase) - np.sin(phase))
    if crossing:
        speed = np.sign(rng.standard_normal()) * rng.uniform(0.3, 0.7) * size[0]
        way = speed * min(frames / RATE, 1.5)
        share = np.linspace(-0.5, 0.5, frames) if frames > 1 else np.zeros(1)
        path = np.stack([room[0] / 2 + way * share, np.full(frames, middle[1])], 1)
    return np.asarray(path, np.float64)
