"""The losses of SDMatte, LiteSDMatte and MEMatte: scalars or named terms, all differentiable."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pullmatte.errors import PullmatteError

LAPLACIAN_LEVELS = 5
DISTILLATION_WEIGHT = 0.01
LOSS_SIZE_PX = 512
UNKNOWN = 0.5

_BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)


def matting_losses(
    alpha: Tensor, truth: Tensor, trimap: Tensor, *, size_px: int = LOSS_SIZE_PX
) -> dict[str, Tensor]:
    """Compare alphas on the unknown and on the known region, by value and by detail.

    Args:
        alpha: `B 1 S S` in [0, 1].
        truth: `B 1 S S` in [0, 1].
        trimap: `B 1 S S` in {0, 0.5, 1}; 0.5 is the unknown region, all else the known one.
        size_px: The side to which a region's area is related: S for a mean over the region.

    Returns:
        Scalars ``unknown_l1``, ``known_l1``, ``unknown_laplacian``, ``known_laplacian`` and their
        sum ``total``. A region without a pixel gives 0.

    Raises:
        PullmatteError: If the shapes differ or S is too small or odd for the Laplacian.

    Source: SDMatte's code; section 3.1 names a matting loss in pixels and nothing more. The code
        states no weights, so each term counts once.
    """
    _require_same(alpha, truth, "alpha and truth")
    _require_same(alpha, trimap, "alpha and trimap")
    unknown = (trimap == UNKNOWN).to(alpha.dtype)
    losses = {}
    for name, region in (("unknown", unknown), ("known", 1 - unknown)):
        area = region.sum()
        share = torch.where(area > 0, len(alpha) * size_px**2 / area.clamp(min=1), 0)
        inside, target = alpha * region, truth * region
        losses[f"{name}_l1"] = F.l1_loss(inside, target) * share
        losses[f"{name}_laplacian"] = laplacian_loss(inside, target) * share
    return {**losses, "total": torch.stack(list(losses.values())).sum()}


def laplacian_loss(alpha: Tensor, truth: Tensor, *, levels: int = LAPLACIAN_LEVELS) -> Tensor:
    """Compare two alphas by their detail at each scale, coarser scales weighing more.

    Args:
        alpha: `B C H W`, sides divisible by 2^levels and at least twice that.
        truth: `B C H W`.
        levels: How many scales; scale k weighs 2^k.

    Returns:
        A scalar: the sum over scales of the mean difference, divided by their number.

    Raises:
        PullmatteError: If the shapes differ or don't suit the levels.

    Source: Hou and Liu, Context-Aware Image Matting, as SDMatte's code has it.
    """
    _require_same(alpha, truth, "alpha and truth")
    step = 2**levels
    if any(side % step or side < 2 * step for side in alpha.shape[-2:]):
        raise PullmatteError(
            f"alpha of {alpha.shape[-1]}x{alpha.shape[-2]} pixels for a Laplacian of {levels} "
            f"levels: give sides divisible by {step}, {2 * step} or more"
        )
    # The pyramid is linear: one of the difference is the difference of two.
    total, rest = alpha.new_zeros(()), alpha - truth
    for level in range(levels):
        smaller = _blurred(rest)[..., ::2, ::2]
        total = total + 2**level * (rest - _enlarged(smaller)).abs().mean()
        rest = smaller
    return total / levels


def distillation_loss(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    *,
    weight: float = DISTILLATION_WEIGHT,
) -> dict[str, Tensor]:
    """Compare the features of a small U-Net with those of the large one.

    Args:
        student: `B C h w` each: after the down blocks, after the middle one, after the up blocks.
        teacher: The same of the teacher; no gradient reaches it.
        weight: Factor on the sum.

    Returns:
        Scalars ``feature_0``, ``feature_1``, …, each a mean squared error, and ``total``, their
        weighted sum, to be added to the matting losses' total.

    Raises:
        PullmatteError: If the features don't pair.

    Source: SDMatte's code; section 4.2 says that LiteSDMatte is distilled and nothing more.
    """
    if len(student) != len(teacher) or not student:
        raise PullmatteError(
            f"{len(student)} features of the student and {len(teacher)} of the teacher: "
            "give as many of each"
        )
    losses = {}
    for at, (ours, theirs) in enumerate(zip(student, teacher, strict=True)):
        _require_same(ours, theirs, f"student's and teacher's feature {at}")
        losses[f"feature_{at}"] = F.mse_loss(ours, theirs.detach())
    return {**losses, "total": weight * torch.stack(list(losses.values())).sum()}


def _blurred(planes: Tensor) -> Tensor:
    """Blur by the binomial kernel of 5 by 5, one direction after the other."""
    channels = planes.shape[-3]
    line = planes.new_tensor(_BINOMIAL) / sum(_BINOMIAL)
    framed = F.pad(planes, (2, 2, 2, 2), mode="reflect")
    down = F.conv2d(framed, line.view(1, 1, 5, 1).expand(channels, 1, 5, 1), groups=channels)
    return F.conv2d(down, line.view(1, 1, 1, 5).expand(channels, 1, 1, 5), groups=channels)


def _enlarged(planes: Tensor) -> Tensor:
    """Double both sides: zeros between the pixels, then blurred."""
    spread = planes.new_zeros((*planes.shape[:-2], 2 * planes.shape[-2], 2 * planes.shape[-1]))
    spread[..., ::2, ::2] = 4 * planes
    return _blurred(spread)


def _require_same(first: Tensor, second: Tensor, what: str) -> None:
    if first.shape != second.shape:
        raise PullmatteError(
            f"{what} of shapes {tuple(first.shape)} and {tuple(second.shape)}: give one shape"
        )


def gradient_penalty(
    alpha: Tensor, truth: Tensor, region: Tensor, *, sparsity: float = 0.01, size_px: int = 512
) -> Tensor:
    """Compare slopes within a region, and press them to be few.

    Args:
        alpha: `B 1 H W`.
        truth: `B 1 H W`.
        region: `B 1 H W` of 0 and 1, where it counts.
        sparsity: Weight of the mean slope of `alpha` itself.
        size_px: Sides of the crop for which the scale was set: `size_px²·B` over the area.

    Returns:
        A scalar; 0 for an empty region.

    Source: MEMatte's training code; Sobel slopes with zeros beyond the border.
    """
    area = region.sum()
    if area == 0:
        return alpha.new_zeros(())
    across = alpha.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    kernels = torch.stack([across, across.T])[:, None]
    slopes, true_slopes = (F.conv2d(plane, kernels, padding=1) * region for plane in (alpha, truth))
    # Means are taken for each direction; over both channels at once that is half of their sum.
    difference = 2 * (slopes - true_slopes).abs().mean()
    scale = len(alpha) * size_px**2 / area
    return scale * (difference + 2 * sparsity * slopes.abs().mean())
