"""Released names against ours, down to every tensor of the full-size networks."""

import json

import pytest
import torch

from pullmatte.errors import WeightsError
from pullmatte.models.sdmatte.config import LITESDMATTE, SDMATTE
from pullmatte.models.sdmatte.network import SDMatteNetwork
from pullmatte.models.sdmatte.text_embedding import TextConfig, make_text_encoder
from pullmatte.models.sdmatte.upstream import clean, remap, to_ours, to_released


@pytest.mark.parametrize(
    ("name", "config", "tensors", "millions"),
    [("sdmatte", SDMATTE, 1316, 956.7), ("litesdmatte", LITESDMATTE, 958, 593.0)],
)
def test_full_size_networks_have_every_released_tensor(shared, name, config, tensors, millions):
    record = json.loads((shared / f"parity/sdmatte/state_dict_{name}.json").read_text())
    shapes = {key: tuple(shape) for key, shape, _ in record}
    names = remap(shapes)
    assert len(names.network) + len(names.text_encoder) == len(shapes) == tensors
    assert names.unknown == ()
    with torch.device("meta"):
        network = SDMatteNetwork(config).state_dict()
        text = make_text_encoder(TextConfig()).state_dict()
    assert network.pop("text_embedding").shape == (1, 77, 1024)
    for ours, mapped in ((network, names.network), (text, names.text_encoder)):
        assert {k: tuple(v.shape) for k, v in ours.items()} == {
            k: shapes[theirs] for k, theirs in mapped.items()
        }
    assert round(sum(v.numel() for v in network.values()) / 1e6, 1) == millions


def test_names_go_back_to_what_they_were(shared):
    record = json.loads((shared / "parity/sdmatte/state_dict_sdmatte.json").read_text())
    for name, _, _ in record:
        assert clean(name) == name
        assert to_released(to_ours(name)) == name


@pytest.mark.parametrize(
    ("given", "released"),
    [
        ("module.unet.conv_in.weight", "unet.conv_in.weight"),
        ("module._orig_mod.module.vae.quant_conv.bias", "vae.quant_conv.bias"),
        (
            "text_encoder.encoder.layers.0.mlp.fc1.bias",
            "text_encoder.text_model.encoder.layers.0.mlp.fc1.bias",
        ),
        (
            "vae.encoder.mid_block.attentions.0.query.weight",
            "vae.encoder.mid_block.attentions.0.to_q.weight",
        ),
        (
            "vae.decoder.mid_block.attentions.0.proj_attn.bias",
            "vae.decoder.mid_block.attentions.0.to_out.0.bias",
        ),
    ],
)
def test_names_of_other_libraries_are_understood(given, released):
    assert clean(given) == released


def test_idle_tables_are_passed_over_and_strangers_named():
    names = remap([
        "text_encoder.text_model.embeddings.position_ids",
        "unet.conv_in.bias",
        "pixel_mean",
    ])
    assert names.network == {"unet.conv_in.bias": "unet.conv_in.bias"}
    assert names.text_encoder == {}
    assert names.unknown == ("pixel_mean",)


def test_two_names_for_one_tensor_are_refused():
    with pytest.raises(WeightsError, match="the same tensor"):
        remap(["unet.conv_in.bias", "module.unet.conv_in.bias"])
