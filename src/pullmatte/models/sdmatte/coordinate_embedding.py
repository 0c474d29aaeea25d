"""Coordinate embedding: tells the U-Net where the prompt is."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pullmatte.errors import PromptError
from pullmatte.models.sdmatte.opacity_embedding import Projection, sinusoid


def divisor_for(count: int, width: int = 1680) -> int:
    """Return the smallest divisor of `width` that is at least `count`.

    So many numbers, the missing ones zeros, share a code of `width` evenly: 20 numbers are coded
    by 84 each.

    Raises:
        PromptError: If there are more numbers than the code can hold: half its width.

    Source: SDMatte, section 3.3; its text has it the other way round.
    """
    for divisor in range(max(1, count), width // 2 + 1):
        if width % divisor == 0:
            return divisor
    raise PromptError(
        f"{count // 2} points: give at most {width // 4}, the embedding holds no more"
    )


class CoordinateEmbedding(nn.Module):
    """f2(E_coord): corners of a box, or places of points, through an MLP for each of the two.

    Source: SDMatte, section 3.3, equations 1 and 2.
    """

    def __init__(
        self, box_width: int, points_width: int, condition_width: int, *, deep: bool = True
    ) -> None:
        """Take C of equation 1 for boxes and for points, and the condition vector's width."""
        super().__init__()
        self.box_width, self.points_width = box_width, points_width
        self.box = Projection(box_width, condition_width, deep=deep)
        self.points = Projection(points_width, condition_width, deep=deep)

    def forward(self, coordinates: Sequence[Tensor], are_points: Sequence[bool]) -> Tensor:
        """Embed each prompt's coordinates.

        Args:
            coordinates: For each of `B` prompts its numbers in [0, 1]: x_min, y_min, x_max, y_max,
                or x and y of each point.
            are_points: For each prompt whether its numbers are points.

        Returns:
            `B condition_width`.

        Raises:
            PromptError: If there are too many points.
        """
        rows = [
            self.points(self._points_code(numbers)[None])
            if points
            else self.box(self._box_code(numbers)[None])
            for numbers, points in zip(coordinates, are_points, strict=True)
        ]
        return torch.cat(rows)

    def _box_code(self, corners: Tensor) -> Tensor:
        return sinusoid(corners, self.box_width // 4).flatten()

    def _points_code(self, numbers: Tensor) -> Tensor:
        count = divisor_for(len(numbers), self.points_width)
        filled = nn.functional.pad(numbers.float(), (0, count - len(numbers)))
        return sinusoid(filled, self.points_width // count).flatten()
