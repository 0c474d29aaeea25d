"""The small parts: codec, U-Net's layers, opacity, visual tokens."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pullmatte.models.sdmatte.autoencoder import LatentCodec, to_alpha
from pullmatte.models.sdmatte.config import SDMatteConfig
from pullmatte.models.sdmatte.network import SDMatteNetwork
from pullmatte.models.sdmatte.opacity_embedding import OpacityEmbedding
from pullmatte.models.sdmatte.visual_prompt_cross_attention import VisualPrompt

Make = Callable[..., SDMatteNetwork]


@pytest.fixture
def codec(build: Make, tiny: SDMatteConfig) -> LatentCodec:
    return build(tiny).codec


@pytest.fixture
def large() -> Tensor:
    """Large enough for the sparing way; smooth, as photos are."""
    small = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    return nn.functional.interpolate(small, size=(256, 256), mode="bicubic").clip(0, 1)


def close(ours: Tensor, plain: Tensor) -> bool:
    return float((ours - plain).abs().max()) < 3e-5 * float(plain.abs().max())


@torch.no_grad()
def test_sparing_way_gives_the_plain_ways_numbers(codec: LatentCodec, large: Tensor) -> None:
    box = torch.zeros(1, 1, 256, 256)
    box[..., 50:201, 77:180] = 1
    spared = codec.encode(large), codec.encode_map(box)
    decoded = codec.decode(spared[0])
    codec.sparing = False
    assert close(spared[0], codec.encode(large))
    assert close(spared[1], codec.encode_map(box))
    assert close(decoded, codec.decode(spared[0]))


@torch.no_grad()
def test_slices_are_exact_and_tiles_are_not(codec: LatentCodec, large: Tensor) -> None:
    codec.sparing = False
    both = torch.cat([large, 1 - large])
    whole = codec.encode(both)
    codec.save_memory(tiling=False)
    assert close(codec.encode(both), whole)
    codec.vae.tile_sample_min_size, codec.vae.tile_latent_min_size = 128, 16
    codec.save_memory(tiling=True)
    tiled = codec.encode(both)
    assert not close(tiled, whole)
    # Group norms see a tile each, so the answer is another one, though of the same picture.
    assert float(torch.corrcoef(torch.stack([tiled.flatten(), whole.flatten()]))[0, 1]) > 0.8


def test_training_goes_the_plain_way(codec: LatentCodec, large: Tensor) -> None:
    image = large.requires_grad_()
    codec.decode(codec.encode(image)).mean().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0


@torch.no_grad()
def test_latents_are_means_times_the_scale(codec: LatentCodec, image: Tensor) -> None:
    posterior = codec.vae.encode(image * 2 - 1).latent_dist
    assert torch.allclose(codec.encode(image), posterior.mean * 0.18215, atol=1e-6)
    assert torch.equal(codec.encode(image), codec.encode(image))


def test_alpha_is_the_clipped_mean_of_three_channels() -> None:
    decoded = torch.tensor([-3.0, -0.5, 0.2, 5.0]).reshape(1, 1, 1, 4).repeat(1, 3, 1, 1)
    decoded[0, 0] += 0.3
    expected = torch.tensor([0.0, 0.3, 0.65, 1.0])
    assert torch.allclose(to_alpha(decoded)[0, 0, 0], expected, atol=1e-6)


def test_unet_has_as_many_layers_as_stable_diffusion(build: Make, tiny: SDMatteConfig) -> None:
    unet = build(tiny).unet
    attentions, crosses = unet.self_attention_layers(), unet.cross_attention_layers()
    assert len(attentions) == len(crosses) == 16
    mid = set(unet.mid_block.modules())
    assert [layer in mid for layer in crosses].index(True) == 6
    assert crosses[-1] is unet.up_blocks[-1].attentions[-1].transformer_blocks[0].attn2


def test_opacity_is_one_for_opaque(build: Make) -> None:
    torch.manual_seed(0)
    embedding = OpacityEmbedding(32, 128).eval().requires_grad_(False)
    # Zero gives ones, then zeros: the code of time step 0.
    code = torch.cat([torch.ones(16), torch.zeros(16)])[None]
    assert torch.allclose(embedding(torch.zeros(1)), embedding.mlp.forward(code), atol=1e-6)
    assert not torch.allclose(embedding(torch.ones(1)), embedding(torch.zeros(1)), atol=1e-3)


def test_visual_tokens_are_in_rows() -> None:
    torch.manual_seed(0)
    part = VisualPrompt(4, 16).eval().requires_grad_(False)
    latent = torch.randn(2, 4, 6, 5)
    tokens = part(latent)
    assert tokens.shape == (2, 30, 16)
    assert torch.equal(tokens[1, 7], part.projection(latent)[1, :, 1, 2])


def test_lite_has_no_sparing_way(build: Make, tiny_lite: SDMatteConfig, large: Tensor) -> None:
    codec = build(replace(tiny_lite, size_px=256)).codec
    with torch.no_grad():
        latent = codec.encode(large)
        assert torch.equal(latent, codec.vae.encode(large).latents)
        assert codec.decode(latent).shape == large.shape
