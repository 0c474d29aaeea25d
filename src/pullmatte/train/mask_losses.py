"""SAM 2's losses of a mask: where it is, how good it is said to be, and whether it is there."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pullmatte.errors import PullmatteError

FOCAL_WEIGHT, DICE_WEIGHT, QUALITY_WEIGHT, PRESENCE_WEIGHT = 20.0, 1.0, 1.0, 1.0
_FOCAL_ALPHA, _FOCAL_GAMMA = 0.25, 2.0
_SMOOTH = 1.0


def mask_losses(
    candidates: Tensor, quality: Tensor, score: Tensor, truth: Tensor
) -> dict[str, Tensor]:
    """Compare what SAM 2's decoder says of `K` objects with their true masks.

    Of several masks for an ambiguous prompt, the one that is best already is made better; of all
    of them the expected quality is made true. Of an object that isn't there only its absence
    counts.

    Args:
        candidates: `K M h w`, logits.
        quality: `K M`, expected intersection over union of each.
        score: `K 1`, logits of being there.
        truth: `K 1 h w` of 0 and 1.

    Returns:
        Scalars, means over objects: ``focal``, ``dice``, ``quality``, a mean absolute error,
        ``presence``, a cross-entropy, and ``total``, their sum by 20, 1, 1 and 1.

    Raises:
        PullmatteError: If the shapes don't pair.

    Source: MAM2, appendix A.5, L_mask, which is SAM 2's; the weights are SAM 2's too.
    """
    count, masks, *sides = candidates.shape
    if truth.shape != (count, 1, *sides) or quality.shape != (count, masks):
        raise PullmatteError(
            f"candidates of shape {tuple(candidates.shape)}, quality {tuple(quality.shape)}, "
            f"truth {tuple(truth.shape)}: give K M h w, K M and K 1 h w"
        )
    candidates, quality, score = candidates.float(), quality.float(), score.float()
    present = truth.flatten(1).amax(1).gt(0).float()
    focal, dice = focal_loss(candidates, truth), dice_loss(candidates, truth)
    best = (FOCAL_WEIGHT * focal + DICE_WEIGHT * dice).argmin(dim=1, keepdim=True)
    off = (quality - overlap(candidates.detach(), truth)).abs().mean(1)
    losses = {
        "focal": (focal.gather(1, best)[:, 0] * present).mean(),
        "dice": (dice.gather(1, best)[:, 0] * present).mean(),
        "quality": (off * present).mean(),
        "presence": F.binary_cross_entropy_with_logits(score[:, 0], present),
    }
    weights = (FOCAL_WEIGHT, DICE_WEIGHT, QUALITY_WEIGHT, PRESENCE_WEIGHT)
    total = sum(w * loss for w, loss in zip(weights, losses.values(), strict=True))
    return {**losses, "total": torch.as_tensor(total)}


def focal_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Compare masks pixel by pixel, sure ones counting little: `K M` of `K M h w`.

    Source: Lin et al. 2017, with alpha 0.25 and gamma 2.
    """
    truth = truth.expand_as(logits)
    plain = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    chance = torch.sigmoid(logits)
    right = chance * truth + (1 - chance) * (1 - truth)
    side = _FOCAL_ALPHA * truth + (1 - _FOCAL_ALPHA) * (1 - truth)
    return (side * (1 - right) ** _FOCAL_GAMMA * plain).mean((2, 3))


def dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Compare masks as areas: `K M` of `K M h w`.

    Source: Milletari et al. 2016; 1 is added above and below, as in SAM 2.
    """
    chance = torch.sigmoid(logits)
    shared = (chance * truth).sum((2, 3))
    both = chance.sum((2, 3)) + truth.sum((2, 3))
    return 1 - (2 * shared + _SMOOTH) / (both + _SMOOTH)


def overlap(logits: Tensor, truth: Tensor) -> Tensor:
    """Return intersection over union, `K M`, of masks `K M h w`; 0 where both are empty."""
    found, real = logits > 0, truth > 0.5
    shared = (found & real).sum((2, 3)).float()
    return shared / (found | real).sum((2, 3)).clamp(min=1)
