"""What clicks change in a mask that was found without them.

A person clicks where a mask is wrong. So a click that the mask already satisfies changes nothing,
one on a missed part adds the piece that looks like the clicked place, and a negative one on the
mask takes such a piece away.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from pullmatte.models.classical.adaptive_trimap import contour_distance
from pullmatte.models.classical.colour_classes import Classes, segment
from pullmatte.models.classical.hints import Hints
from pullmatte.models.protocol import BoolMask, Plane
from pullmatte.prompts import Prompt

_RADIUS = 0.012  # of the place that a click speaks for, as a share of the shorter side
_REACH = 0.12  # how far a click pulls, as a share of the square root of the image's area
_LEAST_REACH = 0.02  # the same for a click beside the contour
_TRUST = 1.5  # logit with which the mask itself is believed
_PULL = 4.0  # logit by which a click outbids it
_REST = 0.25  # share of a mask that has to be left by a piece that goes as a whole


@dataclass(frozen=True)
class Click:
    """A click on a working copy.

    Attributes:
        x: Column in pixels.
        y: Row in pixels.
        positive: Whether the object is there.
    """

    x: int
    y: int
    positive: bool


def place_clicks(prompt: Prompt, width: int, height: int, scale: float) -> list[Click]:
    """Place a prompt's points on a working copy.

    Args:
        prompt: What was said, in pixels of the original.
        width: Of the working copy, in pixels.
        height: Of the working copy, in pixels.
        scale: Size of the working copy over that of the original.
    """
    return [
        Click(min(width - 1, int(p.x * scale)), min(height - 1, int(p.y * scale)), p.label == 1)
        for p in prompt.points
    ]


def contradicted(mask: BoolMask, clicks: list[Click]) -> list[Click]:
    """List the clicks round which most of the mask says otherwise."""
    return [c for c in clicks if bool(mask[_spot(mask, c)].mean() > 0.5) != c.positive]


def correct(classes: Classes, mask: BoolMask, clicks: list[Click], forbidden: BoolMask) -> BoolMask:
    """Add or take away the piece under each click that the mask contradicts.

    Args:
        classes: The image's classes.
        mask: `H W` bool, what was found without the clicks.
        clicks: All clicks; those that the mask satisfies hold their places.
        forbidden: `H W` bool, where no piece may be added unless it's clicked itself.

    Returns:
        `H W` bool; the mask itself if no click contradicts it.
    """
    for click in contradicted(mask, clicks):
        if not contradicted(mask, [click]):
            continue  # an earlier piece has settled it
        if not click.positive and _stands_alone(mask, click, clicks):
            mask = mask & ~_piece_at(mask, click)
            continue
        hints = _click_hints(mask, click, clicks, forbidden)
        window = _whole(mask) if click.positive else _extent(mask)
        held = mask.copy()
        held[window] = segment(_cropped(classes, window), _within(hints, window), 0.5, 4)[0] > 0.5
        mask = mask ^ _piece_at(held ^ mask, click)
    return mask


Window = tuple[slice, slice]


def _whole(mask: BoolMask) -> Window:
    return slice(0, mask.shape[0]), slice(0, mask.shape[1])


def _extent(mask: BoolMask) -> Window:
    """Bounds of a mask; inside them its two sides are about equal, so that neither outweighs."""
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _cropped(classes: Classes, window: Window) -> Classes:
    return Classes(classes.index[window], classes.kinship, classes.edge[window])


def _within(hints: Hints, window: Window) -> Hints:
    return Hints(hints.prior[window], hints.foreground[window], hints.background[window])


def _click_hints(mask: BoolMask, click: Click, clicks: list[Click], forbidden: BoolMask) -> Hints:
    """Believe the mask, less so round the click: the nearer its contour, the smaller the place."""
    height, width = mask.shape
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    side = float(np.sqrt(width * height))
    depth = abs(float(contour_distance(mask)[click.y, click.x]))
    reach = min(_REACH * side, max(_LEAST_REACH * side, 2 * depth))
    near = np.exp(-((xs - click.x) ** 2 + (ys - click.y) ** 2) / (2 * reach**2))
    logits = _TRUST * (mask * 2.0 - 1) + _PULL * near * (1 if click.positive else -1)
    foreground = mask if click.positive else np.zeros_like(mask)
    background = forbidden if click.positive else ~mask
    for other in clicks:
        spot = _spot(mask, other)
        foreground, background = foreground & ~spot, background & ~spot
        if other.positive:
            foreground = foreground | spot
        else:
            background = background | spot
    prior: Plane = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return Hints(prior, foreground, background)


def _stands_alone(mask: BoolMask, click: Click, clicks: list[Click]) -> bool:
    """Whether a click's piece lies apart, holds no positive click and isn't the object itself."""
    piece = _piece_at(mask, click)
    if any(other.positive and piece[other.y, other.x] for other in clicks):
        return False
    return float((mask & ~piece).sum()) > _REST * float(mask.sum())


def _piece_at(changed: BoolMask, click: Click) -> BoolMask:
    """Give the connected piece that a click's place touches."""
    _, pieces = cv2.connectedComponents(changed.astype(np.uint8), connectivity=4)
    touched = np.unique(pieces[_spot(changed, click)])
    return np.asarray(np.isin(pieces, touched[touched > 0]), np.bool_)


def _spot(mask: BoolMask, click: Click) -> BoolMask:
    height, width = mask.shape
    disc = np.zeros((height, width), np.uint8)
    cv2.circle(disc, (click.x, click.y), max(1, round(_RADIUS * min(height, width))), 1, -1)
    return disc > 0
