"""MEMatte's network: picture and trimap in, alpha out."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pullmatte.errors import WeightsError
from pullmatte.models.mematte.backbone import Backbone
from pullmatte.models.mematte.config import MEMatteConfig
from pullmatte.models.mematte.detail_decoder import DetailDecoder, decode_in_tiles
from pullmatte.models.mematte.router import Route

_MULTIPLE_PX = 32
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class Output:
    """What the network gives, with what it went through.

    Attributes:
        alpha: `B 1 H W` float32 in [0, 1].
        features: `B C h w` of the filled-up picture.
        routes: What each router decided; empty without routing.
    """

    alpha: Tensor
    features: Tensor
    routes: Sequence[Route]


class MEMatteNetwork(nn.Module):
    """MEMatte, or ViTMatte if its config isn't routed. Tensors have their released names.

    Source: MEMatte; ViTMatte.
    """

    def __init__(self, config: MEMatteConfig | None = None) -> None:
        """Build it, with random weights or on the meta device."""
        super().__init__()
        self.config = config or MEMatteConfig()
        self.backbone = Backbone(self.config)
        self.decoder = DetailDecoder(self.config.width, self.config.stream, self.config.fusion)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of its weights."""
        return self.backbone.pos_embed.dtype

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.backbone.pos_embed.device

    def forward(
        self,
        image: Tensor,
        trimap: Tensor,
        *,
        most_tokens: int | None = None,
        tile_px: int | None = None,
        released_tiles: bool = False,
    ) -> Output:
        """Matte.

        Args:
            image: `B 3 H W` in [0, 1], in any precision; on the network's device.
            trimap: `B 1 H W` in {0, 0.5, 1}; released weights saw 128/255 for unknown.
            most_tokens: As many at most attend in a routed block; the config's unless given.
            tile_px: Decode in tiles of this side, a multiple of 16; at once unless given.
            released_tiles: Fill up to whole tiles with zeros first, as the released code does.
        """
        rows, columns = image.shape[-2:]
        # Colours are normalised before they are rounded to the weights' precision.
        picture = fill_up(normalise(image, trimap)).to(self.dtype)
        most = self.config.most_tokens if most_tokens is None else most_tokens
        features, routes = self.backbone(picture, most)
        if tile_px is None:
            alpha = self.decoder(features, picture)
        else:
            alpha = decode_in_tiles(
                self.decoder, features, picture, tile_px=tile_px, filled=released_tiles
            )
        return Output(alpha[..., :rows, :columns].float(), features, routes)


def run_softly(
    network: MEMatteNetwork, image: Tensor, trimap: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
    """Run a network as in training.

    Args:
        network: In training mode or not; batch norms follow that.
        image: `B 3 H W` in [0, 1].
        trimap: `B 1 H W` in {0, 0.5, 1}.
        generator: Of the CPU, for the routers' choices.

    Returns:
        Alpha, `B 1 H W`; features, `B C h w`, for the teacher to compare; policies, `B N 1` each.
    """
    rows, columns = image.shape[-2:]
    picture = fill_up(normalise(image, trimap))
    features, policies = network.backbone.softly(picture, generator)
    return network.decoder(features, picture)[..., :rows, :columns], features, policies


def make_empty(config: MEMatteConfig, what: str) -> MEMatteNetwork:
    """Build a network on the meta device, for weights to be put into.

    Args:
        config: As a file has it.
        what: That file, for the message.

    Raises:
        WeightsError: If nothing can be built by this config.
    """
    try:
        with torch.device("meta"):
            return MEMatteNetwork(config)
    except Exception as error:  # What torch raises on odd sizes has no limits.
        said = " ".join(str(error).split())[:160] or type(error).__name__
        raise WeightsError(
            f"{what}: no network can be built by its config: {said}; convert or pull again"
        ) from error


def normalise(image: Tensor, trimap: Tensor) -> Tensor:
    """Join colours, by ImageNet's statistics, and the trimap as it is: `B 4 H W`."""
    mean, deviation = (
        torch.tensor(values, device=image.device, dtype=image.dtype)[:, None, None]
        for values in (_MEAN, _DEVIATION)
    )
    return torch.cat([(image - mean) / deviation, trimap], dim=1)


def fill_up(picture: Tensor) -> Tensor:
    """Fill up with zeros, right and below, to multiples of 32 pixels.

    Where one side needs it, the other is filled up too, by 32 pixels if it is a multiple already:
    the released code does so, and positions depend on it.
    """
    rows, columns = picture.shape[-2:]
    if rows % _MULTIPLE_PX == 0 and columns % _MULTIPLE_PX == 0:
        return picture
    right, below = (_MULTIPLE_PX - side % _MULTIPLE_PX for side in (columns, rows))
    return F.pad(picture, (0, right, 0, below))
