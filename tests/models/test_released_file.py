"""Checkpoints as released: read, never run."""

import builtins
import os
import subprocess
import timeit
from collections import defaultdict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pullmatte.errors import WeightsError
from pullmatte.models.released_file import ReleasedFile

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


class Trap:
    """Calls a function when it is unpickled by pickle itself."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Hook:
    """A trainer's object, of a class that the reader doesn't have to know."""

    def __init__(self):
        self.state = {"losses": [1.0]}


class Settings(dict):
    """A dict with attributes, as config libraries make them."""


class Losses(list):
    """A list of a trainer's own kind."""


@pytest.mark.parametrize(
    "nested",
    [
        WEIGHTS,
        {"model": WEIGHTS, "trainer": {"iteration": 3}, "iteration": 3},
        {"state_dict": WEIGHTS, "epoch": 1},
        {"model": {"state_dict": WEIGHTS}},
        {"model": {name: torch.nn.Parameter(value) for name, value in WEIGHTS.items()}},
    ],
    ids=["bare", "detectron2", "lightning", "twice", "parameters"],
)
def test_weights_are_found_in_every_nest(tmp_path, nested):
    torch.save(nested, tmp_path / "x.pth")
    file = ReleasedFile(tmp_path / "x.pth")
    assert file.shapes == {"a.weight": (2, 3), "a.bias": (2,)}
    with file.open() as tensors:
        assert torch.equal(tensors["a.weight"].detach(), WEIGHTS["a.weight"])


def test_safetensors_are_read_alike(tmp_path):
    save_file(WEIGHTS, tmp_path / "x.safetensors")
    file = ReleasedFile(tmp_path / "x.safetensors")
    assert file.shapes == {"a.weight": (2, 3), "a.bias": (2,)}
    with file.open() as tensors:
        assert torch.equal(tensors["a.bias"], WEIGHTS["a.bias"])
        assert len(tensors) == len(list(tensors)) == 2


def test_a_trainer_s_objects_do_not_hinder(tmp_path):
    settings = Settings(a=1)
    settings.frozen = True
    trainer = {
        "settings": [settings, settings], "losses": Losses([1.0]), "bound": settings.get,
        "best": np.float64(0.5), "curve": np.arange(3), "hook": Hook(),
        "seen": defaultdict(list, {"a": [1]}), "function": os.path.join,
    }  # fmt: skip
    torch.save({"model": WEIGHTS, "trainer": trainer}, tmp_path / "x.pth")
    assert ReleasedFile(tmp_path / "x.pth").shapes.keys() == WEIGHTS.keys()


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, r"system"),
        (builtins.eval, "eval"),
        (builtins.exec, "exec"),
        (subprocess.Popen, "Popen"),
    ],
)
def test_a_file_that_would_run_commands_is_refused(tmp_path, function, name):
    marker = tmp_path / "ran"
    shell = function in (os.system, subprocess.Popen)
    code = f"touch {marker}" if shell else f"open({str(marker)!r}, 'w')"
    torch.save({"model": WEIGHTS, "x": Trap(function, code)}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=f"{name}, which can run commands.*nothing was run"):
        ReleasedFile(tmp_path / "x.pth")
    assert not marker.exists()


def test_the_trap_would_snap_elsewhere(tmp_path):
    code = f"open({str(tmp_path / 'ran')!r}, 'w').close()"
    torch.save({"model": WEIGHTS, "x": Trap(builtins.exec, code)}, tmp_path / "x.pth")
    torch.load(tmp_path / "x.pth", weights_only=False)
    assert (tmp_path / "ran").exists()


def test_unknown_calls_do_nothing(tmp_path):
    marker = tmp_path / "ran"
    trap = Trap(timeit.timeit, f"open({str(marker)!r}, 'w')", "pass", timeit.default_timer, 1)
    torch.save({"model": WEIGHTS, "x": trap}, tmp_path / "x.pth")
    assert ReleasedFile(tmp_path / "x.pth").shapes.keys() == WEIGHTS.keys()
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"foo": WEIGHTS, 3: 1}, "holds no tensors.* it holds 'foo', 3: save the part"),
        ({"model": {"ema": WEIGHTS}}, "holds no tensors.* it holds 'ema': save"),
        ([1, 2], "expected tensors by name, found list"),
        ({"iteration": 3}, "holds no tensors"),
        ({"model": 3}, "holds no tensors"),
    ],
)
def test_files_without_weights_are_refused(tmp_path, content, says):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=says):
        ReleasedFile(tmp_path / "x.pth")


def test_damaged_files_are_told_in_one_line(tmp_path):
    path = tmp_path / "x.pth"
    with pytest.raises(WeightsError, match="no such file"):
        ReleasedFile(path)
    torch.save({"model": WEIGHTS}, path)
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:200] + whole[260:]):
        path.write_bytes(content)
        with pytest.raises(WeightsError) as error:
            ReleasedFile(path)
        assert "\n" not in str(error.value)
    torch.save({"model": WEIGHTS}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(WeightsError, match=r"before version 1\.6: load and save it once"):
        ReleasedFile(path)
    torch.save({"model": WEIGHTS, "hook": Hook()}, path, pickle_protocol=4)
    with pytest.raises(WeightsError, match="no checkpoint that can be read safely"):
        ReleasedFile(path)


def test_what_is_no_weight_is_told(tmp_path):
    odd = {
        "integer": torch.zeros(2, dtype=torch.int64), "sparse": torch.eye(2).to_sparse(),
        "meta": torch.zeros(3, device="meta"),
    }  # fmt: skip
    torch.save(WEIGHTS | odd, tmp_path / "x.pth")
    file = ReleasedFile(tmp_path / "x.pth")
    assert {name: fault for name, fault in file.faults.items() if fault} == {
        "integer": "is int64", "sparse": "is sparse_coo",
        "meta": "has no values, as it is on the meta device",
    }  # fmt: skip
    save_file(WEIGHTS | {"i": odd["integer"]}, tmp_path / "x.safetensors")
    assert ReleasedFile(tmp_path / "x.safetensors").faults["i"] == "is I64"


def test_a_header_that_lies_is_told_in_one_line(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file(WEIGHTS, path)
    path.write_bytes(path.read_bytes().replace(b"[2,3]", b"[2,4]"))
    with pytest.raises(WeightsError, match="can't be read") as error, ReleasedFile(path).open():
        pass
    assert "\n" not in str(error.value)
