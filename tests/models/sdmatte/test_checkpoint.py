"""Loading converted folders; the recorded outputs of the released code are the oracle."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pullmatte.cli.app import run
from pullmatte.errors import WeightsError
from pullmatte.models import MODELS
from pullmatte.models.sdmatte.checkpoint import load_caption_encoder, load_network, read_config
from pullmatte.models.sdmatte.conversion import convert

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
    network = load_network(tmp_path / "out")
    # The record's text embedding is no text encoder's.
    network.text_embedding = recorded["in.text_embed"].float()
    with torch.inference_mode():
        latent = network.encode_image((recorded["in.image"].float() + 1) / 2)
        alpha = network(latent, parity.prompts_of(recorded, "box")).alpha
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


def test_a_damaged_folder_is_told_in_one_line(converted, tmp_path):
    for name, change, says in (
        ("config.json", lambda b: b"{", "can't be read"),
        ("config.json", lambda b: b.replace(b'"size_px"', b'"size"'), "unknown field 'size'"),
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
