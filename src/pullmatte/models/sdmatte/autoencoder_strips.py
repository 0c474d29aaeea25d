"""Stable Diffusion's autoencoder on a CPU: the same numbers in less memory and time.

`AutoencoderKL`'s own forward keeps several copies of the largest maps and passes each of them
through memory for every normalisation, activation and convolution. Here a map is `H W C`, statistics
are taken first, and norm, SiLU and convolution then follow each other strip by strip in the cache.
A residual is added where it stands, a block that halves its channels works inside its input, and
the enlarged maps of the decoder exist only after their convolution. All of it is exact up to
rounding, for any weights. Inference only.

Source: SDMatte, section 3.1 (the autoencoder is that of Stable Diffusion, frozen).
"""

from collections.abc import Iterator
from math import gcd
from typing import Protocol

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d_blocks import UNetMidBlock2D
from torch import Tensor, nn

from pullmatte.models.sdmatte.winograd import TileConvolution, doubling_plan, plain_plan

Affine = tuple[Tensor, Tensor]
Counts = tuple[Tensor, Tensor]

_STATISTICS_VALUES = 1 << 19
_FEW_PIXELS = 64
_DIRECT_PIXELS = 1 << 14
_ACTIVATED_VALUES = 1 << 17
# Below these a direct convolution is faster than tiles and the change of their kernels.
_TILED_CHANNELS, _TILED_PIXELS = 16, 1024


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
        `H W K`, contiguous.
    """
    spare: Tensor | None = None
    for block in blocks:
        x, spare = _resnet(block, x, spare, counts)
    return x.contiguous()


def _resnet(
    block: ResnetBlock2D, x: Tensor, spare: Tensor | None, counts: Counts | None
) -> tuple[Tensor, Tensor]:
    """Return the block's output and memory of the same shape that is free again."""
    affine = group_affine(x, block.norm1, counts)
    if block.conv_shortcut is not None:
        x, hidden = _first_half_with_shortcut(block, x, affine)
    else:
        hidden = torch.empty_like(x) if spare is None else spare
        convolve(x, block.conv1, affine, out=hidden)
    convolve(hidden, block.conv2, group_affine(hidden, block.norm2, counts), out=x, add=True)
    return x, hidden


def _first_half_with_shortcut(
    block: ResnetBlock2D, x: Tensor, affine: Affine
) -> tuple[Tensor, Tensor]:
    """Return the shortcut's output and the first convolution's, inside x if both fit."""
    (height, width, inputs), outputs = x.shape, block.conv1.out_channels
    memory = x if 2 * outputs <= inputs else x.new_empty(height, width, 2 * outputs)
    straight, hidden = memory[..., :outputs], memory[..., outputs : 2 * outputs]
    kernel = _kernel(block.conv1, height * width)
    weight = block.conv_shortcut.weight[:, :, 0, 0]
    for top, bottom, strip in _strips(x, affine, kernel):
        # Before anything is written, since x may be its place.
        shortcut = F.linear(x[top:bottom], weight, block.conv_shortcut.bias)
        kernel(strip, hidden[top:bottom], add=False)
        straight[top:bottom] = shortcut
    return straight, hidden


def attend(attention: Attention, x: Tensor, counts: Counts | None = None) -> None:
    """Add a middle block's self-attention to x, `H W C`, in place; `counts` as in `middle`."""
    height, width, channels = x.shape
    scale, shift = group_affine(x, attention.group_norm, counts)
    tokens = torch.addcmul(shift, x.float(), scale).to(x.dtype).view(1, height * width, channels)
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


def group_affine(x: Tensor, norm: nn.GroupNorm, counts: Counts | None = None) -> Affine:
    """Return the scale and the shift per channel that a group norm comes to on a map.

    Args:
        x: `H W C`.
        norm: Its groups, weight, bias and eps.
        counts: As in `middle`.

    Returns:
        Two tensors, `C` float32: norm(x) = x * scale + shift.
    """
    mean, variance = _channel_moments(x) if counts is None else _weighted_moments(x, counts)
    means, variances = mean.view(norm.num_groups, -1), variance.view(norm.num_groups, -1)
    centre = means.mean(1, keepdim=True)
    spread = (variances + (means - centre) ** 2).mean(1, keepdim=True)
    scale = norm.weight.double().view_as(means) / (spread + norm.eps).sqrt()
    shift = norm.bias.double().view_as(means) - centre * scale
    return scale.flatten().float(), shift.flatten().float()


def _channel_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance of each channel, `C` float64.

    First of sets of a few pixels, then across the sets of a strip, then across strips, always as
    moments about a mean: flat areas and means far from zero lose nothing, as they would in one
    long float32 sum.
    """
    height, width, channels = x.shape
    rows = min(height, max(1, _STATISTICS_VALUES // (width * channels)))
    shares, means, variances = [], [], []
    # One buffer for all strips: fresh memory for each would cost more than the sums.
    buffer = torch.empty(rows, width, channels)
    for top in range(0, height, rows):
        strip = x[top : top + rows]
        if strip.dtype != torch.float32 or not strip.is_contiguous():
            strip = buffer[: strip.shape[0]].copy_(strip)
        few = gcd(strip.shape[0] * width, _FEW_PIXELS)
        # Many sets pass as channels of one; this layout is the one that PyTorch sums quickly.
        sets = strip.view(1, few, 1, -1).permute(0, 3, 1, 2)
        moments = torch.batch_norm_update_stats(sets, None, None, 0)
        mean, variance = _merged(*(values.view(-1, channels) for values in moments))
        shares.append(strip.shape[0] / height)
        means.append(mean)
        variances.append(variance)
    share = torch.tensor(shares, dtype=torch.float64)[:, None] * len(shares)
    return _merged(torch.stack(means).double(), torch.stack(variances).double(), share)


def _merged(
    means: Tensor, variances: Tensor, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Merge the moments of several sets, along the first axis; weights are 1 on average."""
    weighted = means if weight is None else means * weight
    centre = weighted.mean(0)
    spread = variances + (means - centre) ** 2
    return centre, (spread if weight is None else spread * weight).mean(0)


def _weighted_moments(x: Tensor, counts: Counts) -> tuple[Tensor, Tensor]:
    share = (counts[0][:, None] * counts[1]).double().flatten()
    share = share / share.sum()
    values = x.flatten(0, 1)
    mean = share @ values.double()
    return mean, share @ (values - mean.float()).square().double()


def convolve(
    x: Tensor,
    layer: nn.Conv2d,
    affine: Affine | None = None,
    *,
    out: Tensor | None = None,
    add: bool = False,
) -> Tensor:
    """Apply a 3x3 convolution, after a normalisation and SiLU if one is given.

    Args:
        x: `H W C`.
        layer: With one pixel of zero padding and stride 1.
        affine: Scale and shift of the normalisation.
        out: `H W K` to write to, not x; new memory when None.
        add: Add to `out` instead of replacing it.

    Returns:
        `out`.
    """
    height, width, _ = x.shape
    out = x.new_empty(height, width, layer.out_channels) if out is None else out
    kernel = _kernel(layer, height * width)
    for top, bottom, strip in _strips(x, affine, kernel):
        kernel(strip, out[top:bottom], add=add)
    return out


def convolve_doubled(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Enlarge x, `H W C`, to twice its size (nearest) and convolve it: `2H 2W K`."""
    height, width, _ = x.shape
    out = x.new_empty(2 * height, 2 * width, layer.out_channels)
    tiled = _tiled(layer, 4 * height * width)
    kernel: _Kernel = (
        TileConvolution(doubling_plan(), layer.weight, layer.bias)
        if tiled
        else _DoublingConvolution(layer.weight, layer.bias)
    )
    for top, bottom, strip in _strips(x, None, kernel):
        kernel(strip, out[2 * top : 2 * bottom], add=False)
    return out


def halve(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Apply a 3x3 convolution of stride 2 with zeros right and below: `H W C` to `H/2 W/2 K`."""
    height, width, _ = x.shape
    out = x.new_empty(height // 2, width // 2, layer.out_channels)
    kernel = _HalvingConvolution(layer.weight, layer.bias)
    for top, bottom, strip in _strips(x, None, kernel):
        kernel(strip, out[top // 2 : bottom // 2], add=False)
    return out


class _Kernel(Protocol):
    """A convolution of zero-padded strips, whose heights and widths are multiples of `step`."""

    step: int

    def rows(self, width: int) -> int: ...
    def __call__(self, strip: Tensor, out: Tensor, *, add: bool) -> None: ...


def _strips(x: Tensor, affine: Affine | None, kernel: _Kernel) -> Iterator[tuple[int, int, Tensor]]:
    """Yield strips of x, normalised, as (top, bottom, `bottom-top+2 W+2 C` with zeros outside).

    Rows above `bottom` are read no more afterwards, so they may be overwritten meanwhile.
    """
    height, width, channels = x.shape
    step = kernel.step
    rows = min(max(2, kernel.rows(width)), -(-height // step) * step)
    padded = x.new_zeros(max(2, rows) + 2, -(-width // step) * step + 2, channels)
    inner = padded[:, 1 : width + 1]
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first, last = top + 1 if top else 0, min(bottom + 1, height)
        if top:
            padded[:2] = padded[rows : rows + 2]
        _activate(x[first:last], affine, inner[first - top + 1 : last - top + 1])
        padded[last - top + 1 :] = 0
        yield top, bottom, padded[: -(-(bottom - top) // step) * step + 2]


def _activate(source: Tensor, affine: Affine | None, target: Tensor) -> None:
    """Write the source, normalised and through SiLU if `affine` is given, in float32."""
    if affine is None:
        target.copy_(source)
        return
    scale, shift = affine
    rows = max(1, _ACTIVATED_VALUES // (source.shape[1] * source.shape[2]))
    buffer = torch.empty(rows, *source.shape[1:])
    for top in range(0, source.shape[0], rows):
        piece, place = source[top : top + rows], target[top : top + rows]
        if piece.dtype == torch.float32:
            F.silu(torch.addcmul(shift, piece, scale, out=place), inplace=True)
        else:
            values = buffer[: piece.shape[0]].copy_(piece)
            place.copy_(F.silu(torch.addcmul(shift, values, scale, out=values), inplace=True))


def _tiled(layer: nn.Conv2d, pixels: int) -> bool:
    channels = min(layer.in_channels, layer.out_channels)
    enough = pixels >= _TILED_PIXELS and channels >= _TILED_CHANNELS
    return enough and layer.weight.dtype == torch.float32


def _kernel(layer: nn.Conv2d, pixels: int) -> _Kernel:
    if _tiled(layer, pixels):
        return TileConvolution(plain_plan(), layer.weight, layer.bias)
    return _DirectConvolution(layer.weight, layer.bias)


class _DirectConvolution:
    """PyTorch's own convolution."""

    step = 1

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight, bias

    def rows(self, width: int) -> int:
        return max(2, _DIRECT_PIXELS // width // 2 * 2)

    def __call__(self, strip: Tensor, out: Tensor, *, add: bool) -> None:
        _write(_conv2d(strip, self.weight, self.bias), out, add=add)


class _HalvingConvolution(_DirectConvolution):
    """The same at every second row and column; a strip starts at its first own pixel."""

    step = 2

    def __call__(self, strip: Tensor, out: Tensor, *, add: bool) -> None:
        _write(_conv2d(strip[1:, 1:], self.weight, self.bias, stride=2), out, add=add)


class _DoublingConvolution(_DirectConvolution):
    """Nearest 2x enlargement, then the convolution, as four 2x2 convolutions of the small map.

    Two of three taps fall on the same small pixel: a kernel a, b, c is (a, b + c) at even places
    and (a + b, c) at odd ones.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        taps = torch.tensor([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])
        phases = torch.einsum("paY,qbX,KCYX->pqKCab", taps, taps, weight.float())
        self.phases = phases.to(weight.dtype)

    def __call__(self, strip: Tensor, out: Tensor, *, add: bool) -> None:
        height, width = strip.shape[0] - 1, strip.shape[1] - 1
        for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
            part = strip[y : y + height, x : x + width]
            _write(_conv2d(part, self.phases[y, x], self.bias), out[y::2, x::2], add=add)


def _conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int = 1) -> Tensor:
    """Convolve `H W C` without padding."""
    # A batch axis that is put in before permuting keeps PyTorch on its channels-last path.
    result = F.conv2d(x[None].permute(0, 3, 1, 2), weight, bias, stride=stride)
    return result[0].permute(1, 2, 0)


def _write(values: Tensor, out: Tensor, *, add: bool) -> None:
    if add:
        out += values
    else:
        out.copy_(values)
