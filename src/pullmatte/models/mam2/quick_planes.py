"""Planes and maps turned round and resized in quicker ways than torch's; the same to rounding."""

import cv2
import torch
from torch import Tensor
from torch.nn import functional as F


def tokens_of(maps: Tensor) -> Tensor:
    """Return `B h·w C` of `B C h w`, without a copy where channels are last."""
    return maps.permute(0, 2, 3, 1).flatten(1, 2)


def maps_of(tokens: Tensor, height: int) -> Tensor:
    """Return `B C h w` of `B h·w C`, channels last.

    Its strides are such that torch sees that, as it doesn't of a single turned matrix.
    """
    batch, count, width = tokens.shape
    return tokens.reshape(batch, height, count // height, width).permute(0, 3, 1, 2)


def reduced(maps: Tensor, side: int) -> Tensor:
    """Return means, `B C s s`, of square maps `B C S S`."""
    times, rest = divmod(maps.shape[-1], side)
    if rest or maps.shape[-2] != maps.shape[-1]:
        return F.interpolate(maps, (side, side), mode="area")
    while times > 1 and times % 2 == 0:
        maps, times = halved(maps), times // 2
    return maps if times == 1 else F.avg_pool2d(maps, times)


def halved(planes: Tensor) -> Tensor:
    """Return the means of two by two places, `B C H/2 W/2`; sides are even."""
    if not _is_plain(planes):
        return F.avg_pool2d(planes, 2)
    # As pooling does, several times faster.
    upper, lower = planes[..., ::2, :], planes[..., 1::2, :]
    return (upper[..., ::2] + upper[..., 1::2] + lower[..., ::2] + lower[..., 1::2]) / 4


def doubled(planes: Tensor) -> Tensor:
    """Return planes at twice the height and width, interpolated linearly: `B C 2H 2W`."""
    if not _is_plain(planes):
        return F.interpolate(planes, scale_factor=2.0, mode="bilinear")
    height, width = planes.shape[-2:]
    # As torch does, several times faster.
    source = planes.detach()
    found = source.new_empty(*planes.shape[:2], 2 * height, 2 * width)
    for plane, large in zip(source.flatten(0, 1).numpy(), found.flatten(0, 1).numpy(), strict=True):
        cv2.resize(plane, (2 * width, 2 * height), dst=large, interpolation=cv2.INTER_LINEAR)
    return found


def _is_plain(planes: Tensor) -> bool:
    """Say whether numpy may look at planes, each of which lies in one piece."""
    learns = planes.requires_grad and torch.is_grad_enabled()
    at_hand = planes.device.type == "cpu" and planes.dtype == torch.float32
    return at_hand and planes.is_contiguous() and not learns
