"""What a conversion will do: everything that can be checked before the first byte is written."""

from dataclasses import dataclass
from pathlib import Path

import torch

from pullmatte.errors import MissingDependency, WeightsError
from pullmatte.models import ModelSpec
from pullmatte.models.conversion import open_released
from pullmatte.models.conversion_report import ConvertOptions
from pullmatte.models.released_file import ReleasedFile
from pullmatte.models.sdmatte.config import SDMatteConfig
from pullmatte.models.sdmatte.network import SDMatteNetwork
from pullmatte.models.sdmatte.released_config import MOST_LAYERS, PRESETS, Shapes, choose_config
from pullmatte.models.sdmatte.text_embedding import (
    TOKENIZER_FILES,
    TOKENIZER_FOLDER,
    TextConfig,
)
from pullmatte.models.sdmatte.upstream import SortedNames, remap
from pullmatte.models.shards import refuse_faults
from pullmatte.models.weights import check_names

__all__ = [
    "TEXT_EMBEDDING",
    "ConversionPlan",
    "ConvertOptions",
    "check_text_encoder",
    "make_empty",
    "make_plan",
]

TEXT_EMBEDDING = "text_embedding"


@dataclass(frozen=True)
class ConversionPlan:
    """What is going to be written from what.

    Attributes:
        spec: The model.
        source: The released file.
        names: Its names, sorted.
        config: The network.
        config_from: What told its sizes.
        tokenizer: Folder of the tokenizer, if the text encoder is kept.
        options: How to convert.
    """

    spec: ModelSpec
    source: ReleasedFile
    names: SortedNames
    config: SDMatteConfig
    config_from: str
    tokenizer: Path | None
    options: ConvertOptions


def make_plan(path: Path, spec: ModelSpec, options: ConvertOptions) -> ConversionPlan:
    """Check a released file and choose what it is turned into.

    Args:
        path: The released file.
        spec: The model that it is said to be.
        options: How to convert.

    Raises:
        WeightsError: If it can't be used, or a tokenizer is needed and missing.
    """
    source = open_released(path, spec)
    names = remap(source.shapes)
    given = {ours: source.shapes[theirs] for ours, theirs in names.network.items()}
    config, config_from = choose_config(spec, path.parent, given)
    expected = _shapes(make_empty(config, str(path)))
    check_names(expected, given, str(path), unknown=names.unknown)
    used = (*names.network.values(), *names.text_encoder.values())
    refuse_faults({name: source.faults[name] for name in used}, path)
    text = {ours: source.shapes[theirs] for ours, theirs in names.text_encoder.items()}
    check_text_encoder(text, config, spec, path)
    tokenizer = None
    if options.keep_text_encoder:
        tokenizer = _find_tokenizer(options.tokenizer or path.parent / TOKENIZER_FOLDER)
    return ConversionPlan(spec, source, names, config, config_from, tokenizer, options)


def make_empty(config: SDMatteConfig, what: str) -> SDMatteNetwork:
    """Build a network on the meta device, for weights to be put into.

    Args:
        config: As a file has it.
        what: That file, for the message.

    Raises:
        WeightsError: If nothing can be built by this config.
    """
    layers = max(config.unet.layers_per_block, config.autoencoder.layers_per_block)
    if layers > MOST_LAYERS:
        raise WeightsError(f"{what}: {layers} layers per block, expected {MOST_LAYERS} at most")
    try:
        with torch.device("meta"):
            return SDMatteNetwork(config)
    except MissingDependency:
        raise
    except Exception as error:  # What diffusers and torch raise on odd sizes has no limits.
        said = " ".join(str(error).split())[:160] or type(error).__name__
        raise WeightsError(
            f"{what}: no network can be built by its config: {said}; convert or pull again"
        ) from error


def _shapes(network: SDMatteNetwork) -> dict[str, tuple[int, ...]]:
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    del shapes[TEXT_EMBEDDING]
    return shapes


def check_text_encoder(shapes: Shapes, config: SDMatteConfig, spec: ModelSpec, path: Path) -> None:
    """Check that a text encoder is there, and whole.

    Args:
        shapes: Of its tensors, without prefix.
        config: The network that reads what it says.
        spec: The model.
        path: Where it is, for the message.

    Raises:
        WeightsError: If not.
    """
    if not shapes:
        raise WeightsError(
            f'{path}: holds no text encoder, whose answer to "" the network needs; give the file '
            "as it was released"
        )
    text, known = TextConfig.of_shapes(shapes), TextConfig()
    if text.width != config.unet.context_width:
        raise WeightsError(
            f"{path}: text encoder is {text.width} wide, the network reads "
            f"{config.unet.context_width}; give the file as it was released"
        )
    if config.unet == PRESETS[spec.name].unet and text != known:
        raise WeightsError(
            f"{path}: text encoder of {text.layers} layers and {text.vocabulary} words, "
            f"expected {known.layers} and {known.vocabulary}; the file is damaged"
        )


def _find_tokenizer(folder: Path) -> Path:
    missing = [name for name in TOKENIZER_FILES if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"{folder}: lacks {' and '.join(missing)}, which captions need; give --tokenizer DIR "
            "with Stable Diffusion 2's tokenizer, or leave --keep-text-encoder out"
        )
    return folder
