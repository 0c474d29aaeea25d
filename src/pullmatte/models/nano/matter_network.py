"""nano's matter: a U-Net of plain convolutions from image and trimap to alpha."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pullmatte.models.nano.colour_hints import HINTS, colour_hints

_LEAK = 0.1
MULTIPLE_PX = 32
"""Height and width must be multiples of it."""


@dataclass(frozen=True)
class MatterConfig:
    """The matter's size.

    Attributes:
        widths: Channels at each scale, the picture's own first; each next is half as wide and
            high.
        depths: Convolutional blocks at each scale on the way down.
    """

    widths: tuple[int, ...] = (16, 32, 64, 96, 128, 160)
    depths: tuple[int, ...] = (0, 1, 1, 2, 2, 2)


class Block(nn.Module):
    """Two 3 × 3 convolutions with batch norm, added to their input."""

    def __init__(self, width: int) -> None:
        """Build it for maps of `width` channels."""
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, image: Tensor) -> Tensor:
        """Return `B C H W` of `B C H W`."""
        inner = F.relu(self.norm1(self.first(image)))
        return F.relu(image + self.norm2(self.second(inner)))


class Step(nn.Module):
    """One 3 × 3 convolution with batch norm."""

    def __init__(self, wide: int, out: int, stride: int = 1) -> None:
        """Build it from `wide` to `out` channels."""
        super().__init__()
        self.convolution = nn.Conv2d(wide, out, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, image: Tensor) -> Tensor:
        """Return `B out H W` of `B wide H W`, or half as high and wide."""
        return F.relu(self.norm(self.convolution(image)))


class MatterNetwork(nn.Module):
    """The network."""

    def __init__(self, config: MatterConfig | None = None) -> None:
        """Build it with random weights, or on the meta device."""
        super().__init__()
        self.config = config or MatterConfig()
        widths, depths = self.config.widths, self.config.depths
        inputs = 3 + 3 + HINTS
        self.down = nn.ModuleList(
            Step(wide, out, 1 if at == 0 else 2)
            for at, (wide, out) in enumerate(zip((inputs, *widths[:-1]), widths, strict=True))
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(depth)))
            for width, depth in zip(widths, depths, strict=True)
        )
        self.narrow = nn.ModuleList(
            nn.Conv2d(wide, out, 1) for wide, out in zip(widths[1:], widths[:-1], strict=True)
        )
        self.up = nn.ModuleList(
            Step(width, width) if at == 0 else Block(width) for at, width in enumerate(widths[:-1])
        )
        self.head = nn.Conv2d(widths[0], 1, 3, padding=1)

    def forward(self, image: Tensor, trimap: Tensor) -> Tensor:
        """Return alpha, `B 1 H W`; in known regions it is the trimap.

        It is in [0, 1], but in training, where it leaves a little of what is beyond.

        Args:
            image: `B 3 H W` in [0, 1]; H and W multiples of `MULTIPLE_PX`.
            trimap: `B 1 H W` in {0, 0.5, 1}.
        """
        hints = colour_hints(image, trimap)
        found = self.refine(image, trimap, hints)
        return torch.where(trimap == 0.5, found, trimap)

    def refine(self, image: Tensor, trimap: Tensor, hints: Tensor) -> Tensor:
        """Return alpha everywhere; arguments as for `forward`, with `colour_hints`."""
        classes = torch.cat([(trimap == level).to(image.dtype) for level in (0, 0.5, 1)], dim=1)
        maps = torch.cat([image - 0.5, classes, hints], dim=1)
        kept = []
        for step, block in zip(self.down, self.blocks, strict=True):
            maps = block(step(maps))
            kept.append(maps)
        for level in range(len(self.up) - 1, -1, -1):
            grown = F.interpolate(self.narrow[level](maps), scale_factor=2.0, mode="bilinear")
            maps = self.up[level](kept[level] + grown)
        # It starts from what the near colours say. Not through a sigmoid: where they are sure and
        # wrong, its slope would be too small to learn from.
        found = hints[:, :1] + self.head(maps)
        held: Tensor = found.clamp(0, 1)
        if self.training:
            held = held + _LEAK * (found - held)
        return held
