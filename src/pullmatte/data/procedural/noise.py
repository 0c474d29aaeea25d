"""Smooth random fields that can drift and change with time."""

import numpy as np

from pullmatte.data.samples import Plane

SPREAD = 0.47


class Noise:
    """Octaves of small random grids, each blown up by cubic B-splines.

    A field is drawn once. It moves by where its grids are read, and changes by turning between two
    grids per octave, so neighbouring times look alike and it never repeats what it was.

    Args:
        generator: gives the grids.
        cells: grid cells along a side of the picture in the coarsest octave.
        octaves: how many, each with twice the cells.
        gain: strength of each octave relative to the one before.
    """

    def __init__(
        self, generator: np.random.Generator, cells: float, octaves: int = 4, gain: float = 0.5
    ) -> None:
        self.octaves: list[tuple[float, float, Plane, Plane]] = []
        for octave in range(octaves):
            count = float(cells) * 2**octave
            side = int(np.ceil(count)) + 4
            first, second = generator.standard_normal((2, side, side), np.float32)
            self.octaves.append((count, float(gain) ** octave, first, second))
        self.scale = SPREAD * float(np.sqrt(sum(o[1] ** 2 for o in self.octaves)))

    def at(
        self,
        size_px: int,
        time: float = 0.0,
        shift: tuple[float, float] = (0.0, 0.0),
        aspect: tuple[float, float] = (1.0, 1.0),
    ) -> Plane:
        """Read the field.

        Args:
            size_px: side of the square that is returned.
            time: how far the grids have turned, in radians for the coarsest octave.
            shift: how far the window has moved in x and y, in sides of the picture.
            aspect: how many times finer it is in x and in y.

        Returns:
            `size size` float32, about zero mean and unit deviation.
        """
        tall, wide = [], []
        for number, (count, strength, first, second) in enumerate(self.octaves):
            angle = float(time) * 1.5**number
            weight = strength / self.scale
            columns, across = _spline(size_px, count * aspect[0], count * shift[0])
            rows, down = _spline(size_px, count * aspect[1], count * shift[1])
            window = np.ix_(rows % len(first), columns % len(first))
            grid = np.float32(weight * np.cos(angle)) * first[window]
            grid += np.float32(weight * np.sin(angle)) * second[window]
            tall.append(down @ grid)
            wide.append(across)
        return np.hstack(tall) @ np.hstack(wide).T


def _spline(size_px: int, cells: float, start: float) -> tuple[np.ndarray, Plane]:
    """Return which grid lines a window needs and how much of each its pixels take.

    Args:
        size_px: pixels of the window.
        cells: grid cells along it.
        start: where it begins, in cells.

    Returns:
        Indices of `n` lines, and weights `size n` of cubic B-splines.
    """
    place = (np.arange(size_px) + 0.5) * (float(cells) / size_px) + float(start)
    low = np.floor(place).astype(int)
    t = place - low
    lines = np.arange(low[0] - 1, low[-1] + 3)
    weights = np.zeros((size_px, len(lines)), np.float32)
    rows, column = np.arange(size_px), low - low[0]
    weights[rows, column] = (1 - t) ** 3 / 6
    weights[rows, column + 1] = (3 * t**3 - 6 * t**2 + 4) / 6
    weights[rows, column + 2] = (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6
    weights[rows, column + 3] = t**3 / 6
    return lines, weights
