"""SAM 2's memory attention over memories that are kept as means of some places each.

A frame then looks at a quarter of the memory tokens, or fewer. A mean's rotary code is that of the
middle of its places. The frame's own places can look together, too: what their mean learns of the
past is spread over them, and each keeps its own detail.

Source: Xiong et al. 2024, EfficientTAM, for looking at pooled memories; SAM 2, memory attention.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pullmatte.models.mam2.quick_planes import maps_of, tokens_of
from pullmatte.models.mam2.sam2 import MemoryAttention


def attend_pooled(pool: int, looking: int = 1) -> MemoryAttention:
    """Return the memory attention for memories of `pool` by `pool` places.

    It takes and returns what `sam2.attend_memory` does, but a spatial memory is of `n / pool²`
    tokens.

    Args:
        pool: A divisor of the map's sides, in tokens; 1 gives what `attend_memory` gives.
        looking: So many by so many of the frame's places look as one; also a divisor.
    """

    def attend(
        attention: nn.Module,
        current: Tensor,
        current_position: Tensor,
        memory: Tensor,
        memory_position: Tensor,
        pointer_tokens: int,
    ) -> Tensor:
        parts: Any = attention
        cosine, sine = parts.rotary_emb(current[:1], parts.position_ids)
        turns = torch.complex(cosine[0, :, ::2].float(), sine[0, :, ::2].float())
        columns, rows = parts.config.memory_attention_rope_feat_sizes
        grid = rows, columns
        pooled = _pooled_turns(turns, grid, pool)
        spatial = memory.shape[1] - pointer_tokens
        pooled = pooled.repeat(spatial // len(pooled), 1)
        whole, keys = current + 0.1 * current_position, memory + memory_position
        tokens = shown = whole if looking == 1 else _pooled_tokens(whole, grid, looking)
        turns = turns if looking == 1 else _pooled_turns(turns, grid, looking)
        for layer in parts.layers:
            own = layer.layer_norm1(tokens)
            part = layer.self_attn
            queries, ours = (_turned(of(own), turns) for of in (part.q_proj, part.k_proj))
            tokens = tokens + _mixed(part, queries, ours, part.v_proj(own))
            part = layer.cross_attn_image
            queries = _turned(part.q_proj(layer.layer_norm2(tokens)), turns)
            theirs = part.k_proj(keys)
            theirs = torch.cat([_turned(theirs[:, :spatial], pooled), theirs[:, spatial:]], dim=1)
            tokens = tokens + _mixed(part, queries, theirs, part.v_proj(memory))
            wide = layer.activation(layer.linear1(layer.layer_norm3(tokens)))
            tokens = tokens + layer.linear2(wide)
        if looking > 1:
            tokens = whole + _spread(tokens - shown, grid, looking)
        found: Tensor = parts.layer_norm(tokens)
        return found

    return attend


def _pooled_tokens(tokens: Tensor, grid: tuple[int, int], pool: int) -> Tensor:
    """Return the means of `pool` by `pool` tokens, of `K n C`."""
    return tokens_of(F.avg_pool2d(maps_of(tokens, grid[0]), pool))


def _spread(tokens: Tensor, grid: tuple[int, int], pool: int) -> Tensor:
    """Bring means of tokens back to all places, smoothly; the inverse of `_pooled_tokens`."""
    maps = maps_of(tokens, grid[0] // pool)
    return tokens_of(F.interpolate(maps, scale_factor=float(pool), mode="bilinear"))


def _mixed(part: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Let queries look, with one head, `K n C`."""
    # One head; the fused way takes four axes.
    found = F.scaled_dot_product_attention(
        queries[:, None], keys[:, None], values[:, None], scale=part.scaling
    )
    mixed: Tensor = part.o_proj(found[:, 0])
    return mixed


def _turned(tokens: Tensor, turns: Tensor) -> Tensor:
    """Rotate `K n C` channels pair by pair, by codes of `n C/2`."""
    pairs = torch.view_as_complex(tokens.float().reshape(*tokens.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turns).flatten(-2).to(tokens.dtype)


def _pooled_turns(turns: Tensor, grid: tuple[int, int], pool: int) -> Tensor:
    """Return the codes in the middles: the mean's direction, since codes go round evenly."""
    rows, columns = grid
    planes = turns.reshape(rows // pool, pool, columns // pool, pool, -1)
    # Several times faster than a mean over both axes.
    several = [planes[:, row, :, column] for row in range(pool) for column in range(pool)]
    planes = torch.stack(several).sum(0) / pool**2
    return (planes / planes.abs().clamp(min=1e-6)).flatten(0, 1)
