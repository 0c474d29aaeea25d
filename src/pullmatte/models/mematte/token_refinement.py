"""The lightweight token refinement module: what tokens that don't attend pass instead."""

import math

from torch import Tensor, nn
from torch.nn import functional as F


class _ChannelGate(nn.Module):
    """Efficient channel attention: each channel is scaled by what its neighbours' means say.

    Source: Wang et al. 2020 (ECA-Net), equation 12 for the kernel's size.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half = int((math.log2(width) + 1) / 2)
        size = half if half % 2 else half + 1
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        means = tokens.mean(dim=(1, 2))
        gate: Tensor = self.conv(means[:, None])[:, 0].sigmoid()
        return tokens * gate[:, None, None]


class TokenRefinement(nn.Module):
    """A small convolutional block in place of attention.

    Source: MEMatte, lightweight token refinement module (LTRM).
    """

    def __init__(self, width: int) -> None:
        """Take a token's channels."""
        super().__init__()
        self.fc1 = nn.Linear(width, 2 * width)
        self.dwconv = nn.Conv2d(2 * width, 2 * width, 5, padding=2, groups=2 * width)
        self.fc2 = nn.Linear(2 * width, width)
        self.eca = _ChannelGate(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Refine tokens, `B H W C`, as they come into their block, before its norm."""
        hidden = F.gelu(self.fc1(tokens))
        spread = self.dwconv(hidden.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        refined: Tensor = self.fc2(F.gelu(spread))
        gated: Tensor = self.eca(refined)
        return refined + gated
