"""Tiny MEMatte and ViTMatte in every released form. Not a test; loaded by path."""

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pullmatte.models.mematte.config import MEMatteConfig
from pullmatte.models.mematte.network import MEMatteNetwork

TINY = MEMatteConfig(
    width=32,
    heads=2,
    blocks=4,
    window=4,
    global_blocks=(2, 3),
    pretrained_px=64,
    stream=(8, 12, 16),
    fusion=(24, 16, 12, 8),
)
TINY_VIT = replace(TINY, routed=False, trained_px=64)
_TRANSFORMERS = (
    ("backbone.pos_embed", "backbone.embeddings.position_embeddings"),
    ("backbone.patch_embed.proj.", "backbone.embeddings.projection."),
    ("backbone.blocks.", "backbone.encoder.layer."),
    (".attn.", ".attention."),
    (".bn.", ".batch_norm."),
    ("decoder.fusion_blks.", "decoder.fusion_blocks."),
)


def weights(config: MEMatteConfig = TINY, seed: int = 0) -> dict[str, Tensor]:
    """Random weights that answer differently to different pictures, by the released names."""
    torch.manual_seed(seed)
    network = MEMatteNetwork(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(*((0, 0.15) if parameter.ndim > 1 else (0.5, 0.3)))
    return dict(network.state_dict())


def transformers_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name tensors of ViTMatte as transformers does."""
    named = {}
    for name, value in tensors.items():
        for ours, theirs in _TRANSFORMERS:
            name = name.replace(ours, theirs)
        named[name] = value
    return named


def write_pth(path: Path, tensors: dict[str, Tensor]) -> Path:
    """Write them nested as detectron2 does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": tensors, "iteration": 7}, path)
    return path


def write_training(path: Path, tensors: dict[str, Tensor]) -> Path:
    """Write MEMatte as its training leaves it: with the teacher's backbone."""
    teacher = weights(TINY_VIT, seed=1)
    taught = {f"teacher_{n}": v for n, v in teacher.items() if n.startswith("backbone.")}
    return write_pth(path, {**tensors, **taught})


def write_hub(path: Path, tensors: dict[str, Tensor]) -> Path:
    """Write ViTMatte as the hub has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(transformers_names(tensors), path)
    return path
