"""The clean plate: what the ground behind an object looks like, as far as it has been seen.

While an object is tracked, the ground that it uncovers is kept and carried along with the ground's
own motion. So where the object comes to stand before ground that was seen, what a frame shows there
can be compared with what it would show without the object. Compositors make such a plate by hand.

This is pullmatte's own; no paper has it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.models.classical.flow import Flow

Bytes = NDArray[np.uint8]
Matrix = NDArray[np.float64]
"""`2 3`: where a place (x, y, 1) lies in the frame before, in pixels."""
Part = tuple[slice, slice]

PLANES = 9
"""Of a comparison."""
_KNOWN = 255
_STEP_PX = 5
_LEAST_PLACES = 24
_ROUNDS = 5
_LEAST_SPREAD_PX = 0.2
# Of a motion across the picture: one that few places say is mostly a shift.
_STIFF = 2.0
_NEWEST = 0.7
_SIDE_PX = 7
_MOST_STRAY_PX = 16.0
_LEAST_TEXTURE = 0.002


@dataclass(frozen=True, eq=False)
class CleanPlate:
    """The ground as it would be seen in a frame.

    Attributes:
        layer: `h w 4` uint8: its colours, and 255 where they are known; else all is 0.
    """

    layer: Bytes

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where anything is known, `h w`."""
        return np.asarray(self.layer[..., 3] > 0, np.bool_)

    @staticmethod
    def begin(picture: Bytes, ground: NDArray[np.bool_]) -> "CleanPlate":
        """Return what a first frame shows; see `seen`."""
        return CleanPlate(np.zeros((*ground.shape, 4), np.uint8)).seen(picture, ground)

    def forgotten(self) -> "CleanPlate":
        """Return one of the same size of which nothing is known."""
        return CleanPlate(np.zeros_like(self.layer))

    def carried(self, motion: Matrix) -> "CleanPlate":
        """Return it as it lies in the next frame.

        Args:
            motion: Of the ground, to the frame before.
        """
        how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        # Of bytes OpenCV makes brighter ones, and frame by frame that adds up.
        floats, size = self.layer.astype(np.float32), self.layer.shape[1::-1]
        moved = np.asarray(cv2.warpAffine(floats, motion, size, flags=how), np.float32)
        share = moved[..., 3]
        known = share > _KNOWN / 2
        edge = known & (np.abs(share - _KNOWN) > 0.5)
        moved[edge] *= _KNOWN / share[edge, None]
        moved[~known] = 0
        return CleanPlate(np.asarray(cv2.convertScaleAbs(moved.clip(min=0)), np.uint8))

    def seen(self, picture: Bytes, ground: NDArray[np.bool_]) -> "CleanPlate":
        """Return what is known after a frame.

        Args:
            picture: `h w 3` uint8.
            ground: `h w`, where it shows nothing else.
        """
        shown = np.dstack([picture, np.full(ground.shape, _KNOWN, np.uint8)])
        mixed = cv2.addWeighted(shown, _NEWEST, self.layer, 1 - _NEWEST, 0)
        known, layer = self.known, self.layer.copy()
        cv2.copyTo(mixed, (ground & known).view(np.uint8), layer)
        cv2.copyTo(shown, (ground & ~known).view(np.uint8), layer)
        return CleanPlate(layer)


def surely_ground(alpha: NDArray[np.float32], trimap: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Mark where a frame surely shows nothing but ground; not at the object's very edge.

    Args:
        alpha: `h w` in [0, 1].
        trimap: `h w` in [0, 1].
    """
    nothing = (alpha < 0.01) & (trimap < 0.01)
    return np.asarray(cv2.erode(nothing.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0, np.bool_)


def ground_motion(flow: Flow, ground: NDArray[np.bool_], part: Part) -> Matrix | None:
    """Find how a ground moves as a whole: shifts, turns, zooms and shears.

    Args:
        flow: `h w 2`, of a part of the frame, to the frame before.
        ground: The same part of what is surely ground.
        part: Rows and columns of it.

    Returns:
        None if too little of the ground is seen.
    """
    rows, columns = np.nonzero(ground[::_STEP_PX, ::_STEP_PX])
    if len(rows) < _LEAST_PLACES:
        return None
    rows, columns = rows * _STEP_PX, columns * _STEP_PX
    shifts = flow[rows, columns].astype(np.float64)
    at = np.stack([columns, rows], 1).astype(np.float64)
    middle = at.mean(0)
    reach = max(1.0, float(np.abs(at - middle).max()))
    places = np.concatenate([(at - middle) / reach, np.ones((len(at), 1))], 1)
    apart = np.square(shifts - np.median(shifts, 0)).sum(1)
    found = np.zeros((3, 2))
    for _ in range(_ROUNDS):
        # Geman and McClure's weights: what moves otherwise, a passer-by say, doesn't count.
        spread = max(_LEAST_SPREAD_PX**2, float(np.median(apart)))
        weights = 1 / np.square(1 + apart / (2 * spread))
        weighed = places * weights[:, None]
        normal = weighed.T @ places + np.diag([_STIFF, _STIFF, 1e-9])
        found = np.linalg.solve(normal, weighed.T @ shifts)
        apart = np.square(shifts - places @ found).sum(1)
    slope = found[:2].T / reach
    origin = np.array([part[1].start or 0, part[0].start or 0], np.float64)
    constant = found[2] - slope @ (middle + origin)
    return np.concatenate([np.eye(2) + slope, constant[:, None]], 1)


def compared(
    picture: Bytes, before: Bytes, plate: CleanPlate, motion: Matrix | None, flow: Flow, part: Part
) -> NDArray[np.float32]:
    """Compare a part of a frame with the ground as it would be seen there.

    Args:
        picture: `H W 3`, the frame.
        before: `H W 3`, the frame before.
        plate: The ground in this frame.
        motion: Of the ground; None if nobody knows, then it stands.
        flow: `h w 2`, of the part, to the frame before.
        part: Rows and columns.

    Returns:
        `PLANES h w`, each of the order of 1: three colours' differences from the ground, how large
        the largest is, where the ground is known, how far the picture is from the one before along
        with the ground, how much of the ground's texture is seen round each place, how much it
        has, and how far the flow is from the ground's.
    """
    motion = np.eye(2, 3) if motion is None else motion
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = before.shape[1::-1]
    along = cv2.warpAffine(before, motion, size, flags=how, borderMode=cv2.BORDER_REPLICATE)[part]
    layer, here = plate.layer[part], picture[part]
    known = (layer[..., 3] > 0).astype(np.float32)
    ground, seen = _floats(layer[..., :3]), _floats(here)
    apart = (seen - ground) * known[..., None]
    shown, texture = _shown_texture(ground, seen * known[..., None], known)
    strays = flow - _dense(motion, part)
    return np.stack([
        *np.moveaxis(3 * apart, 2, 0),
        2 * np.sqrt(_most(np.abs(apart))),
        known,
        _sum(np.asarray(cv2.absdiff(here, along), np.uint8)) * np.float32(4 / 255 / 3),
        shown * known,
        5 * texture * known,
        np.minimum(np.hypot(strays[..., 0], strays[..., 1]), _MOST_STRAY_PX) / 8,
    ]).astype(np.float32, copy=False)


def _most(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the greatest of three, `h w` of `h w 3`; numpy is slow along so short an axis."""
    red, green, blue = np.moveaxis(colours, 2, 0)
    return np.asarray(np.maximum(np.maximum(red, green), blue), np.float32)


def _sum(colours: Bytes) -> NDArray[np.float32]:
    red, green, blue = np.moveaxis(colours, 2, 0)
    return np.asarray(np.add(red, green, dtype=np.float32) + blue, np.float32)


def _floats(colours: Bytes) -> NDArray[np.float32]:
    return np.multiply(colours, np.float32(1 / 255), dtype=np.float32)


def _shown_texture(
    ground: NDArray[np.float32], seen: NDArray[np.float32], known: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the slope of what is seen over the ground round each place, and the ground's spread.

    Of an even veil the slope is 1 - alpha.

    Args:
        ground: `h w 3`, 0 where it isn't known.
        seen: `h w 3`, the same.
        known: `h w`.
    """

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(values, (_SIDE_PX, _SIDE_PX)), np.float32)

    count = (mean(known) + np.float32(1e-4))[..., None]
    middle, other = mean(ground) / count, mean(seen) / count
    spread = (mean(ground * ground) / count - middle * middle).sum(2)
    common = (mean(ground * seen) / count - middle * other).sum(2)
    slope = np.clip(common / (spread + _LEAST_TEXTURE), -1, 2)
    return slope, np.sqrt(np.maximum(spread, 0) / 3)


def _dense(motion: Matrix, part: Part) -> Flow:
    """Return a motion as flow, `h w 2` in pixels, on a part of the frame."""
    rows, columns = np.ogrid[part]
    linear = motion[:, :2] - np.eye(2)
    across, down = (
        rows * each[1] + (columns * each[0] + constant)
        for each, constant in zip(linear, motion[:, 2], strict=True)
    )
    return np.dstack([across, down]).astype(np.float32)
