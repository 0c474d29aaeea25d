"""nano's decoder for what one can see through; the other one stays as it was.

One decoder that learnt frost and bubbles forgot hair and leaves, also with its former self as a
teacher on photos: they became unknown inside. So what finds opaque objects isn't touched here.
Memory, which both decoders look at, learns from clips of both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pullmatte.data.samples import ClipSource, SampleSource
from pullmatte.data.training_prompts import PromptMixture
from pullmatte.errors import PullmatteError
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.nano.checkpoint import save_networks
from pullmatte.models.nano.matter_network import MatterNetwork
from pullmatte.train.nano import OF_MEMORY, forward, prompter_losses, shown_beside
from pullmatte.train.nano_batches import Batch, draw_batch, joined_batches
from pullmatte.train.nano_clips import (
    NanoClipSettings,
    clip_losses,
    draw_clip_batch,
    groups_by_age,
)

THROUGH_PROMPTS = PromptMixture(box=0.7, points=0.2, box_by_points=0.1, mask=0.1)
"""What fills a frame or is many can hardly be clicked at."""
_SECOND = "see_through."
_STILLS = 3
_TRACKED, _FIRST = 0.5, 0.3


@dataclass(frozen=True)
class SeeThroughSettings(NanoClipSettings):
    """What the training is told.

    Attributes:
        batch: Each is three pictures and a clip of what one can see through, and a clip of what
            not.
        known_rate: Learning rate of memory, as a share of the second decoder's.
    """

    batch: int = 2
    steps: int = 1000
    learning_rate: float = 6e-4
    warmup: int = 40
    weight_decay: float = 0.01
    average: float = 0.99
    clip: float = 3.0
    known_rate: float = 0.3


@dataclass(frozen=True, eq=False)
class SeeThroughSources:
    """What is learnt from.

    Attributes:
        through: Pictures of what one can see through.
        through_clips: Clips of it.
        opaque_clips: Clips of all else, for memory.
    """

    through: SampleSource
    through_clips: ClipSource
    opaque_clips: ClipSource


@dataclass(frozen=True, eq=False)
class SeeThroughItem:
    """What a step is made of.

    Attributes:
        through: Some pictures of what one can see through.
        through_frames: The frames of a clip of it.
        opaque_frames: The frames of a clip of all else.
    """

    through: Batch
    through_frames: list[Batch]
    opaque_frames: list[Batch]


class SeeThroughRecipe:
    """The training.

    Attributes:
        name: "nano-see-through".
        settings: What it was told.
        network: The prompter, with a second decoder.
        helpers: None.
    """

    name = "nano-see-through"
    helpers: Sequence[nn.Module] = ()

    def __init__(
        self,
        network: MAM2Network,
        matter: MatterNetwork,
        sources: SeeThroughSources,
        settings: SeeThroughSettings,
    ) -> None:
        """Take a network of which what finds opaque objects stays as it is.

        Args:
            network: The prompter; see `with_see_through`.
            matter: Is exported along with it.
            sources: Of pictures of the network's side.
            settings: What to do.
        """
        self.network, self.settings = network, settings
        self._matter, self._sources = matter, sources
        still = ("sam2.no_memory_positional_encoding",)
        learns = (_SECOND, *OF_MEMORY)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith(learns) and not name.startswith(still))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups: memory learns more slowly."""
        return groups_by_age(self.network, self.settings, (_SECOND,))

    def item(self, number: int) -> SeeThroughItem:
        """Draw some of each."""
        side, mixture = self.network.config.sam2.mask_px, self.settings.mixture
        sources = self._sources
        several = range(number * _STILLS, (number + 1) * _STILLS)
        return SeeThroughItem(
            draw_batch(sources.through, several, THROUGH_PROMPTS, side),
            draw_clip_batch(sources.through_clips, [number], THROUGH_PROMPTS, side),
            draw_clip_batch(sources.opaque_clips, [number], mixture, side),
        )

    def losses(self, items: Sequence[SeeThroughItem]) -> dict[str, Tensor]:
        """Return the second decoder's terms, and those of tracking with the first."""
        view = self.network.for_see_through()
        through = joined_batches([item.through for item in items])
        frames, others = (
            [joined_batches(parts) for parts in zip(*clips, strict=True)]
            for clips in (
                [item.through_frames for item in items],
                [item.opaque_frames for item in items],
            )
        )
        still = prompter_losses(forward(view, through), through)
        clip, other = clip_losses(view, frames), clip_losses(self.network, others)
        named = {
            "through": still["total"],
            "through_tracked": clip["tracked"],
            "through_overlap": clip["overlap"],
            "tracked": other["tracked"],
            "overlap": other["overlap"],
        }
        total = still["total"] + _TRACKED * clip["tracked"] + _FIRST * clip["first"]
        return {**named, "total": total + other["tracked"]}

    def panels(self) -> dict[str, Tensor]:
        """Return two pictures with alpha, true trimap and what is decoded."""
        device = self.network.device
        items = [self.item(number) for number in range(1 << 30, (1 << 30) + 2)]
        batch = joined_batches([item.through for item in items]).to(device)
        shown, off = shown_beside(self.network.for_see_through(), batch)
        return {"through": shown, "trimap_off": off}

    def export(self, weights: Mapping[str, Tensor], folder: Path) -> None:
        """Write nano's folder."""
        self.network.load_state_dict(weights)
        save_networks(self.network, self._matter, folder)


def with_see_through(network: MAM2Network, blocks: int = 1, pool: int = 2) -> MAM2Network:
    """Give a network a second decoder that begins as its first; memories are pooled from now on.

    Args:
        network: With a trimap branch. One that has a second decoder is returned as it is.
        blocks: Of the second decoder, at most as many as the first has.
        pool: Memories and what prompted maps look at are means of so many by so many places.

    Raises:
        PullmatteError: If the first decoder has fewer blocks.
    """
    if network.see_through is not None:
        return network
    if blocks > network.config.prompted_blocks:
        raise PullmatteError(
            f"a second decoder of {blocks} blocks: it begins as the first, which has "
            f"{network.config.prompted_blocks}; give as many at most"
        )
    config = replace(
        network.config,
        sam2=replace(network.config.sam2, memory_pool=pool),
        prompted_pool=pool,
        see_through_blocks=blocks,
    )
    with torch.random.fork_rng():
        found = MAM2Network(config)
    known = network.state_dict()
    tensors = dict(known)
    for name in found.state_dict():
        source = name.replace("see_through.decoder.", "sam2.mask_decoder.")
        source = source.replace("see_through.prompt_maps.", "prompt_maps.")
        if name not in tensors and source in known:
            tensors[name] = known[source]
    found.load_state_dict(tensors)
    return found
