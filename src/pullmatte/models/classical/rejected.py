"""What a negative click takes away as a whole: the piece of the mask that it lies in."""

import cv2
import numpy as np

from pullmatte.models.protocol import BoolMask
from pullmatte.prompts import Prompt

_RING = 0.03  # radius of the place looked at, as a share of the shorter side
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
