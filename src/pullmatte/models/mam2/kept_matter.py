"""The matter that may lie in a MAM2 folder: MEMatte or ViTMatte, in ``matter/``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pullmatte.errors import PullmatteError, WeightsError
from pullmatte.models import MODELS, ModelSpec
from pullmatte.models.conversion import Read, check_fits
from pullmatte.models.mam2.upstream import MATTER
from pullmatte.models.mematte.checkpoint import with_counters
from pullmatte.models.mematte.config import MEMatteConfig
from pullmatte.models.mematte.conversion import expected_shapes, sort_names
from pullmatte.models.mematte.model import MEMatteModel
from pullmatte.models.mematte.network import make_empty
from pullmatte.models.mematte.released_config import PRESETS, choose_config
from pullmatte.models.released_file import ReleasedFile
from pullmatte.models.weights import (
    CONFIG,
    MANIFEST,
    MATTER_FOLDER,
    load_strictly,
    match_fingerprint,
    read_config,
    read_manifest,
    read_shards,
)


@dataclass(frozen=True)
class FoundMatter:
    """A matter that was found in a file.

    Attributes:
        spec: What is known of it, its licence above all.
        config: Its network.
        tensors: Our name of each tensor → where it is read.
    """

    spec: ModelSpec
    config: MEMatteConfig
    tensors: Mapping[str, Read]


def join_terms(spec: ModelSpec, matter: ModelSpec) -> ModelSpec:
    """Return what is known of a model, with a matter's terms added."""
    told = (spec.restrictions, f"the matter, {matter.name}, is {matter.terms}")
    return replace(
        spec,
        licence=" + ".join(dict.fromkeys((spec.licence, matter.licence))),
        commercial_use=spec.commercial_use and matter.commercial_use,
        restrictions="; ".join(filter(None, told)),
        links=tuple(dict.fromkeys((*spec.links, *matter.links))),
    )


def find_matter(
    source: ReleasedFile, also: Sequence[Path]
) -> tuple[FoundMatter, ReleasedFile] | None:
    """Find the matter that shall be kept: in its own file, or in the source after ``matter.``.

    Args:
        source: The file with the network.
        also: Further files; one at most.

    Returns:
        It and the file that it is in; None if there is none.

    Raises:
        WeightsError: If it can't be used, or there are two.
    """
    inside = any(name.startswith(MATTER) for name in source.shapes)
    if len(also) + inside > 1:
        raise WeightsError(
            f"{source.path}: {len(also) + inside} matters for it: give one; a further file is "
            "only needed where the first holds none"
        )
    if inside:
        return _find(source, MATTER), source
    if also:
        file = ReleasedFile(also[0])
        return _find(file, ""), file
    return None


def _find(file: ReleasedFile, prefix: str) -> FoundMatter:
    bare = {n.removeprefix(prefix): n for n in file.shapes if n.startswith(prefix)}
    spec = match_fingerprint(bare, file.path)
    if spec.name not in PRESETS:
        raise WeightsError(
            f"{file.path}: holds {spec.name}, which can't be kept as a matter; give "
            f"{' or '.join(PRESETS)}"
        )
    names = {ours: bare[theirs] for ours, theirs in sort_names(bare).items()}
    shapes = {ours: file.shapes[theirs] for ours, theirs in names.items()}
    config, _ = choose_config(spec.name, shapes)
    tensors = {ours: Read(file, theirs) for ours, theirs in names.items()}
    check_fits(expected_shapes(make_empty(config, str(file.path))), tensors, file.path)
    return FoundMatter(spec, config, tensors)


def kept_spec(folder: Path) -> ModelSpec:
    """Return what is known of the matter of a folder for which `keeps_matter` is true.

    Raises:
        WeightsError: If its manifest doesn't say which it is.
    """
    said = read_manifest(folder).get(MATTER_FOLDER)
    name = said.get("model") if isinstance(said, dict) else None
    if name not in PRESETS:
        raise WeightsError(
            f"{folder}: {MANIFEST} says {name!r} of its matter, expected {' or '.join(PRESETS)}; "
            "convert again"
        )
    return MODELS[name]


def load_matter(folder: Path, dtype: torch.dtype | None, device: str) -> MEMatteModel:
    """Load the matter of a folder.

    Args:
        folder: One for which `keeps_matter` is true.
        dtype: Precision of its weights; None takes theirs.
        device: Where it shall run.

    Raises:
        WeightsError: If its weights are missing, damaged, or another network's.
    """
    what = str(folder / MATTER_FOLDER)
    network = make_empty(read_config(folder, _parse), str(folder / CONFIG))
    tensors = with_counters(network, read_shards(folder / MATTER_FOLDER))
    load_strictly(network, tensors, what, dtype=dtype)
    return MEMatteModel(network.to(device))


def _parse(record: Any) -> MEMatteConfig:
    if not isinstance(record, dict) or not isinstance(record.get(MATTER_FOLDER), dict):
        raise PullmatteError(f"it says nothing of the {MATTER_FOLDER}")
    return MEMatteConfig.from_dict(record[MATTER_FOLDER])
