"""Trimaps that a click leaves alone where it has nothing to say."""

import torch
from torch import Tensor

from pullmatte.models.mam2.settling import moved_places


def logits(foreground: Tensor) -> Tensor:
    """Of chances of foreground, `h w`; the rest is background."""
    chances = torch.stack([1 - foreground, torch.full_like(foreground, 1e-6), foreground])
    return chances.clamp(min=1e-6).log()[None]


def settled(after: Tensor, before: Tensor, least: float) -> Tensor:
    return torch.where(moved_places(after, before, least), after, before)


def test_where_nothing_moves_it_stays_to_the_bit() -> None:
    before = torch.full((32, 32), 0.3)
    after = before + 0.05
    after[4:10, 4:10] = 0.95
    found = settled(logits(after), logits(before), 0.1)
    assert torch.equal(found[..., 4:10, 4:10], logits(after)[..., 4:10, 4:10])
    assert torch.equal(found[..., 16:, :], logits(before)[..., 16:, :])
    assert torch.equal(found[..., 16:], logits(before)[..., 16:])


def test_a_trembling_contour_stays_and_a_thin_new_thing_comes() -> None:
    before = torch.full((32, 32), 0.3)
    trembling, thin = before.clone(), before.clone()
    trembling[:, 16] = 0.55
    thin[:, 16] = 0.95
    assert torch.equal(settled(logits(trembling), logits(before), 0.1), logits(before))
    assert (settled(logits(thin), logits(before), 0.1)[0, 2].exp()[:, 16] > 0.9).all()
