"""From released files to a folder of ours, a tensor at a time, whatever the model.

A model's own converter looks at what was released, checks that it fits, and says in a `Content`
what its folder shall hold; `write_folder` does the rest. The folder then holds::

    config.json                      the network's sizes
    model-0000i-of-0000n.safetensors its tensors by our names; one file if that suffices
    model.safetensors.index.json     which file holds what, if there are several
    manifest.json                    model, precision, sha256 of each source and of each file
    LICENSE.md                       licence and restrictions, with links
"""

import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pullmatte import __version__
from pullmatte.errors import WeightsError
from pullmatte.models import ModelSpec
from pullmatte.models.checked_hash import hash_checked
from pullmatte.models.conversion_report import ConversionReport, ConvertOptions, Progress
from pullmatte.models.released_file import ReleasedFile
from pullmatte.models.shards import (
    BYTES_PER_NUMBER,
    Entry,
    plan_shards,
    refuse_faults,
    shard_names,
    write_index,
    write_shard,
)
from pullmatte.models.weights import CONFIG, MANIFEST, check_names, match_fingerprint
from pullmatte.models.whole_folder import appearing, refuse_existing

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST_VERSION = 1
LICENCE = "LICENSE.md"


class Read(NamedTuple):
    """A tensor that is read from a released file when it is its turn.

    Attributes:
        file: The file.
        name: What the tensor is called there.
    """

    file: ReleasedFile
    name: str


Origins = Mapping[str, "Read | Tensor"]
"""Our name of a tensor → where it is read, or, for one that no file holds, the tensor itself."""


@dataclass(frozen=True)
class Content:
    """What a converted folder shall hold.

    Attributes:
        config: For ``config.json``.
        tensors: The network's, in the order in which they shall lie in the files.
        parameters: How many numbers of the network can be trained, for the report.
        config_from: What told the sizes, for the report.
        as_published: Whether they are those of the released network.
        folders: Further tensors, by the name of a folder of their own.
        copies: Further small files: path in the folder → file.
        facts: More for the manifest.
        notes: Lines that the user should read once it is done.
        changes: How the weights differ from the released ones, for ``LICENSE.md``.
    """

    config: Mapping[str, Any]
    tensors: Origins
    parameters: int
    config_from: str = "the published sizes"
    as_published: bool = True
    folders: Mapping[str, Origins] = field(default_factory=dict)
    copies: Mapping[str, Path] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    changes: str = "without change but to names and precision"


def open_released(path: Path, spec: ModelSpec) -> ReleasedFile:
    """Look into a released file, and refuse one that is another model's.

    Raises:
        WeightsError: If it can't be read, or is another model's.
    """
    file = ReleasedFile(path)
    found = match_fingerprint(file.shapes, path, preferred=spec)
    if found.fingerprint != spec.fingerprint:
        raise WeightsError(
            f"{path}: holds {found.name}, not {spec.name}: give "
            f"'pullmatte models convert {found.name} {path}'"
        )
    return file


def check_fits(
    expected: Mapping[str, tuple[int, ...]],
    tensors: Origins,
    what: object,
    *,
    unknown: Iterable[str] = (),
) -> None:
    """Check names, shapes and kinds of numbers before the first byte is written.

    Args:
        expected: Shapes of the network's tensors, by our names.
        tensors: What there is for it.
        what: The file, for the message.
        unknown: Names in the file that belong nowhere.

    Raises:
        WeightsError: If they don't fit.
    """
    given = {name: entry.shape for name, entry in _entries(tensors).items()}
    check_names(expected, given, str(what), unknown=unknown)
    reads = [origin for origin in tensors.values() if isinstance(origin, Read)]
    refuse_faults({each.name: each.file.faults[each.name] for each in reads}, what)


def write_folder(
    destination: Path,
    spec: ModelSpec,
    sources: Sequence[ReleasedFile],
    content: Content,
    options: ConvertOptions | None = None,
    progress: Progress | None = None,
) -> ConversionReport:
    """Write a converted folder; it appears whole or not at all.

    Args:
        destination: The folder to make.
        spec: The model.
        sources: The released files, each to be hashed, `options.source_sha256` being the first's.
        content: What to write, checked by `check_fits`.
        options: How; the defaults when left out.
        progress: Told how far it is.

    Returns:
        What was done.

    Raises:
        WeightsError: If a source is damaged, or a number can't be stored.
        WriteError: If the folder is there already, or can't be written.
    """
    started = time.perf_counter()
    refuse_existing(destination)
    chosen = options or ConvertOptions()
    advance = _Advance(progress, sources, content, chosen)
    with appearing(destination, _bytes_of(content, chosen.dtype)) as (folder, removed):
        known = [chosen.source_sha256, *[""] * (len(sources) - 1)]
        hashes = [
            sha256 or hash_checked(source.path, advance)
            for source, sha256 in zip(sources, known, strict=True)
        ]
        files = _write_tensors(folder, spec, content, chosen, advance)
        for name, path in content.copies.items():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, folder / name)
        stated = [_source(source, sha256) for source, sha256 in zip(sources, hashes, strict=True)]
        _write_json(folder / CONFIG, content.config)
        _write_json(folder / MANIFEST, _manifest(spec, content, chosen, stated, files))
        (folder / LICENCE).write_text(_licence_note(spec, content.changes), encoding="utf-8")
        size_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return ConversionReport(
        model=spec.name,
        folder=destination,
        tensors=len(content.tensors),
        parameters=content.parameters,
        dtype=chosen.dtype,
        size_bytes=size_bytes,
        shards=sum("/" not in name for name in files),
        seconds=time.perf_counter() - started,
        config_from=content.config_from,
        as_published=content.as_published,
        source_sha256=hashes[0],
        notes=content.notes,
        removed=removed,
    )


class _Advance:
    """Counts bytes for a progress callback."""

    def __init__(
        self,
        progress: Progress | None,
        sources: Sequence[ReleasedFile],
        content: Content,
        options: ConvertOptions,
    ) -> None:
        self._progress = progress
        hashed = sources[1:] if options.source_sha256 else sources
        hashing = sum(source.path.stat().st_size for source in hashed)
        self._done, self._total = 0, hashing + _bytes_of(content, options.dtype)

    def __call__(self, size_bytes: int) -> None:
        self._done += size_bytes
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)


def _entries(tensors: Origins) -> dict[str, Entry]:
    return {
        name: Entry(
            name,
            origin.file.shapes[origin.name] if isinstance(origin, Read) else tuple(origin.shape),
        )
        for name, origin in tensors.items()
    }


def _bytes_of(content: Content, dtype: str) -> int:
    kinds = (content.tensors, *content.folders.values())
    numbers = sum(entry.numbers for kind in kinds for entry in _entries(kind).values())
    return numbers * BYTES_PER_NUMBER[dtype]


def _write_tensors(
    folder: Path, spec: ModelSpec, content: Content, options: ConvertOptions, advance: _Advance
) -> dict[str, str]:
    """Write the network's tensors, and further ones into folders of their own.

    Returns:
        The sha256 of each file, by its path in the folder.
    """
    files = _write_shards(folder, content.tensors, spec, options, advance)
    for name, tensors in content.folders.items():
        (folder / name).mkdir()
        more = _write_shards(folder / name, tensors, spec, options, advance)
        files |= {f"{name}/{file}": sha256 for file, sha256 in more.items()}
    return files


def _write_shards(
    folder: Path, tensors: Origins, spec: ModelSpec, options: ConvertOptions, advance: _Advance
) -> dict[str, str]:
    """Write tensors by our names, shard by shard; the sources are mapped anew for each.

    Returns:
        The sha256 of each file.
    """
    shards = plan_shards(_entries(tensors).values(), options.dtype, options.shard_bytes)
    named = dict(zip(shard_names(len(shards)), shards, strict=True))
    metadata = {"format": "pt", "model": spec.name, "licence": spec.terms}
    hashes = {}
    for name, shard in named.items():
        bodies = _bodies(shard, tensors, BYTES_PER_NUMBER[options.dtype], advance)
        hashes[name] = write_shard(folder / name, shard, bodies, options.dtype, metadata)
    write_index(folder, named, options.dtype)
    return hashes


def _bodies(
    shard: Sequence[Entry], tensors: Origins, width: int, advance: _Advance
) -> Iterator[tuple[str, "Tensor"]]:
    """Yield name and values of each tensor of a shard."""
    origins = [tensors[entry.name] for entry in shard]
    files = {origin.file.path: origin.file for origin in origins if isinstance(origin, Read)}
    with ExitStack() as stack:
        opened = {path: stack.enter_context(file.open()) for path, file in files.items()}
        for entry, origin in zip(shard, origins, strict=True):
            if isinstance(origin, Read):
                yield entry.name, opened[origin.file.path][origin.name]
            else:
                yield entry.name, origin
            advance(entry.numbers * width)


def _source(source: ReleasedFile, sha256: str) -> dict[str, Any]:
    return {"file": source.path.name, "sha256": sha256, "bytes": source.path.stat().st_size}


def _manifest(
    spec: ModelSpec,
    content: Content,
    options: ConvertOptions,
    sources: Sequence[Mapping[str, Any]],
    files: Mapping[str, str],
) -> dict[str, Any]:
    return {
        "version": MANIFEST_VERSION,
        "model": spec.name,
        "made_by": f"pullmatte {__version__}",
        "dtype": options.dtype,
        "tensors": len(content.tensors),
        "parameters": content.parameters,
        "config_from": content.config_from,
        **content.facts,
        "licence": spec.terms,
        "links": list(spec.links),
        "source": {**sources[0], "origin": options.origin},
        **({"further_sources": list(sources[1:])} if len(sources) > 1 else {}),
        "sha256": dict(files),
    }


def _licence_note(spec: ModelSpec, changes: str) -> str:
    links = "\n".join(f"- {link}" for link in spec.links)
    return (
        f"# Licence of these weights\n\n{spec.terms}.\n\nRead both before you use or pass them "
        f"on:\n\n{links}\n\nConverted by pullmatte, {changes}.\n"
    )


def _write_json(path: Path, record: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
