"""From SAM 2.1 as released, or a MAM2 checkpoint in one file, to a folder of ours."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pullmatte.errors import MissingDependency, PullmatteError, WeightsError
from pullmatte.models import ModelSpec
from pullmatte.models.conversion import (
    Content,
    Origins,
    Read,
    check_fits,
    open_released,
    write_folder,
)
from pullmatte.models.conversion_report import ConversionReport, ConvertOptions, Progress
from pullmatte.models.mam2.config import BASE_PLUS, LARGE, SMALL, TINY, MAM2Config
from pullmatte.models.mam2.kept_matter import FoundMatter, find_matter, join_terms
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.upstream import find_origins, released_name
from pullmatte.models.released_file import ReleasedFile
from pullmatte.models.shards import refuse_faults
from pullmatte.models.weights import CONFIG, MATTER_FOLDER
from pullmatte.models.whole_folder import refuse_existing

SIZES = {"mam2-tiny": TINY, "mam2-small": SMALL, "mam2-base-plus": BASE_PLUS, "mam2-large": LARGE}
"""The published sizes, by the model's name."""
MASK_BAND = MAM2Config(trimap="mask_band", second_pass="off")
"""What SAM 2.1's own weights suffice for, at any size."""
_BRANCH = "mask_decoder.trimap_branch."
_ANY_SAM_2 = "maskmem_tpos_enc"
_ONLY_IN_2_1 = "no_obj_embed_spatial"
_AGAIN = "fetch it again"


def convert(
    source: Path,
    destination: Path,
    spec: ModelSpec,
    options: ConvertOptions | None = None,
    progress: Progress | None = None,
) -> ConversionReport:
    """Convert weights; the folder appears whole or not at all.

    Args:
        source: ``sam2.1_hiera_*.pt`` or ``model.safetensors`` as released, or a MAM2 checkpoint
            of ours in one file, with its ``config.json`` beside it.
        destination: The folder to make.
        spec: The model that the source is said to be.
        options: How; the defaults when left out.
        progress: Told how far it is.

    Returns:
        What was done.

    Raises:
        WeightsError: If a source can't be used; nothing of it is ever run.
        WriteError: If the folder is there already, or can't be written.
    """
    refuse_existing(destination)
    file = open_sam2(source, spec)
    config, config_from = choose_config(spec, source, file.shapes)
    network = make_empty(config, str(source))
    content = Content(
        config=config.to_dict(),
        tensors=find_tensors(network, file),
        parameters=sum(value.numel() for value in network.parameters()),
        config_from=config_from,
        as_published=config.sam2 == SIZES[spec.name],
        facts={"trained": {"sam2": True, "trimap_branch": config.has_trimap_branch}},
        notes=_notes(spec, config),
    )
    matter = find_matter(file, options.also if options else ())
    if matter is None:
        return write_folder(destination, spec, [file], content, options, progress)
    found, its_file = matter
    return write_folder(
        destination,
        join_terms(spec, found.spec),
        [file] if its_file is file else [file, its_file],
        _with_matter(content, found),
        options,
        progress,
    )


def _with_matter(content: Content, matter: FoundMatter) -> Content:
    facts = {"matter": {"model": matter.spec.name, "licence": matter.spec.terms}}
    return replace(
        content,
        config={**content.config, MATTER_FOLDER: matter.config.to_dict()},
        folders={MATTER_FOLDER: matter.tensors},
        facts={**content.facts, **facts},
        notes=(*content.notes, f"{matter.spec.name} is kept with it: {matter.spec.terms}"),
    )


def open_sam2(path: Path, spec: ModelSpec) -> ReleasedFile:
    """Look into a file, and refuse one that is another model's, or SAM 2.0's.

    Raises:
        WeightsError: If it can't be used.
    """
    held = {released_name(name) for name in ReleasedFile(path).shapes}
    if _ANY_SAM_2 in held and _ONLY_IN_2_1 not in held:
        where = f" from {spec.hub.page}" if spec.hub else ""
        raise WeightsError(f"{path}: weights of SAM 2.0; get those of SAM 2.1{where}")
    return open_released(path, spec)


def choose_config(spec: ModelSpec, path: Path, names: Iterable[str]) -> tuple[MAM2Config, str]:
    """Tell what network a file is for.

    Args:
        spec: The model.
        path: The file; a ``config.json`` of ours beside it counts more than anything else.
        names: Of the file's tensors.

    Returns:
        The config, and what told it.

    Raises:
        WeightsError: If nothing tells it, or that can't be read.
    """
    beside = path.parent / CONFIG
    try:
        record = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else None
        if isinstance(record, dict) and "sam2" in record:
            return parse_config(record), f"{CONFIG} beside it"
    except (PullmatteError, OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise WeightsError(f"{beside}: can't be read: {said}; mend or remove it") from error
    if any(_BRANCH in name for name in names):
        raise WeightsError(
            f"{path}: has a trimap branch, and its tensors don't tell all of its settings: put the "
            f"{CONFIG} that it was trained with beside it"
        )
    return replace(MASK_BAND, sam2=SIZES[spec.name]), "the published sizes"


def parse_config(record: Any) -> MAM2Config:
    """Make the network's config of what a folder's JSON holds; the matter's is left aside.

    Raises:
        PullmatteError: If it holds a field that isn't known, or a value that can't be.
    """
    return MAM2Config.from_dict({
        name: value for name, value in record.items() if name != MATTER_FOLDER
    })


def make_empty(config: MAM2Config, what: str) -> MAM2Network:
    """Build a network on the meta device, for weights to be put into.

    Args:
        config: As a file has it.
        what: That file, for the message.

    Raises:
        WeightsError: If nothing can be built by this config.
    """
    try:
        with torch.device("meta"):
            return MAM2Network(config)
    except MissingDependency:
        raise
    except Exception as error:  # What transformers and torch raise on odd sizes has no limits.
        said = " ".join(str(error).split())[:160] or type(error).__name__
        raise WeightsError(
            f"{what}: no network can be built by its config: {said}; convert or pull again"
        ) from error


def find_tensors(network: MAM2Network, file: ReleasedFile) -> Origins:
    """Find a network's tensors in a file, and check that they are all, and fit.

    Raises:
        WeightsError: If they don't.
    """
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    origins, unknown = find_origins(expected, file.shapes)
    tensors = {
        ours: Read(file, names[0]) if len(names) == 1 else _stacked(file, names)
        for ours, names in origins.items()
    }
    check_fits(expected, tensors, file.path, unknown=unknown)
    return tensors


def _stacked(file: ReleasedFile, names: tuple[str, ...]) -> Tensor:
    """Read small tensors that lie one above the other with us."""
    refuse_faults({name: file.faults[name] for name in names}, file.path)
    with file.open() as tensors:
        rows = [tensors[name] for name in names]
        if len({row.shape[1:] for row in rows}) > 1 or rows[0].ndim == 0:
            raise WeightsError(f"{file.path}: {names[0]} and its like differ in shape; {_AGAIN}")
        return torch.cat(rows)


def _notes(spec: ModelSpec, config: MAM2Config) -> tuple[str, ...]:
    if config.has_trimap_branch:
        return ()
    return (
        f"{spec.name}: no trimap branch in it: the trimap is a band round the mask, until one is "
        "trained",
    )
