"""Masked self-attention: every query looks at the places that the prompt shows, and no others."""

import math
from typing import Any

from torch import Tensor
from torch.nn import functional as F

# exp underflows in float32 below -104. A key so far below the best one could only count if its
# own score were larger by the rest, some hundred times what trained attention gives.
_REACH = 1000.0
# So large that float32's smallest step of M below 1 counts for more than `_REACH`.
_INFINITE = 1e12
# Below so many keys, choosing them costs more than it saves.
_WORTH = 1024


def attention_bias(prompt_map: Tensor, penalty: float = 10000.0) -> Tensor:
    """Turn a prompt map into what is added to the attention scores.

    M is the map at an eighth of its size, by its top-left pixels; the bias is (M - 1) * penalty.

    Args:
        prompt_map: `B 1 S S` in [0, 1].
        penalty: What stands for infinity. With `math.inf` each layer sees only the places where M
            is largest, the limit of ever larger penalties.

    Returns:
        `B 1 N` float32, for the N places of the latent, row by row: the same for every query.

    Source: SDMatte, section 3.4, equations 3 and 4.
    """
    places = F.interpolate(prompt_map.float(), scale_factor=1 / 8, mode="nearest").flatten(2)
    return (1 - places) * -min(penalty, _INFINITE)


def fit_bias(bias: Tensor, tokens: int) -> Tensor:
    """Bring a bias of the latent's size, `B 1 N`, to the size of a layer with `tokens` places."""
    side, target = math.isqrt(bias.shape[-1]), math.isqrt(tokens)
    if target == side:
        return bias
    square = bias.reshape(*bias.shape[:2], side, side)
    return F.interpolate(square, size=(target, target), mode="nearest").flatten(2)


def visible_keys(bias: Tensor) -> tuple[Tensor, Tensor | None]:
    """Find the keys that can have any weight.

    Args:
        bias: `B 1 N` float32.

    Returns:
        The bias with its largest value at 0, which changes no softmax and keeps small differences
        in half precision; `B 1 M` of the kept keys. And their indices, `B M`, or None for all. A
        row that is the same everywhere gives 0: it masks nothing.
    """
    shifted = bias - bias.amax(-1, keepdim=True)
    visible = shifted[:, 0] > -_REACH
    count = int(visible.sum(-1).max())
    if count == visible.shape[-1] or visible.shape[-1] < _WORTH:
        return shifted, None
    index = visible.byte().argsort(dim=-1, descending=True, stable=True)[:, :count]
    return shifted.gather(-1, index[:, None]), index


class MaskedSelfAttention:
    """Self-attention of a diffusers block whose `attention_mask` is the bias of `attention_bias`.

    Masked keys weigh exactly nothing, so they are left out before anything is computed of them: a
    box over a quarter of the picture costs a quarter. The bias is broadcast over heads and queries.

    Source: SDMatte, section 3.4, equation 4, figure 2b.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            attn: The `diffusers` attention layer that holds the weights.
            hidden_states: `B N C`.
            encoder_hidden_states: None: keys and values come from `hidden_states`.
            attention_mask: `B 1 N` bias of the latent's size, or None.
            temb: Taken for the sake of diffusers' interface.

        Returns:
            `B N C`.
        """
        assert encoder_hidden_states is None, "this is self-attention"
        source, bias = hidden_states, None
        if attention_mask is not None:
            bias, index = visible_keys(fit_bias(attention_mask, hidden_states.shape[1]))
            if index is not None:
                wide = index[..., None].expand(-1, -1, hidden_states.shape[-1])
                source = hidden_states.gather(1, wide)
            bias = bias[:, None].to(hidden_states.dtype) if bias.any() else None
        query, key, value = (
            layer(x).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for layer, x in (
                (attn.to_q, hidden_states),
                (attn.to_k, source),
                (attn.to_v, source),
            )
        )
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        projected: Tensor = attn.to_out[0](mixed.transpose(1, 2).flatten(2))
        return projected
