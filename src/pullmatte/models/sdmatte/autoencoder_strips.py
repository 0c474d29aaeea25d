"""Stable Diffusion's autoencoder on a CPU: the same numbers in less memory and time.

`AutoencoderKL`'s own forward keeps several copies of the largest maps and passes each of them
through memory for every normalisation, activation and convolution. Here a map is `H W C`,
statistics are taken first, and norm, SiLU and convolution then follow each other strip by strip.
A residual is added where it stands, a block that halves its channels works inside its input, and
the enlarged maps of the decoder exist only after their convolution. All of it is exact up to
rounding, for any weights. Inference only.

Source: SDMatte, section 3.1 (the autoencoder is that of Stable Diffusion, frozen).
"""

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d_blocks import UNetMidBlock2D
from torch import Tensor, nn

from pullmatte.models.sdmatte.group_moments import Counts, group_affine
from pullmatte.models.sdmatte.strip_convolution import (
    convolve,
    convolve_doubled,
    convolve_with_shortcut,
    halve,
)


@torch.no_grad()
def encode_mean(vae: AutoencoderKL, image: Tensor) -> Tensor:
    """Encode images to the mean of the posterior.

    Args:
        vae: The autoencoder, on the CPU; float32, bfloat16 or float16.
        image: `B 3 H W` in [-1, 1]; H and W are multiples of 8.

    Returns:
        `B 4 H/8 W/8`, not scaled: `vae.encode(image).latent_dist.mode()` up to rounding.
    """
    return torch.stack([_encode_one(vae, item) for item in image.to(vae.dtype)])


@torch.no_grad()
def decode(vae: AutoencoderKL, latent: Tensor) -> Tensor:
    """Decode latents.

    Args:
        vae: The autoencoder, on the CPU; float32, bfloat16 or float16.
        latent: `B 4 h w`, not scaled.

    Returns:
        `B 3 8h 8w`, about [-1, 1]: `vae.decode(latent).sample` up to rounding.
    """
    return torch.stack([_decode_one(vae, item) for item in latent.to(vae.dtype)])


def _encode_one(vae: AutoencoderKL, image: Tensor) -> Tensor:
    encoder = vae.encoder
    x = convolve(image.permute(1, 2, 0), encoder.conv_in)
    for block in encoder.down_blocks:
        x = resnets(block.resnets, x)
        for downsampler in block.downsamplers or ():
            x = halve(x, downsampler.conv)
    x = middle(encoder.mid_block, x)
    x = convolve(x, encoder.conv_out, group_affine(x, encoder.conv_norm_out))
    return posterior_mean(vae, x)


def posterior_mean(vae: AutoencoderKL, x: Tensor) -> Tensor:
    """Apply `quant_conv` to the encoder's output, `h w 8`; return the mean half, `4 h w`."""
    both = x.permute(2, 0, 1)
    if vae.quant_conv is not None:
        both = vae.quant_conv(both[None])[0]
    return both[: both.shape[0] // 2].contiguous()


def _decode_one(vae: AutoencoderKL, latent: Tensor) -> Tensor:
    decoder = vae.decoder
    if vae.post_quant_conv is not None:
        latent = vae.post_quant_conv(latent[None])[0]
    x = convolve(latent.permute(1, 2, 0), decoder.conv_in)
    x = middle(decoder.mid_block, x)
    for block in decoder.up_blocks:
        x = resnets(block.resnets, x)
        for upsampler in block.upsamplers or ():
            # Its memory may be twice what it needs, and the next map is large.
            x = x.contiguous()
            x = convolve_doubled(x, upsampler.conv)
    x = convolve(x, decoder.conv_out, group_affine(x, decoder.conv_norm_out))
    return x.permute(2, 0, 1).contiguous()


def middle(block: UNetMidBlock2D, x: Tensor, counts: Counts | None = None) -> Tensor:
    """Pass a middle block: a residual block, then attention and residual blocks in turn.

    Args:
        block: Of the encoder or the decoder.
        x: `H W C`; used up.
        counts: How often each row and each column of x stands in the full map; once when None.

    Returns:
        `H W C`.
    """
    x = resnets(block.resnets[:1], x, counts)
    for attention, resnet in zip(block.attentions, block.resnets[1:], strict=True):
        if attention is not None:
            attend(attention, x, counts)
        x = resnets([resnet], x, counts)
    return x


def resnets(
    blocks: nn.ModuleList | list[ResnetBlock2D], x: Tensor, counts: Counts | None = None
) -> Tensor:
    """Pass residual blocks of one resolution.

    Args:
        blocks: In their order.
        x: `H W C`; used up: the result may stand in its memory.
        counts: As in `middle`.

    Returns:
        `H W K`, maybe every second K channels of its memory.
    """
    spare: Tensor | None = None
    for block in blocks:
        x, spare = _resnet(block, x, spare, counts)
    return x


def _resnet(
    block: ResnetBlock2D, x: Tensor, spare: Tensor | None, counts: Counts | None
) -> tuple[Tensor, Tensor]:
    """Return the block's output and memory of the same shape that is free again."""
    affine = group_affine(x, block.norm1, counts)
    if block.conv_shortcut is not None:
        x, hidden = convolve_with_shortcut(x, block.conv1, block.conv_shortcut, affine)
    else:
        hidden = torch.empty_like(x) if spare is None else spare
        convolve(x, block.conv1, affine, out=hidden)
    convolve(hidden, block.conv2, group_affine(hidden, block.norm2, counts), out=x, add=True)
    return x, hidden


def attend(attention: Attention, x: Tensor, counts: Counts | None = None) -> None:
    """Add a middle block's self-attention to x, `H W C`, in place; `counts` as in `middle`."""
    channels = x.shape[2]
    scale, shift = group_affine(x, attention.group_norm, counts)
    tokens = torch.addcmul(shift, x.float(), scale).to(x.dtype).reshape(1, -1, channels)
    query, key, value = (
        layer(tokens).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
        for layer in (attention.to_q, attention.to_k, attention.to_v)
    )
    bias = None
    if counts is not None:
        # A key that stands for n equal ones has n times their weight: exp(score + log n).
        query, key, value = query.float(), key.float(), value.float()
        bias = (counts[0][:, None] * counts[1]).log().float().view(1, 1, 1, -1)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    merged = mixed.transpose(1, 2).flatten(2).to(x.dtype)
    x += attention.to_out[0](merged).view(x.shape)
