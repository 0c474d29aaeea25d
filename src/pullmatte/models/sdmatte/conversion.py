"""From a released checkpoint to a folder of ours, a tensor at a time."""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pullmatte import __version__
from pullmatte.models import ModelSpec
from pullmatte.models.checked_hash import hash_checked
from pullmatte.models.sdmatte.conversion_plan import (
    TEXT_EMBEDDING,
    ConversionPlan,
    ConvertOptions,
    make_plan,
)
from pullmatte.models.sdmatte.released_config import PRESETS
from pullmatte.models.sdmatte.text_embedding import FOLDER, TOKENIZER_FOLDER, embed_empty
from pullmatte.models.shards import (
    BYTES_PER_NUMBER,
    Entry,
    plan_shards,
    shard_names,
    write_index,
    write_shard,
)
from pullmatte.models.weights import CONFIG, MANIFEST
from pullmatte.models.whole_folder import appearing, refuse_existing

MANIFEST_VERSION = 1
_COORDINATES = "coordinate_embedding."

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""


@dataclass(frozen=True)
class ConversionReport:
    """What was converted.

    Attributes:
        model: Name of the model.
        folder: Where it is.
        tensors: How many, the text's embedding included, the text encoder not.
        parameters: How many numbers in them, the text's embedding not.
        dtype: Their precision.
        size_bytes: What the files weigh.
        shards: How many files the network is in.
        seconds: How long it took.
        config_from: What told the sizes.
        as_published: Whether they are those of the released network.
        dead: Branches of the coordinate embedding whose first layer is all zero, so that they
            tell the network nothing of where: of "box", "points".
        text_encoder: Whether it was kept.
        source_sha256: The source's.
        removed: What interrupted conversions had left behind, and was removed now.
    """

    model: str
    folder: Path
    tensors: int
    parameters: int
    dtype: str
    size_bytes: int
    shards: int
    seconds: float
    config_from: str
    as_published: bool
    dead: tuple[str, ...]
    text_encoder: bool
    source_sha256: str
    removed: tuple[str, ...] = ()


def convert(
    source: Path,
    destination: Path,
    spec: ModelSpec,
    options: ConvertOptions | None = None,
    progress: Progress | None = None,
) -> ConversionReport:
    """Convert a released checkpoint; the folder appears whole or not at all.

    Args:
        source: The ``.pth``, or a safetensors file with the released names.
        destination: The folder to make.
        spec: The model that the source is said to be.
        options: How; the defaults when left out.
        progress: Told how far it is.

    Returns:
        What was done.

    Raises:
        WeightsError: If the source can't be used; nothing of it is ever run.
        WriteError: If the folder is there already, or can't be written.
    """
    started = time.perf_counter()
    refuse_existing(destination)
    plan = make_plan(source, spec, options or ConvertOptions())
    advance = _Advance(progress, plan)
    with appearing(destination, plan.bytes_to_write) as (folder, removed):
        sha256 = plan.options.source_sha256 or hash_checked(source, advance)
        dead: list[str] = []
        files = _write_network(folder, plan, advance, dead)
        if plan.options.keep_text_encoder:
            files |= _write_text_encoder(folder, plan, advance)
        parameters = sum(entry.numbers for entry in plan.entries)
        _write_json(folder / CONFIG, plan.config.to_dict())
        (folder / "LICENSE.md").write_text(_licence_note(spec), encoding="utf-8")
        _write_json(folder / MANIFEST, _manifest(plan, files, sha256, parameters, dead))
        size_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return ConversionReport(
        model=spec.name,
        folder=destination,
        tensors=len(plan.names.network) + 1,
        parameters=parameters,
        dtype=plan.options.dtype,
        size_bytes=size_bytes,
        shards=sum("/" not in name for name in files),
        seconds=time.perf_counter() - started,
        config_from=plan.config_from,
        as_published=plan.config == PRESETS[spec.name],
        dead=tuple(dead),
        text_encoder=plan.options.keep_text_encoder,
        source_sha256=sha256,
        removed=removed,
    )


class _Advance:
    """Counts bytes for a progress callback."""

    def __init__(self, progress: Progress | None, plan: ConversionPlan) -> None:
        self._progress = progress
        hashing = 0 if plan.options.source_sha256 else plan.source.path.stat().st_size
        self._done, self._total = 0, hashing + plan.bytes_to_write

    def __call__(self, size_bytes: int) -> None:
        self._done += size_bytes
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)


def _write_network(
    folder: Path, plan: ConversionPlan, advance: _Advance, dead: list[str]
) -> dict[str, str]:
    """Write the network's shards, the text's embedding in the last; fill in dead branches."""
    with plan.source.open() as tensors:
        text = {ours: tensors[theirs] for ours, theirs in plan.names.text_encoder.items()}
        embedding = embed_empty(text).clone()
        text.clear()
    entries = [*plan.entries, Entry(TEXT_EMBEDDING, tuple(embedding.shape))]

    def look(name: str, values: Tensor) -> None:
        first = name.startswith(_COORDINATES) and name.endswith("linear_1.weight")
        if first and not bool(values.any()):
            dead.append(name.split(".")[1])

    sources = {**plan.names.network, TEXT_EMBEDDING: ""}
    return _write_shards(folder, entries, sources, plan, advance, {"": embedding}, look)


def _write_text_encoder(folder: Path, plan: ConversionPlan, advance: _Advance) -> dict[str, str]:
    kept = folder / FOLDER
    kept.mkdir()
    files = _write_shards(
        kept, plan.text_entries, plan.names.text_encoder, plan, advance, {}, lambda *_: None
    )
    assert plan.tokenizer is not None
    (kept / TOKENIZER_FOLDER).mkdir()
    for file in sorted(plan.tokenizer.glob("*.*")):
        if file.suffix in (".json", ".txt") and file.is_file():
            shutil.copyfile(file, kept / TOKENIZER_FOLDER / file.name)
    return {f"{FOLDER}/{name}": sha256 for name, sha256 in files.items()}


def _write_shards(
    folder: Path,
    entries: Sequence[Entry],
    sources: Mapping[str, str],
    plan: ConversionPlan,
    advance: _Advance,
    made: Mapping[str, Tensor],
    look: Callable[[str, Tensor], None],
) -> dict[str, str]:
    """Write tensors by our names, shard by shard; the source is mapped anew for each.

    Returns:
        The sha256 of each file.
    """
    dtype = plan.options.dtype

    def read(shard: Sequence[Entry]) -> Iterator[tuple[str, Tensor]]:
        with plan.source.open() as tensors:
            for entry in shard:
                theirs = sources[entry.name]
                values = made[theirs] if theirs in made else tensors[theirs]
                look(entry.name, values)
                yield entry.name, values
                advance(entry.numbers * BYTES_PER_NUMBER[dtype])

    shards = plan_shards(entries, dtype, plan.options.shard_bytes)
    named = dict(zip(shard_names(len(shards)), shards, strict=True))
    metadata = {"format": "pt", "model": plan.spec.name, "licence": plan.spec.terms}
    hashes = {
        name: write_shard(folder / name, shard, read(shard), dtype, metadata)
        for name, shard in named.items()
    }
    write_index(folder, named, dtype)
    return hashes


def _manifest(
    plan: ConversionPlan,
    files: Mapping[str, str],
    sha256: str,
    parameters: int,
    dead: Sequence[str],
) -> dict[str, Any]:
    return {
        "version": MANIFEST_VERSION,
        "model": plan.spec.name,
        "made_by": f"pullmatte {__version__}",
        "dtype": plan.options.dtype,
        "tensors": len(plan.names.network) + 1,
        "parameters": parameters,
        "config_from": plan.config_from,
        "dead_coordinate_embedding": list(dead),
        "text_encoder": plan.options.keep_text_encoder,
        "licence": plan.spec.terms,
        "links": list(plan.spec.links),
        "source": {
            "file": plan.source.path.name,
            "sha256": sha256,
            "bytes": plan.source.path.stat().st_size,
            "origin": plan.options.origin,
        },
        "sha256": dict(files),
    }


def _licence_note(spec: ModelSpec) -> str:
    links = "\n".join(f"- {link}" for link in spec.links)
    return (
        f"# Licence of these weights\n\n{spec.terms}.\n\nRead both before you use or pass them "
        f"on:\n\n{links}\n\nConverted by pullmatte, without change but to names and precision.\n"
    )


def _write_json(path: Path, record: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
