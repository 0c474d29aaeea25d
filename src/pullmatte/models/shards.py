"""Safetensors on disk: headers read without torch, shards written tensor by tensor.

The format is eight bytes of header length, a JSON header, then the tensors' bytes. Writing it
here, instead of handing a library a dictionary, holds one tensor at a time in memory and gets
each shard's sha256 from the same pass.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pullmatte.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD_BYTES = 2_000_000_000
_MOST_HEADER_BYTES = 100_000_000
_CODES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
BYTES_PER_NUMBER = {"float32": 4, "bfloat16": 2, "float16": 2}
_READABLE = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class Entry:
    """A tensor that is going to be written.

    Attributes:
        name: Its name in the file.
        shape: Its shape.
    """

    name: str
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        count = 1
        for side in self.shape:
            count *= side
        return count


def header_fault(entry: Mapping[str, Any]) -> str:
    """Tell from an entry of a header why a tensor can't be a weight; empty if it can."""
    return "" if entry["dtype"] in _READABLE else f"is {entry['dtype']}"


def tensor_fault(values: "Tensor") -> str:
    """Tell why a tensor can't be a weight; empty if it can."""
    import torch

    if values.is_nested or values.layout != torch.strided:
        return f"is {'nested' if values.is_nested else _plain(values.layout)}"
    if values.device.type == "meta":
        return "has no values, as it is on the meta device"
    return "" if _plain(values.dtype) in _READABLE.values() else f"is {_plain(values.dtype)}"


def _plain(kind: object) -> str:
    return str(kind).removeprefix("torch.")


def refuse_faults(faults: Mapping[str, str], what: object) -> None:
    """Refuse tensors that can't be weights.

    Args:
        faults: Of each tensor by name; empty where there is none.
        what: Where they are, for the message.

    Raises:
        WeightsError: If there is a fault.
    """
    bad = [name for name, fault in faults.items() if fault]
    if bad:
        more = f", as {len(bad) - 1} more can't be used" if len(bad) > 1 else ""
        raise WeightsError(
            f"{what}: tensor {bad[0]} {faults[bad[0]]}{more}; expected dense float32, float16 or "
            "bfloat16: give the file as it was released"
        )


def read_header(path: Path) -> dict[str, Any]:
    """Read what a safetensors file holds, without its tensors and without torch.

    Args:
        path: The file.

    Returns:
        By tensor name ``dtype``, ``shape`` and ``data_offsets``; ``__metadata__`` where there is.

    Raises:
        WeightsError: If it isn't a whole safetensors file.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MOST_HEADER_BYTES:
                raise WeightsError(f"{path}: no safetensors file; give one, or convert a .pth")
            header = json.loads(file.read(length))
        entries = [entry for name, entry in header.items() if name[:2] != "__"]
        ends = [entry["data_offsets"][1] for entry in entries]
        if not all(isinstance(e["dtype"], str) and _is_shape(e["shape"]) for e in entries):
            raise ValueError("odd entries")
        expected, found = 8 + length + max(ends, default=0), path.stat().st_size
    except OSError as error:
        raise WeightsError(f"can't read {path}: {error.strerror or error}") from error
    except (struct.error, ValueError, LookupError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: no safetensors file; give one, or convert a .pth") from error
    if found != expected:
        raise WeightsError(
            f"{path}: has {found} bytes where its header promises {expected}; fetch it again"
        )
    checked: dict[str, Any] = header
    return checked


def _is_shape(shape: object) -> bool:
    return isinstance(shape, list) and all(type(side) is int and side >= 0 for side in shape)


def shard_paths(folder: Path) -> list[Path]:
    """List the weight files of a folder, by its index or the single file.

    Raises:
        WeightsError: If there are none, or the index names one that is missing.
    """
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        names = sorted({Path(name).name for name in index["weight_map"].values()})
    except FileNotFoundError as error:
        raise WeightsError(f"{folder}: holds neither {SINGLE} nor {INDEX}") from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise WeightsError(f"{folder / INDEX}: can't be read: {error}") from error
    for name in names:
        if not (folder / name).is_file():
            raise WeightsError(f"{folder}: shard {name!r} is missing; convert or pull again")
    return [folder / name for name in names]


def plan_shards(
    entries: Iterable[Entry], dtype: str, limit_bytes: int = SHARD_BYTES
) -> list[list[Entry]]:
    """Part tensors into shards of at most `limit_bytes` each, in the order given."""
    shards: list[list[Entry]] = [[]]
    filled = 0
    for entry in entries:
        size = entry.numbers * BYTES_PER_NUMBER[dtype]
        if shards[-1] and filled + size > limit_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(entry)
        filled += size
    return shards


def shard_names(count: int) -> list[str]:
    """Name the shards as everyone does: ``model-00001-of-00003.safetensors``."""
    if count == 1:
        return [SINGLE]
    return [f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]


def write_shard(
    path: Path,
    entries: Sequence[Entry],
    tensors: Iterator[tuple[str, "Tensor"]],
    dtype: str,
    metadata: Mapping[str, str],
) -> str:
    """Write one shard, a tensor at a time.

    Args:
        path: The file; it must not exist.
        entries: What it will hold.
        tensors: Name and values, in that order; cast to `dtype` on the way.
        dtype: "float32", "float16" or "bfloat16".
        metadata: Texts for its header.

    Returns:
        The file's sha256.

    Raises:
        WeightsError: If a tensor can't be a weight, or a number isn't finite, in itself or in
            `dtype`.
        OSError: If it can't be written.
    """
    digest = hashlib.sha256()
    with path.open("xb") as file:
        for chunk in chain([_header(entries, dtype, metadata)], _bodies(entries, tensors, dtype)):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _header(entries: Sequence[Entry], dtype: str, metadata: Mapping[str, str]) -> bytes:
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    start = 0
    for entry in entries:
        end = start + entry.numbers * BYTES_PER_NUMBER[dtype]
        header[entry.name] = {
            "dtype": _CODES[dtype],
            "shape": list(entry.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _bodies(
    entries: Sequence[Entry], tensors: Iterator[tuple[str, "Tensor"]], dtype: str
) -> Iterator[bytes | memoryview]:
    """Yield the bytes of one tensor after the other."""
    import torch

    kind: torch.dtype = getattr(torch, dtype)
    for entry, (name, values) in zip(entries, tensors, strict=True):
        refuse_faults({name: tensor_fault(values)}, "source")
        assert (name, tuple(values.shape)) == (entry.name, entry.shape)
        cast = values.detach().to(kind).contiguous()
        if not bool(torch.isfinite(cast).all()):
            whole = bool(torch.isfinite(values).all())
            raise WeightsError(
                f"tensor {name}: too large for {dtype}; give --dtype bfloat16 or float32"
                if whole
                else f"tensor {name}: holds numbers that aren't finite; the file is damaged"
            )
        # Through bytes, as numpy has no bfloat16.
        chunk: Any = cast.reshape(-1).view(torch.uint8).numpy()
        yield memoryview(chunk)


def write_index(folder: Path, shards: Mapping[str, Sequence[Entry]], dtype: str) -> None:
    """Write which shard holds what; a single file needs no index.

    Args:
        folder: Where the shards are.
        shards: What each file holds.
        dtype: Their precision.
    """
    if len(shards) == 1:
        return
    total = sum(entry.numbers for entries in shards.values() for entry in entries)
    index = {
        "metadata": {"total_size": total * BYTES_PER_NUMBER[dtype]},
        "weight_map": {entry.name: file for file, entries in shards.items() for entry in entries},
    }
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
