"""From SDMatte's released checkpoint to a folder of ours."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pullmatte.models import ModelSpec, conversion_report
from pullmatte.models import conversion as machinery
from pullmatte.models.conversion import Content, Origins, Read
from pullmatte.models.conversion_report import ConvertOptions, Progress
from pullmatte.models.sdmatte.conversion_plan import TEXT_EMBEDDING, ConversionPlan, make_plan
from pullmatte.models.sdmatte.released_config import PRESETS
from pullmatte.models.sdmatte.text_embedding import FOLDER, TOKENIZER_FOLDER, embed_empty
from pullmatte.models.whole_folder import refuse_existing

_COORDINATES = "coordinate_embedding."
_FIRST_LAYER = "linear_1.weight"


@dataclass(frozen=True, kw_only=True)
class ConversionReport(conversion_report.ConversionReport):
    """What was converted.

    `tensors` counts the text's embedding, `parameters` doesn't; neither counts the text encoder.

    Attributes:
        dead: Branches of the coordinate embedding whose first layer is all zero, so that they
            tell the network nothing of where: of "box", "points".
        text_encoder: Whether it was kept.
    """

    dead: tuple[str, ...]
    text_encoder: bool


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
    refuse_existing(destination)
    plan = make_plan(source, spec, options or ConvertOptions())
    with plan.source.open() as tensors:
        dead = _dead_branches(plan, tensors)
        text = {ours: tensors[theirs] for ours, theirs in plan.names.text_encoder.items()}
        embedding = embed_empty(text).clone()
        text.clear()
    content = _content(plan, embedding, dead)
    report = machinery.write_folder(
        destination, spec, [plan.source], content, plan.options, progress
    )
    kept = plan.options.keep_text_encoder
    return ConversionReport(**vars(report), dead=dead, text_encoder=kept)


def _dead_branches(plan: ConversionPlan, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    first = [n for n in plan.names.network if n.startswith(_COORDINATES)]
    return tuple(
        name.split(".")[1]
        for name in first
        if name.endswith(_FIRST_LAYER) and not bool(tensors[plan.names.network[name]].any())
    )


def _content(plan: ConversionPlan, embedding: Tensor, dead: tuple[str, ...]) -> Content:
    """Say what the folder shall hold; the text's embedding comes last."""
    network: Origins = {ours: Read(plan.source, n) for ours, n in plan.names.network.items()}
    kept = plan.options.keep_text_encoder
    words = {ours: Read(plan.source, n) for ours, n in plan.names.text_encoder.items()}
    return Content(
        config=plan.config.to_dict(),
        tensors={**network, TEXT_EMBEDDING: embedding},
        parameters=sum(math.prod(plan.source.shapes[n]) for n in plan.names.network.values()),
        config_from=plan.config_from,
        as_published=plan.config == PRESETS[plan.spec.name],
        folders={FOLDER: words} if kept else {},
        copies=_tokenizer_files(plan.tokenizer),
        facts={"dead_coordinate_embedding": list(dead), "text_encoder": kept},
        notes=_notes(plan.spec, dead),
    )


def _tokenizer_files(folder: Path | None) -> dict[str, Path]:
    files = sorted(folder.glob("*.*")) if folder else []
    return {
        f"{FOLDER}/{TOKENIZER_FOLDER}/{file.name}": file
        for file in files
        if file.suffix in (".json", ".txt") and file.is_file()
    }


def _notes(spec: ModelSpec, dead: tuple[str, ...]) -> tuple[str, ...]:
    if not dead:
        return ()
    return (
        f"{spec.name}: the first layer of the coordinate embedding is all zero for "
        f"{' and '.join(dead)}: these numbers tell the network nothing, as released",
    )
