"""The detail decoder: from tokens and the picture itself to alpha."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IN_CHANNELS = 4
_STEP_PX = 16


class _Convolution(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class _Stream(nn.Module):
    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        widths = (IN_CHANNELS, *channels)
        self.convs = nn.ModuleList(
            _Convolution(before, after, stride=2)
            for before, after in zip(widths, channels, strict=False)
        )

    def forward(self, picture: Tensor) -> list[Tensor]:
        details = [picture]
        for layer in self.convs:
            details.append(layer(details[-1]))
        return details


class _Fusion(nn.Module):
    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = _Convolution(channels_in, channels_out)

    def forward(self, x: Tensor, detail: Tensor) -> Tensor:
        larger = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        fused: Tensor = self.conv(torch.cat([detail, larger], dim=1))
        return fused


class _Head(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.matting_convs = nn.Sequential(
            nn.Conv2d(channels, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 1, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.matting_convs(x)
        return logits


class DetailDecoder(nn.Module):
    """Brings tokens up to the picture's size, with the picture's own detail at each step.

    Source: ViTMatte, detail capture module; MEMatte keeps it.
    """

    def __init__(self, width: int, stream: Sequence[int], fusion: Sequence[int]) -> None:
        """Take a token's channels, and those of the stream and of the fusions."""
        super().__init__()
        self.convstream = _Stream(stream)
        coarse = (width, *fusion[:-1])
        details = (*reversed(stream), IN_CHANNELS)
        self.fusion_blks = nn.ModuleList(
            _Fusion(a + b, c) for a, b, c in zip(coarse, details, fusion, strict=True)
        )
        self.matting_head = _Head(fusion[-1])

    def forward(self, features: Tensor, picture: Tensor) -> Tensor:
        """Decode.

        Args:
            features: `B C h w`, one place for each 16 pixels.
            picture: `B 4 16h 16w`, normalised colours and the trimap.

        Returns:
            Alpha, `B 1 16h 16w` in [0, 1].
        """
        details = self.convstream(picture)
        for layer, detail in zip(self.fusion_blks, reversed(details), strict=True):
            features = layer(features, detail)
        return torch.sigmoid(self.matting_head(features))


def decode_in_tiles(
    decoder: DetailDecoder,
    features: Tensor,
    picture: Tensor,
    *,
    tile_px: int = 512,
    overlap_px: int = 64,
    filled: bool = False,
) -> Tensor:
    """Decode tile by tile, for pictures too large to decode at once.

    A place of alpha depends on some 21 pixels round it, and each tile is seen with half of
    `overlap_px` on every side, so that the answer is the whole picture's.

    Args:
        decoder: The decoder.
        features: `B C h w`.
        picture: `B 4 16h 16w`.
        tile_px: Side of a tile, a multiple of 16.
        overlap_px: Pixels that two neighbours both see, a multiple of 32.
        filled: Fill the picture up with zeros to whole tiles first, as the released code does;
            alpha then differs near its right and lower edge.

    Returns:
        Alpha, `B 1 16h 16w`.

    Source: MEMatte's released decoder for large pictures.
    """
    rows, columns = picture.shape[-2:]
    if filled:
        right, below = -columns % tile_px, -rows % tile_px
        picture = F.pad(picture, (0, right, 0, below))
        features = F.pad(features, (0, right // _STEP_PX, 0, below // _STEP_PX))
    alpha = picture.new_zeros(len(picture), 1, *picture.shape[-2:])
    margin = overlap_px // 2
    for top in range(0, rows, tile_px):
        for left in range(0, columns, tile_px):
            upper, before = max(0, top - margin), max(0, left - margin)
            seen = (slice(upper, top + tile_px + margin), slice(before, left + tile_px + margin))
            coarse = [slice(s.start // _STEP_PX, s.stop // _STEP_PX) for s in seen]
            tile = decoder(features[..., coarse[0], coarse[1]], picture[..., seen[0], seen[1]])
            inner = tile[..., top - upper :, left - before :][..., :tile_px, :tile_px]
            height, width = inner.shape[-2:]
            alpha[..., top : top + height, left : left + width] = inner
    return alpha[..., :rows, :columns]
