"""nano's memory alone, which both of its decoders look at; they stay as they are.

A good part of what a tracked frame costs is looking at memories; here they learn to be looked at by
four places at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pullmatte.data.samples import ClipSource
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.nano.checkpoint import save_networks
from pullmatte.models.nano.matter_network import MatterNetwork
from pullmatte.train.nano import OF_MEMORY
from pullmatte.train.nano_batches import Batch, joined_batches
from pullmatte.train.nano_clips import (
    NanoClipSettings,
    clip_losses,
    draw_clip_batch,
    groups_by_age,
)
from pullmatte.train.nano_see_through import THROUGH_PROMPTS

_THROUGH = 0.5
_ANCHOR = "sam2.no_memory_positional_encoding"


@dataclass(frozen=True)
class NanoMemorySettings(NanoClipSettings):
    """What the training is told.

    Attributes:
        batch: Each is a clip of what one can see through and one of what not.
    """

    batch: int = 4
    steps: int = 800
    learning_rate: float = 4e-4
    warmup: int = 40
    weight_decay: float = 0.01
    average: float = 0.99
    clip: float = 3.0


class NanoMemoryRecipe:
    """The training.

    Attributes:
        name: "nano-memory".
        settings: What it was told.
        network: The prompter, with a second decoder.
        helpers: None.
    """

    name = "nano-memory"
    helpers: Sequence[nn.Module] = ()

    def __init__(
        self,
        network: MAM2Network,
        matter: MatterNetwork,
        through: ClipSource,
        opaque: ClipSource,
        settings: NanoMemorySettings,
    ) -> None:
        """Take a network of which memory alone learns.

        Args:
            network: The prompter, with a second decoder; see `with_light_tracking`.
            matter: Is exported along with it.
            through: Clips of what one can see through, of the network's side.
            opaque: Clips of all else.
            settings: What to do.
        """
        self.network, self.settings = network, settings
        self._matter, self._through, self._opaque = matter, through, opaque
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith(OF_MEMORY) and not name.startswith(_ANCHOR))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups: all of it learns alike."""
        return groups_by_age(self.network, self.settings, OF_MEMORY)[:1]

    def item(self, number: int) -> tuple[list[Batch], list[Batch]]:
        """Draw the frames of a clip of either kind."""
        side = self.network.config.sam2.mask_px
        return (
            draw_clip_batch(self._through, [number], THROUGH_PROMPTS, side),
            draw_clip_batch(self._opaque, [number], self.settings.mixture, side),
        )

    def losses(self, items: Sequence[tuple[list[Batch], list[Batch]]]) -> dict[str, Tensor]:
        """Return the terms of tracking with either decoder."""
        through, opaque = (
            [joined_batches(parts) for parts in zip(*clips, strict=True)]
            for clips in zip(*items, strict=True)
        )
        chance = self.settings.corrections
        seen = clip_losses(self.network.for_see_through(), through, corrections=chance)
        other = clip_losses(self.network, opaque, corrections=chance)
        return {
            "through_tracked": seen["tracked"],
            "through_overlap": seen["overlap"],
            "tracked": other["tracked"],
            "overlap": other["overlap"],
            "total": other["tracked"] + _THROUGH * seen["tracked"],
        }

    def panels(self) -> dict[str, Tensor]:
        """Return how well the objects of four clips of each kind are tracked."""
        items = [self.item(number) for number in range(1 << 30, (1 << 30) + 4)]
        device = self.network.device
        moved = [tuple([part.to(device) for part in clip] for clip in item) for item in items]
        losses = self.losses([(through, opaque) for through, opaque in moved])
        return {name: losses[name] for name in ("through_overlap", "overlap")}

    def export(self, weights: Mapping[str, Tensor], folder: Path) -> None:
        """Write nano's folder."""
        self.network.load_state_dict(weights)
        save_networks(self.network, self._matter, folder)


def with_light_tracking(network: MAM2Network, looking: int = 2) -> MAM2Network:
    """Let memory do with less: a frame's places look at memories together, with the same weights.

    Args:
        network: Its weights are copied.
        looking: So many by so many places look as one.
    """
    sam2 = replace(network.config.sam2, looking_pool=looking)
    with torch.random.fork_rng():
        found = MAM2Network(replace(network.config, sam2=sam2))
    found.load_state_dict(network.state_dict())
    return found
