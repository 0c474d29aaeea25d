"""Foreground of which nothing is sure."""

import torch
from torch import Tensor

from pullmatte.models.mam2.prompt_tensors import Square
from pullmatte.models.mam2.see_through import without_doubted_foreground


def logits(foreground: float) -> Tensor:
    """A glint of so much foreground on something unknown, background around."""
    maps = torch.zeros(1, 3, 8, 8)
    maps[:, 0] = 4
    maps[:, 1, 1:7, 1:7] = 6
    maps[:, 2, 3:5, 3:5] = 6 + foreground
    return maps


def test_a_glint_is_unknown() -> None:
    square = Square(8, 8, 8)
    before = square.restored_trimap(logits(0.5))
    found = square.restored_trimap(without_doubted_foreground(logits(0.5), 0.7))
    assert (before == 1).sum() == 4
    assert (found == 1).sum() == 0
    assert (found[1:7, 1:7] == 0.5).all()
    assert ((found == 0) == (before == 0)).all()


def test_sure_foreground_stays_all_of_it() -> None:
    maps = logits(0.5)
    maps[:, 2, 3, 3] = 9
    assert without_doubted_foreground(maps, 0.7) is maps


def test_nought_believes_everything() -> None:
    maps = logits(0.5)
    assert without_doubted_foreground(maps, 0.0) is maps
