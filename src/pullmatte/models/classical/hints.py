"""What a prompt says of each pixel: surely background, surely foreground, or how likely."""

from dataclasses import dataclass

import cv2
import numpy as np

from pullmatte.models.protocol import BoolMask, Plane
from pullmatte.prompts import Point, Prompt

MASK_REACH = 0.12
"""How far a rough mask's contour may be off, as a share of the square root of its area."""


@dataclass(frozen=True)
class Hints:
    """A prompt laid out on the pixels of a working copy.

    Attributes:
        prior: `H W` float32 in (0, 1), how likely each pixel is foreground by its place alone.
        foreground: `H W` bool, surely foreground.
        background: `H W` bool, surely background.
        boxed: Whether a box or mask says how far the object goes.
        masked: Whether a rough mask was given.
    """

    prior: Plane
    foreground: BoolMask
    background: BoolMask
    boxed: bool = True
    masked: bool = False


def lay_hints(
    prompt: Prompt, width: int, height: int, scale: float = 1.0, beyond: float = 0.0
) -> Hints:
    """Lay a prompt without trimap on the pixels of a copy of the image.

    Points stand above the mask and the mask above the box. With nothing said, the whole frame is
    the box.

    Args:
        prompt: What was said, in pixels of the original.
        width: Of the working copy, in pixels.
        height: Of the working copy, in pixels.
        scale: Size of the working copy over that of the original.
        beyond: Share of a box by which the object is taken to go on behind the frame's edge.

    Returns:
        The hints, at the working copy's size.
    """
    size = (height, width)
    logits = np.zeros(size, np.float32)
    foreground, background = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    box = _scaled_box(prompt, scale, width, height)
    if box is not None:
        prior, outside = _box_prior(box, width, height, beyond)
        logits += prior
        background |= outside
    if prompt.mask is not None:
        mask = prompt.mask.array.astype(np.float32)
        small = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA) > 0.5
        prior, inner, outer = mask_prior(small, MASK_REACH)
        logits = logits * 0.25 + prior
        foreground |= inner & ~background
        background |= outer
    positive = [_scaled_point(p, scale, width, height) for p in prompt.points if p.label == 1]
    negative = [_scaled_point(p, scale, width, height) for p in prompt.points if p.label == 0]
    if positive and box is None and prompt.mask is None:
        logits += _points_prior(positive, width, height)
    if positive or negative:
        logits += _click_pull(positive, negative, width, height)
        _stamp(foreground, background, positive, radius_px=_click_radius(width, height))
        _stamp(background, foreground, negative, radius_px=_click_radius(width, height))
    said = box is not None or prompt.mask is not None
    prior = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return Hints(prior, foreground, background, said, prompt.mask is not None)


def _scaled_box(
    prompt: Prompt, scale: float, width: int, height: int
) -> tuple[float, float, float, float] | None:
    box = prompt.box
    if box is None:
        if prompt.points or prompt.mask is not None:
            return None
        return (0.0, 0.0, float(width), float(height))
    return (
        max(0.0, box.x0 * scale),
        max(0.0, box.y0 * scale),
        min(float(width), box.x1 * scale),
        min(float(height), box.y1 * scale),
    )


def _scaled_point(point: Point, scale: float, width: int, height: int) -> tuple[int, int]:
    return (min(width - 1, int(point.x * scale)), min(height - 1, int(point.y * scale)))


def _click_radius(width: int, height: int) -> int:
    return max(0, round(0.008 * min(width, height)))


def _stamp(into: BoolMask, out_of: BoolMask, clicks: list[tuple[int, int]], radius_px: int) -> None:
    """Set a small disc at every click, in place."""
    disc = np.zeros(into.shape, np.uint8)
    for click in clicks:
        cv2.circle(disc, click, radius_px, 1, -1)
    into[disc > 0] = True
    out_of[disc > 0] = False


_FILL = 0.6  # share of a box that its object covers, about
_STEEP = 4.0
_POWER = 2.5  # the level lines lie between ellipse and rectangle


def _box_prior(
    box: tuple[float, float, float, float], width: int, height: int, beyond: float
) -> tuple[Plane, BoolMask]:
    """Say how likely each place in a box is foreground, as logits, and what lies outside.

    Objects seldom fill the corners of their box. Where the box touches the frame the object is
    taken to go on behind it, so the rounded shape grows beyond that side.
    """
    x0, y0, x1, y1 = box
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
    outside = (xs < x0) | (xs > x1) | (ys < y0) | (ys > y1)
    slack_x, slack_y = 0.01 * width + 1, 0.01 * height + 1
    grow_x, grow_y = beyond * (x1 - x0), beyond * (y1 - y0)
    x0, x1 = (x0 - grow_x * (x0 < slack_x), x1 + grow_x * (x1 > width - slack_x))
    y0, y1 = (y0 - grow_y * (y0 < slack_y), y1 + grow_y * (y1 > height - slack_y))
    dx = np.abs(xs - (x0 + x1) / 2) / max(1e-3, (x1 - x0) / 2)
    dy = np.abs(ys - (y0 + y1) / 2) / max(1e-3, (y1 - y0) / 2)
    radius = (dx**_POWER + dy**_POWER) ** (1 / _POWER)
    middle = np.quantile(radius[~outside], _FILL) if not outside.all() else 1.0
    logits = np.clip(_STEEP * (1 - radius / max(1e-3, float(middle))), -2.5, 2.5)
    return logits.astype(np.float32), outside


def mask_prior(mask: BoolMask, reach: float) -> tuple[Plane, BoolMask, BoolMask]:
    """Read a rough mask: the deeper inside, the surer; far outside is background.

    Args:
        mask: `H W` bool.
        reach: How far off its contour may be, as a share of the square root of its area.

    Returns:
        `H W` logits, `H W` surely foreground, `H W` surely background.
    """
    # Without a contour the distances are near the largest float.
    most = float(sum(mask.shape))
    inside = np.minimum(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5), most)
    outside = np.minimum(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5), most)
    unit = max(1.0, reach * float(np.sqrt(max(1, int(mask.sum())))))
    logits = np.clip(3 * (inside - outside) / unit, -3, 3).astype(np.float32)
    deepest = float(inside.max(initial=0.0))
    sure = inside > max(2.0, min(unit, 0.7 * deepest))
    return logits, sure, outside > unit


_HALF = 0.36  # half size of an object of which only one place is known, as a share of the frame's
_CENTRED = 0.3  # how far such an object's middle is taken to lie towards the frame's


def _points_prior(clicks: list[tuple[int, int]], width: int, height: int) -> Plane:
    """Guess from clicks alone where the object lies, as logits.

    The spread of `N` clicks tells the object's extent; a single click tells only its middle.
    """
    points = np.array(clicks, np.float32)
    count = len(points)
    # Of N even samples the range is (N - 1) / (N + 1) of the whole.
    trust = (count - 1) / (count + 3)
    spread = np.ptp(points, axis=0) / max(1e-6, (count - 1) / (count + 1)) / 2
    frame = np.array([width, height], np.float32)
    half = trust * spread + (1 - trust) * _HALF * frame
    likely = (1 - _CENTRED) * points.mean(axis=0) + _CENTRED * frame / 2
    middle = likely * (1 - trust) + trust * (points.min(0) + points.max(0)) / 2
    half = np.maximum(half, 0.05 * min(width, height))
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    radius = np.hypot((xs - middle[0]) / half[0], (ys - middle[1]) / half[1])
    return np.asarray(np.clip(2.5 * (1.05 - radius), -2.5, 2), np.float32)


def _click_pull(
    positive: list[tuple[int, int]],
    negative: list[tuple[int, int]],
    width: int,
    height: int,
) -> Plane:
    """Logits that pull the surroundings of each click to its label."""
    reach = 0.12 * float(np.sqrt(width * height))
    pull = np.zeros((height, width), np.float32)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    for clicks, sign in ((positive, 1.5), (negative, -3.0)):
        best = np.zeros_like(pull)
        for x, y in clicks:
            near = np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * reach**2))
            best = np.maximum(best, near)
        pull += sign * best
    return pull
