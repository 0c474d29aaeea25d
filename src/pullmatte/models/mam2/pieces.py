"""Masks of one piece: what a tracker picks up along the way, and leaves behind as a second piece.

A thing of the ground that the object passes may stick to its mask. Once the object has moved on, it
is a small piece far from the large one, as an object that was prompted in one piece has none.

This is pullmatte's own; no paper has it.
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_SPECK, _SMALL = 0.01, 0.12  # of the largest piece's area
_FAR, _NEAR_CELLS = 0.08, 3  # of the root of the largest piece's area; and in cells
_SURE = 4.0


def stray_pieces(mask: NDArray[np.bool_], *, least: float = 0.0) -> NDArray[np.bool_]:
    """Mark the pieces that are small and far from the largest one.

    Args:
        mask: `H W` bool.
        least: Smaller pieces aren't marked, in areas of the largest.

    Returns:
        `H W` bool.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count <= 2:
        return np.zeros_like(mask)
    areas = np.asarray(stats[:, cv2.CC_STAT_AREA], np.float64)
    areas[0] = 0
    largest = int(areas.argmax())
    shares = areas / areas[largest]
    away = cv2.distanceTransform((labels != largest).astype(np.uint8), cv2.DIST_L2, 5)
    near = np.zeros(count, np.bool_)
    near[labels[away <= max(_NEAR_CELLS, _FAR * np.sqrt(areas[largest]))]] = True
    stray = ~near & (shares >= least) & (shares < _SMALL)
    stray[0] = False
    found: NDArray[np.bool_] = stray[labels]
    return found


def is_one_piece(mask_logits: Tensor) -> bool:
    """Say whether a mask, `1 1 h w` logits, has a piece and, but for specks, no stray one."""
    mask = (mask_logits[0, 0] > 0).cpu().numpy()
    return bool(mask.any()) and not stray_pieces(mask, least=_SPECK).any()


def without_stray_pieces(mask_logits: Tensor) -> Tensor:
    """Take stray pieces out of a mask, `1 1 h w` logits.

    They become as surely outside as what is; and so do the places next to them.
    """
    stray = stray_pieces((mask_logits[0, 0] > 0).cpu().numpy())
    if not stray.any():
        return mask_logits
    grown = cv2.dilate(stray.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    outside = torch.from_numpy(grown).to(mask_logits.device)[None, None]
    return torch.where(outside, mask_logits.clamp(max=-_SURE), mask_logits)
