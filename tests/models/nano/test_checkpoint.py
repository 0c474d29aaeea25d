"""nano's folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import pullmatte
from pullmatte.errors import WeightsError
from pullmatte.models import MODELS
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.nano.checkpoint import TENSORS, build, load_networks, save_networks
from pullmatte.models.nano.config import NANO, sized
from pullmatte.models.nano.matter_network import MatterNetwork
from pullmatte.models.weights import identify
from pullmatte.prompts import Box, Prompt

LIMIT_BYTES = 20_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("nano")
    save_networks(MAM2Network(sized(64)), MatterNetwork(), place)
    return place


def test_folder_is_nanos_and_small_enough(folder: Path) -> None:
    assert identify(folder).name == "nano"
    assert (folder / TENSORS).stat().st_size < LIMIT_BYTES


def test_weights_survive_the_round_trip(folder: Path, tmp_path: Path) -> None:
    network, matter = load_networks(folder)
    assert network.config == NANO
    save_networks(network, matter, tmp_path)
    assert (tmp_path / TENSORS).read_bytes() == (folder / TENSORS).read_bytes()


def test_model_mattes_a_photo(folder: Path) -> None:
    model = build(weights=folder)
    image = np.random.default_rng(0).random((60, 80, 3), np.float32)
    found = model.predict(model.encode(image), Prompt(box=Box(10, 10, 60, 50)))
    assert found.alpha.shape == (60, 80)
    assert 0 <= found.alpha.min() <= found.alpha.max() <= 1


def test_changed_tensors_are_refused(folder: Path, tmp_path: Path) -> None:
    for each in folder.iterdir():
        (tmp_path / each.name).write_bytes(each.read_bytes())
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["files"][TENSORS] = "0" * 64
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(WeightsError, match="sha256"):
        load_networks(tmp_path)


def test_packaged_weights_carry_the_fingerprint_by_which_they_are_known() -> None:
    spec = MODELS["nano"]
    folder = Path(pullmatte.__file__).parent / "weights" / "nano"
    with safe_open(folder / "model.safetensors", "pt") as tensors:
        names = set(tensors.keys())
    assert spec.fingerprint
    assert set(spec.fingerprint) <= names


def test_what_float16_cant_hold_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    matter = MatterNetwork()
    variance = matter.up[1].norm.running_var
    variance.fill_(1e6)
    with pytest.raises(WeightsError, match=r"matter\.up\.1\.norm\.running_var"):
        save_networks(MAM2Network(sized(64)), matter, tmp_path / "nano")
    assert not (tmp_path / "nano").exists()


def test_packaged_weights_are_finite() -> None:
    network, matter = load_networks(Path(pullmatte.__file__).parent / "weights" / "nano")
    for module in (network, matter):
        assert all(value.isfinite().all() for value in module.state_dict().values())
