"""Loading MEMatte and ViTMatte; the recorded output of the released code is the oracle."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pullmatte.errors import PullmatteError, WeightsError
from pullmatte.models import MODELS
from pullmatte.models.mematte.checkpoint import build, load_network
from pullmatte.models.mematte.conversion import convert
from pullmatte.sessions.load import load

_spec = importlib.util.spec_from_file_location("released", Path(__file__).parent / "released.py")
released = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(released)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("converted")
    source = released.write_training(place / "MEMatte.pth", released.weights())
    convert(source, place / "out", MODELS["mematte"])
    return place / "out"


def same(first, second):
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def test_released_file_to_recorded_alpha(shared, tmp_path):
    recorded = load_file(shared / "parity/mematte/mematte_tiny_oracle.safetensors")
    weights = {name[2:]: value for name, value in recorded.items() if name.startswith("w.")}
    source = released.write_pth(tmp_path / "x.pth", weights)
    convert(source, tmp_path / "out", MODELS["mematte"])
    network = load_network(tmp_path / "out")
    with torch.inference_mode():
        alpha = network(recorded["in.image"], recorded["in.trimap"]).alpha
    assert float((alpha - recorded["out.full.phas"]).abs().max()) < 1e-4


def test_folder_is_loaded_whole_and_frozen(folder):
    network = load_network(folder)
    assert network.config == released.TINY
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert not any(value.is_meta for value in network.state_dict().values())
    expected = released.weights()
    assert all(torch.equal(network.state_dict()[n], v) for n, v in expected.items())


def test_released_safetensors_are_loaded_as_they_are(tmp_path):
    tensors = released.weights(released.TINY_VIT)
    source = released.write_hub(tmp_path / "any.safetensors", tensors)
    official = tmp_path / "official.safetensors"
    save_file(tensors, official)
    convert(source, tmp_path / "out", MODELS["vitmatte"])
    networks = [load_network(path) for path in (source, official, tmp_path / "out")]
    assert all(network.config == released.TINY_VIT for network in networks)
    assert same(networks[0], networks[1])
    assert same(networks[0], networks[2])


@pytest.mark.parametrize(("dtype", "least"), [("bfloat16", 0.2), ("float16", 0.05)])
def test_lower_precisions_stay_near(folder, dtype, least):
    photo = np.random.default_rng(0).random((96, 120, 3), np.float32)
    trimap = np.full((96, 120), 0.5, np.float32)
    exact, rough = build(weights=folder), build(weights=folder, dtype=dtype)
    assert (exact.dtype, rough.dtype) == ("float32", dtype)
    found = rough.matte(photo, trimap)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - exact.matte(photo, trimap)).mean() < least


def test_convolutions_in_lower_precision_have_their_channels_together(folder):
    for dtype, together in (("float32", False), ("bfloat16", True)):
        weight = build(weights=folder, dtype=dtype).network.decoder.fusion_blks[0].conv.conv.weight
        assert weight.is_contiguous(memory_format=torch.channels_last) == together


def test_float16_files_run_as_float32_on_a_cpu(tmp_path):
    tensors = {n: v.half() if v.is_floating_point() else v for n, v in released.weights().items()}
    save_file(tensors, tmp_path / "x.safetensors")
    assert build(weights=tmp_path / "x.safetensors").dtype == "float32"
    assert load_network(tmp_path / "x.safetensors").dtype == torch.float16


def test_options_are_reached_from_load(folder):
    matter = load(folder, most_tokens=9, margin_px=16, tile_px=64)
    assert matter.spec.name == "mematte"
    options = matter.model.options
    assert (options.most_tokens, options.margin_px, options.tile_px) == (9, 16, 64)
    assert "margin_px=16" in matter.label


def test_unknown_options_are_named(folder):
    with pytest.raises(PullmatteError, match="unknown option 'margin': known are most_tokens"):
        load(folder, margin=3)


def test_it_is_a_matter_for_others(folder):
    photo = np.full((64, 80, 3), 0.1, np.float32)
    photo[20:45, 25:55] = (0.9, 0.5, 0.1)
    matter = load("classical", matter=folder)
    assert matter.spec.name == "classical+mematte"
    assert not matter.spec.commercial_use
    matte = matter.open_image(photo, foreground=False).predict(box=(10, 10, 60, 50))
    unknown = matte.trimap == 0.5
    assert unknown.any()
    assert np.array_equal(matte.alpha[~unknown], matte.trimap[~unknown])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"width": 48}, "misshaped"),
        ({"width": "a"}, "config.json: can't be read"),
        ({"heads": 5}, "give a multiple of the 5 heads"),
        ({"heads": 0}, "sizes of 0: give 1 or more"),
        ({"patch_px": 8}, "the decoder is made for 16"),
        ({"width": 2**60}, "no network can be built"),
        ({"surplus": 1}, "unknown field 'surplus'"),
        ({"routed": False}, "don't fit the network's"),
    ],
    ids=str,
)
def test_a_damaged_config_is_told_in_one_line(folder, tmp_path, change, says):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    record = json.loads((folder / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps(record))
    with pytest.raises(WeightsError, match=says) as error:
        load_network(tmp_path)
    assert "\n" not in str(error.value)


def test_a_folder_under_the_other_name_is_refused(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "manifest.json").write_text('{"model": "vitmatte"}')
    with pytest.raises(WeightsError, match="says vitmatte, the tensors are mematte's"):
        load_network(tmp_path)
