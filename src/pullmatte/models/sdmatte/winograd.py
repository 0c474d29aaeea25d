"""3x3 convolutions by minimal filtering: the same numbers with a quarter of the multiplications.

A tile of the input is brought to a few values per channel (`analysis`), each of them goes through
one matrix product over the channels, and the results are brought to a tile of the output
(`synthesis`). The two-dimensional matrices are Kronecker squares of one-dimensional ones, so all
three steps are plain matrix products, which run near a CPU's peak.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", section 4;
the points: Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution
for Deep Neural Networks". The doubling case is derived in `doubling_plan`.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Symmetric points below 2 lose the least in float32: five times a direct convolution's rounding
# (0, 1, -1, 2, -2 lose twice that), and all products of these numbers are exact.
_POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
# Tiles that are multiplied together: their values should stay in the caches (the first number),
# but the products over the channels need some rows to be efficient (the second).
_CACHED_VALUES = 1 << 20
_LEAST_TILES = 64


@dataclass(frozen=True, eq=False)
class Plan:
    """How a convolution is cut into tiles.

    Attributes:
        side: Side of an input tile, in pixels.
        step: Distance of neighbouring input tiles.
        block: Side of an output tile.
        analysis: `p side*side`, from the pixels of an input tile to the products.
        taps: `p 9`, from a kernel's taps to its factors.
        synthesis: `block*block p`, from the products to the output tile.
    """

    side: int
    step: int
    block: int
    analysis: Tensor
    taps: Tensor
    synthesis: Tensor


def _squared(matrix: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.kron(matrix, matrix)).float().contiguous()


@cache
def plain_plan() -> Plan:
    """F(4x4, 3x3): 36 products for 16 pixels instead of 144 (Toom-Cook at `_POINTS` and infinity).

    Source: the transposed Toom-Cook algorithm: analysis is the inverse Vandermonde matrix of size
    6, transposed; taps and synthesis are the Vandermonde matrices of sizes 3 and 4.
    """

    def vandermonde(size: int) -> NDArray[np.float64]:
        rows = [[point**power for power in range(size)] for point in _POINTS]
        return np.array([*rows, [0.0] * (size - 1) + [1.0]])

    analysis = np.linalg.inv(vandermonde(6)).T
    return Plan(6, 4, 4, _squared(analysis), _squared(vandermonde(3)), _squared(vandermonde(4).T))


@cache
def doubling_plan() -> Plan:
    """Nearest 2x enlargement and 3x3 convolution at once: 9 products for 4 pixels, not 36.

    With the kernel a, b, c and s = a + b + c, the two outputs at a pixel x of a line with the
    neighbours l and r are a*l + (b + c)*x = s*x - a*(x - l) and (a + b)*x + c*r = s*x + c*(r - x):
    three products, without any amplification of rounding.
    """
    analysis = np.array([[-1.0, 1, 0], [0, 1, 0], [0, -1, 1]])
    taps = np.array([[-1.0, 0, 0], [1, 1, 1], [0, 0, 1]])
    synthesis = np.array([[1.0, 1, 0], [0, 1, 1]])
    return Plan(3, 1, 2, _squared(analysis), _squared(taps), _squared(synthesis))


class TileConvolution:
    """A float32 3x3 convolution, plain or after doubling, on zero-padded strips.

    Args:
        plan: `plain_plan()` or `doubling_plan()`.
        weight: `K C 3 3` kernel.
        bias: `K`, or None.
    """

    def __init__(self, plan: Plan, weight: Tensor, bias: Tensor | None) -> None:
        """Turn the kernel into its factors."""
        outputs, inputs = weight.shape[:2]
        # A plain transposition and a shift of whole rows are faster than one permutation.
        kernel = weight.reshape(outputs, inputs * 9).T.contiguous().view(inputs, 9, outputs)
        factors = plan.taps @ kernel.transpose(0, 1).reshape(9, inputs * outputs)
        self.plan, self.step = plan, plan.step
        self.factors = factors.view(-1, inputs, outputs)
        self.bias = bias
        per_tile = self.factors.shape[0] * max(inputs, outputs)
        self._tiles = max(_LEAST_TILES, _CACHED_VALUES // per_tile)
        self._buffers: dict[str, Tensor] = {}

    def rows(self, width: int) -> int:
        """Return how many rows of an input of this width make a good strip."""
        return self.step * max(1, -(-self._tiles * self.step // width))

    def __call__(self, strip: Tensor, out: Tensor, *, add: bool) -> None:
        """Convolve a strip.

        Args:
            strip: `h+2 w+2 C`: the rows of the input with one pixel more on every side; `h` and `w`
                are multiples of the plan's step.
            out: `H W K`, overwritten; H and W are at most block/step times h and w.
            add: Add to `out` instead.
        """
        plan = self.plan
        down, across = (strip.shape[0] - 2) // plan.step, (strip.shape[1] - 2) // plan.step
        columns = -(-across // max(1, round(down * across / self._tiles)))
        for left in range(0, across, columns):
            count = min(columns, across - left)
            tiles = self._convolved(strip[:, left * plan.step :], down, count)
            start = left * plan.block
            self._place(tiles, out[:, start : start + count * plan.block], add=add)

    def _convolved(self, strip: Tensor, down: int, across: int) -> Tensor:
        """Return the output tiles, `block block down across K`."""
        plan, (products, inputs, outputs) = self.plan, self.factors.shape
        side, tiles = plan.side, down * across
        row, column, channel = strip.stride()
        windows = strip.as_strided(
            (side, side, down, across, inputs),
            (row, column, plan.step * row, plan.step * column, channel),
        )
        pixels = self._buffer("pixels", side * side, tiles * inputs)
        pixels.view(windows.shape).copy_(windows)
        analysed = self._buffer("analysed", products, tiles * inputs)
        torch.mm(plan.analysis, pixels, out=analysed)
        multiplied = self._buffer("multiplied", products, tiles * outputs)
        torch.bmm(
            analysed.view(products, tiles, inputs),
            self.factors,
            out=multiplied.view(products, tiles, outputs),
        )
        result = self._buffer("result", plan.block**2, tiles * outputs)
        torch.mm(plan.synthesis, multiplied, out=result)
        return result.view(plan.block, plan.block, down, across, outputs)

    def _place(self, tiles: Tensor, out: Tensor, *, add: bool) -> None:
        """Write the tiles to `out`, which may cut the last ones."""
        block, _, down, across, outputs = tiles.shape
        if self.bias is not None:
            tiles += self.bias
        height, width = out.shape[:2]
        if height == down * block and width == across * block:
            shape = (down, block, across, block, outputs)
            row, column, channel = out.stride()
            strides = (block * row, row, block * column, column, channel)
            target = out.as_strided(shape, strides)
            source = tiles.permute(2, 0, 3, 1, 4)
        else:
            target = out
            whole = tiles.permute(2, 0, 3, 1, 4).reshape(down * block, across * block, outputs)
            source = whole[:height, :width]
        if add:
            target += source
        else:
            target.copy_(source)

    def _buffer(self, name: str, rows: int, values: int) -> Tensor:
        """Return scratch memory, kept from call to call; a smaller request takes its beginning."""
        flat = self._buffers.get(name)
        if flat is None or flat.numel() < rows * values:
            flat = self._buffers[name] = torch.empty(rows * values)
        return flat[: rows * values].view(rows, values)
