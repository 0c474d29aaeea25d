"""Layers that are done in a quicker way on CPUs; what they give is the same to rounding.

Torch gives linear layers to a library that is half as fast on some CPUs as the one that it gives
convolutions to; and it attends to few keys as it does to many.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface

FEW_KEYS = "pullmatte_few_keys"
"""Name of `attend_few`, as `transformers`' configs say it."""
_LEAST_TOKENS = 512
_MOST_KEYS, _LEAST_QUERIES = 32, 256


class Tokenwise(nn.Linear):
    """A linear layer that many tokens go through."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Return `... D` of `... C`."""
        return linear(tokens, self.weight, self.bias)


def linear(tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return what torch's own does: `... D` of `... C`.

    Args:
        tokens: `... C`.
        weight: `D C`.
        bias: `D`.
    """
    count = tokens.numel() // tokens.shape[-1]
    if count < _LEAST_TOKENS or not _on_cpu(tokens) or not tokens.is_contiguous():
        return F.linear(tokens, weight, bias)
    maps = tokens.view(1, 1, count, -1).permute(0, 3, 1, 2)
    # Of a single place dilation changes nothing, but on one thread without it torch takes the
    # library for linear layers again.
    found = F.conv2d(maps, weight[:, :, None, None], bias, dilation=2)
    return found.permute(0, 2, 3, 1).reshape(*tokens.shape[:-1], -1)


def convolved(convolution: nn.Conv2d, maps: Tensor) -> Tensor:
    """Convolve maps, `B C h w`, in their own precision."""
    weight, bias = convolution.weight.to(maps.dtype), convolution.bias
    bias = None if bias is None else bias.to(maps.dtype)
    return F.conv2d(maps, weight, bias, convolution.stride, convolution.padding)


def halved_precision(maps: Tensor) -> Tensor:
    """Return maps as bfloat16 where that is quicker to convolve, and nobody learns; else as is."""
    return maps.bfloat16() if _on_cpu(maps) and _multiplies_bfloat16() else maps


@cache
def _multiplies_bfloat16() -> bool:
    """Say whether this CPU multiplies bfloat16 by itself; others are slower with it."""
    # Older torch doesn't say.
    can: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16"))


def quicken(module: nn.Module) -> None:
    """Turn all linear layers in a module into `Tokenwise`; names and weights stay."""
    for part in module.modules():
        if type(part) is nn.Linear:
            part.__class__ = Tokenwise


def attend_few(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **more: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attend; many queries to few keys in a quicker way than torch does.

    Args:
        module: Whose attention it is.
        query: `B H n D`.
        key: `B H m D`.
        value: `B H m D`.
        attention_mask: With one, it is torch's way.
        scaling: Of the products.
        dropout: With any, too.
        more: What else `transformers` says.

    Returns:
        `B n H D`; and no weights.
    """
    many = key.shape[2] <= _MOST_KEYS and query.shape[2] >= _LEAST_QUERIES
    if not many or not _on_cpu(query) or attention_mask is not None or dropout:
        found: tuple[Tensor, None] = AttentionInterface()["sdpa"](
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **more
        )
        return found
    # Keys first: the softmax then goes along queries, of which there are many side by side.
    weights = ((key * scaling) @ query.transpose(2, 3)).softmax(2)
    mixed = value.transpose(2, 3) @ weights
    return mixed.permute(0, 3, 1, 2), None


AttentionInterface.register(FEW_KEYS, attend_few)


def _on_cpu(tensor: Tensor) -> bool:
    return (
        tensor.device.type == "cpu"
        and tensor.dtype == torch.float32
        and not torch.is_grad_enabled()
    )
