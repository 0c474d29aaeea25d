"""Our MEMatte against what the official code gave."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from pullmatte.models.mematte.network import MEMatteNetwork
from pullmatte.train.losses import gradient_penalty, laplacian_loss, matting_losses


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mematte_parity", HERE / "mematte.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HERE = Path(__file__).parent
parity = _load()


@pytest.fixture
def file(shared: Path) -> Path:
    return shared / "parity/mematte/mematte_tiny_oracle.safetensors"


@pytest.mark.parametrize("case", ["full", "cap20", "patch", "train"])
def test_recorded_outputs_are_reproduced(file: Path, case: str) -> None:
    prefix = f"out.{case}." if case != "train" else "train."
    recorded = {
        name.removeprefix(prefix): value
        for name, value in load_file(file).items()
        if name.startswith(prefix) and name != "train.policy"
    }
    ours = parity.run_case(file, case)
    assert recorded
    errors = {name: float((ours[name] - value).abs().max()) for name, value in recorded.items()}
    bounds = {n: 1e-4 if n == "phas" else 0 if n.endswith("keep") else 2e-5 for n in errors}
    assert all(errors[name] <= bounds[name] for name in errors), errors


def test_every_step_of_the_backbone_is_reproduced(file: Path) -> None:
    ours = parity.run_case(file, "full")
    recorded = {n[4:]: v for n, v in load_file(file).items() if n.startswith("mid.")}
    errors = {name: float((ours[name] - value).abs().max()) for name, value in recorded.items()}
    assert len(errors) == 9
    assert all(error <= 2e-5 for error in errors.values()), errors


def test_full_size_has_the_official_tensors(shared: Path) -> None:
    record = json.loads((shared / "parity/mematte/mematte_vits_state_dict.json").read_text())
    with torch.device("meta"):
        network = MEMatteNetwork()
    ours = {name: list(value.shape) for name, value in network.state_dict().items()}
    assert ours == {name: entry["shape"] for name, entry in record.items()}
    assert sum(p.numel() for p in network.parameters()) == 29_191_293


def test_losses_equal_the_record(file: Path) -> None:
    tensors = load_file(file)
    alpha, truth, unknown = (tensors[f"loss.{name}"] for name in ("pred", "gt", "sample_map"))
    named = matting_losses(alpha, truth, torch.where(unknown == 1, 0.5, 1.0))
    found = {
        "unknown_l1_loss": named["unknown_l1"],
        "known_l1_loss": named["known_l1"],
        "loss_pha_laplacian": laplacian_loss(alpha, truth),
        "loss_gradient_penalty": gradient_penalty(alpha, truth, unknown),
    }
    for name, value in found.items():
        assert float(value) == pytest.approx(float(tensors[f"loss.{name}"]), rel=1e-6)
