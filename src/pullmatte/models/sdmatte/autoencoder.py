"""Between pixels and latents. Values in [-1, 1] exist here and nowhere else."""

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor, nn

from pullmatte.models.sdmatte.autoencoder_strips import decode, encode_mean
from pullmatte.models.sdmatte.config import AutoencoderConfig
from pullmatte.models.sdmatte.repeated_lines import encode_mean_of_map

_LARGE_PX = 256
# Side of a tile where memory is so short that the autoencoder works in tiles.
_TILE_PX = 512


class LatentCodec(nn.Module):
    """Stable Diffusion's autoencoder, or TAESD, as a deterministic code.

    Source: SDMatte, section 3.1; the mean of the posterior is taken, never a sample.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        """Build the autoencoder, with random weights or on the meta device."""
        super().__init__()
        self.config = config
        self.vae = _tiny(config) if config.kind == "tiny" else _kl(config)
        # Whether large pictures on a CPU go the sparing way: the same numbers up to rounding.
        self.sparing = True

    def save_memory(self, *, tiling: bool) -> None:
        """Take one image of a batch at a time, and with `tiling` one tile of it, which isn't exact.

        Tiles have statistics of their own in each group norm, so alpha may step where they meet.
        """
        self.vae.enable_slicing()
        if tiling:
            self.vae.enable_tiling()
            self.sparing = False

    def encode(self, image: Tensor) -> Tensor:
        """Encode images.

        Args:
            image: `B 3 H W` in [0, 1].

        Returns:
            `B 4 H/8 W/8`, scaled as the U-Net expects it.
        """
        image = image.to(self.vae.dtype)
        if self.config.kind == "tiny":
            # LiteSDMatte was trained on [0, 1] here, which the encoder takes for [-1, 1].
            latent: Tensor = self.vae.encode(image).latents
        elif self._spares(image.shape[-1]):
            latent = encode_mean(self.vae, image * 2 - 1)
        else:
            latent = self.vae.encode(image * 2 - 1).latent_dist.mode()
        return latent * self.config.scale

    def encode_map(self, values: Tensor) -> Tensor:
        """Encode prompt maps, `B 1 H W` in [0, 1], as grey images: `B 4 H/8 W/8`, scaled."""
        if self._spares(values.shape[-1]):
            return encode_mean_of_map(self.vae, values * 2 - 1) * self.config.scale
        return self.encode(values.expand(-1, 3, -1, -1))

    def decode(self, latent: Tensor) -> Tensor:
        """Decode a scaled latent, `B 4 h w`, to `B 3 8h 8w`, unbounded, about [-1, 1]."""
        latent = latent / self.config.scale
        if self._spares(8 * latent.shape[-1]):
            return decode(self.vae, latent)
        decoded: Tensor = self.vae.decode(latent).sample
        return decoded

    def _spares(self, side_px: int) -> bool:
        return (
            self.sparing
            and self.config.kind == "kl"
            and side_px >= _LARGE_PX
            and self.vae.device.type == "cpu"
            and not torch.is_grad_enabled()
        )


def to_alpha(decoded: Tensor) -> Tensor:
    """Turn what was decoded, `B 3 H W`, into alpha, `B 1 H W` float32 in [0, 1]."""
    grey = decoded.float().mean(dim=1, keepdim=True)
    return (grey.clip(-1, 1) + 1) / 2


def _kl(config: AutoencoderConfig) -> AutoencoderKL:
    levels = len(config.channels)
    return AutoencoderKL(
        block_out_channels=config.channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=config.layers_per_block,
        norm_num_groups=config.norm_groups,
        scaling_factor=config.scale,
        sample_size=_TILE_PX,
    )


def _tiny(config: AutoencoderConfig) -> AutoencoderTiny:
    return AutoencoderTiny(
        encoder_block_out_channels=config.channels,
        decoder_block_out_channels=config.channels,
        num_encoder_blocks=(1, 3, 3, 3),
        num_decoder_blocks=(3, 3, 3, 1),
        scaling_factor=config.scale,
    )
