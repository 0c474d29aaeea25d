"""The turn that a video's display matrix asks for."""

from dataclasses import dataclass
from typing import Any

import av
import numpy as np

from pullmatte.io.yuv import FloatArray


@dataclass(frozen=True)
class Turn:
    """A transposition followed by mirroring; all eight upright orientations.

    Attributes:
        transposed: Rows become columns first.
        mirror_x: Then left and right are swapped.
        mirror_y: Then top and bottom are swapped.
    """

    transposed: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @property
    def degrees(self) -> int:
        """Counter-clockwise rotation in degrees; a mirrored picture counts as 0 or 90."""
        if self.transposed:
            return 90 if self.mirror_y else 270 if self.mirror_x else 90
        return 180 if self.mirror_x and self.mirror_y else 0

    def apply(self, array: FloatArray) -> FloatArray:
        """Turn an array.

        Args:
            array: ``H W`` or ``H W C``; not changed.

        Returns:
            The upright array, contiguous.
        """
        if not (self.transposed or self.mirror_x or self.mirror_y):
            return array
        turned = array.swapaxes(0, 1) if self.transposed else array
        turned = turned[:, ::-1] if self.mirror_x else turned
        turned = turned[::-1] if self.mirror_y else turned
        return np.ascontiguousarray(turned)


def turn_of(frame: av.VideoFrame) -> Turn:
    """Read a frame's display matrix.

    Args:
        frame: A decoded frame.

    Returns:
        How to make it upright; odd angles (not a multiple of 90 degrees) are left as they are.
    """
    raw: Any = frame.side_data.get("DISPLAYMATRIX")
    if raw is None:
        return Turn()
    matrix = np.frombuffer(bytes(raw), dtype="<i4")
    across, rise, fall, down = (int(matrix[place]) for place in (0, 1, 3, 4))
    if across and down and not rise and not fall:
        return Turn(False, across < 0, down < 0)
    if rise and fall and not across and not down:
        return Turn(True, fall < 0, rise < 0)
    return Turn()
