"""nano's matter: from image and trimap to alpha, by plain convolutions at half the size.

What it finds there are local affine functions from colour to alpha; at full size they are applied
to the picture, and a light head mends what they miss.

Source: Gharbi et al., Deep Bilateral Learning, and Wu et al., Fast End-to-End Trainable Guided
Filter, for coefficients that are found small and applied large.
"""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pullmatte.models.mam2.quick_planes import doubled
from pullmatte.models.mam2.refinement import SelfAttention
from pullmatte.models.mam2.told import SAID, TOP_PX, Told
from pullmatte.models.nano.colour_hints import HINTS, Hints, colour_hints
from pullmatte.models.nano.local_fit import applied

_LEAK = 0.1
_FINE_SCALE = 1
MULTIPLE_PX = TOP_PX
"""Height and width must be multiples of it."""


@dataclass(frozen=True)
class MatterConfig:
    """The matter's size.

    Attributes:
        widths: Channels at each scale, half the picture's own first; each next is half as wide
            and high.
        depths: Convolutional blocks at each scale on the way down.
        shown: Channels that the head sees of the finest scale.
        head: Its own channels.
        fine: Planes that a prompter tells at a quarter of the picture's size; see `Told`.
        top: Planes that it tells of `TOP_PX` by `TOP_PX` pixels.
        told: Channels between those and the coarsest scale.
    """

    widths: tuple[int, ...] = (24, 40, 72, 112, 144)
    depths: tuple[int, ...] = (0, 1, 1, 1, 2)
    shown: int = 8
    head: int = 8
    fine: int = SAID + 16
    top: int = 128
    told: int = 32


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
        inner = F.relu(self.norm1(self.first(image)), inplace=True)
        return F.relu(image + self.norm2(self.second(inner)), inplace=True)


class Step(nn.Module):
    """One 3 × 3 convolution with batch norm."""

    def __init__(self, wide: int, out: int, stride: int = 1) -> None:
        """Build it from `wide` to `out` channels."""
        super().__init__()
        self.convolution = nn.Conv2d(wide, out, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, image: Tensor) -> Tensor:
        """Return `B out H W` of `B wide H W`, or half as high and wide."""
        return F.relu(self.norm(self.convolution(image)), inplace=True)


class Addend(nn.Module):
    """One convolution with batch norm, whose maps are added to others.

    Without the norm they outgrow what they are added to, which is lost in them.
    """

    def __init__(self, wide: int, out: int, side: int = 1) -> None:
        """Build it from `wide` to `out` channels, `side` by `side` places."""
        super().__init__()
        self.convolution = nn.Conv2d(wide, out, side, padding=side // 2, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, image: Tensor) -> Tensor:
        """Return `B out H W` of `B wide H W`."""
        found: Tensor = self.norm(self.convolution(image))
        return found


class MatterNetwork(nn.Module):
    """The network."""

    def __init__(self, config: MatterConfig | None = None) -> None:
        """Build it with random weights, or on the meta device."""
        super().__init__()
        self.config = config or MatterConfig()
        widths, depths = self.config.widths, self.config.depths
        self.down = nn.ModuleList(
            Step(wide, out, 1 if at == 0 else 2)
            for at, (wide, out) in enumerate(zip((HINTS, *widths[:-1]), widths, strict=True))
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(depth)))
            for width, depth in zip(widths, depths, strict=True)
        )
        self.context = SelfAttention(widths[-1])
        self.narrow = nn.ModuleList(
            Addend(wide, out) for wide, out in zip(widths[1:], widths[:-1], strict=True)
        )
        self.up = nn.ModuleList(
            Step(width, width) if at < 2 else Block(width) for at, width in enumerate(widths[:-1])
        )
        self.affine = nn.Conv2d(widths[0], 5 + self.config.shown, 3, padding=1)
        self.first = nn.Conv2d(3 + 3 + 2 + self.config.shown, self.config.head, 3, padding=1)
        self.second = nn.Conv2d(self.config.head, 1, 3, padding=1)
        self.told_fine = Addend(self.config.fine, widths[_FINE_SCALE], 3)
        self.told_narrow = nn.Conv2d(self.config.top, self.config.told, 1)
        self.told_top = Addend(self.config.told, widths[-1])
        for part in (self.told_fine, self.told_top):
            nn.init.zeros_(part.norm.weight)
        for layer in (self.affine, self.second):
            nn.init.normal_(layer.weight, std=1e-3)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor, trimap: Tensor, told: Told | None = None) -> Tensor:
        """Return alpha, `B 1 H W`; in known regions it is the trimap.

        It is in [0, 1], but in training, where it leaves a little of what is beyond.

        Args:
            image: `B 3 H W` in [0, 1]; H and W multiples of `MULTIPLE_PX`.
            trimap: `B 1 H W` in {0, 0.5, 1}.
            told: What a prompter says of the same; None where nobody does.
        """
        found = self.refine(image, trimap, colour_hints(image, trimap), told)
        return torch.where(trimap == 0.5, found, trimap)

    def refine(
        self, image: Tensor, trimap: Tensor, hints: Hints, told: Told | None = None
    ) -> Tensor:
        """Return alpha everywhere; arguments as for `forward`, with `colour_hints`."""
        # Convolutions are faster with channels last, and mixing both ways costs more than either.
        planes, known = (
            each.contiguous(memory_format=torch.channels_last)
            for each in (hints.planes, torch.cat([hints.coefficients, hints.coarse], dim=1))
        )
        more = self.affine(self._decoded(planes, told))
        # It starts from what the fits say.
        shift = more[:, 4:5] * (known[:, 4:] - planes[:, -2:-1])
        offset = known[:, 3:4] + more[:, 3:4] + shift
        grown = doubled(
            torch.cat([known[:, :3] + more[:, :3], offset, known[:, 4:], more[:, 5:]], dim=1)
        )
        guided = applied(grown[:, :4], image)
        classes = torch.stack([trimap[:, 0] == level for level in (0, 0.5, 1)], dim=-1)
        # Joined with channels last: turning them round afterwards takes several times longer.
        parts = [_last(image) - 0.5, classes.to(image.dtype), _last(guided), _last(grown)[..., 4:]]
        seen = torch.cat(parts, dim=-1).permute(0, 3, 1, 2)
        # Not through a sigmoid: where colours are sure and wrong, its slope would be too small to
        # learn from.
        found = guided + self.second(F.relu(self.first(seen), inplace=True))
        held: Tensor = found.clamp(0, 1)
        if self.training:
            held = held + _LEAK * (found - held)
        return held

    def _decoded(self, maps: Tensor, told: Told | None) -> Tensor:
        """Return the maps of the finest scale, `B C h w` of `B HINTS h w`."""
        kept: list[Tensor] = []
        for step, block in zip(self.down, self.blocks, strict=True):
            maps = step(maps)
            if told is not None and len(kept) == _FINE_SCALE:
                maps = maps + told.given * self.told_fine(told.fine)
            elif told is not None and len(kept) == len(self.down) - 1:
                maps = maps + told.given * self.told_top(F.relu(self.told_narrow(told.top)))
            maps = block(maps)
            kept.append(maps)
        maps = self.context(maps)
        for level in range(len(self.up) - 1, -1, -1):
            maps = self.up[level](kept[level] + doubled(self.narrow[level](maps)))
        return maps


def _last(maps: Tensor) -> Tensor:
    return maps.permute(0, 2, 3, 1)


def folded(network: MatterNetwork) -> MatterNetwork:
    """Return a network whose batch norms are part of the convolutions before them, for inference.

    Args:
        network: In evaluation; it stays as it is.
    """
    copy = deepcopy(network).eval()
    for part in copy.modules():
        pairs: list[tuple[str, str]] = []
        if isinstance(part, Block):
            pairs = [("first", "norm1"), ("second", "norm2")]
        elif isinstance(part, Step | Addend):
            pairs = [("convolution", "norm")]
        for convolution, norm in pairs:
            both = fuse_conv_bn_eval(getattr(part, convolution), getattr(part, norm))
            setattr(part, convolution, both)
            setattr(part, norm, nn.Identity())
    return copy
