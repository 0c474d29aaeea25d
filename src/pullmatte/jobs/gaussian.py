"""Gaussian blur of any width at about the same cost."""

import numpy as np
from numpy.typing import NDArray

# Beyond this a smaller copy is blurred: what it leaves out is gone after the blur anyway.
DIRECT_PX = 8.0


def gaussian(plane: NDArray[np.float32], px: float) -> NDArray[np.float32]:
    """Blur; beyond the borders the plane goes on mirrored.

    Args:
        plane: `H W` or `H W C` float32, of at most four channels.
        px: The standard deviation in pixels; 0 changes nothing.

    Returns:
        A new plane of the same shape.
    """
    import cv2

    if px <= 0:
        return plane.copy()
    height, width = plane.shape[:2]
    factor = 1 if px <= DIRECT_PX else 2 ** int(np.log2(px / DIRECT_PX * 2))
    small = -(-width // factor), -(-height // factor)
    part = plane if factor == 1 else cv2.resize(plane, small, interpolation=cv2.INTER_AREA)
    sigmas = px * small[0] / width, px * small[1] / height
    blurred = cv2.GaussianBlur(
        part, (0, 0), sigmas[0], sigmaY=sigmas[1], borderType=cv2.BORDER_REFLECT
    )
    if factor > 1:
        blurred = cv2.resize(blurred, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(blurred, np.float32).reshape(plane.shape)
