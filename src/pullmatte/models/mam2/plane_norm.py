"""A layer norm over few channels of large planes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PlaneNorm(nn.LayerNorm):
    """What `transformers`' layer norm does to channels first; here they aren't turned round."""

    def __init__(self, width: Sequence[int]) -> None:
        """Build it for maps of so many channels, as `nn.LayerNorm` names them."""
        super().__init__(list(width), eps=1e-6)

    def forward(self, maps: Tensor) -> Tensor:
        """Return `K C h w` of `K C h w`."""
        channels = maps.permute(0, 2, 3, 1)
        tokens = channels.reshape(-1, channels.shape[-1])
        # As products: torch's own means are slow along so short an axis.
        share = tokens.new_full((tokens.shape[1], 1), 1 / tokens.shape[1])
        away = tokens - tokens @ share
        scale = (away.square() @ share + self.eps).rsqrt()
        normed = torch.addcmul(self.bias, away * scale, self.weight)
        return normed.view(channels.shape).permute(0, 3, 1, 2)
