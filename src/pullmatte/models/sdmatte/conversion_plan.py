"""What a conversion will do: everything that can be checked before the first byte is written."""

from dataclasses import dataclass
from pathlib import Path

import torch

from pullmatte.errors import MissingDependency, WeightsError
from pullmatte.models import ModelSpec
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
from pullmatte.models.shards import BYTES_PER_NUMBER, SHARD_BYTES, Entry, refuse_faults
from pullmatte.models.weights import check_names, match_fingerprint

TEXT_EMBEDDING = "text_embedding"


@dataclass(frozen=True)
class ConvertOptions:
    """How to convert.

    Attributes:
        dtype: Precision of the weights: "float32", "float16" or "bfloat16".
        keep_text_encoder: Whether to keep what captions need.
        tokenizer: Folder with ``vocab.json`` and ``merges.txt``; by default ``tokenizer`` beside
            the source.
        source_sha256: The source's, where it is known already; empty computes it.
        origin: Where the source was fetched, for the manifest.
        shard_bytes: Most bytes in one file.
    """

    dtype: str = "float32"
    keep_text_encoder: bool = False
    tokenizer: Path | None = None
    source_sha256: str = ""
    origin: str = ""
    shard_bytes: int = SHARD_BYTES

    def __post_init__(self) -> None:
        """Refuse a precision that weights can't have."""
        if self.dtype not in BYTES_PER_NUMBER:
            raise WeightsError(f"dtype {self.dtype!r}: give {', '.join(BYTES_PER_NUMBER)}")


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

    @property
    def entries(self) -> list[Entry]:
        """The network's tensors, without the text's embedding."""
        return [Entry(ours, self.source.shapes[n]) for ours, n in self.names.network.items()]

    @property
    def text_entries(self) -> list[Entry]:
        """The text encoder's tensors."""
        return [Entry(ours, self.source.shapes[n]) for ours, n in self.names.text_encoder.items()]

    @property
    def bytes_to_write(self) -> int:
        """What the shards will weigh."""
        kept = self.text_entries if self.options.keep_text_encoder else []
        numbers = sum(entry.numbers for entry in (*self.entries, *kept))
        return numbers * BYTES_PER_NUMBER[self.options.dtype]


def make_plan(path: Path, spec: ModelSpec, options: ConvertOptions) -> ConversionPlan:
    """Check a released file and choose what it is turned into.

    Args:
        path: The released file.
        spec: The model that it is said to be.
        options: How to convert.

    Raises:
        WeightsError: If it can't be used, or a tokenizer is needed and missing.
    """
    source = ReleasedFile(path)
    found = match_fingerprint(source.shapes, path)
    if spec.fingerprint != found.fingerprint:
        raise WeightsError(
            f"{path}: holds {found.name}, not {spec.name}: give "
            f"'pullmatte models convert {found.name} {path}'"
        )
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
