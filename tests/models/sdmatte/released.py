"""Tiny checkpoints under the released names, in the released forms. Not a test; loaded by path."""

from pathlib import Path

import torch
from torch import Tensor

from pullmatte.models.sdmatte.config import AutoencoderConfig, SDMatteConfig, UNetConfig
from pullmatte.models.sdmatte.network import SDMatteNetwork
from pullmatte.models.sdmatte.text_embedding import TextConfig, make_text_encoder
from pullmatte.models.sdmatte.upstream import to_released

TEXT = TextConfig(width=64, layers=2, heads=1, hidden=128, vocabulary=64)
_UNET = UNetConfig((32, 32, 64, 64), (1, 1, 1, 1), 1, context_width=64)
TINY = SDMatteConfig(
    _UNET, AutoencoderConfig(channels=(32, 32, 32, 32), layers_per_block=1), size_px=1024
)
TINY_LITE = SDMatteConfig(_UNET, AutoencoderConfig("tiny", (8, 8, 8, 8), scale=1.0))


def text_encoder(config: TextConfig = TEXT, seed: int = 1) -> dict[str, Tensor]:
    """Random weights of a text encoder, under transformers-4 names."""
    torch.manual_seed(seed)
    state = make_text_encoder(config).state_dict()
    return {
        f"text_encoder.text_model.{name}": torch.randn_like(value) * 0.05 + ("norm" in name)
        for name, value in state.items()
    }


def weights(config: SDMatteConfig = TINY) -> dict[str, Tensor]:
    """Random weights of a network and its text encoder, under the released names."""
    torch.manual_seed(0)
    state = SDMatteNetwork(config).state_dict()
    del state["text_embedding"]
    return {to_released(name): value for name, value in state.items()} | text_encoder()


def write(path: Path, tensors: dict[str, Tensor]) -> Path:
    """Write them nested as detectron2 does, a trainer's state beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    trainer = {"iteration": 7, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}}
    torch.save({"model": tensors, "trainer": trainer, "iteration": 7}, path)
    return path
