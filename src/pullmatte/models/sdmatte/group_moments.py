"""What a group norm comes to on a map, as a scale and a shift per channel."""

from math import gcd

import torch
from torch import Tensor, nn

Affine = tuple[Tensor, Tensor]
Counts = tuple[Tensor, Tensor]

_STATISTICS_VALUES = 1 << 19
_FEW_PIXELS = 64


def group_affine(x: Tensor, norm: nn.GroupNorm, counts: Counts | None = None) -> Affine:
    """Return the scale and the shift per channel that a group norm comes to on a map.

    Args:
        x: `H W C`.
        norm: Its groups, weight, bias and eps.
        counts: As in `middle`.

    Returns:
        Two tensors, `C` float32: norm(x) = x * scale + shift.
    """
    mean, variance = _channel_moments(x) if counts is None else _weighted_moments(x, counts)
    means, variances = mean.view(norm.num_groups, -1), variance.view(norm.num_groups, -1)
    centre = means.mean(1, keepdim=True)
    spread = (variances + (means - centre) ** 2).mean(1, keepdim=True)
    scale = norm.weight.double().view_as(means) / (spread + norm.eps).sqrt()
    shift = norm.bias.double().view_as(means) - centre * scale
    return scale.flatten().float(), shift.flatten().float()


def _channel_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance of each channel, `C` float64.

    First of sets of a few pixels, then across the sets of a strip, then across strips, always as
    moments about a mean: flat areas and means far from zero lose nothing, as they would in one
    long float32 sum.
    """
    height, width, channels = x.shape
    rows = min(height, max(1, _STATISTICS_VALUES // (width * channels)))
    shares, means, variances = [], [], []
    # One buffer for all strips: fresh memory for each would cost more than the sums.
    buffer = torch.empty(rows, width, channels)
    for top in range(0, height, rows):
        strip = x[top : top + rows]
        if strip.dtype != torch.float32 or not strip.is_contiguous():
            strip = buffer[: strip.shape[0]].copy_(strip)
        few = gcd(strip.shape[0] * width, _FEW_PIXELS)
        # Many sets pass as channels of one; this layout is the one that PyTorch sums quickly.
        sets = strip.view(1, few, 1, -1).permute(0, 3, 1, 2)
        moments = torch.batch_norm_update_stats(sets, None, None, 0)
        mean, variance = _merged(*(values.view(-1, channels) for values in moments))
        shares.append(strip.shape[0] / height)
        means.append(mean)
        variances.append(variance)
    share = torch.tensor(shares, dtype=torch.float64)[:, None] * len(shares)
    return _merged(torch.stack(means).double(), torch.stack(variances).double(), share)


def _merged(
    means: Tensor, variances: Tensor, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Merge the moments of several sets, along the first axis; weights are 1 on average."""
    weighted = means if weight is None else means * weight
    centre = weighted.mean(0)
    spread = variances + (means - centre) ** 2
    return centre, (spread if weight is None else spread * weight).mean(0)


def _weighted_moments(x: Tensor, counts: Counts) -> tuple[Tensor, Tensor]:
    share = (counts[0][:, None] * counts[1]).double().flatten()
    share = share / share.sum()
    values = x.flatten(0, 1)
    mean = share @ values.double()
    return mean, share @ (values - mean.float()).square().double()
