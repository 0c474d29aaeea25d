"""The losses of Matting Anything 2's second stage and of its trimaps, and of MEMatte's teacher."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pullmatte.errors import PullmatteError
from pullmatte.train.losses import (
    LOSS_SIZE_PX,
    UNKNOWN,
    gradient_penalty,
    laplacian_loss,
    matting_losses,
)

KEPT_SHARE = 0.25
FOCAL_GAMMA = 2.0
_TINY = 1e-12


def alpha_losses(
    alpha: Tensor, truth: Tensor, trimap: Tensor, *, size_px: int = LOSS_SIZE_PX
) -> dict[str, Tensor]:
    """Compare alphas as MAM2 trains its matter.

    Args:
        alpha: `B 1 S S` in [0, 1].
        truth: `B 1 S S` in [0, 1].
        trimap: `B 1 S S` in {0, 0.5, 1}; 0.5 is the unknown region.
        size_px: The side to which a region's area is related; the released code keeps 512 at any
            crop.

    Returns:
        Scalars ``unknown_l1``, ``known_l1``, ``l2``, ``laplacian``, ``gradient`` and their sum
        ``total``. What counts in a region alone is 0 where that is empty.

    Raises:
        PullmatteError: If the shapes differ or S is too small or odd for the Laplacian.

    Source: MAM2, appendix A.5, the formula of L_alpha; all but ``l2`` as in MEMatte's code.
    """
    named = matting_losses(alpha, truth, trimap, size_px=size_px)
    losses = {
        "unknown_l1": named["unknown_l1"],
        "known_l1": named["known_l1"],
        "l2": F.mse_loss(alpha, truth),
        "laplacian": laplacian_loss(alpha, truth),
        "gradient": gradient_penalty(
            alpha, truth, (trimap == UNKNOWN).to(alpha.dtype), size_px=size_px
        ),
    }
    return {**losses, "total": torch.stack(list(losses.values())).sum()}


def trimap_loss(logits: Tensor, classes: Tensor, *, gamma: float = FOCAL_GAMMA) -> Tensor:
    """Compare a trimap with the true one; pixels count the more, the less sure they are.

    Args:
        logits: `B 3 H W`, of background, unknown and foreground.
        classes: `B H W`, whole numbers: 0 background, 1 unknown, 2 foreground.
        gamma: How much less sure pixels count.

    Returns:
        A scalar, the mean over images. The sum by which weights are divided gets no gradient, as
        in the loss's origin.

    Raises:
        PullmatteError: If the shapes don't pair.

    Source: MAM2, equation 8; Sofiuk et al. 2022, normalised focal loss.
    """
    batch, *sides = classes.shape
    if (batch, 3, *sides) != tuple(logits.shape):
        raise PullmatteError(
            f"logits of shape {tuple(logits.shape)} and classes of {tuple(classes.shape)}: give "
            "B 3 H W and B H W"
        )
    log_sure = logits.log_softmax(1).gather(1, classes[:, None])[:, 0]
    weight = (-torch.expm1(log_sure)).clamp(min=0) ** gamma
    sums = weight.detach().sum((1, 2)).clamp(min=_TINY)
    return ((weight * -log_sure).sum((1, 2)) / sums).mean()


def teacher_losses(
    features: Tensor,
    teacher: Tensor,
    policies: Sequence[Tensor],
    *,
    share: float = KEPT_SHARE,
) -> dict[str, Tensor]:
    """Press a routed network to its teacher's features, and its routers to their share.

    Args:
        features: `B C h w`, the student's last ones.
        teacher: The same of the frozen teacher; no gradient reaches it.
        policies: Of each router `B N 1`, 1 for kept tokens and 0 for others.
        share: Of tokens that shall be kept, on average over routers, images and tokens.

    Returns:
        Scalars ``features``, a mean squared error, ``share``, and their sum ``total``.

    Raises:
        PullmatteError: If the features differ in shape, or there is no policy.

    Source: MEMatte's training code; MAM2, section 4.1, trains its matter so.
    """
    if features.shape != teacher.shape:
        raise PullmatteError(
            f"features of shape {tuple(features.shape)}, the teacher's {tuple(teacher.shape)}: "
            "give one shape"
        )
    if not policies:
        raise PullmatteError("no policy of any router: the student must be routed")
    kept = torch.stack([policy.float().mean() for policy in policies]).mean()
    losses = {"features": F.mse_loss(features, teacher.detach()), "share": (kept - share) ** 2}
    return {**losses, "total": losses["features"] + losses["share"]}
