"""Foreground colours: what the object looks like without its old background, still and moving."""

import threading
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PullmatteError

Array = NDArray[np.float32]

# Chosen on 79 composites of known colour (benchmarks/foreground.py): pymatting's own defaults
# (1e-5, 1.0, 2 iterations) smooth too much and reach less than half of this accuracy.
REGULARISATION = 1e-3
GRADIENT_WEIGHT = 0.02
ITERATIONS = 4
# Below this alpha a pixel's own colour fades into that of its surroundings.
LEAST_ALPHA = 0.02
# A wider margin changes nothing: crop and whole frame differ by 0.4/255 in the mean, as much as
# two whole frames whose edges are moved by 8 pixels do.
MARGIN_PX = 32
SOLID, LEAST_SOLID = 0.98, 64

# numba's fallback thread pool aborts the process when two threads enter it at once.
_one_at_a_time = threading.Lock()


def estimate_foreground(image: Array, alpha: Array) -> Array:
    """Estimate the object's own colour at every pixel.

    Opaque pixels keep the image's value exactly. Under transparent ones lies a smooth extension
    of the object, so that scaling or filtering the cut-out makes no halo.

    Args:
        image: `H W 3` float32 in [0, 1], display-encoded; larger values (HDR) are allowed.
        alpha: `H W` float32 in [0, 1].

    Returns:
        `H W 3` float32 in [0, 1], or up to the image's own peak if that is larger; all zero where
        the alpha is zero everywhere.

    Raises:
        PullmatteError: If the two don't fit each other.

    Source: Germer et al. 2020, fast multi-level foreground estimation, by pymatting.
    """
    image, alpha = _checked(image, alpha)
    return _estimate(image, alpha, shrink=1)


class StableForeground:
    """Foreground colours of a clip that don't flicker.

    Each frame's estimate is blended with the previous one, moved along the object's motion,
    wherever the two show the same thing. It works for frames in either order; give each object
    and each direction its own instance.

    The same frames give the same result bit for bit, also through `state` and `restore`, as long
    as OpenCV runs with the same number of threads.
    """

    def __init__(self, *, shrink: int = 2, strength: float = 0.75) -> None:
        """Start without a previous frame.

        Args:
            shrink: Factor by which frames are reduced for the estimate, which is then refined at
                full size; 1 is slower and a little more accurate.
            strength: Greatest weight of the previous frames, in [0, 1); 0 treats each frame alone.

        Raises:
            PullmatteError: If one of them is out of range.
        """
        if shrink < 1 or not 0 <= strength < 1:
            raise PullmatteError(
                f"shrink {shrink}, strength {strength}: give a shrink of 1 or more "
                "and a strength from 0 to less than 1"
            )
        self._shrink = shrink
        self._strength = strength
        self._foreground: Array | None = None
        self._alpha: Array | None = None
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        # The preset stops at a quarter of the size, too coarse for hair.
        self._search.setFinestScale(0)

    def update(self, image: Array, alpha: Array, flow: Array | None = None) -> Array:
        """Return the foreground colours of the next frame.

        Args:
            image: `H W 3` float32 in [0, 1].
            alpha: `H W` float32 in [0, 1].
            flow: `H W 2` float32, the object's motion as (x, y) pixels from this frame's pixel to
                the same spot of the previous frame; estimated if not given.

        Returns:
            `H W 3` float32, as `estimate_foreground` describes it.

        Raises:
            PullmatteError: If the parts don't fit each other or the previous frame.
        """
        image, alpha = _checked(image, alpha)
        foreground = _estimate(image, alpha, shrink=self._shrink)
        if self._foreground is not None and self._alpha is not None and self._strength > 0:
            if self._alpha.shape != alpha.shape:
                raise PullmatteError(
                    f"frame of {alpha.shape[1]}x{alpha.shape[0]} after one of "
                    f"{self._alpha.shape[1]}x{self._alpha.shape[0]}: keep one size per clip"
                )
            self._blend(foreground, alpha, self._foreground, self._alpha, flow)
        self._foreground, self._alpha = foreground, alpha.copy()
        return foreground.copy()

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return what the next frame needs, as named arrays; empty before the first frame."""
        if self._foreground is None or self._alpha is None:
            return {}
        return {"foreground": self._foreground.copy(), "alpha": self._alpha.copy()}

    def restore(self, state: Mapping[str, NDArray[np.float32]]) -> None:
        """Continue from what `state` returned.

        Args:
            state: `foreground` (`H W 3` float32) and `alpha` (`H W` float32), or empty.

        Raises:
            PullmatteError: If an array is missing or has the wrong shape.
        """
        if not state:
            self._foreground = self._alpha = None
            return
        if not {"foreground", "alpha"} <= state.keys():
            raise PullmatteError(
                f"foreground state with {sorted(state)}: expected 'alpha' and 'foreground'; "
                "pass what state() returned"
            )
        foreground, alpha = state["foreground"], state["alpha"]
        if alpha.ndim != 2 or foreground.shape != (*alpha.shape, 3):
            raise PullmatteError(
                f"foreground state of shapes {foreground.shape} and {alpha.shape}: "
                "expected H W 3 and H W; pass what state() returned"
            )
        self._foreground = np.array(foreground, np.float32)
        self._alpha = np.array(alpha, np.float32)

    def _blend(
        self,
        foreground: Array,
        alpha: Array,
        previous: Array,
        previous_alpha: Array,
        flow: Array | None,
    ) -> None:
        """Pull the soft pixels of `foreground`, in place, towards the moved `previous`."""
        box = _active_box(alpha, MARGIN_PX)
        if box is None:
            return
        if flow is None:
            flow = self._motion(foreground, alpha, previous, previous_alpha, box)
        elif flow.shape != (*alpha.shape, 2):
            raise PullmatteError(
                f"flow of shape {flow.shape} for a frame of {alpha.shape}: expected H W 2"
            )
        else:
            flow = np.asarray(flow[box], np.float32)
        now, alpha_now = foreground[box], alpha[box]
        soft = (alpha_now > 0) & (alpha_now < 1)
        rows, columns = np.nonzero(soft)
        if rows.size == 0:
            return
        own, own_alpha = now[rows, columns], alpha_now[rows, columns]
        moved, moved_alpha, inside = _follow(flow, previous, previous_alpha, (rows, columns), box)
        seen = np.nonzero(alpha_now >= SOLID)
        few = seen[0][:: len(seen[0]) // 4096 + 1], seen[1][:: len(seen[1]) // 4096 + 1]
        solid, solid_alpha, known = _follow(flow, previous, previous_alpha, few, box)
        moved += _brightening(now[few], solid, known & (solid_alpha >= SOLID))
        weight = self._strength * inside * _agreement(own, own_alpha, moved, moved_alpha)
        blended = own + weight[:, None] * (moved - own)
        now[rows, columns] = blended.clip(0, max(1.0, float(own.max())))

    def _motion(
        self,
        foreground: Array,
        alpha: Array,
        previous: Array,
        previous_alpha: Array,
        box: tuple[slice, slice],
    ) -> Array:
        """Return the flow from this frame to the previous one inside `box`.

        It is found on the object alone: on the image, soft pixels would follow the background.
        """
        now = _silhouette(foreground[box], alpha[box])
        before = _silhouette(previous[box], previous_alpha[box])
        height, width = alpha[box].shape
        flow = self._search.calc(now, before, np.zeros((*now.shape, 2), np.float32))
        scale = np.array([width / now.shape[1], height / now.shape[0]], np.float32)
        resized = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(resized * scale, np.float32)


def _checked(image: Array, alpha: Array) -> tuple[Array, Array]:
    """Return both as finite float32, the alpha in [0, 1]; unharmed arrays aren't copied."""
    if alpha.ndim != 2 or image.shape != (*alpha.shape, 3) or alpha.size == 0:
        raise PullmatteError(
            f"image of shape {image.shape} with alpha of shape {alpha.shape}: "
            "expected H W 3 and H W of one size"
        )
    image = np.asarray(image, np.float32)
    alpha = np.asarray(alpha, np.float32)
    if not np.isfinite(image).all():
        image = np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0)
    if not (float(alpha.min()) >= 0 and float(alpha.max()) <= 1):
        alpha = np.nan_to_num(alpha, nan=0.0).clip(0, 1)
    return image, alpha


def _estimate(image: Array, alpha: Array, *, shrink: int) -> Array:
    """Estimate inside the box that holds every soft pixel, and extend to the rest."""
    box = _active_box(alpha, MARGIN_PX)
    if box is None:
        return image.copy() if alpha[0, 0] > 0 else np.zeros_like(image)
    part, alpha_part = np.ascontiguousarray(image[box]), np.ascontiguousarray(alpha[box])
    # The solver clips at 1 and is linear below.
    peak = max(1.0, float(part.max()))
    if peak > 1:
        part = part / np.float32(peak)
    if shrink > 1 and min(alpha_part.shape) >= 16 * shrink:
        inner = _shrunken(part, alpha_part, shrink)
    else:
        inner, _ = _multi_level(part, alpha_part)
    inner = _extend(inner, alpha_part)
    if peak > 1:
        inner *= np.float32(peak)
    rows, columns = box
    height, width = alpha.shape
    foreground = cv2.copyMakeBorder(
        inner,
        rows.start,
        height - rows.stop,
        columns.start,
        width - columns.stop,
        cv2.BORDER_REPLICATE,
    )
    np.copyto(foreground, image, where=(alpha >= 1)[..., None])
    return np.asarray(foreground, np.float32)


def _active_box(alpha: Array, margin_px: int) -> tuple[slice, slice] | None:
    """Return rows and columns around all object pixels that aren't deep inside; None if none."""
    inside = cv2.erode(alpha, np.ones((3, 3), np.uint8))
    active = (alpha > 0) & (inside < 1)
    rows, columns = np.flatnonzero(active.any(1)), np.flatnonzero(active.any(0))
    if rows.size == 0:
        return None
    return (
        slice(max(0, int(rows[0]) - margin_px), min(alpha.shape[0], int(rows[-1]) + 1 + margin_px)),
        slice(
            max(0, int(columns[0]) - margin_px),
            min(alpha.shape[1], int(columns[-1]) + 1 + margin_px),
        ),
    )


def _multi_level(image: Array, alpha: Array) -> tuple[Array, Array]:
    """Return foreground and background colours, both `H W 3` in [0, 1]."""
    import numba
    from pymatting import estimate_foreground_ml

    if alpha.size == 1:
        return image.clip(0, 1), image.clip(0, 1)
    with _one_at_a_time:
        # Only its resizing is parallel, and on a busy machine the threads wait far longer for
        # each other than that saves (12 ms alone, 200 ms beside other work).
        threads = numba.get_num_threads()
        numba.set_num_threads(1)
        try:
            foreground, background = estimate_foreground_ml(
                image,
                alpha,
                regularization=REGULARISATION,
                gradient_weight=GRADIENT_WEIGHT,
                n_big_iterations=ITERATIONS,
                return_background=True,
            )
        finally:
            numba.set_num_threads(threads)
    return foreground, background


def _shrunken(image: Array, alpha: Array, shrink: int) -> Array:
    """Estimate at reduced size, then fit the soft pixels to the image at full size.

    Minimises (alpha F + (1 - alpha) B - image)^2 + lambda (|F - F0|^2 + |B - B0|^2) per pixel,
    with F0 and B0 from the reduced size.
    """
    height, width = alpha.shape
    small = (-(-width // shrink), -(-height // shrink))
    low_foreground, low_background = _multi_level(
        np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.float32),
        np.asarray(cv2.resize(alpha, small, interpolation=cv2.INTER_AREA), np.float32),
    )
    foreground = np.asarray(cv2.resize(low_foreground, (width, height)), np.float32)
    background = np.asarray(cv2.resize(low_background, (width, height)), np.float32)
    soft = np.nonzero((alpha > 0) & (alpha < 1))
    share = alpha[soft][:, None]
    start = foreground[soft]
    missing = image[soft] - share * start - (1 - share) * background[soft]
    gain = share / (share**2 + (1 - share) ** 2 + np.float32(0.003))
    foreground[soft] = (start + gain * missing).clip(0, 1)
    return foreground


def _extend(colour: Array, alpha: Array) -> Array:
    """Fade nearly transparent pixels into a smooth extension of the object's colour.

    Averages weighted by alpha are made at halved sizes, and holes filled from the coarser one.
    """
    height, width = alpha.shape
    weighted = colour * alpha[..., None]
    if height == 1 and width == 1:
        around = weighted / max(float(alpha[0, 0]), 1e-6)
    else:
        half = (max(1, width // 2), max(1, height // 2))
        small_alpha = np.asarray(cv2.resize(alpha, half, interpolation=cv2.INTER_AREA), np.float32)
        small = cv2.resize(weighted, half, interpolation=cv2.INTER_AREA)
        small = small / np.maximum(small_alpha, 1e-6)[..., None]
        filled = _extend(np.asarray(small, np.float32), small_alpha)
        around = np.asarray(cv2.resize(filled, (width, height)), np.float32)
    floor = np.maximum(alpha, np.float32(LEAST_ALPHA))
    lacking = (floor - alpha)[..., None]
    return np.asarray((weighted + lacking * around) / floor[..., None], np.float32)


def _silhouette(foreground: Array, alpha: Array) -> NDArray[np.uint8]:
    """Return the object on grey, `h w` uint8 at about half size, for the search of motion."""
    height, width = alpha.shape
    # Lifted off black, so that a dark object still has an outline.
    light = cv2.transform(foreground, np.array([[0.21, 0.51, 0.08]], np.float32)) + 0.2
    grey = np.asarray(light, np.float32).reshape(height, width) * alpha
    half = (max(16, width // 2), max(16, height // 2))
    small = cv2.resize(grey, half, interpolation=cv2.INTER_AREA)
    return np.asarray(small * 255).clip(0, 255).astype(np.uint8)


def _follow(
    flow: Array,
    previous: Array,
    previous_alpha: Array,
    place: tuple[NDArray[np.intp], NDArray[np.intp]],
    box: tuple[slice, slice],
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Fetch what the flow brings to N places of `box`: colour, alpha, and where to use it."""
    step = flow[place]
    x = step[:, 0] + place[1] + box[1].start
    y = step[:, 1] + place[0] + box[0].start
    height, width = previous_alpha.shape
    # False for a flow that isn't finite, too.
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x, y = np.where(inside, x, 0), np.where(inside, y, 0)
    return _sample(previous, x, y), _sample(previous_alpha, x, y)[:, 0], inside


def _sample(plane: Array, x: Array, y: Array) -> Array:
    """Read `H W` or `H W 3` at N places (pixels) between pixel centres, as `N C`."""
    channels = 1 if plane.ndim == 2 else plane.shape[2]
    if x.size == 0:
        return np.zeros((0, channels), np.float32)
    # cv2.remap takes at most 32767 places a row.
    count = x.size
    columns = 1024
    grid = np.full((2, -(-count // columns) * columns), -1, np.float32)
    grid[0, :count], grid[1, :count] = x, y
    values = cv2.remap(
        plane,
        grid[0].reshape(-1, columns),
        grid[1].reshape(-1, columns),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(values, np.float32).reshape(-1, channels)[:count]


def _brightening(colour: Array, moved: Array, surely: NDArray[np.bool_]) -> Array:
    """Return by how much the light on the object changed, `3`: fades and flashes must not lag."""
    # Only opaque pixels tell it: in smoke it can't be told from the estimate's own drift.
    if np.count_nonzero(surely) < LEAST_SOLID:
        return np.zeros(3, np.float32)
    return np.asarray((colour[surely] - moved[surely]).mean(axis=0), np.float32)


def _agreement(own: Array, own_alpha: Array, moved: Array, moved_alpha: Array) -> Array:
    """Say per pixel, in [0, 1], how surely both estimates show the same spot of the object."""
    alpha_apart = (own_alpha - moved_alpha) / np.float32(0.1)
    # What is seen through more background is known less well: allow colours to differ more there.
    colour_apart = np.abs(own - moved).max(1) * own_alpha / np.float32(0.1)
    trust = np.minimum(1, moved_alpha.clip(0, 1) / np.maximum(own_alpha, LEAST_ALPHA))
    return np.asarray(np.exp(-(alpha_apart**2) - colour_apart**2) * trust, np.float32)
