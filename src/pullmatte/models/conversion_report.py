"""How weights shall be converted, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pullmatte.errors import WeightsError
from pullmatte.models.shards import BYTES_PER_NUMBER, SHARD_BYTES

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""


@dataclass(frozen=True)
class ConvertOptions:
    """How to convert.

    Attributes:
        dtype: Precision of the weights: "float32", "float16" or "bfloat16".
        keep_text_encoder: Whether to keep what captions need; only models with captions have it.
        tokenizer: Folder with ``vocab.json`` and ``merges.txt``; by default ``tokenizer`` beside
            the source.
        source_sha256: The source's, where it is known already; empty computes it.
        origin: Where the source was fetched, for the manifest.
        shard_bytes: Most bytes in one file.
        also: Further released files, for a model that is made of several.
    """

    dtype: str = "float32"
    keep_text_encoder: bool = False
    tokenizer: Path | None = None
    source_sha256: str = ""
    origin: str = ""
    shard_bytes: int = SHARD_BYTES
    also: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a precision that weights can't have."""
        if self.dtype not in BYTES_PER_NUMBER:
            raise WeightsError(f"dtype {self.dtype!r}: give {', '.join(BYTES_PER_NUMBER)}")


@dataclass(frozen=True, kw_only=True)
class ConversionReport:
    """What was converted.

    Attributes:
        model: Name of the model.
        folder: Where it is.
        tensors: How many the network has.
        parameters: How many numbers of it can be trained.
        dtype: Their precision.
        size_bytes: What the files weigh.
        shards: How many files the network is in.
        seconds: How long it took.
        config_from: What told the sizes.
        as_published: Whether they are those of the released network.
        source_sha256: The first source's.
        notes: What else the user should know.
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
    source_sha256: str
    notes: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
