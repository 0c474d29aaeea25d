"""Weights: where they are, what they belong to, and loading them without a tensor to spare.

For `pullmatte.sessions.load`: call ``spec, path = resolve(name)`` with a model's name or a path,
then ``spec.build(weights=path, ...)`` if `path` isn't None, else ``spec.build(...)``. Importing
this module and resolving load no torch.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pullmatte.errors import MissingDependency, PullmatteError, UnknownModel, WeightsError
from pullmatte.models import MODELS, ModelSpec, find_spec
from pullmatte.models.shards import read_header, refuse_faults, shard_paths, tensor_fault

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

HOME_VARIABLE = "PULLMATTE_HOME"
CONFIG = "config.json"
MANIFEST = "manifest.json"
MATTER_FOLDER = "matter"
"""Of a matter that is kept beside a network."""
_PICKLES = (".pth", ".pt", ".ckpt", ".bin", ".pkl")
_SHOWN = 3
_Config = TypeVar("_Config")
# What a damaged config can do to the code that reads it.
_ODD = (ValueError, TypeError, AttributeError, ArithmeticError, LookupError, RecursionError)


def home() -> Path:
    """Return the folder for weights: ``PULLMATTE_HOME``, else the platform's. It isn't made."""
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Application Support"
    else:
        base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "pullmatte"


def model_folder(spec: ModelSpec) -> Path:
    """Return where a model's converted weights are, or would be."""
    return home() / "models" / spec.name


def packaged(spec: ModelSpec) -> Path:
    """Return the folder of the weights that the package itself brings.

    Raises:
        WeightsError: If the package was installed without them.
    """
    folder = Path(__file__).resolve().parents[1] / "weights" / spec.name
    missing = [name for name in spec.files if not (folder / name).is_file()]
    if missing:
        raise WeightsError(f"{folder}: lacks {missing[0]}, a part of pullmatte: install it again")
    return folder


def keeps_matter(path: Path) -> bool:
    """Whether a folder of weights holds, beside its network, a matter for its trimaps."""
    return (path / MATTER_FOLDER).is_dir()


def resolve(name: str) -> tuple[ModelSpec, Path | None]:
    """Turn what a user calls a model into its spec and its weights.

    Args:
        name: A name of `MODELS`; or a path: a folder that ``pullmatte models convert`` wrote, or
            a safetensors file with the released names.

    Returns:
        The spec, and its weights' folder or file, maybe in the package; None if it has none.

    Raises:
        UnknownModel: If it is neither.
        WeightsError: If the weights aren't there, aren't any that are known, or another model's.
    """
    if name in MODELS:
        spec = MODELS[name]
        if spec.files:
            return spec, packaged(spec)
        if not spec.has_weights:
            return spec, None
        folder = find(spec)
        found = identify(folder)
        if found.name != spec.name:
            raise WeightsError(
                f"{folder}: holds {found.name}, not {spec.name}: remove it, then {spec.way_to_get}"
            )
        return spec, folder
    path = Path(name).expanduser()
    if not (path.exists() or path.suffix in (".safetensors", *_PICKLES) or os.sep in name):
        find_spec(name)
    return identify(path), path


def find(spec: ModelSpec) -> Path:
    """Return the folder of a model's weights.

    Raises:
        WeightsError: If it isn't there; the message names the command that gets it.
    """
    folder = model_folder(spec)
    if (folder / CONFIG).is_file():
        return folder
    size_bytes = (spec.hub and spec.hub.size_bytes) or spec.size_bytes
    use = "commercial use allowed" if spec.commercial_use else "NO commercial use"
    what = (
        f"no weights for {spec.name!r} in {folder} ({_readable(size_bytes)}, {spec.licence}, {use})"
    )
    if spec.hub is None:
        raise WeightsError(f"{what}: {spec.way_to_get}")
    raise WeightsError(
        f"{what}: get them with {spec.way_to_get}, or, if you have {spec.hub.filename}, with "
        f"'pullmatte models convert {spec.name} {spec.hub.filename}'"
    )


def _readable(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"


def identify(path: Path) -> ModelSpec:
    """Tell which model a folder or file of weights is for.

    Args:
        path: A converted folder, or a safetensors file with the released names.

    Raises:
        WeightsError: If it isn't one that can be loaded.
    """
    if path.suffix.lower() in _PICKLES:
        raise WeightsError(
            f"{path}: a pickle isn't loaded as it is; convert it once with "
            f"'pullmatte models convert NAME {path}'"
        )
    if path.is_dir():
        return _identify_folder(path)
    if not path.is_file():
        raise WeightsError(
            f"{path}: no such folder or file; give a converted folder, a .safetensors file, or "
            f"one of {', '.join(MODELS)}"
        )
    if (path.parent / MANIFEST).is_file():
        raise WeightsError(f"{path}: part of a converted folder; give {path.parent}")
    return match_fingerprint(read_header(path), path)


def match_fingerprint(
    names: Iterable[str], path: Path, *, preferred: ModelSpec | None = None
) -> ModelSpec:
    """Tell by its tensors which model a released file is for.

    Args:
        names: Of its tensors.
        path: Of the file; its name decides between twins.
        preferred: The twin to take if the file's name says nothing.

    Raises:
        WeightsError: If it is for none that we know.
    """
    found = set(names)
    fitting = [
        spec
        for spec in MODELS.values()
        if spec.fingerprint and _likeness(spec, found) == len(spec.fingerprint)
    ]
    # A model that holds another one as a part has the longer fingerprint.
    longest = max((len(spec.fingerprint) for spec in fitting), default=0)
    fitting = [spec for spec in fitting if len(spec.fingerprint) == longest]
    if not fitting:
        raise WeightsError(
            f"{path}: weights of no model that we know; known are "
            f"{', '.join(spec.name for spec in MODELS.values() if spec.fingerprint)}"
        )
    named = [s for s in fitting if s.hub and Path(s.hub.filename).stem == path.stem]
    wished = [spec for spec in fitting if spec is preferred]
    return (named or wished or fitting)[0]


def _likeness(spec: ModelSpec, names: Iterable[str]) -> int:
    """Count how many tensors of a model's fingerprint are there."""
    released = spec.released_names(names)
    return sum(any(name.endswith(part) for name in released) for part in spec.fingerprint)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what a converted folder says of itself.

    Raises:
        WeightsError: If it says nothing that can be read.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if not isinstance(manifest, dict):
            raise ValueError("expected an object")
    except FileNotFoundError as error:
        raise WeightsError(
            f"{folder}: no folder that 'pullmatte models convert' wrote; it lacks {MANIFEST}"
        ) from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder / MANIFEST}: can't be read: {error}") from error
    return manifest


def read_config(folder: Path, parse: Callable[[Any], _Config]) -> _Config:
    """Read a converted folder's config.

    Args:
        folder: The folder.
        parse: Makes a config of what the JSON holds.

    Raises:
        WeightsError: If it can't be read, or holds what no network can have.
    """
    path = folder / CONFIG
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise WeightsError(f"{folder}: lacks {CONFIG}; convert or pull again") from error
    except (PullmatteError, OSError, *_ODD) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise WeightsError(f"{path}: can't be read: {said}; convert or pull again") from error


def _identify_folder(folder: Path) -> ModelSpec:
    name = read_manifest(folder).get("model")
    if not isinstance(name, str) or name not in MODELS:
        raise WeightsError(f"{folder}: for model {name!r}; known are {', '.join(MODELS)}")
    spec = MODELS[name]
    if not (spec.has_weights or spec.files):
        raise WeightsError(
            f"{folder}: {MANIFEST} says {name}, a model without weights; convert or pull again"
        )
    _check_fingerprint(folder, spec)
    return spec


def _check_fingerprint(folder: Path, spec: ModelSpec) -> None:
    """Refuse a folder whose tensors aren't of the model, and so of the licence, that it names.

    A network of ours may lack parts that the released ones have; another model mustn't fit better.

    Raises:
        WeightsError: If it is so.
    """
    names = {name for path in shard_paths(folder) for name in read_header(path)}
    known = [each for each in MODELS.values() if each.fingerprint]
    best = max(known, key=lambda each: _likeness(each, names))
    likeness = _likeness(spec, names)
    if likeness == 0 or likeness < _likeness(best, names):
        held = f"{best.name}'s" if _likeness(best, names) else "of no model that we know"
        raise WeightsError(
            f"{folder}: {MANIFEST} says {spec.name}, the tensors are {held}; convert or pull again"
        )


def read_shards(folder: Path) -> dict[str, "Tensor"]:
    """Map the weights of a converted folder into memory; pages are read as they are used.

    Args:
        folder: With one safetensors file, or several and their index.

    Returns:
        Tensors by name, backed by the files.

    Raises:
        WeightsError: If files are missing or damaged.
        MissingDependency: If safetensors isn't installed.
    """
    return dict(_read_files(shard_paths(folder)))


def read_file(path: Path) -> dict[str, "Tensor"]:
    """Map the tensors of one safetensors file into memory.

    Raises:
        WeightsError: If it is damaged.
        MissingDependency: If safetensors isn't installed.
    """
    return dict(_read_files([path]))


def _read_files(paths: Iterable[Path]) -> Iterator[tuple[str, "Tensor"]]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise missing_extra() from error
    for path in paths:
        read_header(path)
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - it isn't a mapping
                    yield name, file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"{path}: can't be read: {error}; convert or pull again") from error


def missing_extra() -> MissingDependency:
    """Return the error that names the extra which brings torch and its company."""
    return MissingDependency("this model needs torch: pip install torch")


def check_names(
    expected: Mapping[str, tuple[int, ...]],
    given: Mapping[str, tuple[int, ...]],
    what: str,
    *,
    unknown: Iterable[str] = (),
) -> None:
    """Compare names and shapes of tensors with those that a network has.

    Args:
        expected: The network's.
        given: Those at hand.
        what: What they are, for the message.
        unknown: Further names at hand that belong nowhere.

    Raises:
        WeightsError: If they differ; on one line, the first three of each kind and how many.
    """
    missing = [name for name in expected if name not in given]
    unexpected = [*(name for name in given if name not in expected), *unknown]
    misshaped = [
        f"{name} is {_shape(given[name])}, not {_shape(shape)}"
        for name, shape in expected.items()
        if name in given and given[name] != shape
    ]
    faults = (("missing", missing), ("unexpected", unexpected), ("misshaped", misshaped))
    said = [f"{len(names)} {kind} ({_first(names)})" for kind, names in faults if names]
    if said:
        raise WeightsError(
            f"{what}: {len(given)} tensors don't fit the network's {len(expected)}: "
            f"{'; '.join(said)}; give the weights of this model"
        )


def _first(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def load_strictly(
    module: "nn.Module",
    tensors: Mapping[str, "Tensor"],
    what: str = "weights",
    *,
    dtype: "torch.dtype | None" = None,
) -> None:
    """Give a module built on the meta device its weights, without copying them.

    Args:
        module: Its parameters become the tensors themselves.
        tensors: Exactly its state dict.
        what: What they are, for the message.
        dtype: Precision to cast floats to, one at a time; None keeps theirs.

    Raises:
        WeightsError: If a name, shape or kind of number differs; the module is then as it was.
    """
    import torch

    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    check_names(expected, {name: tuple(value.shape) for name, value in tensors.items()}, what)
    floats = [name for name, value in module.state_dict().items() if value.is_floating_point()]
    refuse_faults({name: tensor_fault(tensors[name]) for name in floats}, what)
    cast: dict[str, Tensor] = {
        name: value if dtype is None or not value.is_floating_point() else value.to(dtype)
        for name, value in tensors.items()
    }
    module.load_state_dict(cast, strict=True, assign=True)
    left = [name for name, value in _all_tensors(module) if value.device == torch.device("meta")]
    assert not left, f"{left[0]} isn't in the state dict, so nothing gave it a value"


def _all_tensors(module: "nn.Module") -> Iterator[tuple[str, "Tensor"]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def unknown_name(name: str) -> UnknownModel:
    """Return the error for a model that has no weights, or none that can be fetched."""
    spec = find_spec(name)
    if spec.has_weights:
        return UnknownModel(f"model {name!r} can't be fetched: {spec.way_to_get}")
    with_weights = [spec.name for spec in MODELS.values() if spec.has_weights]
    return UnknownModel(
        f"model {name!r} has no weights to fetch: those with weights are {', '.join(with_weights)}"
    )
