"""Dense optical flow that carries a mask from one frame to another."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.models.protocol import BoolMask, Plane

Flow = NDArray[np.float32]
"""`H W 2` float32, (dx, dy) in pixels: pixel (x, y) of one frame lies at (x + dx, y + dy) of the
other."""

_LEAST_SIDE_PX = 16  # DIS needs room for its patches


def estimate_flow(
    here: NDArray[np.uint8], there: NDArray[np.uint8], *, quick: bool = False
) -> Flow:
    """Find where each pixel of one frame lies in another.

    Args:
        here: `H W 3` uint8.
        there: `H W 3` uint8, of the same size.
        quick: Search less, but down to single pixels.

    Returns:
        `H W 2` float32 in pixels; zero for frames too small to match.

    Source: Kroeger et al., "Fast Optical Flow using Dense Inverse Search", as OpenCV has it.
    """
    if min(here.shape[:2]) < _LEAST_SIDE_PX:
        return np.zeros((*here.shape[:2], 2), np.float32)
    preset = cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST if quick else cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    solver = cv2.DISOpticalFlow.create(preset)
    if quick:
        # The preset stops at a quarter of the size.
        solver.setFinestScale(0)
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (here, there)]
    start = np.zeros((*here.shape[:2], 2), np.float32)
    return np.asarray(solver.calc(greys[0], greys[1], start), np.float32)


def fetch(plane: Plane, flow: Flow) -> Plane:
    """Bring a plane of the other frame to this one by this frame's flow; outside it is 0."""
    rows, columns = plane.shape
    ys, xs = np.mgrid[0:rows, 0:columns].astype(np.float32)
    return np.asarray(
        cv2.remap(plane, xs + flow[..., 0], ys + flow[..., 1], cv2.INTER_LINEAR), np.float32
    )


def inconsistent(forward: Flow, backward: Flow) -> BoolMask:
    """Mark where going there and back doesn't come home, so that the flow can't be trusted.

    Args:
        forward: `H W 2`, from this frame to the other.
        backward: `H W 2`, from the other frame to this one.

    Returns:
        `H W` bool.

    Source: Sundaram, Brox, Keutzer, "Dense point trajectories", eq. 5.
    """
    back = np.dstack([fetch(backward[..., i], forward) for i in (0, 1)])
    gap = ((forward + back) ** 2).sum(axis=2)
    length = (forward**2).sum(axis=2) + (back**2).sum(axis=2)
    return np.asarray(gap > 0.01 * length + 0.5, np.bool_)
