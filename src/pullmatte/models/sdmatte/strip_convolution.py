"""Convolutions of large maps: norm, SiLU and convolution, strip by strip, while it is cached."""

from collections.abc import Iterator
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pullmatte.models.sdmatte.group_moments import Affine
from pullmatte.models.sdmatte.winograd import TileConvolution, doubling_plan, plain_plan

_DIRECT_PIXELS = 1 << 14
_ACTIVATED_VALUES = 1 << 17
# Below these a direct convolution is faster than tiles and the change of their kernels.
_TILED_CHANNELS, _TILED_PIXELS = 16, 1024


def convolve(
    x: Tensor,
    layer: nn.Conv2d,
    affine: Affine | None = None,
    *,
    out: Tensor | None = None,
    add: bool = False,
) -> Tensor:
    """Apply a 3x3 convolution, after a normalisation and SiLU if one is given.

    Args:
        x: `H W C`.
        layer: With one pixel of zero padding and stride 1.
        affine: Scale and shift of the normalisation.
        out: `H W K` to write to, not x; new memory when None.
        add: Add to `out` instead of replacing it.

    Returns:
        `out`.
    """
    height, width, _ = x.shape
    out = x.new_empty(height, width, layer.out_channels) if out is None else out
    kernel = _kernel(layer, height * width)
    for top, bottom, strip in _strips(x, affine, kernel):
        kernel(strip, out[top:bottom], add=add)
    return out


def convolve_with_shortcut(
    x: Tensor, layer: nn.Conv2d, shortcut: nn.Conv2d, affine: Affine
) -> tuple[Tensor, Tensor]:
    """Apply a 1x1 convolution to x, and a normalisation, SiLU and a 3x3 convolution beside it.

    Args:
        x: `H W C`; used up: if both results fit into its memory, they take it.
        layer: As in `convolve`.
        shortcut: The 1x1 convolution, to as many channels.
        affine: Scale and shift of the normalisation.

    Returns:
        What the shortcut and what the layer gives, `H W K` each.
    """
    (height, width, inputs), outputs = x.shape, layer.out_channels
    memory = x if 2 * outputs <= inputs else x.new_empty(height, width, 2 * outputs)
    straight, hidden = memory[..., :outputs], memory[..., outputs : 2 * outputs]
    kernel = _kernel(layer, height * width)
    weight = shortcut.weight[:, :, 0, 0]
    for top, bottom, strip in _strips(x, affine, kernel):
        # Before anything is written, since x may be its place.
        rows = F.linear(x[top:bottom], weight, shortcut.bias)
        kernel(strip, hidden[top:bottom], add=False)
        straight[top:bottom] = rows
    return straight, hidden


def convolve_doubled(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Enlarge x, `H W C`, to twice its size (nearest) and convolve it: `2H 2W K`."""
    height, width, _ = x.shape
    out = x.new_empty(2 * height, 2 * width, layer.out_channels)
    tiled = _tiled(layer, 4 * height * width)
    kernel: _Kernel = (
        TileConvolution(doubling_plan(), layer.weight, layer.bias)
        if tiled
        else _DoublingConvolution(layer.weight, layer.bias)
    )
    for top, bottom, strip in _strips(x, None, kernel):
        kernel(strip, out[2 * top : 2 * bottom], add=False)
    return out


def halve(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Apply a 3x3 convolution of stride 2 with zeros right and below: `H W C` to `H/2 W/2 K`."""
    height, width, _ = x.shape
    out = x.new_empty(height // 2, width // 2, layer.out_channels)
    kernel = _HalvingConvolution(layer.weight, layer.bias)
    for top, bottom, strip in _strips(x, None, kernel):
        kernel(strip, out[top // 2 : bottom // 2], add=False)
    return out


class _Kernel(Protocol):
    """A convolution of zero-padded strips, whose heights and widths are multiples of `step`."""

    step: int

    def rows(self, width: int) -> int: ...
    def __call__(self, strip: Tensor, out: Tensor, *, add: bool) -> None: ...


def _strips(x: Tensor, affine: Affine | None, kernel: _Kernel) -> Iterator[tuple[int, int, Tensor]]:
    """Yield strips of x, normalised, as (top, bottom, `bottom-top+2 W+2 C` with zeros outside).

    Rows above `bottom` are read no more afterwards, so they may be overwritten meanwhile.
    """
    height, width, channels = x.shape
    step = kernel.step
    rows = min(max(2, kernel.rows(width)), -(-height // step) * step)
    padded = x.new_zeros(max(2, rows) + 2, -(-width // step) * step + 2, channels)
    inner = padded[:, 1 : width + 1]
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first, last = top + 1 if top else 0, min(bottom + 1, height)
        if top:
            padded[:2] = padded[rows : rows + 2]
        _activate(x[first:last], affine, inner[first - top + 1 : last - top + 1])
        padded[last - top + 1 :] = 0
        yield top, bottom, padded[: -(-(bottom - top) // step) * step + 2]


def _activate(source: Tensor, affine: Affine | None, target: Tensor) -> None:
    """Write the source, normalised and through SiLU if `affine` is given, in float32."""
    if affine is None:
        target.copy_(source)
        return
    scale, shift = affine
    rows = max(1, _ACTIVATED_VALUES // (source.shape[1] * source.shape[2]))
    buffer = torch.empty(rows, *source.shape[1:])
    for top in range(0, source.shape[0], rows):
        piece, place = source[top : top + rows], target[top : top + rows]
        if piece.dtype == torch.float32:
            F.silu(torch.addcmul(shift, piece, scale, out=place), inplace=True)
        else:
            values = buffer[: piece.shape[0]].copy_(piece)
            place.copy_(F.silu(torch.addcmul(shift, values, scale, out=values), inplace=True))


def _tiled(layer: nn.Conv2d, pixels: int) -> bool:
    channels = min(layer.in_channels, layer.out_channels)
    enough = pixels >= _TILED_PIXELS and channels >= _TILED_CHANNELS
    return enough and layer.weight.dtype == torch.float32


def _kernel(layer: nn.Conv2d, pixels: int) -> _Kernel:
    if _tiled(layer, pixels):
        return TileConvolution(plain_plan(), layer.weight, layer.bias)
    return _DirectConvolution(layer.weight, layer.bias)


class _DirectConvolution:
    """PyTorch's own convolution."""

    step = 1

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight, bias

    def rows(self, width: int) -> int:
        return max(2, _DIRECT_PIXELS // width // 2 * 2)

    def __call__(self, strip: Tensor, out: Tensor, *, add: bool) -> None:
        _write(_conv2d(strip, self.weight, self.bias), out, add=add)


class _HalvingConvolution(_DirectConvolution):
    """The same at every second row and column; a strip starts at its first own pixel."""

    step = 2

    def __call__(self, strip: Tensor, out: Tensor, *, add: bool) -> None:
        _write(_conv2d(strip[1:, 1:], self.weight, self.bias, stride=2), out, add=add)


class _DoublingConvolution(_DirectConvolution):
    """Nearest 2x enlargement, then the convolution, as four 2x2 convolutions of the small map.

    Two of three taps fall on the same small pixel: a kernel a, b, c is (a, b + c) at even places
    and (a + b, c) at odd ones.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        taps = torch.tensor([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])
        phases = torch.einsum("paY,qbX,KCYX->pqKCab", taps, taps, weight.float())
        self.phases = phases.to(weight.dtype)

    def __call__(self, strip: Tensor, out: Tensor, *, add: bool) -> None:
        height, width = strip.shape[0] - 1, strip.shape[1] - 1
        for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
            part = strip[y : y + height, x : x + width]
            _write(_conv2d(part, self.phases[y, x], self.bias), out[y::2, x::2], add=add)


def _conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int = 1) -> Tensor:
    """Convolve `H W C` without padding."""
    # A batch axis that is put in before permuting keeps PyTorch on its channels-last path.
    result = F.conv2d(x[None].permute(0, 3, 1, 2), weight, bias, stride=stride)
    return result[0].permute(1, 2, 0)


def _write(values: Tensor, out: Tensor, *, add: bool) -> None:
    if add:
        out += values
    else:
        out.copy_(values)
