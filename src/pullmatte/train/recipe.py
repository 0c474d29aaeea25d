"""What the loop asks of a recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pullmatte.train.settings import LoopSettings


class Recipe(Protocol):
    """Everything that tells one training from another."""

    # Properties, so that a recipe's attributes may be of narrower kinds.
    @property
    def name(self) -> str:
        """What it is called in logs and checkpoints."""

    @property
    def settings(self) -> Any:
        """What it and the loop are told: a kind of `LoopSettings`."""

    @property
    def network(self) -> nn.Module:
        """What holds all that is trained: parameters that require gradients."""

    @property
    def helpers(self) -> Sequence[nn.Module]:
        """Networks that are only asked, such as a teacher; they are moved to the device."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups; a group's "lr", if it has one, is its own largest rate."""

    def item(self, number: int) -> Any:
        """Make the item of a number: CPU tensors in dataclasses, tuples, lists or dicts.

        It hangs on the settings and the number alone, and may run in another process.
        """

    def losses(self, items: Sequence[Any]) -> dict[str, Tensor]:
        """Return named scalars and their "total", each the mean over items.

        It runs within one forward pass of the wrapped network, so it may call any part of it. A
        mean over items, so that processes that share a batch give the same as one.
        """

    def panels(self) -> dict[str, Tensor]:
        """Return pictures, `3 H W` in [0, 1], and numbers for the log; without gradients."""

    def export(self, weights: Mapping[str, Tensor], folder: Path) -> None:
        """Write what was learnt as a model that `pullmatte.load` can read.

        Args:
            weights: The network's state dict, averaged if there is an average.
            folder: To be made.
        """


class Stepper(nn.Module):
    """A recipe as one module with one forward pass, which is what can be spread over devices.

    Attributes:
        touches_all: Whether each weight gets a gradient, if only of 0. FSDP needs it, since
            processes must agree on which do, and each may have been asked with other prompts.
    """

    def __init__(self, recipe: Recipe) -> None:
        """Take a recipe; its network is this module's only child."""
        super().__init__()
        self.network = recipe.network
        self._recipe = recipe
        self.touches_all = False

    def forward(self, items: Sequence[Any] | None) -> dict[str, Tensor]:
        """Return the losses of items, or without items the panels."""
        device = next(self.network.parameters()).device
        with torch.autocast(
            device.type, torch.bfloat16, enabled=self._recipe.settings.precision == "bfloat16"
        ):
            if items is None:
                return self._recipe.panels()
            losses = self._recipe.losses(items)
        if self.touches_all:
            losses = {**losses, "total": losses["total"] + self._nothing()}
        return losses

    def _nothing(self) -> Tensor:
        """Return a 0 that hangs on each weight that isn't spread at the moment."""
        weights = [value for value in self.network.parameters() if value.requires_grad]
        here = [value for value in weights if not hasattr(value, "placements")]
        start = torch.zeros((), device=weights[0].device)
        return torch.stack([start, *(0 * value.sum() for value in here)]).sum()


def decayed_groups(network: nn.Module, settings: LoopSettings) -> list[dict[str, Any]]:
    """Sort what is trained into weights that decay, of two axes and more, and others."""
    trained = [value for value in network.parameters() if value.requires_grad]
    groups = [
        {"params": [v for v in trained if v.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [v for v in trained if v.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def moved(value: Any, device: torch.device) -> Any:
    """Move all tensors in a value to a device, through dataclasses, tuples, lists and dicts."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
        return replace(value, **{name: moved(part, device) for name, part in parts.items()})
    if isinstance(value, dict):
        return {name: moved(part, device) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(moved(part, device) for part in value)
    return value


def mean_terms(terms: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Average named scalars over items that have the same names."""
    return {name: torch.stack([each[name] for each in terms]).mean() for name in terms[0]}
