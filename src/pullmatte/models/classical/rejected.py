"""Pieces of a mask that go as a whole: clicked away, or left behind by a moving object."""

import cv2
import numpy as np

from pullmatte.models.protocol import BoolMask
from pullmatte.prompts import Prompt

_RING = 0.03  # radius of the place looked at, as a share of the shorter side
_FRAGMENT = 0.1  # share of the piece it came off, under which a piece isn't a part of the object
_NEAR = 0.06  # distance of pieces taken for one, as a share of the square root of the area
_REST = 0.25  # share of the mask that has to be left, or the piece was the object itself


def drop_rejected(mask: BoolMask, prompt: Prompt, scale: float) -> BoolMask:
    """Remove pieces that hold a negative click and no positive one.

    A graph cut only bites a hole round the click. A click in what is a hole already takes nothing
    else away, and neither the last piece nor one that is most of the mask is ever removed.

    Args:
        mask: `H W` bool, of the working copy.
        prompt: What was said, in pixels of the original.
        scale: Size of the working copy over that of the original.

    Returns:
        `H W` bool.
    """
    height, width = mask.shape
    clicks = [
        (min(width - 1, int(p.x * scale)), min(height - 1, int(p.y * scale)), p.label)
        for p in prompt.points
    ]
    radius = max(2, round(_RING * min(height, width)))
    filled = mask.astype(np.uint8)
    doubted = [(x, y) for x, y, label in clicks if label == 0 and _surrounded(mask, x, y, radius)]
    for centre in doubted:
        cv2.circle(filled, centre, radius, 1, -1)
    _, pieces = cv2.connectedComponents(filled, connectivity=4)
    wanted = {int(pieces[y, x]) for x, y, label in clicks if label == 1}
    refused = {int(pieces[y, x]) for x, y in doubted} - wanted - {0}
    kept = mask & ~np.isin(pieces, list(refused))
    return np.asarray(kept if kept.sum() > _REST * mask.sum() else mask, np.bool_)


def _surrounded(mask: BoolMask, x: int, y: int, radius: int) -> bool:
    """Whether most of the ring round a place is foreground."""
    ring = np.zeros(mask.shape, np.uint8)
    cv2.circle(ring, (x, y), radius, 1, max(1, radius // 3))
    around = mask[ring > 0]
    return bool(around.size) and float(around.mean()) > 0.6


def drop_fragments(mask: BoolMask, before: BoolMask) -> BoolMask:
    """Take away small pieces that came off a tracked object, or out of nowhere.

    What a moving object uncovers stays behind as such a piece where it has the object's colours.
    Pieces that were apart before are parts of the object and stay.

    Args:
        mask: `H W` bool, the object on this frame.
        before: `H W` bool, the object on the last frame, moved to this one.

    Returns:
        `H W` bool; the largest piece always stays.
    """
    count, pieces, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count <= 2:
        return mask
    # Two pieces a few pixels apart may have parted just now, as their alphas do first.
    near = max(1, round(_NEAR * float(np.sqrt(before.sum()))))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * near + 1, 2 * near + 1))
    _, olds = cv2.connectedComponents(cv2.dilate(before.astype(np.uint8), disc))
    area = facts[:, cv2.CC_STAT_AREA]
    places = int(olds.max()) + 1
    votes = np.bincount((pieces * places + olds).ravel(), minlength=count * places)
    votes = votes.reshape(count, places)
    votes[:, 0] = 0
    origin = np.where(votes.any(axis=1), votes.argmax(axis=1), 0)
    kept = np.zeros(count, bool)
    for piece in range(1, count):
        rivals = area[1:] if origin[piece] == 0 else area[1:][origin[1:] == origin[piece]]
        kept[piece] = area[piece] >= _FRAGMENT * rivals.max()
    return np.asarray(kept[pieces], np.bool_)
