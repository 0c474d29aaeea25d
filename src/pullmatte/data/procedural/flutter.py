"""Waves that run through a sheet."""

import numpy as np

from pullmatte.data.procedural.pose import Points


class Flutter:
    """Moves points of a sheet as a few slow waves run through it.

    Args:
        generator: gives the waves.
        strength: how far points move, in object coordinates.
    """

    def __init__(self, generator: np.random.Generator, strength: float) -> None:
        self.waves = generator.normal(0, 2.5, (4, 2))
        self.moves = generator.normal(0, strength, (4, 2))
        self.rates = generator.uniform(1, 4, 4)
        self.phases = generator.uniform(0, 2 * np.pi, 4)

    def bend(self, points: Points, time: float) -> Points:
        """Move points.

        Args:
            points: `... 2`, object coordinates.
            time: in seconds.

        Returns:
            `... 2`.
        """
        angle = points @ self.waves.T + self.phases + self.rates * time
        return np.asarray(points + np.sin(angle) @ self.moves / 2)
