"""Safetensors written a tensor at a time, read back by the format's own library."""

import hashlib

import pytest
import torch
from safetensors import safe_open

from pullmatte.errors import WeightsError
from pullmatte.models.shards import (
    Entry,
    plan_shards,
    read_header,
    shard_names,
    shard_paths,
    write_index,
    write_shard,
)

TENSORS = {"a": torch.randn(3, 5), "b": torch.tensor(2.5), "c": torch.zeros(0, 4)}
ENTRIES = [Entry(name, tuple(value.shape)) for name, value in TENSORS.items()]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_what_is_written_is_read_back(tmp_path, dtype):
    path = tmp_path / "x.safetensors"
    digest = write_shard(path, ENTRIES, iter(TENSORS.items()), dtype, {"format": "pt"})
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
        for name, value in TENSORS.items():
            assert torch.equal(file.get_tensor(name), value.to(getattr(torch, dtype)))


def test_views_are_written_as_they_look(tmp_path):
    value = torch.arange(12.0).reshape(3, 4).T
    write_shard(tmp_path / "x", [Entry("v", (4, 3))], iter([("v", value)]), "float32", {})
    with safe_open(tmp_path / "x", framework="pt") as file:
        assert torch.equal(file.get_tensor("v"), value)


def test_header_is_read_without_torch(tmp_path):
    write_shard(tmp_path / "x", ENTRIES, iter(TENSORS.items()), "float16", {"model": "m"})
    header = read_header(tmp_path / "x")
    assert header["__metadata__"] == {"model": "m"}
    assert header["a"]["shape"] == [3, 5]
    assert header["a"]["dtype"] == "F16"


def test_shards_keep_the_order_and_the_limit():
    entries = [Entry(str(i), (100,)) for i in range(7)]
    shards = plan_shards(entries, "float32", 1000)
    assert [len(shard) for shard in shards] == [2, 2, 2, 1]
    assert [entry for shard in shards for entry in shard] == entries
    assert [len(s) for s in plan_shards([Entry("big", (1000,)), *entries[:1]], "float32", 10)] == [
        1,
        1,
    ]
    assert shard_names(1) == ["model.safetensors"]
    assert shard_names(2)[1] == "model-00002-of-00002.safetensors"


def test_a_missing_shard_is_named(tmp_path):
    shards = {"model-00001-of-00002.safetensors": ENTRIES[:1], "b.safetensors": ENTRIES[1:]}
    write_index(tmp_path, shards, "float32")
    with pytest.raises(WeightsError, match=r"shard 'b.safetensors' is missing"):
        shard_paths(tmp_path)
    for name in shards:
        (tmp_path / name).touch()
    assert [path.name for path in shard_paths(tmp_path)] == sorted(shards)


@pytest.mark.parametrize("weight_map", ["3", '{"a": "x"}', "[]", '{"a": 3}'])
def test_an_odd_index_is_refused(tmp_path, weight_map):
    text = f'{{"weight_map": {weight_map}}}'
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(WeightsError):
        shard_paths(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        b"\xff" * 80,
        b"\x02" + b"\0" * 7 + b"[]",
        b"\x07" + b"\0" * 7 + b'{"a":3}',
        b"\x23" + b"\0" * 7 + b'{"a":{"data_offsets":[0,0],"dtype":1}}',
    ],
)
def test_what_is_no_safetensors_file_is_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(WeightsError, match="no safetensors file"):
        read_header(tmp_path / "x")


def test_what_is_no_weight_is_not_written(tmp_path):
    for values in (torch.zeros(2, dtype=torch.int64), torch.zeros(2, device="meta")):
        with pytest.raises(WeightsError, match=r"tensor x .*expected dense float32"):
            write_shard(tmp_path / str(values.device), [Entry("x", (2,))], iter([("x", values)]),
                        "float32", {})  # fmt: skip
