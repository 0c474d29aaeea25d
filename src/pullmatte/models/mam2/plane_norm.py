"""A layer norm over few channels of large planes."""

from collections.abc import Sequence

from torch import Tensor, nn


class PlaneNorm(nn.LayerNorm):
    """What `transformers`' layer norm does to channels first; here they aren't turned round."""

    def __init__(self, width: Sequence[int]) -> None:
        """Build it for maps of so many channels, as `nn.LayerNorm` names them."""
        super().__init__(list(width), eps=1e-6)

    def forward(self, maps: Tensor) -> Tensor:
        """Return `K C h w` of `K C h w`."""
        away = maps - maps.mean(1, keepdim=True)
        scale = (away.square().mean(1, keepdim=True) + self.eps).rsqrt()
        return away * scale * self.weight[:, None, None] + self.bias[:, None, None]
