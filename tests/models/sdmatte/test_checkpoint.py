"""Loading converted folders; the recorded outputs of the released code are the oracle."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pullmatte.cli.app import run
from pullmatte.errors import WeightsError
from pullmatte.models import MODELS
from pullmatte.models.sdmatte.checkpoint import load_caption_encoder, load_network, read_config
from pullmatte.models.sdmatte.conversion import convert
from pullmatte.models.weights import identify, resolve

HERE = Path(__file__).parent


def _load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


released = _load(HERE / "released.py")
parity = _load(HERE.parents[1] / "parity" / "sdmatte.py")


def release_tiny(shared, name, folder):
    """Write a recorded tiny network as its authors would release it."""
    recorded = load_file(shared / f"parity/sdmatte/tiny_{name}.safetensors")
    weights = {k: v.float() for k, v in recorded.items() if not k.startswith(("in.", "out."))}
    text = released.text_encoder(released.TextConfig(1024, 2, 16, 64, vocabulary=64))
    configs = json.loads((shared / "parity/sdmatte/tiny_configs.json").read_text())[name]
    for part, config in configs.items():
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_text(json.dumps(config))
    path = folder / MODELS[name].hub.filename
    return recorded, released.write(path, weights | text)


@pytest.mark.parametrize("name", ["sdmatte", "litesdmatte"])
def test_released_file_to_recorded_alpha(shared, tmp_path, name, capsys):
    recorded, source = release_tiny(shared, name, tmp_path / "from")
    assert run(["models", "convert", name, str(source), str(tmp_path / "out"), "-q"]) == 0
    # In float64 the result is the same on every machine; in float32 sums go by its kernels.
    network = load_network(tmp_path / "out").double()
    inputs = {name: t.double() for name, t in recorded.items() if name.startswith("in.")}
    # The record's text embedding is no text encoder's.
    network.text_embedding = inputs["in.text_embed"]
    with torch.inference_mode():
        latent = network.encode_image((inputs["in.image"] + 1) / 2)
        alpha = network(latent, parity.prompts_of(inputs, "box")).alpha
    assert (alpha - recorded["out.box.alpha"]).abs().max() <= 1e-4


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted")
    source = released.write(folder / "SDMatte.pth", released.weights())
    convert(source, folder / "out", MODELS["sdmatte"])
    return folder / "out"


def test_weights_are_mapped_and_frozen(converted):
    network = load_network(converted)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert not any(p.is_meta for p in network.state_dict().values())
    assert load_caption_encoder(converted) is None


def _field(part, name, value):
    """Change a field of a part of the config; without a name, the part."""

    def change(content):
        record = json.loads(content)
        if name is None:
            record[part] = value
        else:
            record[part][name] = value
        return json.dumps(record).encode()

    return change


def test_a_damaged_folder_is_told_in_one_line(converted, tmp_path):
    for name, change, says in (
        ("config.json", lambda b: b"{", "can't be read"),
        ("config.json", lambda b: b.replace(b'"size_px"', b'"size"'), "unknown field 'size'"),
        ("config.json", lambda b: b"[" * 100_000, "config.json: can't be read"),
        ("config.json", _field("unet", "norm_groups", 0), "config.json: can't be read"),
        ("config.json", _field("unet", "heads", [0, 0, 0, 0]), "config.json: can't be read"),
        ("config.json", _field("unet", "channels", "abcd"), "config.json: can't be read"),
        ("config.json", _field("unet", "layers_per_block", 10**6), "config.json: 1000000 layers"),
        ("config.json", _field("unet", "channels", [2**60] * 4), "config.json: no network can be"),
        ("config.json", _field("autoencoder", "kind", None), "config.json: can't be read"),
        ("config.json", _field("unet", None, 3), "config.json: can't be read"),
        ("config.json", _field("unet", "context_width", 65), "misshaped"),
        ("manifest.json", lambda b: b"[]", "expected an object"),
        ("model.safetensors", lambda b: b[:-4], "bytes where its header promises"),
        ("model.safetensors", lambda b: b"", "no safetensors file"),
        ("model.safetensors", None, "holds neither"),
        ("manifest.json", None, "lacks manifest.json"),
        ("config.json", None, "lacks config.json"),
    ):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for file in converted.iterdir():
            content = file.read_bytes()
            if file.name != name or change is not None:
                (folder / file.name).write_bytes(change(content) if file.name == name else content)
        with pytest.raises(WeightsError, match=says) as error:
            load_network(folder)
        assert "\n" not in str(error.value)


def test_a_pickle_is_not_loaded(tmp_path):
    (tmp_path / "SDMatte.pth").touch()
    with pytest.raises(WeightsError, match="'pullmatte models convert NAME"):
        load_network(tmp_path / "SDMatte.pth")


def test_config_round_trips(converted):
    assert read_config(converted) == released.TINY


def test_released_safetensors_without_text_encoder_are_refused(tmp_path):
    tensors = {k: v for k, v in released.weights().items() if not k.startswith("text_")}
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="holds no text encoder"):
        load_network(tmp_path / "x.safetensors")


@pytest.mark.parametrize("name", ["unet.conv_in.weight", "text_embedding"])
def test_integers_in_a_folder_are_told(converted, tmp_path, name):
    shutil.copytree(converted, tmp_path / "out")
    tensors = load_file(converted / "model.safetensors")
    ours = {k: v.to(torch.int64) if k == name else v for k, v in tensors.items()}
    save_file(ours, tmp_path / "out" / "model.safetensors")
    with pytest.raises(WeightsError, match=f"tensor {name} is int64; expected dense float32"):
        load_network(tmp_path / "out")


@pytest.mark.parametrize(
    "name", ["unet.conv_in.weight", "text_encoder.text_model.final_layer_norm.bias"]
)
def test_integers_in_a_released_file_are_told(tmp_path, name):
    tensors = released.weights()
    save_file(tensors | {name: tensors[name].to(torch.int8)}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match=" is int8; expected dense float32"):
        load_network(tmp_path / "x.safetensors")


def test_another_model_s_name_is_refused(converted, tmp_path, monkeypatch):
    folder = tmp_path / "models" / "litesdmatte"
    shutil.copytree(converted, folder)
    monkeypatch.setenv("PULLMATTE_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="holds sdmatte, not litesdmatte: remove it"):
        resolve("litesdmatte")
    (folder / "manifest.json").write_text('{"model": "litesdmatte"}')
    for load in (load_network, identify):
        with pytest.raises(WeightsError, match="says litesdmatte, the tensors are sdmatte's"):
            load(folder)
    (folder / "manifest.json").write_text('{"model": "classical"}')
    with pytest.raises(WeightsError, match="says classical, a model without weights"):
        resolve(str(folder))
