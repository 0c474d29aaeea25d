"""Which network a released file is for."""

import json

import pytest
import torch

from pullmatte.errors import WeightsError
from pullmatte.models import MODELS
from pullmatte.models.sdmatte.config import LITESDMATTE, SDMATTE
from pullmatte.models.sdmatte.network import SDMatteNetwork
from pullmatte.models.sdmatte.released_config import _of_shapes, choose_config

UNET = {
    "_class_name": "UNet2DConditionModel", "act_fn": "silu", "attention_head_dim": [5, 10, 20, 20],
    "block_out_channels": [320, 640, 1280, 1280], "cross_attention_dim": 1024,
    "layers_per_block": 2, "norm_num_groups": 32, "norm_eps": 1e-05, "freq_shift": 0,
    "use_linear_projection": True, "bbox_time_embed_dim": 320,
    "point_embeddings_input_dim": 1680, "bbox_embeddings_input_dim": 1280, "in_channels": 4,
}  # fmt: skip
VAE = {
    "_class_name": "AutoencoderKL", "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2, "norm_num_groups": 32, "latent_channels": 4,
}  # fmt: skip
TINY_VAE = {
    "_class_name": "AutoencoderTiny", "encoder_block_out_channels": [64, 64, 64, 64],
    "decoder_block_out_channels": [64, 64, 64, 64], "scaling_factor": 1.0,
}  # fmt: skip


def put(folder, unet, vae):
    for part, record in (("unet", unet), ("vae", vae)):
        (folder / part).mkdir()
        text = record if isinstance(record, str) else json.dumps(record)
        (folder / part / "config.json").write_text(text)


def shapes_of(config):
    with torch.device("meta"):
        state = SDMatteNetwork(config).state_dict()
    return {name: tuple(value.shape) for name, value in state.items()}


def test_published_configs_are_the_presets(tmp_path):
    put(tmp_path, UNET, VAE)
    chosen = choose_config(MODELS["sdmatte"], tmp_path, {})
    assert chosen == (SDMATTE, "its config files, as published")


def test_published_lite_configs_are_the_preset(tmp_path):
    put(tmp_path, UNET | {"layers_per_block": 1}, TINY_VAE)
    assert choose_config(MODELS["litesdmatte"], tmp_path, {})[0] == LITESDMATTE


@pytest.mark.parametrize("preset", [SDMATTE, LITESDMATTE])
def test_shapes_tell_the_published_sizes(preset):
    assert _of_shapes(preset, shapes_of(preset)) == preset


def test_without_configs_the_published_sizes_hold(tmp_path):
    chosen = choose_config(MODELS["sdmatte"], tmp_path, shapes_of(SDMATTE))
    assert chosen == (SDMATTE, "the published sizes")


@pytest.mark.parametrize(
    ("unet", "vae", "says"),
    [
        (UNET | {"act_fn": "gelu"}, VAE, "asks for act_fn 'gelu', this network has 'silu'"),
        (UNET, VAE | {"latent_channels": 16}, "asks for latent_channels 16"),
        ({"act_fn": "silu"}, VAE, "lacks 'block_out_channels'"),
        (UNET | {"attention_head_dim": None}, VAE, "unet/config.json: lacks 'attention_head_dim'"),
        (UNET | {"attention_head_dim": 0}, VAE, "attention_head_dim is 0, expected four whole"),
        (UNET | {"attention_head_dim": [5, 10]}, VAE, r"attention_head_dim is \[5, 10\], expected"),
        (UNET | {"attention_head_dim": 7}, VAE, "UNetConfig.heads is"),
        (UNET | {"norm_num_groups": 3}, VAE, "unet/config.json: UNetConfig.channels is"),
        (UNET | {"block_out_channels": "abcd"}, VAE, "block_out_channels is 'abcd', expected four"),
        (UNET | {"layers_per_block": "x"}, VAE, "layers_per_block is 'x', expected a whole"),
        (UNET | {"layers_per_block": 10**6}, VAE, "layers_per_block is 1000000, expected"),
        (UNET | {"num_attention_heads": 8}, VAE, "asks for num_attention_heads 8"),
        (UNET, VAE | {"scaling_factor": "a"}, "vae/config.json: scaling_factor is 'a', expected a"),
        (UNET, VAE | {"block_out_channels": None}, "vae/config.json: lacks 'block_out_channels'"),
        (UNET, VAE | {"layers_per_block": True}, "layers_per_block is True, expected a whole"),
        (UNET, VAE | {"shift_factor": 0.1}, "asks for shift_factor 0.1"),
        ("nonsense", VAE, "can't be read"),
        ("[]", VAE, "can't be read: expected an object"),
    ],
)
def test_configs_of_other_networks_are_refused(tmp_path, unet, vae, says):
    put(tmp_path, unet, vae)
    with pytest.raises(WeightsError, match=says) as error:
        choose_config(MODELS["sdmatte"], tmp_path, {})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("unet", "vae", "says"),
    [
        (
            {"attention_head_dim": 8},
            {},
            r"attention_head_dim is \[8, 8, 8, 8\], published is \[5, ",
        ),
        ({"norm_num_groups": 16}, {}, "unet/config.json: norm_num_groups is 16, published is 32"),
        ({}, {"norm_num_groups": 16}, "vae/config.json: norm_num_groups is 16, published is 32"),
        ({}, {"scaling_factor": 0.13025}, "scaling_factor is 0.13025, published is 0.18215"),
    ],
)
def test_what_no_shape_betrays_is_refused(tmp_path, unet, vae, says):
    put(tmp_path, UNET | unet, VAE | vae)
    with pytest.raises(WeightsError, match=says) as error:
        choose_config(MODELS["sdmatte"], tmp_path, {})
    assert "\n" not in str(error.value)


def test_another_scale_of_the_tiny_autoencoder_is_refused(tmp_path):
    put(tmp_path, UNET | {"layers_per_block": 1}, TINY_VAE | {"scaling_factor": 0.18215})
    with pytest.raises(WeightsError, match=r"scaling_factor is 0.18215, published is 1.0"):
        choose_config(MODELS["litesdmatte"], tmp_path, {})
