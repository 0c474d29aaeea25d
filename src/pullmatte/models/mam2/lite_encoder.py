"""A small image encoder that takes Hiera's place: a frozen trunk under a trained pyramid."""

import torch
from torch import Tensor, nn

from pullmatte.models.mam2.quick_planes import doubled
from pullmatte.models.mam2.refinement import Residual, SelfAttention
from pullmatte.models.nano.trunk import DEVIATION, MEAN, TAPS, LiteTrunk

TRUNK_WIDTH = list(TAPS.values())[2]
"""Channels of the trunk's map at a sixteenth of the size."""


class LiteEncoder(nn.Module):
    """Trunk and feature pyramid.

    Attributes:
        backbone: The trunk, as Hiera is called in SAM 2.
        neck: Holds the positions of the top map, as SAM 2's neck does.
    """

    def __init__(self, width: int, neck_positions: nn.Module) -> None:
        """Build it for top maps of `width` channels."""
        super().__init__()
        four, eight, sixteen, thirty_two = TAPS.values()
        self.backbone = LiteTrunk()
        self.neck = nn.Module()
        self.neck.position_encoding = neck_positions
        self.coarse = nn.Conv2d(thirty_two, width, 1)
        self.context = SelfAttention(width)
        self.top = nn.Conv2d(sixteen, width, 1)
        self.top_blocks = nn.Sequential(Residual(width), Residual(width))
        self.middle = nn.Conv2d(eight, width // 2, 1)
        self.from_top = nn.Conv2d(width, width // 2, 1)
        self.middle_blocks = Residual(width // 2)
        self.to_middle = nn.Conv2d(width // 2, width // 4, 1)
        self.fine = nn.Conv2d(four, width // 4, 1)
        self.from_middle = nn.Conv2d(width // 2, width // 4, 1)
        self.fine_blocks = Residual(width // 4)
        self.to_fine = nn.Conv2d(width // 4, width // 8, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return maps of `B 3 S S` in [0, 1].

        Returns:
            `B C h w`, `B C/4 2h 2w` and `B C/8 4h 4w`; and the trunk's own map of `h w`.
        """
        mean, deviation = (
            torch.tensor(values, device=image.device, dtype=image.dtype)[:, None, None]
            for values in (MEAN, DEVIATION)
        )
        weight = self.coarse.weight
        pixels = ((image - mean) / deviation).to(weight.dtype)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._trunk_learns):
            four, eight, sixteen, thirty_two = self.backbone(pixels)
        coarse = self.context(self.coarse(thirty_two))
        top = self.top_blocks(self.top(sixteen) + doubled(coarse))
        middle = self.middle_blocks(self.middle(eight) + doubled(self.from_top(top)))
        fine = self.fine_blocks(self.fine(four) + doubled(self.from_middle(middle)))
        return top, self.to_middle(middle), self.to_fine(fine), sixteen

    @property
    def _trunk_learns(self) -> bool:
        return any(each.requires_grad for each in self.backbone.parameters())
