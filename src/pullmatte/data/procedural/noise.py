"""Smooth random fields that can drift and change with time."""

import cv2
import numpy as np

from pullmatte.data.samples import Plane

GRID_STEPS = 8
SPREAD = 0.62


class Noise:
    """Octaves of small random grids, each blown up by cubic interpolation.

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
            count = cells * 2**octave
            side = int(np.ceil(count)) + 4
            first, second = generator.standard_normal((2, side, side), np.float32)
            self.octaves.append((count, gain**octave, first, second))
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
            `size size`, about zero mean and unit deviation.
        """
        field: Plane | None = None
        for number, (count, strength, first, second) in enumerate(self.octaves):
            angle = time * 1.5**number
            grid = (strength / self.scale) * (np.cos(angle) * first + np.sin(angle) * second)
            finest = count * max(aspect)
            side = min(size_px, 2 ** int(np.ceil(np.log2(GRID_STEPS * finest))))
            read = _read_window(grid.astype(np.float32), count, side, shift, aspect)
            if field is not None:
                read += cv2.resize(field, (side, side), interpolation=cv2.INTER_CUBIC)
            field = read
        assert field is not None
        if field.shape[0] != size_px:
            field = cv2.resize(field, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
        return np.asarray(field, np.float32)


def _read_window(
    grid: Plane, count: float, side: int, shift: tuple[float, float], aspect: tuple[float, float]
) -> Plane:
    step_x, step_y = count * aspect[0] / side, count * aspect[1] / side
    matrix = np.array([
        [step_x, 0, step_x / 2 + (shift[0] * count) % grid.shape[1]],
        [0, step_y, step_y / 2 + (shift[1] * count) % grid.shape[0]],
    ])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    window = cv2.warpAffine(grid, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_WRAP)
    return np.asarray(window, np.float32)
