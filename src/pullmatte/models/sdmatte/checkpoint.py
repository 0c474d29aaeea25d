"""SDMatte's weights: converting what was released, and loading what was converted.

A converted folder holds::

    config.json                      the network, as `SDMatteConfig.to_dict` gives it
    model-0000i-of-0000n.safetensors its tensors by our names, among them ``text_embedding``
    model.safetensors.index.json     which shard holds what
    manifest.json                    model, precision, sha256 of the source and of each file
    LICENSE.md                       licence and restrictions, with links
    text_encoder/                    only if it was kept: shards, and tokenizer/

Source: SDMatte's released checkpoints; what is in them: `pullmatte.models.sdmatte.upstream`.
"""

from pathlib import Path

import torch
from torch import Tensor

from pullmatte.errors import WeightsError
from pullmatte.models import weights
from pullmatte.models.sdmatte.config import SDMatteConfig
from pullmatte.models.sdmatte.conversion import ConversionReport, convert
from pullmatte.models.sdmatte.conversion_plan import (
    TEXT_EMBEDDING,
    ConvertOptions,
    check_text_encoder,
    make_empty,
)
from pullmatte.models.sdmatte.network import SDMatteNetwork
from pullmatte.models.sdmatte.released_config import choose_config
from pullmatte.models.sdmatte.text_embedding import CaptionEncoder, embed_empty
from pullmatte.models.sdmatte.upstream import remap
from pullmatte.models.weights import (
    CONFIG,
    identify,
    load_strictly,
    match_fingerprint,
    read_file,
    read_shards,
)

__all__ = [
    "ConversionReport",
    "ConvertOptions",
    "convert",
    "load_caption_encoder",
    "load_network",
    "read_config",
]


def load_network(path: Path, dtype: torch.dtype | None = None) -> SDMatteNetwork:
    """Load a network with its weights; they are mapped from the file, not copied.

    Args:
        path: A converted folder, or a safetensors file with the released names.
        dtype: Precision of the weights; None takes the file's.

    Returns:
        The network on the CPU, in evaluation mode, without gradients.

    Raises:
        WeightsError: If the weights are missing, damaged, or another network's.
    """
    identify(path)
    if path.is_dir():
        config, tensors = read_config(path), read_shards(path)
    else:
        config, tensors = _read_released(path)
    network = make_empty(config, str(path / CONFIG if path.is_dir() else path))
    load_strictly(network, tensors, str(path), dtype=dtype)
    return network.eval().requires_grad_(False)


def read_config(folder: Path) -> SDMatteConfig:
    """Read a converted folder's config.

    Raises:
        WeightsError: If it can't be read, or holds what no network can have.
    """
    return weights.read_config(folder, SDMatteConfig.from_dict)


def load_caption_encoder(path: Path) -> CaptionEncoder | None:
    """Return what embeds captions, if it was kept beside the weights; else None.

    Raises:
        WeightsError: If it was kept in part.
    """
    return CaptionEncoder(path) if CaptionEncoder.is_kept(path) else None


def _read_released(path: Path) -> tuple[SDMatteConfig, dict[str, Tensor]]:
    """Read a safetensors file with the released names; its text encoder is asked once."""
    tensors = read_file(path)
    names = remap(tensors)
    if names.unknown:
        raise WeightsError(f"{path}: unexpected tensor {names.unknown[0]!r}")
    network = {ours: tensors[theirs] for ours, theirs in names.network.items()}
    shapes = {name: tuple(value.shape) for name, value in network.items()}
    spec = match_fingerprint(tensors, path)
    config, _ = choose_config(spec, path.parent, shapes)
    text = {ours: tensors[theirs] for ours, theirs in names.text_encoder.items()}
    text_shapes = {name: tuple(value.shape) for name, value in text.items()}
    check_text_encoder(text_shapes, config, spec, path)
    return config, {**network, TEXT_EMBEDDING: embed_empty(text)}
