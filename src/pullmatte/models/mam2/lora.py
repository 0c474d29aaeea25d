"""Low-rank additions to the trunk's attention, and which weights are trained.

Source: MAM2, section 4.1: the encoder is tuned by LoRA of rank 16. That it is `qkv` and `proj`,
and that all but the trunk is trained in full, is what its 44.7 M trainable weights agree with.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

from torch import nn

from pullmatte.errors import MissingDependency
from pullmatte.models.mam2.network import MAM2Network

TARGETS = ("qkv", "proj")
"""Names of the linear layers that are added to: attention's two, and the three between stages."""


def add_lora(network: MAM2Network) -> None:
    """Add what the config says to the trunk, and freeze the trunk's own weights.

    Args:
        network: MAM2; it is changed. With `lora_rank` 0 the trunk is only frozen.

    Raises:
        MissingDependency: If peft isn't installed.
    """
    config, trunk = network.config, trunk_of(network)
    network.requires_grad_(True)
    trunk.requires_grad_(False)
    if not config.lora_rank:
        return
    peft = _peft()
    settings = peft.LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(TARGETS),
        init_lora_weights="gaussian",
    )
    peft.inject_adapter_in_model(settings, trunk)


def merge_lora(network: MAM2Network) -> None:
    """Work the additions into the trunk's own weights, which get SAM 2's names back."""
    for parent, name, layer in list(_layers(network)):
        if not layer.merged:
            layer.merge()
        setattr(parent, name, layer.get_base_layer())


@contextmanager
def without_lora(network: MAM2Network) -> Iterator[None]:
    """Leave the additions out within the block."""
    layers = [layer for _, _, layer in _layers(network)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def trunk_of(network: MAM2Network) -> nn.Module:
    """Return the image encoder's trunk, Hiera."""
    found: nn.Module = network.sam2.vision_encoder.backbone
    return found


def count_lora(network: MAM2Network) -> int:
    """Return how many weights were added."""
    named = trunk_of(network).named_parameters()
    return sum(value.numel() for name, value in named if "lora_" in name)


def _layers(network: MAM2Network) -> Iterator[tuple[nn.Module, str, Any]]:
    kind = _peft().tuners.lora.LoraLayer
    for parent in trunk_of(network).modules():
        for name, child in parent.named_children():
            if isinstance(child, kind):
                yield parent, name, child


def _peft() -> ModuleType:
    try:
        return import_module("peft")
    except ImportError as error:
        raise MissingDependency(
            "LoRA needs peft: install it with pip install 'pullmatte[models]'"
        ) from error
