"""Our SDMatte and LiteSDMatte against what the official code gave, case by case."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sdmatte_parity", HERE / "sdmatte.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HERE = Path(__file__).parent
parity = _load()
RECORDED = [(name, case) for name, cases in parity.RECORDED.items() for case in cases]
UNRECORDED = [
    ("tiny_sdmatte", "point3"),
    ("tiny_sdmatte", "trimap"),
    ("tiny_litesdmatte", "mask"),
]
# Alpha is exact to 1e-4, and so is everything before it; values of the decoder range over six.
TOLERANCE = 1e-4


@pytest.mark.parametrize(("name", "case"), RECORDED)
def test_every_recorded_tensor_is_reproduced(shared: Path, name: str, case: str) -> None:
    file = shared / "parity/sdmatte" / f"{name}.safetensors"
    recorded = {
        key.removeprefix(f"out.{case}."): tensor
        for key, tensor in load_file(file).items()
        if key.startswith(f"out.{case}.")
    }
    ours = parity.run_case(file, case)
    assert {"alpha", "temb", "unet_output"} <= recorded.keys() <= ours.keys()
    errors = {key: float((ours[key] - recorded[key]).abs().max()) for key in recorded}
    assert all(error <= TOLERANCE for error in errors.values()), errors


@pytest.mark.parametrize(("name", "case"), UNRECORDED)
def test_cases_without_a_record_run(shared: Path, name: str, case: str) -> None:
    file = shared / "parity/sdmatte" / f"{name}.safetensors"
    ours = parity.run_case(file, case)
    assert ours["alpha"].shape == (2, 1, 128, 128)
    assert bool(((ours["alpha"] >= 0) & (ours["alpha"] <= 1)).all())
    assert ("attention_bias" in ours) == (case != "trimap")
    assert not torch.equal(ours["alpha"], parity.run_case(file, "box")["alpha"])
