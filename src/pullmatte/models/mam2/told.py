"""What a prompter knows of an object beside its trimap, for a matter that listens.

Of a trimap that is unknown everywhere, as grass's or a bubble's is, a matter can't tell whether it
sees an opaque thing or through one. The prompter knows, as it looks at the whole picture.

This is pullmatte's own; no paper has it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor

import torch
from torch import Tensor
from torch.nn import functional as F

from pullmatte.models.mam2.features import Features
from pullmatte.models.mam2.quick_planes import reduced

SAID = 4
"""Planes that are said of the object: its chances of being in the mask, surely ground and surely
foreground, and whether it is one that can be seen through."""
FINE_PX, TOP_PX = 4, 32
"""A matter is told of squares of so many pixels of its own picture."""
Edges = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Told:
    """What is known, of the whole picture or of windows.

    Attributes:
        fine: `B SAID+C/8 h w`: what is said of the object, then the frame's own finest map.
        top: `B C h' w'`, the frame's map of what is where.
        given: `B 1 1 1`, 1; where it is 0 nothing was told.
    """

    fine: Tensor
    top: Tensor
    given: Tensor

    @staticmethod
    def of(
        features: Features, mask_logits: Tensor, trimap_logits: Tensor, seen_through: bool
    ) -> "Told":
        """Put together what is known of an object.

        Args:
            features: Of the frame.
            mask_logits: `1 1 H W`, at any size.
            trimap_logits: `1 3 h w`, of the size of the frame's finest map.
            seen_through: Whether it is an object that one can see through.
        """
        chances = torch.softmax(trimap_logits.float(), dim=1)
        inside = reduced(mask_logits.float(), chances.shape[-1]).sigmoid()
        through = torch.full_like(inside, float(seen_through))
        said = [inside, chances[:, :1], chances[:, 2:], through]
        fine = torch.cat([*said, features.fine.float()], dim=1)
        return Told(fine, features.top.float(), fine.new_ones(1, 1, 1, 1))

    def window(self, x: Edges, y: Edges, size_px: tuple[int, int]) -> "Told":
        """Cut a window out.

        Args:
            x: Its left and right edge, in shares of the picture's width.
            y: Its upper and lower edge, in shares of the height.
            size_px: Height and width that it has for a matter, multiples of `TOP_PX`.

        Returns:
            What is told of it; beyond the picture its edge repeats.
        """
        height, width = size_px
        fine, top = (
            _sampled(maps, x, y, (height // px, width // px))
            for maps, px in ((self.fine, FINE_PX), (self.top, TOP_PX))
        )
        return Told(fine, top, self.given)

    def cells(self, x: Edges, y: Edges) -> Tensor:
        """Return all that is said of the object where a window looks: `B SAID h w`.

        Args:
            x: As for `window`, like the next.
            y: See there.
        """
        rows, columns = (
            slice(max(0, floor(low * count) - 1), ceil(high * count) + 1)
            for count, (low, high) in zip(self.fine.shape[-2:], (y, x), strict=True)
        )
        return self.fine[:, :SAID, rows, columns]

    def part(self, rows: slice, columns: slice) -> "Told":
        """Cut a part out of a window; its edges are multiples of `TOP_PX`."""
        fine, top = (
            maps[..., _at(rows, px), _at(columns, px)]
            for maps, px in ((self.fine, FINE_PX), (self.top, TOP_PX))
        )
        return Told(fine, top, self.given)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "Told":
        """Return the same with each of its tensors changed."""
        return Told(change(self.fine), change(self.top), change(self.given))

    @staticmethod
    def joined(several: Sequence["Told"]) -> "Told":
        """Return several as one batch."""
        fine, top, given = (
            torch.cat(each)
            for each in zip(*((one.fine, one.top, one.given) for one in several), strict=True)
        )
        return Told(fine, top, given)


def _at(pixels: slice, size_px: int) -> slice:
    return slice(pixels.start // size_px, -(-pixels.stop // size_px))


def _sampled(maps: Tensor, x: Edges, y: Edges, size: tuple[int, int]) -> Tensor:
    """Sample maps, `B C h w`, at the middles of a window's cells."""
    rows, columns = (
        2 * ((torch.arange(count, device=maps.device) + 0.5) / count * (high - low) + low) - 1
        for count, (low, high) in zip(size, (y, x), strict=True)
    )
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1).to(maps.dtype)
    grid = grid.expand(len(maps), -1, -1, -1)
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)
