"""MEMatte and ViTMatte in every released form, into folders of ours."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pullmatte.errors import WeightsError
from pullmatte.models import MODELS
from pullmatte.models.conversion_report import ConvertOptions
from pullmatte.models.mematte.config import MEMATTE_S, VITMATTE_S
from pullmatte.models.mematte.conversion import convert, expected_shapes, sort_names
from pullmatte.models.mematte.network import make_empty
from pullmatte.models.mematte.released_config import choose_config, config_of_shapes
from pullmatte.models.weights import read_manifest, read_shards

_spec = importlib.util.spec_from_file_location("released", Path(__file__).parent / "released.py")
released = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(released)

MEMATTE, VITMATTE = MODELS["mematte"], MODELS["vitmatte"]


def floats(tensors):
    return {name: value for name, value in tensors.items() if value.is_floating_point()}


def test_training_checkpoint_arrives_without_teacher_and_counters(tmp_path):
    tensors = released.weights()
    source = released.write_training(tmp_path / "from" / "MEMatte.pth", tensors)
    report = convert(source, tmp_path / "out", MEMATTE)
    found, expected = read_shards(tmp_path / "out"), floats(tensors)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert report.tensors == len(expected)
    assert not report.as_published
    assert report.config_from == "its shapes"
    assert (tmp_path / "out" / "LICENSE.md").read_text().count("MIT") == 2


def test_both_forms_of_vitmatte_give_one_folder(tmp_path):
    tensors = released.weights(released.TINY_VIT)
    convert(released.write_hub(tmp_path / "model.safetensors", tensors), tmp_path / "a", VITMATTE)
    convert(released.write_pth(tmp_path / "ViTMatte.pth", tensors), tmp_path / "b", VITMATTE)
    first, second = (load_file(tmp_path / n / "model.safetensors") for n in "ab")
    assert first.keys() == second.keys() == floats(tensors).keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    configs = [json.loads((tmp_path / n / "config.json").read_text()) for n in "ab"]
    assert configs[0] == configs[1]
    assert read_manifest(tmp_path / "a")["model"] == "vitmatte"


def test_wrapped_names_are_taken(tmp_path):
    tensors = {f"module.{name}": value for name, value in released.weights().items()}
    convert(released.write_pth(tmp_path / "x.pth", tensors), tmp_path / "out", MEMATTE)
    assert "backbone.pos_embed" in read_shards(tmp_path / "out")


def test_precision_is_stored(tmp_path):
    source = released.write_pth(tmp_path / "x.pth", released.weights())
    convert(source, tmp_path / "out", MEMATTE, ConvertOptions("bfloat16"))
    kinds = {value.dtype for value in read_shards(tmp_path / "out").values()}
    assert kinds == {torch.bfloat16}


@pytest.mark.parametrize("config", [released.TINY, released.TINY_VIT], ids=["routed", "plain"])
def test_shapes_tell_every_size(config):
    shapes = {name: tuple(value.shape) for name, value in released.weights(config).items()}
    assert config_of_shapes(shapes) == config


def test_released_list_is_the_published_network(shared):
    record = json.loads((shared / "parity/mematte/mematte_vits_state_dict.json").read_text())
    shapes = {name: tuple(entry["shape"]) for name, entry in record.items()}
    config, said = choose_config("mematte", shapes)
    assert (config, said) == (MEMATTE_S, "the published sizes")
    network = make_empty(config, "record")
    assert {n: tuple(v.shape) for n, v in network.state_dict().items()} == shapes
    assert sum(p.numel() for p in network.parameters()) == 29_191_293
    assert expected_shapes(network).keys() == sort_names(shapes).keys()


def test_vitmatte_has_the_released_number_of_parameters():
    network = make_empty(VITMATTE_S, "sizes")
    assert sum(p.numel() for p in network.parameters()) == 25_814_753


def without(name):
    return lambda tensors: {n: v for n, v in tensors.items() if n != name}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("backbone.norm_is_missing"), None),
        (without("backbone.blocks.0.norm2.bias"), r"1 missing \(backbone.blocks.0.norm2.bias\)"),
        (lambda t: t | {"extra": torch.zeros(1)}, r"1 unexpected \(extra\)"),
        (lambda t: t | {"backbone.blocks.0.norm2.bias": torch.zeros(5)}, "is 5, not 32"),
        (
            lambda t: t | {"backbone.blocks.0.norm2.bias": torch.full((32,), torch.nan)},
            "norm2.bias: holds numbers that aren't finite",
        ),
        (without("backbone.patch_embed.proj.weight"), r"missing \(.*backbone.patch_embed.proj"),
        (
            lambda t: t | {"module.backbone.pos_embed": torch.zeros(1)},
            "backbone.pos_embed and module.backbone.pos_embed are the same tensor",
        ),
    ],
    ids=["whole", "missing", "unexpected", "misshaped", "nan", "no patches", "twice"],
)
def test_weights_that_do_not_fit_leave_nothing(tmp_path, change, says):
    source = released.write_pth(tmp_path / "from" / "x.pth", change(released.weights()))
    if says is None:
        convert(source, tmp_path / "out", MEMATTE)
        return
    with pytest.raises(WeightsError, match=says) as error:
        convert(source, tmp_path / "out", MEMATTE)
    assert "\n" not in str(error.value)
    assert [each.name for each in tmp_path.iterdir()] == ["from"]


def test_the_other_model_is_refused(tmp_path):
    routed = released.write_training(tmp_path / "a.pth", released.weights())
    plain = released.write_pth(tmp_path / "b.pth", released.weights(released.TINY_VIT))
    with pytest.raises(WeightsError, match="holds mematte, not vitmatte: give 'pullmatte models"):
        convert(routed, tmp_path / "out", VITMATTE)
    with pytest.raises(WeightsError, match="holds vitmatte, not mematte"):
        convert(plain, tmp_path / "out", MEMATTE)
