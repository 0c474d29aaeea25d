"""Alphas of a clip that don't flicker: a temporal filter for where a matte is uncertain."""

from collections.abc import Mapping
from typing import Any

import cv2  # noqa: TID253 - like foreground, loaded only by those who use it
import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PullmatteError
from pullmatte.models.classical.flow import Flow, inconsistent
from pullmatte.models.protocol import BoolMask, Image, Plane

Picture = NDArray[np.uint8]
Box = tuple[slice, slice]

# Chosen on moved cut-outs of free art and on drawn fur, not on the clips that are reported
# (benchmarks/steady_alpha.py).
STRENGTH = 0.7
# Motion and light are compared on a copy of this long side.
LONG_SIDE_PX = 640
# By how much colours, and alphas, may differ before two frames no longer show the same thing.
COLOUR_SPREAD = 0.04
ALPHA_SPREAD = 0.3
# Film grain up to here isn't taken for a change.
MOST_NOISE = 0.03
WINDOW_PX = 5
# Without a trimap, this far around soft pixels is uncertain too.
BAND_PX = 2
LEAST_SIDE_PX, LEAST_SURE = 16, 64


class SteadyAlpha:
    """Takes flicker out of a clip's alphas, one frame after the other.

    Each uncertain pixel is pulled towards the previous result, moved along the image's motion, as
    far as both frames surely show the same thing there: the motion leads there and back again, the
    colours agree, and the alphas aren't far apart. Where one of them fails, as under a real change
    or next to an occlusion, the frame's own alpha comes through at once. Frames may come in either
    order; give each object and each direction its own instance.

    The same frames give the same result bit for bit, also through `state` and `restore`, as long
    as OpenCV runs with the same number of threads.
    """

    def __init__(self, *, strength: float = STRENGTH) -> None:
        """Start without a previous frame.

        Args:
            strength: Greatest weight of the previous frames, in [0, 1); 0 changes nothing.

        Raises:
            PullmatteError: If it is out of range.
        """
        if not 0 <= strength < 1:
            raise PullmatteError(f"strength {strength}: give one from 0 to less than 1")
        self._strength = strength
        self._image: Picture | None = None
        self._alpha: Plane | None = None

    def update(
        self, image: Image, alpha: Plane, trimap: Plane | None = None, *, hold: bool = False
    ) -> Plane:
        """Return the next frame's alpha without its flicker.

        Args:
            image: `H W 3` float32 in [0, 1].
            alpha: `H W` float32 in [0, 1], as the model gave it.
            trimap: `H W` float32 in {0, 0.5, 1}: only what is 0.5 may change. Without one, soft
                pixels and a narrow band around them may.
            hold: Whether this alpha is settled, as on a locked or prompted frame: it comes back as
                it is, and later frames follow it.

        Returns:
            `H W` float32 in [0, 1]; the first frame's alpha is unchanged.

        Raises:
            PullmatteError: If the parts don't fit each other or the previous frame.
        """
        _check(image, alpha, trimap, self._alpha)
        steady = np.nan_to_num(alpha.astype(np.float32), nan=0.0).clip(0, 1)
        small = _working_copy(image)
        if self._image is not None and self._alpha is not None and self._strength and not hold:
            uncertain = _uncertain(steady) if trimap is None else trimap == 0.5
            if uncertain.any():
                motion, trust = _follow(small, self._image, uncertain)
                _blend(steady, self._alpha, uncertain, motion, trust * np.float32(self._strength))
        self._image, self._alpha = small, steady
        return steady.copy()

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what the next frame needs, as named arrays; empty before the first frame."""
        if self._image is None or self._alpha is None:
            return {}
        return {"image": self._image.copy(), "alpha": self._alpha.copy()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from what `state` returned.

        Args:
            state: `image` (`h w 3` uint8, reduced) and `alpha` (`H W` float32), or empty.

        Raises:
            PullmatteError: If an array is missing or has the wrong shape.
        """
        if not state:
            self._image = self._alpha = None
            return
        if not {"image", "alpha"} <= state.keys():
            raise PullmatteError(
                f"alpha filter's state with {sorted(state)}: expected 'alpha' and 'image'; "
                "pass what state() returned"
            )
        image, alpha = state["image"], state["alpha"]
        if alpha.ndim != 2 or image.shape != (*_reduced(alpha.shape), 3):
            raise PullmatteError(
                f"alpha filter's state of shapes {image.shape} and {alpha.shape}: expected H W 3 "
                f"of a long side of at most {LONG_SIDE_PX} and H W; pass what state() returned"
            )
        self._image, self._alpha = np.array(image, np.uint8), np.array(alpha, np.float32)


def _check(image: Image, alpha: Plane, trimap: Plane | None, previous: Plane | None) -> None:
    if alpha.ndim != 2 or image.shape != (*alpha.shape, 3) or alpha.size == 0:
        raise PullmatteError(
            f"image of shape {image.shape} with alpha of shape {alpha.shape}: "
            "expected H W 3 and H W of one size"
        )
    if trimap is not None and trimap.shape != alpha.shape:
        raise PullmatteError(
            f"trimap of shape {trimap.shape} with alpha of shape {alpha.shape}: give one size"
        )
    if previous is not None and previous.shape != alpha.shape:
        raise PullmatteError(
            f"frame of {alpha.shape[1]}x{alpha.shape[0]} after one of "
            f"{previous.shape[1]}x{previous.shape[0]}: keep one size per clip"
        )


def _reduced(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of the working copy."""
    scale = min(1.0, LONG_SIDE_PX / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _working_copy(image: Image) -> Picture:
    height, width = _reduced(image.shape[:2])
    small = np.asarray(image, np.float32)
    if (height, width) != image.shape[:2]:
        small = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA))
    return np.round(np.nan_to_num(small, nan=0.0).clip(0, 1) * 255).astype(np.uint8)


def _uncertain(alpha: Plane) -> BoolMask:
    soft = ((alpha > 0) & (alpha < 1)).astype(np.uint8)
    side = 2 * BAND_PX + 1
    return np.asarray(cv2.dilate(soft, np.ones((side, side), np.uint8)) > 0)


def _follow(now: Picture, before: Picture, uncertain: BoolMask) -> tuple[Flow, Plane]:
    """Return the flow from this working copy to the previous one, and the trust in it in [0, 1]."""
    height, width = now.shape[:2]
    flow = np.zeros((height, width, 2), np.float32)
    trust = np.ones((height, width), np.float32)
    if min(height, width) >= LEAST_SIDE_PX:
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        # The preset stops at a quarter of the size, too coarse for hair.
        search.setFinestScale(0)
        greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (now, before)]
        flow = np.asarray(search.calc(greys[0], greys[1], flow), np.float32)
        back = np.asarray(search.calc(greys[1], greys[0], np.zeros_like(flow)), np.float32)
        trust[inconsistent(flow, back)] = 0
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    x, y = np.asarray(columns + flow[..., 0]), np.asarray(rows + flow[..., 1])
    trust[(x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)] = 0
    share = cv2.resize(uncertain.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    moved = cv2.remap(
        before,
        x.astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    sure = (np.asarray(share) == 0) & (trust > 0)
    return flow, trust * _same_colours(now, np.asarray(moved, np.uint8), sure)


def _same_colours(now: Picture, moved: Picture, sure: BoolMask) -> Plane:
    """Say per pixel, in [0, 1], how well the moved previous frame agrees with this one."""
    here, there = (picture.astype(np.float32) / np.float32(255) for picture in (now, moved))
    enough = np.count_nonzero(sure) >= LEAST_SURE
    if enough:
        # Known pixels tell how the light changed; uncertain ones would hide an object's own fade.
        seen, seen_before = here[sure], there[sure]
        gain = ((seen * seen_before).sum(0) + 0.1) / ((seen_before**2).sum(0) + 0.1)
        there *= gain.clip(0.5, 2).astype(np.float32)
    apart = cv2.blur(((here - there) ** 2).max(axis=2), (WINDOW_PX, WINDOW_PX))
    grain = min(MOST_NOISE**2, float(np.median(apart[sure]))) if enough else 0.0
    return np.asarray(np.exp(-np.maximum(0, apart - grain) / COLOUR_SPREAD**2), np.float32)


def _blend(alpha: Plane, previous: Plane, uncertain: BoolMask, motion: Flow, weight: Plane) -> None:
    """Pull `alpha`'s uncertain pixels, in place, towards the moved `previous`.

    Motion and weight are those of the working copy.
    """
    rows, columns = np.flatnonzero(uncertain.any(1)), np.flatnonzero(uncertain.any(0))
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    flow = _enlarged(motion, alpha.shape, box)
    flow *= np.array(alpha.shape[::-1], np.float32) / np.array(motion.shape[1::-1], np.float32)
    x = flow[..., 0] + np.arange(box[1].start, box[1].stop, dtype=np.float32)
    y = flow[..., 1] + np.arange(box[0].start, box[0].stop, dtype=np.float32)[:, None]
    # Cubic: taken again and again, linear samples would wash hair out.
    moved = cv2.remap(previous, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    own, open_ = alpha[box], uncertain[box]
    apart = np.where(open_, np.asarray(moved, np.float32).clip(0, 1) - own, np.float32(0))
    window = (WINDOW_PX, WINDOW_PX)
    count = np.asarray(cv2.blur(open_.astype(np.float32), window))
    spread = np.asarray(cv2.blur(apart**2, window)) / np.maximum(count, np.float32(1e-3))
    agree = np.exp(-np.maximum(spread, 0) / np.float32(ALPHA_SPREAD**2))
    own += _enlarged(weight, alpha.shape, box) * agree * apart
    own.clip(0, 1, out=own)


def _enlarged(plane: NDArray[np.float32], shape: tuple[int, ...], box: Box) -> NDArray[np.float32]:
    """Resample a plane of the working copy to the full size, only inside `box`."""
    x_scale, y_scale = plane.shape[1] / shape[1], plane.shape[0] / shape[0]
    rows, columns = box
    place = np.array([
        [x_scale, 0, (columns.start + 0.5) * x_scale - 0.5],
        [0, y_scale, (rows.start + 0.5) * y_scale - 0.5],
    ])
    resampled = cv2.warpAffine(
        plane,
        place,
        (columns.stop - columns.start, rows.stop - rows.start),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(resampled, np.float32)
