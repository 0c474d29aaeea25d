"""Where an object stands in its square, and how it sways there."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pullmatte.data.samples import Plane

Points = NDArray[np.floating[Any]]
"""`... 2` x and y."""

CUT_SHARE = 0.3


@dataclass(frozen=True)
class Pose:
    """A similarity from object coordinates, [-1, 1] in x to the right and y down, to the square.

    Attributes:
        centre: where the object's (0, 0) is, in sides of the square.
        scale: length of the object's 1, in sides of the square.
        angle: turn, in radians.
        swing: amplitude of the turn's sway, in radians.
        drift: amplitude of the centre's sway in x and y, in sides of the square.
        rate: of the sway, in radians a second.
        phase: of the sway.
    """

    centre: tuple[float, float] = (0.5, 0.5)
    scale: float = 0.47
    angle: float = 0.0
    swing: float = 0.0
    drift: tuple[float, float] = (0.0, 0.0)
    rate: float = 2.0
    phase: float = 0.0

    def matrix(self, size_px: int, time: float = 0.0) -> NDArray[np.float64]:
        """Return the map from object coordinates to pixels.

        Args:
            size_px: side of the square.
            time: in seconds.

        Returns:
            `2 3`; pixel (0, 0) covers the square from 0 to 1.
        """
        sway = np.sin(self.rate * time + self.phase) - np.sin(self.phase)
        angle = self.angle + self.swing * sway
        length = self.scale * size_px
        cos, sin = np.cos(angle) * length, np.sin(angle) * length
        x, y = (c + d * sway for c, d in zip(self.centre, self.drift, strict=True))
        return np.array([[cos, -sin, x * size_px], [sin, cos, y * size_px]])

    def place(self, points: Points, size_px: int, time: float = 0.0) -> Points:
        """Map object coordinates to pixels.

        Args:
            points: `... 2`.
            size_px: side of the square.
            time: in seconds.

        Returns:
            `... 2`.
        """
        matrix = self.matrix(size_px, time)
        return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])

    def coordinates(self, size_px: int, time: float = 0.0) -> tuple[Plane, Plane]:
        """Return the object coordinates of every pixel's centre.

        Args:
            size_px: side of the square.
            time: in seconds.

        Returns:
            x and y, `size size` each.
        """
        matrix = self.matrix(size_px, time)
        inverse = np.linalg.inv(matrix[:, :2])
        centres = np.arange(size_px) + 0.5
        right, down = centres - matrix[0, 2], (centres - matrix[1, 2])[:, None]
        x = inverse[0, 0] * right + inverse[0, 1] * down
        y = inverse[1, 0] * right + inverse[1, 1] * down
        return x.astype(np.float32), y.astype(np.float32)


def draw_pose(
    generator: np.random.Generator, *, tilt: float = 0.15, cut_share: float = CUT_SHARE
) -> Pose:
    """Draw a pose that fills most of the square, and now and then leaves it.

    Args:
        generator: drawn from.
        tilt: standard deviation of the turn, in radians.
        cut_share: how often the object is cut by the square's edge.

    Returns:
        The pose.
    """
    if generator.random() < cut_share:
        scale = generator.uniform(0.5, 1.0)
        centre = generator.uniform(0.2, 0.8, 2)
    else:
        scale = generator.uniform(0.36, 0.48)
        centre = 0.5 + generator.uniform(-1, 1, 2) * (0.5 - scale)
    return Pose(
        centre=(float(centre[0]), float(centre[1])),
        scale=float(scale),
        angle=float(generator.normal(0, tilt)),
        swing=float(generator.normal(0, 0.12)),
        drift=(float(generator.normal(0, 0.02)), float(generator.normal(0, 0.02))),
        rate=float(generator.uniform(1, 4)),
        phase=float(generator.uniform(0, 2 * np.pi)),
    )
