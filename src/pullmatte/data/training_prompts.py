"""Prompts as people give them, drawn from a true alpha while training.

Source: MAM2 and SDMatte train with points, jittered boxes and degraded masks; corrective clicks
as SAM 2's training has them.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.prompts import box_round

Floats = NDArray[np.float32]
Masks = NDArray[np.uint8]
PromptKind = Literal["box", "points", "mask", "nothing"]
MASK_LOGIT = 8.0
"""A rough mask is shown as logits of plus and minus so much."""


@dataclass(frozen=True)
class PromptMixture:
    """How often each kind of prompt is given; shares, not chances.

    Attributes:
        box: A box alone.
        box_and_points: A box with clicks.
        points: Clicks alone.
        mask: A rough mask.
        mask_and_points: A rough mask with clicks where it is wrong.
        box_by_points: Many clicks in the object, and the box that follows from them.
        jitter: Boxes' sides are moved by up to so much of the box's size, half of the time.
    """

    box: float = 0.38
    box_and_points: float = 0.06
    points: float = 0.36
    mask: float = 0.12
    mask_and_points: float = 0.08
    box_by_points: float = 0.12
    jitter: float = 0.1


@dataclass(frozen=True, eq=False)
class TrainingPrompt:
    """One prompt, in pixels of the square training picture.

    Attributes:
        points: `N 2` float32, (x, y); a box is two.
        labels: `N` int: 1 in the object, 0 outside, 2 and 3 a box's corners.
        mask: `h w` float32 in [0, 1], or None.
    """

    points: Floats
    labels: NDArray[np.int64]
    mask: Floats | None = None


def draw_prompt(
    alpha: Floats, rng: np.random.Generator, mixture: PromptMixture, *, mask_px: int
) -> TrainingPrompt:
    """Draw a prompt for the object of an alpha.

    Args:
        alpha: `S S` in [0, 1]. If it's all 0, the prompt points at nothing: a box or clicks
            somewhere.
        rng: Where chance comes from.
        mixture: How often which kind.
        mask_px: Side of a rough mask.
    """
    if float(alpha.max(initial=0)) < 0.1:
        return _at_nothing(alpha.shape[0], rng)
    shares = np.array([
        mixture.box,
        mixture.box_and_points,
        mixture.points,
        mixture.mask,
        mixture.mask_and_points,
        mixture.box_by_points,
    ])
    kind = int(rng.choice(len(shares), p=shares / shares.sum()))
    if kind <= 1:
        corners = jittered_box(alpha, rng, mixture.jitter)
        points, labels = corners.reshape(2, 2), np.array([2, 3])
        if kind == 1:
            clicks, said = draw_clicks(alpha, rng, int(rng.integers(1, 4)), outside=0.5)
            points, labels = np.vstack([points, clicks]), np.hstack([labels, said])
        return TrainingPrompt(points.astype(np.float32), labels.astype(np.int64))
    if kind == 2:
        count = 1 if rng.random() < 0.35 else int(rng.integers(2, 11))
        clicks, said = draw_clicks(alpha, rng, count, outside=0.25 if rng.random() < 0.5 else 0)
        return TrainingPrompt(clicks, said)
    if kind == 5:
        clicks, said = draw_clicks(alpha, rng, int(rng.integers(5, 13)), outside=0)
        corners = np.reshape(box_round(clicks, alpha.shape[::-1]), (2, 2))
        points, labels = np.vstack([corners, clicks]), np.hstack([[2, 3], said])
        return TrainingPrompt(points.astype(np.float32), labels.astype(np.int64))
    rough = rough_mask(alpha, rng, mask_px)
    if kind == 3:
        return TrainingPrompt(np.zeros((0, 2), np.float32), np.zeros(0, np.int64), rough)
    clicks, said = corrective_clicks(alpha, rough, rng, int(rng.integers(1, 4)))
    return TrainingPrompt(clicks, said, rough)


def jittered_box(alpha: Floats, rng: np.random.Generator, jitter: float) -> Floats:
    """Bound what can be seen of an object, x0 y0 x1 y1, half of the time not quite."""
    # Some people box every hair, some what they take for the object.
    level = 0.02 if rng.random() < 0.6 else min(0.3, 0.5 * float(alpha.max()))
    inside = (alpha > level).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(inside)
    box = np.array([x, y, x + width, y + height], np.float32)
    if rng.random() < 0.5:
        reach = np.array([width, height, width, height], np.float32)
        box += rng.uniform(-jitter, jitter, 4).astype(np.float32) * reach
    box = np.clip(box, 0, alpha.shape[0])
    low, high = np.minimum(box[:2], box[2:] - 1), np.maximum(box[2:], box[:2] + 1)
    return np.hstack([low, high])


def draw_clicks(
    alpha: Floats, rng: np.random.Generator, count: int, *, outside: float
) -> tuple[Floats, NDArray[np.int64]]:
    """Draw clicks: where the object is solid, or most solid, and some of them outside.

    Args:
        alpha: `S S`, not all 0.
        rng: Where chance comes from.
        count: How many; the first is always inside.
        outside: Chance of each of the others to be outside.
    """
    solid = alpha > min(0.8, 0.8 * float(alpha.max()))
    if rng.random() < 0.5:
        # People click into the middle rather than on the rim.
        inner = cv2.erode(solid.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        solid = inner if inner.any() else solid
    empty = cv2.dilate((alpha > 0.02).astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    labels = np.array([1] + [int(rng.random() >= outside) for _ in range(count - 1)], np.int64)
    if not empty.any():
        labels[:] = 1
    near = _around(alpha) & empty
    places = {1: np.flatnonzero(solid), 0: np.flatnonzero(near if near.any() else empty)}
    chosen = [int(rng.choice(places[label])) for label in labels]
    rows, columns = np.unravel_index(chosen, alpha.shape)
    return np.stack([columns + 0.5, rows + 0.5], axis=1).astype(np.float32), labels


def rough_mask(alpha: Floats, rng: np.random.Generator, mask_px: int) -> Floats:
    """Degrade an object's mask: grown, shrunk, shifted, holed, or with pieces added.

    Returns:
        `mask_px mask_px` in [0, 1].
    """
    size = alpha.shape[0]
    level = min(float(rng.uniform(0.2, 0.8)), 0.8 * float(alpha.max()))
    mask = (alpha > level).astype(np.uint8)
    for _ in range(int(rng.integers(0, 3))):
        side = int(rng.integers(2, max(4, size // 18)))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        how = (cv2.MORPH_ERODE, cv2.MORPH_DILATE, cv2.MORPH_OPEN, cv2.MORPH_CLOSE)
        changed = cv2.morphologyEx(mask, how[rng.integers(4)], kernel)
        mask = np.asarray(changed if changed.any() else mask, np.uint8)
    if rng.random() < 0.3:
        # Blobs taken away and added, as a coarse hand or network makes them.
        noise = cv2.resize(rng.standard_normal((9, 9)), (size, size), interpolation=cv2.INTER_CUBIC)
        spots = (noise > rng.uniform(1.0, 1.6)) & _around(alpha)
        mask = np.where(spots, 1 - mask, mask).astype(np.uint8)
    if rng.random() < 0.3:
        shift = rng.normal(0, 0.01 * size, 2)
        matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
        mask = np.asarray(cv2.warpAffine(mask, matrix, (size, size)), np.uint8)
    small = cv2.resize(mask.astype(np.float32), (mask_px, mask_px), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def corrective_clicks(
    alpha: Floats, rough: Floats, rng: np.random.Generator, count: int
) -> tuple[Floats, NDArray[np.int64]]:
    """Click where a mask is wrong; where it isn't, somewhere in the object.

    Args:
        alpha: `S S`, not all 0.
        rough: The mask, `h w` in [0, 1].
        rng: Where chance comes from.
        count: How many at most.
    """
    size = alpha.shape[0]
    shown = cv2.resize(rough, (size, size), interpolation=cv2.INTER_LINEAR) > 0.5
    missing = (alpha > 0.7) & ~shown
    wrong = (alpha < 0.02) & shown
    points, labels = [], []
    for _ in range(count):
        both = np.flatnonzero(missing | wrong)
        if not len(both):
            break
        at = int(rng.choice(both))
        points.append((at % size + 0.5, at // size + 0.5))
        labels.append(int(missing.flat[at]))
    if not points:
        return draw_clicks(alpha, rng, 1, outside=0)
    return np.array(points, np.float32), np.array(labels, np.int64)


def _around(alpha: Floats) -> NDArray[np.bool_]:
    """Return the object's surroundings: its box, grown by a third."""
    x, y, width, height = cv2.boundingRect((alpha > 0.02).astype(np.uint8))
    near = np.zeros(alpha.shape, bool)
    more_x, more_y = width // 3 + 4, height // 3 + 4
    near[max(0, y - more_y) : y + height + more_y, max(0, x - more_x) : x + width + more_x] = True
    return near


def _at_nothing(size: int, rng: np.random.Generator) -> TrainingPrompt:
    if rng.random() < 0.7:
        low = rng.uniform(0, 0.7, 2)
        high = low + rng.uniform(0.1, 1, 2) * (1 - low)
        corners = np.vstack([low, high]) * size
        return TrainingPrompt(corners.astype(np.float32), np.array([2, 3], np.int64))
    count = int(rng.integers(1, 6))
    clicks = rng.uniform(0, size, (count, 2)).astype(np.float32)
    return TrainingPrompt(clicks, np.ones(count, np.int64))
