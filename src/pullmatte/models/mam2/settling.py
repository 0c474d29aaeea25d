"""Trimaps that another click leaves alone where it has nothing to say.

This is pullmatte's own; no paper has it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_REACH = 3  # cells round what moves, that move along


def moved_places(trimap_logits: Tensor, before: Tensor, least: float) -> Tensor:
    """Say where a new trimap moves, and around.

    A contour that trembles by a cell isn't moved, unless it is by much.

    Args:
        trimap_logits: `1 3 h w`, with the click.
        before: `1 3 h w`, without it.
        least: So much the alpha has to move that the chances stand for, in [0, 1]; three times
            that where it is for less than three by three cells.

    Returns:
        `1 1 h w` bool: elsewhere the one before stays.
    """
    alphas = []
    for logits in (trimap_logits, before):
        chances = torch.softmax(logits.float(), dim=1)
        alphas.append(chances[:, 2:] + 0.5 * chances[:, 1:2])
    change = (alphas[0] - alphas[1]).abs()
    broad = -F.max_pool2d(-(change > least).float(), 3, 1, 1)
    moved = torch.maximum(F.max_pool2d(broad, 3, 1, 1), (change > 3 * least).float())
    return F.max_pool2d(moved, 2 * _REACH + 1, 1, _REACH) > 0
