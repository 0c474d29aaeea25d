"""What a group norm comes to on a map, as a scale and a shift per channel."""

from math import gcd

import torch
from torch import Tensor, nn

Affine = tuple[Tensor, Tensor]
Counts = tuple[Tensor, Tensor]

# Values of a strip without and with counts; the latter pass through float64 copies.
_STRIP_VALUES, _COUNTED_STRIP_VALUES = 1 << 19, 1 << 16
_FEW_PIXELS = 64


def group_affine(x: Tensor, norm: nn.GroupNorm, counts: Counts | None = None) -> Affine:
    """Return the scale and the shift per channel that a group norm comes to on a map.

    Args:
        x: `H W C`.
        norm: Its groups, weight, bias and eps.
        counts: How often each row and each column of x stands in the full map; once when None.

    Returns:
        Two tensors, `C` float32: norm(x) = x * scale + shift.
    """
    mean, variance = _channel_moments(x, counts)
    means, variances = mean.view(norm.num_groups, -1), variance.view(norm.num_groups, -1)
    centre = means.mean(1, keepdim=True)
    spread = (variances + (means - centre) ** 2).mean(1, keepdim=True)
    scale = norm.weight.double().view_as(means) / (spread + norm.eps).sqrt()
    shift = norm.bias.double().view_as(means) - centre * scale
    return scale.flatten().float(), shift.flatten().float()


def _channel_moments(x: Tensor, counts: Counts | None) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance of each channel, `C` float64.

    First within strips, then across them, always as moments about a mean: flat areas and means far
    from zero lose nothing, as they would in one long float32 sum.
    """
    height, width, channels = x.shape
    most = _STRIP_VALUES if counts is None else _COUNTED_STRIP_VALUES
    rows = min(height, max(1, most // (width * channels)))
    weights, means, variances = [], [], []
    # One buffer for all strips: fresh memory for each would cost more than the sums.
    buffer = torch.empty(rows, width, channels)
    for top in range(0, height, rows):
        strip = x[top : top + rows]
        if strip.dtype != torch.float32 or not strip.is_contiguous():
            strip = buffer[: strip.shape[0]].copy_(strip)
        if counts is None:
            weight, (mean, variance) = float(strip.shape[0]), _plain_moments(strip)
        else:
            share = torch.outer(counts[0][top : top + rows], counts[1]).double().flatten()
            weight, (mean, variance) = float(share.sum()), _weighted_moments(strip, share)
        weights.append(weight)
        means.append(mean)
        variances.append(variance)
    weighting = torch.tensor(weights, dtype=torch.float64)[:, None] * (len(weights) / sum(weights))
    return _merged(torch.stack(means).double(), torch.stack(variances).double(), weighting)


def _plain_moments(strip: Tensor) -> tuple[Tensor, Tensor]:
    few = gcd(strip.shape[0] * strip.shape[1], _FEW_PIXELS)
    # Sets of a few pixels pass as channels; this layout is the one that PyTorch sums quickly.
    sets = strip.view(1, few, 1, -1).permute(0, 3, 1, 2)
    mean, variance = torch.batch_norm_update_stats(sets, None, None, 0)
    channels = strip.shape[2]
    return _merged(mean.view(-1, channels), variance.view(-1, channels))


def _weighted_moments(strip: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    share = share / share.sum()
    values = strip.flatten(0, 1)
    mean = share @ values.double()
    return mean, share @ (values - mean.float()).square().double()


def _merged(
    means: Tensor, variances: Tensor, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Merge the moments of several sets, along the first axis; weights are 1 on average."""
    weighted = means if weight is None else means * weight
    centre = weighted.mean(0)
    spread = variances + (means - centre) ** 2
    return centre, (spread if weight is None else spread * weight).mean(0)
