"""Loading MEMatte and ViTMatte: from folders of ours, or safetensors with released names."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pullmatte.models.mematte.config import MEMatteConfig
from pullmatte.models.mematte.conversion import sort_names
from pullmatte.models.mematte.model import MEMatteModel, MEMatteOptions
from pullmatte.models.mematte.network import MEMatteNetwork, make_empty
from pullmatte.models.mematte.released_config import choose_config
from pullmatte.models.mematte.upstream import is_counter
from pullmatte.models.weights import (
    CONFIG,
    identify,
    load_strictly,
    match_fingerprint,
    read_config,
    read_file,
    read_shards,
)


def build(
    *, weights: Path, device: str = "cpu", dtype: str | None = None, **options: Any
) -> MEMatteModel:
    """Make the model from its weights.

    Args:
        weights: A converted folder, or a safetensors file with transformers' or released names.
        device: Where it runs, as torch names it.
        dtype: Precision, as torch names it; the file's own when left out, except that float16
            is run as float32 on a CPU, which is slow at the former.
        **options: Fields of `MEMatteOptions`.

    Raises:
        WeightsError: If the weights are missing, damaged, or another network's.
        PullmatteError: If an option's value can't be.
        TypeError: If there is no such option.
    """
    known = [field.name for field in fields(MEMatteOptions)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise TypeError(f"unknown option {unknown[0]!r}: known are {', '.join(known)}")
    chosen = MEMatteOptions(**options)
    network = load_network(weights, None if dtype is None else getattr(torch, dtype))
    if dtype is None and device == "cpu" and network.dtype == torch.float16:
        network.float()
    if network.dtype != torch.float32 and device != "mps":
        # Elsewhere channels that lie together win little; here, without, a CPU takes 15 times
        # as long for a convolution.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return MEMatteModel(network.to(device), chosen)


def load_network(path: Path, dtype: torch.dtype | None = None) -> MEMatteNetwork:
    """Load a network with its weights; they are mapped from the file, not copied.

    Args:
        path: A converted folder, or a safetensors file with transformers' or released names.
        dtype: Precision of the weights; None takes the file's.

    Returns:
        The network on the CPU, in evaluation mode, without gradients.

    Raises:
        WeightsError: If the weights are missing, damaged, or another network's.
    """
    identify(path)
    if path.is_dir():
        config, tensors = read_config(path, MEMatteConfig.from_dict), read_shards(path)
    else:
        config, tensors = _read_released(path)
    network = make_empty(config, str(path / CONFIG if path.is_dir() else path))
    load_strictly(network, with_counters(network, tensors), str(path), dtype=dtype)
    return network.eval().requires_grad_(False)


def with_counters(network: MEMatteNetwork, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add the batch norms' counters of training steps, which files of ours don't hold."""
    counters = {
        name: torch.zeros(value.shape, dtype=value.dtype)
        for name, value in network.state_dict().items()
        if is_counter(name)
    }
    return {**tensors, **counters}


def _read_released(path: Path) -> tuple[MEMatteConfig, dict[str, Tensor]]:
    tensors = read_file(path)
    found = {ours: tensors[theirs] for ours, theirs in sort_names(tensors).items()}
    shapes = {name: tuple(value.shape) for name, value in found.items()}
    config, _ = choose_config(match_fingerprint(tensors, path).name, shapes)
    return config, found
