"""Pages of mapped weights are given back, and nothing else ever is."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pullmatte.models.mapped_pages import MappedPages
from pullmatte.models.weights import read_file

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped")
SIZE = 1 << 22


def file_pages_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("RssFile"))


@pytest.fixture
def mapped(tmp_path: Path) -> dict[str, torch.Tensor]:
    path = tmp_path / "weights.safetensors"
    save_file({name: torch.full((SIZE,), value) for name, value in (("a", 1.0), ("b", 2.0))}, path)
    return read_file(path)


@linux
def test_dropped_tensor_frees_its_pages_and_reads_anew(mapped: dict[str, torch.Tensor]) -> None:
    assert float(mapped["a"].sum()) == SIZE
    before = file_pages_mb()
    assert MappedPages().drop(mapped["a"]) >= 4 * SIZE - 2 * 4096
    assert file_pages_mb() < before - 14
    assert float(mapped["a"].sum()) == SIZE


@linux
def test_neighbours_keep_their_values(mapped: dict[str, torch.Tensor]) -> None:
    MappedPages().drop(mapped["a"])
    assert mapped["b"].eq(2).all()


def test_other_memory_is_left_alone() -> None:
    tensor = torch.ones(SIZE)
    assert MappedPages().drop(tensor) == 0
    assert tensor.eq(1).all()


@linux
def test_memory_mapped_later_isnt_known(mapped: dict[str, torch.Tensor], tmp_path: Path) -> None:
    pages = MappedPages()
    other = tmp_path / "other.safetensors"
    save_file({"c": torch.ones(SIZE)}, other)
    assert pages.drop(read_file(other)["c"]) == 0
