"""Edits of a matte's edge: moved by fractions of a pixel, feathered."""

from collections.abc import Iterator
from math import ceil, copysign, cos, pi, sin

import numpy as np
from numpy.typing import NDArray

from pullmatte.jobs.gaussian import gaussian
from pullmatte.jobs.look import Look
from pullmatte.matte import Matte
from pullmatte.models.protocol import Plane

# Each pass resamples, so few are better; within one, no point slips through between the rings.
STEP_PX, RING_PX = 3.0, 1.5
DIRECTIONS_PER_PX = 7
# Hair moved further would turn into worms and cells.
FINE_PX = 0.75
# How much of a neighbourhood is finer than the shift, where it begins and ceases to count as hair.
FINE_FROM, FINE_FULL = 0.08, 0.25
# Fine structure is looked for in a copy in which the shift is this far.
SEARCH_PX = 6


def edited(matte: Matte, look: Look, limit: Plane | None = None) -> Matte:
    """Return a matte with the edge, and the colours, that a look asks for.

    Args:
        matte: It isn't changed.
        look: What is asked for.
        limit: `H W` float32: the picture's own alpha, if it has one; the edge can't grow over it.

    Returns:
        The matte itself where nothing is to be changed. Mask and trimap stay as the model made
        them.
    """
    if look.decontaminate and not (look.shift_px or look.feather_px):
        return matte
    alpha = feathered_alpha(shifted_alpha(matte.alpha, look.shift_px), look.feather_px)
    if limit is not None:
        alpha = np.minimum(alpha, limit)
    return Matte(
        alpha,
        matte.image,
        mask=matte.mask,
        trimap=matte.trimap,
        # Asked for later: an estimate of colours that nobody looks at isn't made.
        foreground=(lambda: matte.foreground) if look.decontaminate else None,
    )


def shifted_alpha(alpha: Plane, px: float) -> Plane:
    """Move the edge outward or inward.

    Every level of the alpha is moved by the same distance, so that soft edges stay as soft as they
    are. Only where all is finer than the shift, as hair is, it is moved by at most `FINE_PX`, so
    that it stays hair. Beyond the picture the object goes on.

    Args:
        alpha: `H W` float32 in [0, 1].
        px: Pixels, fractions too; over 0 the object grows, under 0 it shrinks.

    Returns:
        `H W` float32 in [0, 1], a new array.
    """
    result, present = alpha.copy(), alpha > 0
    if px == 0 or not present.any():
        return result
    margin = ceil(abs(px)) + 2
    box = tuple(_span(np.flatnonzero(present.any(axis)), margin) for axis in (1, 0))
    part = alpha[box]
    moved = _moved(part, px)
    if abs(px) > FINE_PX:
        fine = _fineness(part, abs(px))
        if fine.any():
            moved += fine * (_moved(part, copysign(FINE_PX, px)) - moved)
    result[box] = moved
    return np.clip(result, 0, 1)


def feathered_alpha(alpha: Plane, px: float) -> Plane:
    """Soften the edge to both sides.

    Args:
        alpha: `H W` float32 in [0, 1].
        px: Standard deviation of the blur in pixels; 0 changes nothing.

    Returns:
        `H W` float32 in [0, 1], a new array.
    """
    return np.clip(gaussian(alpha, px), 0, 1)


def _span(places: NDArray[np.intp], margin: int) -> slice:
    return slice(max(0, int(places[0]) - margin), int(places[-1]) + 1 + margin)


def _fineness(alpha: Plane, px: float) -> Plane:
    """Say where, from 0 to 1, structures and gaps would be lost to a shift by so many pixels."""
    import cv2

    height, width = alpha.shape
    factor = max(1.0, px / SEARCH_PX)
    small = max(1, round(width / factor)), max(1, round(height / factor))
    copy = cv2.resize(alpha, small, interpolation=cv2.INTER_AREA)
    side = 2 * ceil(px / factor) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    lost = cv2.morphologyEx(copy, cv2.MORPH_CLOSE, disc) - cv2.morphologyEx(
        copy, cv2.MORPH_OPEN, disc
    )
    share = gaussian(np.asarray(lost, np.float32), px / factor)
    # A strand and all that would grow around it are judged alike, lest a rim be left.
    share = np.asarray(cv2.dilate(share, disc), np.float32)
    ramp = np.clip((share - FINE_FROM) / (FINE_FULL - FINE_FROM), 0, 1)
    enlarged = cv2.resize(ramp, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged * enlarged * (3 - 2 * enlarged), np.float32)


def _moved(alpha: Plane, px: float) -> Plane:
    return _grown(alpha, px) if px > 0 else 1 - _grown(1 - alpha, -px)


def _grown(plane: Plane, px: float) -> Plane:
    """Take the greatest value within a circle; discs add up, so small ones in turn make a large."""
    passes = ceil(px / STEP_PX)
    for number in range(passes):
        plane = _greatest_around(plane, px / passes, turn=number % 2 / 2)
    return plane


def _greatest_around(plane: Plane, radius_px: float, turn: float) -> Plane:
    """Take the greatest of each pixel and points around it, sampled between pixels."""
    import cv2

    size, greatest = plane.shape[::-1], plane.copy()
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for x, y in _points(radius_px, turn):
        place = np.array([[1, 0, x], [0, 1, y]], np.float64)
        moved = cv2.warpAffine(plane, place, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
        np.maximum(greatest, moved, out=greatest)
    return greatest


def _points(radius_px: float, turn: float) -> Iterator[tuple[float, float]]:
    """Spread points over rings of a disc, the outermost on its rim."""
    rings = ceil(radius_px / RING_PX)
    for ring in range(1, rings + 1):
        reach = radius_px * ring / rings
        count = max(8, ceil(DIRECTIONS_PER_PX * reach))
        for number in range(count):
            angle = 2 * pi * (number + turn) / count
            yield reach * cos(angle), reach * sin(angle)
