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
Ties = NDArray[np.float32]
"""`h w 3`: where a pixel lies in the previous frame, (dx, dy) in pixels, and how surely."""

# Chosen on moved cut-outs of free art and drawn fur: benchmarks/steady_alpha.py --tune.
STRENGTH = 0.7
# Motion and light are compared on a copy of this long side.
LONG_SIDE_PX = 640
# By how much colours, and alphas, may differ before two frames no longer show the same thing.
COLOUR_SPREAD, COARSE_SPREAD, FINE_SPREAD = 0.05, 0.3, 0.1
# Film grain up to here isn't taken for a change.
MOST_NOISE = 0.03
WINDOW_PX, FADE_SPREAD, FADE_WINDOW_PX = 5, 0.015, 31
# Without a trimap, this far around soft pixels is uncertain too.
BAND_PX = 2
LEAST_SIDE_PX, LEAST_SURE, MARGIN_PX = 16, 64, 48


class SteadyAlpha:
    """Takes flicker out of a clip's alphas, one frame after the other.

    Each uncertain pixel is pulled towards the previous result, moved along the image's motion, as
    far as both frames surely show the same thing there: the motion leads there and back again, the
    colours agree, and the alphas aren't far apart. Else the frame's own alpha comes through at
    once. Frames may come in either order; give each object and direction its own instance. The
    same frames give the same bits, also through `state` and `restore`, as long as OpenCV runs with
    the same number of threads.
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
                ties = _follow(small, self._image, uncertain)
                _blend(steady, self._alpha, uncertain, ties, self._strength)
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
        shapes = {name: array.shape for name, array in state.items()}
        size = shapes.get("alpha", ())
        if len(size) != 2 or shapes.get("image") != (*_reduced(size), 3):
            raise PullmatteError(
                f"alpha filter's state {shapes}: expected 'alpha' of H W and 'image' of h w 3 with "
                f"a long side of at most {LONG_SIDE_PX}; pass what state() returned"
            )
        self._image, self._alpha = state["image"].copy(), state["alpha"].copy()


def _check(image: Image, alpha: Plane, trimap: Plane | None, previous: Plane | None) -> None:
    size = alpha.shape
    fits = image.shape == (*size, 3) and (trimap is None or trimap.shape == size)
    if alpha.ndim != 2 or alpha.size == 0 or not fits:
        raise PullmatteError(
            f"image of shape {image.shape}, alpha of {size}, trimap of "
            f"{None if trimap is None else trimap.shape}: expected H W 3 and H W of one size"
        )
    if previous is not None and previous.shape != size:
        raise PullmatteError(
            f"frame of {size[1]}x{size[0]} after one of {previous.shape[1]}x{previous.shape[0]}: "
            "keep one size per clip"
        )


def _reduced(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of the working copy."""
    scale = min(1.0, LONG_SIDE_PX / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _working_copy(image: Image) -> Picture:
    size = _reduced(image.shape[:2])[::-1]
    small = cv2.resize(np.asarray(image, np.float32), size, interpolation=cv2.INTER_AREA)
    return np.round(np.nan_to_num(small, nan=0.0).clip(0, 1) * 255).astype(np.uint8)


def _uncertain(alpha: Plane) -> BoolMask:
    soft, side = ((alpha > 0) & (alpha < 1)).astype(np.uint8), 2 * BAND_PX + 1
    return np.asarray(cv2.dilate(soft, np.ones((side, side), np.uint8)) > 0)


def _box_of(uncertain: BoolMask, margin_px: int = 0) -> Box:
    """Return rows and columns around all uncertain pixels."""
    places = [np.flatnonzero(uncertain.any(axis)) for axis in (1, 0)]
    starts = [max(0, int(place[0]) - margin_px) for place in places]
    stops = [int(place[-1]) + 1 + margin_px for place in places]
    return slice(starts[0], stops[0]), slice(starts[1], stops[1])


def _follow(now: Picture, before: Picture, uncertain: BoolMask) -> Ties:
    """Tie uncertain pixels of the working copy to the previous one."""
    ties, size = np.zeros(now.shape, np.float32), now.shape[1::-1]
    share = cv2.resize(uncertain.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    known = np.asarray(share) == 0
    part = _box_of(~known, MARGIN_PX)
    now, before, known = now[part], before[part], known[part]
    flow, good = _search(now, before)
    columns, rows = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in now.shape[1::-1]))
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    good &= (x >= 0) & (x <= now.shape[1] - 1) & (y >= 0) & (y <= now.shape[0] - 1)
    moved = cv2.remap(before, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    trust = good * _same_colours(now, np.asarray(moved, np.uint8), known & good)
    ties[part] = np.dstack([flow, trust])
    return ties


def _search(now: Picture, before: Picture) -> tuple[Flow, BoolMask]:
    """Return the flow, and where it leads there and back again."""
    flow = np.zeros((*now.shape[:2], 2), np.float32)
    if min(now.shape[:2]) < LEAST_SIDE_PX:
        return flow, np.ones(now.shape[:2], np.bool_)
    greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (now, before)]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    # The preset stops at a quarter of the size, too coarse for hair.
    search.setFinestScale(0)
    back = np.asarray(search.calc(greys[1], greys[0], np.zeros_like(flow)), np.float32)
    flow = np.asarray(search.calc(greys[0], greys[1], flow), np.float32)
    return flow, ~inconsistent(flow, back)


def _same_colours(now: Picture, moved: Picture, sure: BoolMask) -> Plane:
    """Say per pixel, in [0, 1], how well the moved previous frame agrees with this one."""
    here, there = (picture.astype(np.float32) / np.float32(255) for picture in (now, moved))
    enough = np.count_nonzero(sure) >= LEAST_SURE
    if enough:
        # Known pixels tell how the light changed; uncertain ones would hide an object's own fade.
        seen, seen_before = here[sure], there[sure]
        gain = ((seen * seen_before).sum(0) + 0.1) / ((seen_before**2).sum(0) + 0.1)
        there *= gain.clip(0.5, 2).astype(np.float32)
    change = here - there
    apart = _blur(_greatest(change), WINDOW_PX)
    grain = min(MOST_NOISE**2, float(np.median(apart[sure]))) if enough else 0.0
    # Grain and small shifts cancel out over a wider window; what stays is a fade of the object.
    drift = _greatest(_blur(change, FADE_WINDOW_PX))
    unlike = np.maximum(0, apart - grain) / COLOUR_SPREAD**2 + drift / FADE_SPREAD**2
    return np.asarray(np.exp(-unlike), np.float32)


def _blend(alpha: Plane, before: Plane, uncertain: BoolMask, ties: Ties, strength: float) -> None:
    """Pull `alpha`'s uncertain pixels, in place, towards the moved `before`."""
    box = _box_of(uncertain)
    near = _enlarged(ties, alpha.shape, box)
    near *= np.array(
        [alpha.shape[1] / ties.shape[1], alpha.shape[0] / ties.shape[0], 1], np.float32
    )
    x = near[..., 0] + np.arange(box[1].start, box[1].stop, dtype=np.float32)
    y = near[..., 1] + np.arange(box[0].start, box[0].stop, dtype=np.float32)[:, None]
    # Cubic: taken again and again, linear samples would wash hair out.
    moved = cv2.remap(before, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    own, free = alpha[box], uncertain[box]
    apart = np.where(free, np.asarray(moved, np.float32).clip(0, 1) - own, np.float32(0))
    count = np.maximum(_blur(free.astype(np.float32), WINDOW_PX), np.float32(1e-3))
    coarse = _blur(apart, WINDOW_PX) / count
    fine = np.where(free, apart - coarse, np.float32(0))
    unlike = _blur(apart**2, WINDOW_PX) / (count * np.float32(COARSE_SPREAD**2))
    # Fine detail that moved a little too far is no flicker: it is held to a stricter measure.
    detail = _blur(fine**2, WINDOW_PX) / (count * np.float32(FINE_SPREAD**2))
    trust = near[..., 2]
    pull = np.exp(-unlike) * (coarse + np.exp(-detail) * trust**2 * fine)
    own += np.where(free, strength * trust * pull, np.float32(0))
    own.clip(0, 1, out=own)


def _greatest(change: Plane) -> Plane:
    """Return the greatest square over the channels."""
    red, green, blue = cv2.split(change * change)
    return np.asarray(np.maximum(np.maximum(red, green), blue), np.float32)


def _blur(plane: Plane, side_px: int) -> Plane:
    return np.asarray(cv2.blur(plane, (side_px, side_px)), np.float32)


def _enlarged(plane: NDArray[np.float32], shape: tuple[int, ...], box: Box) -> NDArray[np.float32]:
    """Resample a plane of the working copy to the full size, only inside `box`."""
    scale = [plane.shape[n] / shape[n] for n in (1, 0)]
    starts = [(box[n].start + 0.5) * scale[1 - n] - 0.5 for n in (1, 0)]
    place = np.column_stack([np.diag(scale), starts])
    size = box[1].stop - box[1].start, box[0].stop - box[0].start
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(plane, place, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    )
