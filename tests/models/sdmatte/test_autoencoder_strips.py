from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from torch import Tensor, nn

from pullmatte.models.sdmatte.autoencoder_strips import decode, encode_mean

CHANNELS = (16, 32, 48, 48)
SCALE = 0.18215


def make_vae(channels: tuple[int, ...] = CHANNELS, groups: int = 8, layers: int = 2) -> nn.Module:
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=layers,
        norm_num_groups=groups,
    )
    for name, parameter in vae.named_parameters():
        if "norm" in name:
            nn.init.normal_(parameter, mean=float(name.endswith("weight")), std=0.3)
    return vae.eval()


@pytest.fixture(scope="module")
def vae() -> nn.Module:
    return make_vae()


def uniform(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def relative(result: Tensor, wanted: Tensor) -> float:
    assert result.shape == wanted.shape
    return ((result.float() - wanted).abs().max() / wanted.abs().max()).item()


@pytest.mark.parametrize("shape", [(1, 3, 128, 160), (2, 3, 72, 40), (1, 3, 8, 24)])
@torch.no_grad()
def test_encode_equals_diffusers(vae: nn.Module, shape: tuple[int, ...]) -> None:
    image = uniform(*shape)
    kept = image.clone()
    assert relative(encode_mean(vae, image), vae.encode(image).latent_dist.mode()) < 1e-5
    assert torch.equal(image, kept)


@pytest.mark.parametrize("shape", [(1, 4, 16, 20), (2, 4, 9, 5), (1, 4, 1, 3)])
@torch.no_grad()
def test_decode_equals_diffusers(vae: nn.Module, shape: tuple[int, ...]) -> None:
    latent = uniform(*shape) * 3
    kept = latent.clone()
    assert relative(decode(vae, latent), vae.decode(latent).sample) < 1e-5
    assert torch.equal(latent, kept)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision_is_as_good_as_diffusers(dtype: torch.dtype) -> None:
    vae, image = make_vae(), uniform(1, 3, 64, 96)
    latent = vae.encode(image).latent_dist.mode()
    picture = vae.decode(latent).sample
    vae = vae.to(dtype)
    theirs = relative(vae.encode(image.to(dtype)).latent_dist.mode(), latent)
    assert encode_mean(vae, image).dtype == dtype
    assert relative(encode_mean(vae, image), latent) < 1.5 * theirs
    theirs = relative(vae.decode(latent.to(dtype)).sample, picture)
    assert relative(decode(vae, latent), picture) < 1.5 * theirs


@torch.no_grad()
def test_flat_areas_lose_nothing(vae: nn.Module) -> None:
    image = uniform(1, 3, 128, 128)
    image[..., :64] = 1
    assert relative(encode_mean(vae, image), vae.encode(image).latent_dist.mode()) < 1e-5


@torch.no_grad()
def test_items_of_a_batch_do_not_mix(vae: nn.Module) -> None:
    images = uniform(2, 3, 64, 64)
    both = encode_mean(vae, images)
    assert torch.equal(both[1:], encode_mean(vae, images[1:]))


@torch.no_grad()
def test_channels_last_weights_and_images_change_nothing() -> None:
    vae, image = make_vae(), uniform(1, 3, 64, 64)
    wanted = encode_mean(vae, image)
    last = vae.to(memory_format=torch.channels_last)
    again = encode_mean(last, image.to(memory_format=torch.channels_last))
    assert relative(again, wanted) < 1e-6


def test_gradients_are_not_kept(vae: nn.Module) -> None:
    assert not decode(vae, uniform(1, 4, 4, 4)).requires_grad


@torch.no_grad()
def test_recorded_latents_and_picture_come_back(shared: Path) -> None:
    tensors = load_file(shared / "parity/sdmatte/tiny_sdmatte.safetensors")
    vae = make_vae((32, 32, 64, 64), groups=32, layers=1)
    weights = {k[4:]: v.float() for k, v in tensors.items() if k.startswith("vae.")}
    vae.load_state_dict(weights)
    latents = tensors["out.box.unet_input"].float()
    image, unet_output = tensors["in.image"].float(), tensors["out.box.unet_output"].float()
    torch.testing.assert_close(encode_mean(vae, image) * SCALE, latents[:, :4], atol=1e-5, rtol=0)
    picture = tensors["out.box.decoder_output"].float()
    torch.testing.assert_close(decode(vae, unet_output / SCALE), picture, atol=5e-5, rtol=0)
