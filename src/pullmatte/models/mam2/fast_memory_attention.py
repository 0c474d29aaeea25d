"""SAM 2's memory attention on a CPU, with half of the arithmetic and the same result.

A memory is 64 channels wide; SAM 2 makes keys and values of 256 from it, in each of four layers.
Three equalities save that:

- Values carry no rotary code, and softmax weights sum to 1: memories are mixed as they are, and the
  mixture is projected.
- Half of a key's rotary code depends on its column x only, the other half on its row y only. With
  the key ``R_x R_y (W m + b)`` of a memory ``m``, the score ``q . R_x R_y (W m + b)`` is
  ``u_x . (m, 1) + v_y . (m, 1)``, where u and v are 65 wide and are made once for a query and each
  of 64 columns and rows, whatever the number of memories.
- So neither keys nor values are ever made, and what is looked at is the same for all layers.

Scores are made tile by tile (16 x 8 places of all memories), so that they stay in a core's cache,
and summed up as they come.

Source: SAM 2, memory attention; Su et al. 2021 (RoFormer), rotary codes; Milakov and Gimelshein
2018, online softmax.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pullmatte.models.mam2.sam2 import attend_memory

_QUERIES, _HIDDEN = 256, 512
_TILE = (16, 8)  # rows, columns
_HEADROOM = 60.0
_HALVES = (torch.bfloat16, torch.float16)


@dataclass(frozen=True, eq=False)
class _Tile:
    """Some places of the grid, in all spatial memories of one object; D is 65 channels.

    The score of row (y, f, x) is the sum of what `by_row` and `by_column` give for it.
    """

    row: int
    column: int
    by_row: Tensor  # rows (memories columns) D
    by_column: Tensor  # columns (rows memories) D
    values: Tensor  # D (rows memories columns)


@dataclass(frozen=True, eq=False)
class _Looked:
    """What a frame looks at, the same for all layers."""

    tiles: tuple[_Tile, ...]
    pointer_keys: Tensor  # P D
    pointer_values: Tensor  # D P
    turns: Tensor  # n C/2 complex: each token's rotary code
    grid: tuple[int, int]  # rows, columns


def attend_memory_fast(
    attention: nn.Module,
    current: Tensor,
    current_position: Tensor,
    memory: Tensor,
    memory_position: Tensor,
    pointer_tokens: int,
) -> Tensor:
    """Let a frame look at memories; equal to `attend_memory` up to rounding.

    On a CPU and without gradients only; anything else goes to `attend_memory`. Half precision is
    computed in float32 here, unless the CPU has tile units for it, which are faster still.

    Args:
        attention: `Sam2VideoMemoryAttention`.
        current: `K n C`, the frame's tokens.
        current_position: `K n C`, or `1 n C` for all.
        memory: `K m 64`: spatial memories of `n` tokens each, then the parts of pointers.
        memory_position: `K m 64`, which is added to keys alone.
        pointer_tokens: How many of the last memory tokens are parts of pointers and get no
            rotary code.

    Returns:
        `K n C`.
    """
    inputs = (current, current_position, memory, memory_position)
    spatial = memory.shape[1] - pointer_tokens
    if spatial < 1 or spatial % current.shape[1] or not _fits(attention, inputs):
        return attend_memory(attention, *inputs, pointer_tokens)
    exact = torch.float32 if current.dtype in _HALVES else current.dtype
    tokens, keys, values = (
        each.to(exact) for each in (current + 0.1 * current_position, memory, memory_position)
    )
    turns = _turns(attention, tokens[0])
    found = [
        _pass_layers(attention, of, _look_at(attention.config, m, m + p, turns, pointer_tokens))
        for of, m, p in zip(tokens, keys, values.expand_as(keys), strict=True)
    ]
    return torch.stack(found).to(current.dtype)


def _fits(attention: nn.Module, inputs: tuple[Tensor, ...]) -> bool:
    """Return whether the short way gives the same and is shorter."""
    config: Any = attention.config
    current = inputs[0]
    if current.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    if current.dtype in _HALVES and torch.cpu._is_amx_tile_supported():
        return False
    if torch.is_grad_enabled() and any(
        each.requires_grad for each in chain(inputs, attention.parameters())
    ):
        return False
    # Dropout hides scores and values that are never made here; an adapter may replace a layer.
    drops = attention.training and (
        config.memory_attention_dropout or config.memory_attention_rope_dropout
    )
    return (
        not drops
        and config.memory_attention_num_attention_heads == 1
        and math.prod(config.memory_attention_rope_feat_sizes) == current.shape[1]
        and all(type(part) is nn.Linear for part in _projections(attention))
    )


def _projections(attention: Any) -> Iterator[nn.Module]:
    for layer in attention.layers:
        yield from (layer.linear1, layer.linear2)
        for part in (layer.self_attn, layer.cross_attn_image):
            yield from (part.q_proj, part.k_proj, part.v_proj, part.o_proj)


def _turns(attention: Any, tokens: Tensor) -> Tensor:
    """Return each token's rotary code, `n C/2` complex: a rotation of each pair of channels."""
    cosine, sine = attention.rotary_emb(tokens, attention.position_ids)
    return torch.complex(cosine[0, :, ::2].to(tokens), sine[0, :, ::2].to(tokens))


def _turned(pairs: Tensor, turns: Tensor) -> Tensor:
    """Rotate `n C` channels pair by pair."""
    whole = torch.view_as_complex(pairs.reshape(*pairs.shape[:-1], -1, 2)) * turns
    return torch.view_as_real(whole).flatten(-2)


def _look_at(
    config: Any, memory: Tensor, keys: Tensor, turns: Tensor, pointer_tokens: int
) -> _Looked:
    """Cut one object's memories, `m 64`, into tiles, and put a 1 beside their channels."""
    columns, rows = config.memory_attention_rope_feat_sizes
    tall, wide = (_divisor(*each) for each in zip((rows, columns), _TILE, strict=True))
    spatial = len(memory) - pointer_tokens
    values, keys = (F.pad(each, (0, 1), value=1.0) for each in (memory, keys))

    def cut(tokens: Tensor) -> Tensor:
        """`m D` → memories, rows of tiles, rows, columns of tiles, columns, D."""
        shape = (-1, rows // tall, tall, columns // wide, wide, tokens.shape[-1])
        return tokens[:spatial].reshape(shape)

    by_row = cut(keys).permute(1, 3, 2, 0, 4, 5).flatten(3, 4)
    by_column = cut(keys).permute(1, 3, 4, 2, 0, 5).flatten(3, 4)
    mixed = cut(values).permute(1, 3, 2, 0, 4, 5).flatten(2, 4)
    tiles = tuple(
        _Tile(row * tall, column * wide, by_row[at], by_column[at], mixed[at].T)
        for row in range(rows // tall)
        for column in range(columns // wide)
        for at in [(row, column)]
    )
    return _Looked(tiles, keys[spatial:], values[spatial:].T, turns, (rows, columns))


def _divisor(side: int, most: int) -> int:
    return max(size for size in range(1, most + 1) if side % size == 0)


def _pass_layers(attention: Any, tokens: Tensor, looked: _Looked) -> Tensor:
    """Pass all layers with one object's `n C` tokens."""
    for layer in attention.layers:
        tokens = tokens + _look_at_itself(layer, _norm(layer.layer_norm1, tokens), looked.turns)
        tokens = tokens + _look_back(layer, _norm(layer.layer_norm2, tokens), looked)
        parts = torch.split(_norm(layer.layer_norm3, tokens), _HIDDEN)
        tokens = tokens + torch.cat([_widen(layer, some) for some in parts])
    return _norm(attention.layer_norm, tokens)


def _widen(layer: Any, tokens: Tensor) -> Tensor:
    """Pass the two linear layers between which tokens are wide."""
    return _linear(layer.linear2, layer.activation(_linear(layer.linear1, tokens)))


def _look_at_itself(layer: Any, tokens: Tensor, turns: Tensor) -> Tensor:
    part = layer.self_attn
    queries = _turned(_linear(part.q_proj, tokens), turns)
    keys = _turned(_linear(part.k_proj, tokens), turns)
    values = _linear(part.v_proj, tokens)
    # The fused way takes four axes.
    queries, keys, values = (each[None, None] for each in (queries, keys, values))
    found = F.scaled_dot_product_attention(queries, keys, values, scale=part.scaling)
    return _linear(part.o_proj, found[0, 0])


def _look_back(layer: Any, tokens: Tensor, looked: _Looked) -> Tensor:
    part = layer.cross_attn_image
    # exp2 is twice as fast as exp.
    scale = part.scaling / math.log(2)
    queries = _turned(_linear(part.q_proj, tokens), looked.turns) * scale
    weights = torch.cat([part.k_proj.weight, part.k_proj.bias[:, None]], dim=1).to(tokens)
    by_column, by_row = _turned_weights(weights, looked)
    mixed = torch.cat([
        _mix(some.T, by_column, by_row, weights.T, looked).T
        for some in torch.split(queries, _QUERIES)
    ])
    return _linear(part.o_proj, _linear(part.v_proj, mixed))


def _turned_weights(weights: Tensor, looked: _Looked) -> tuple[Tensor, Tensor]:
    """Apply each column's and row's rotary code to the key projection.

    Args:
        weights: `C D`.
        looked: Holds the codes.

    Returns:
        `(columns D) C/2` and `(rows D) C/2`, for the first and second half of a query's channels.
    """
    rows, columns = looked.grid
    half = len(weights) // 4
    pairs = torch.complex(weights[::2], weights[1::2])

    def turned(turns: Tensor, some: Tensor) -> Tensor:
        parts = torch.view_as_real(turns[..., None] * some)
        return parts.transpose(1, 2).reshape(-1, 2 * half)

    first, second = looked.turns[:columns, :half], looked.turns[::columns, half:]
    return turned(first, pairs[:half]), turned(second[:rows], pairs[half:])


def _mix(
    queries: Tensor, by_column: Tensor, by_row: Tensor, unturned: Tensor, looked: _Looked
) -> Tensor:
    """Mix memories by softmax weights of the scores.

    Weights are taken relative to a level, which cancels out in the end. It only follows scores
    that leave it far behind, so that few tiles have to be shifted.

    Args:
        queries: `C Q`, rotated; their scores are exponents of 2.
        by_column: As `_turned_weights` gives it, like the next.
        by_row: See there.
        unturned: `D C`, the key projection for pointers.
        looked: What is mixed.

    Returns:
        `64 Q`.
    """
    count, half = queries.shape[1], len(queries) // 2
    width = len(unturned)
    of_column = (by_column @ queries[:half]).view(-1, width, count)
    of_row = (by_row @ queries[half:]).view(-1, width, count)
    total = queries.new_zeros(width, count)

    def shift(scores: Tensor, level: Tensor) -> Tensor:
        """Put the level where `level` of these scores is, here and from now on."""
        of_row[:, -1] -= level
        return scores.sub_(level)

    scores = looked.pointer_keys @ (unturned @ queries)
    settled = len(scores) > 0
    if settled:
        total += looked.pointer_values @ shift(scores, scores.amax(0)).exp2_()
    scores = queries.new_empty(looked.tiles[0].values.shape[1], count)
    for tile in looked.tiles:
        _score(tile, of_row, of_column, scores)
        if not settled:
            shift(scores, scores.amax(0))
            settled = True
        elif float(scores.amax()) > _HEADROOM:
            risen = scores.amax(0).clamp_(min=0)
            shift(scores, risen)
            total *= (-risen).exp2_()
        total.addmm_(tile.values, scores.exp2_())
    return total[:-1] / total[-1:]


def _score(tile: _Tile, of_row: Tensor, of_column: Tensor, scores: Tensor) -> None:
    """Write a tile's scores, `(rows memories columns) Q`."""
    tall, wide = len(tile.by_row), len(tile.by_column)
    count = scores.shape[1]
    rows = of_row[tile.row : tile.row + tall]
    columns = of_column[tile.column : tile.column + wide]
    torch.bmm(tile.by_row, rows, out=scores.view(tall, -1, count))
    # A column's scores lie `wide` lines apart.
    apart = scores.view(-1, wide, count).transpose(0, 1)
    apart.baddbmm_(tile.by_column, columns)


def _linear(layer: nn.Linear, tokens: Tensor) -> Tensor:
    bias = None if layer.bias is None else layer.bias.to(tokens.dtype)
    return F.linear(tokens, layer.weight.to(tokens.dtype), bias)


def _norm(layer: nn.LayerNorm, tokens: Tensor) -> Tensor:
    weight, bias = layer.weight.to(tokens.dtype), layer.bias.to(tokens.dtype)
    return F.layer_norm(tokens, tokens.shape[-1:], weight, bias, layer.eps)
