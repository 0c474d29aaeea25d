"""nano's memory: tracking through composed clips, with the second pass of MSS.

Source: MAM2, section 3.5; SAM 2's training, from which come prompts on the first frame only, and
memories made of what was found rather than of the truth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pullmatte.data.samples import ClipSource, MattingSample
from pullmatte.data.training_prompts import PromptMixture
from pullmatte.models.mam2.config import MOST_SPAN
from pullmatte.models.mam2.features import Features
from pullmatte.models.mam2.memory import FEATURES, POINTER, Selection, assemble
from pullmatte.models.mam2.mss import second_pass
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.pdd import Branch, Decoded
from pullmatte.models.mam2.sam2 import without_memory
from pullmatte.models.nano.checkpoint import save_networks
from pullmatte.models.nano.matter_network import MatterNetwork
from pullmatte.train.nano import (
    OF_MEMORY,
    NanoSettings,
    corrected,
    forward,
    freeze,
    prompter_losses,
)
from pullmatte.train.nano_batches import Batch, collate, joined_batches

Entry = dict[str, Tensor]


@dataclass(frozen=True)
class NanoClipSettings(NanoSettings):
    """What the memory's training is told.

    Attributes:
        batch: Clips in a step.
        known_rate: Learning rate of what stills have taught, as a share of that of memory.
        corrections: Chance that clicks correct one of a clip's tracked frames.
    """

    batch: int = 3
    steps: int = 5000
    average: float = 0.995
    known_rate: float = 0.3
    corrections: float = 0.5


class NanoClipRecipe:
    """The memory's training, which goes on with the prompter's.

    Attributes:
        name: "nano-clips".
        settings: What it was told.
        network: The prompter.
        helpers: None.
    """

    name = "nano-clips"
    helpers: Sequence[nn.Module] = ()

    def __init__(
        self,
        network: MAM2Network,
        matter: MatterNetwork,
        source: ClipSource,
        settings: NanoClipSettings,
    ) -> None:
        """Take a network that finds objects on stills; its image encoder stays as it is.

        Args:
            network: The prompter; its square's side is the clips'.
            matter: Is exported along with it.
            source: Of clips of equal length.
            settings: What to do.
        """
        self.network, self.settings = network, settings
        self._matter, self._source = matter, source
        freeze(network, "sam2.vision_encoder", "sam2.no_memory_positional_encoding")

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups: what stills have taught learns more slowly."""
        return groups_by_age(self.network, self.settings, OF_MEMORY)

    def item(self, number: int) -> list[Batch]:
        """Make the frames of one clip, with a prompt on the first."""
        side = self.network.config.sam2.mask_px
        return draw_clip_batch(self._source, [number], self.settings.mixture, side)

    def losses(self, items: Sequence[list[Batch]]) -> dict[str, Tensor]:
        """Return `clip_losses`."""
        frames = [joined_batches(parts) for parts in zip(*items, strict=True)]
        return clip_losses(self.network, frames, corrections=self.settings.corrections)

    def panels(self) -> dict[str, Tensor]:
        """Return how well the objects of four clips are tracked."""
        device = self.network.device
        clips = [self.item(number) for number in range(1 << 30, (1 << 30) + 4)]
        frames = [joined_batches(parts).to(device) for parts in zip(*clips, strict=True)]
        return {"overlap": clip_losses(self.network, frames)["overlap"]}

    def export(self, weights: Mapping[str, Tensor], folder: Path) -> None:
        """Write nano's folder."""
        self.network.load_state_dict(weights)
        save_networks(self.network, self._matter, folder)


def groups_by_age(
    network: nn.Module, settings: NanoClipSettings, new: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Sort what is trained for AdamW: what is new learns at the full rate, all else more slowly.

    Args:
        network: Its parameters that require gradients are sorted.
        settings: Their `known_rate` is the share of the rate that all else has.
        new: Parameters whose names begin with one of these are new.
    """
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups[name.startswith(new)].append(parameter)
    rate, decay = settings.learning_rate, settings.weight_decay
    return [
        {"params": groups[True], "weight_decay": decay},
        {"params": groups[False], "weight_decay": decay, "lr": rate * settings.known_rate},
    ]


def draw_clip_batch(
    source: ClipSource, numbers: Sequence[int], mixture: PromptMixture, mask_px: int
) -> list[Batch]:
    """Make the batches of each frame of some clips; prompts are on the first frame.

    Args:
        source: All clips have as many frames.
        numbers: Of the clips.
        mixture: How often which prompt.
        mask_px: Side of the decoder's maps.
    """
    clips = [source.clip(number) for number in numbers]
    return [
        collate(
            [
                MattingSample(clip.images[at], clip.alphas[at], clip.kind, clip.opacity, clip.name)
                for clip in clips
            ],
            numbers,
            mixture,
            mask_px,
        )
        for at in range(len(clips[0].images))
    ]


def clip_losses(
    network: MAM2Network,
    frames: Sequence[Batch],
    *,
    stills: float = 1.0,
    corrections: float = 0.0,
) -> dict[str, Tensor]:
    """Find objects on the first frames and track them through the others.

    Args:
        network: With its pyramid frozen or not.
        frames: As `draw_clip_batch` gives them.
        stills: Weight of the first frames.
        corrections: Chance that on one tracked frame clicks correct what was found, as a person's
            would. From there on that frame is remembered as prompted ones are.

    Returns:
        The terms of `prompter_losses`: of the first frames ``first``, of the others, and of the
        corrected answer, ``tracked``, and ``total``; ``overlap`` is the mean intersection over
        union of the tracked masks, before any correction.
    """
    first = frames[0]
    frame = network.encode(first.image)
    decoded = forward(network, first, frame)
    named = {"first": prompter_losses(decoded, first)["total"]}
    # Some objects are known exactly, as from a user's mask; and some frames are further apart.
    exact = torch.rand(len(first.mask), 1, 1, 1, device=first.mask.device) < 0.5
    shown = torch.where(exact, mask_logits_of(first), decoded.mask_logits)
    prompted = [(0, _remember(network, frame, decoded, shown, first, hard=True))]
    tracked: list[tuple[int, Entry]] = []
    totals, overlaps = [], []
    stride = int(torch.randint(1, 3, ()))
    mended = int(torch.randint(1, len(frames), ())) if float(torch.rand(())) < corrections else 0
    for at in range(1, len(frames)):
        batch = frames[at]
        frame = network.encode(batch.image)
        passed = [((at - then) * stride, each) for then, each in tracked]
        spatial = [(0, each) for _, each in prompted]
        spatial += [pair for pair in passed if pair[0] <= MOST_SPAN]
        pointers = [((at - then) * stride, each) for then, each in prompted] + passed
        selection = Selection(tuple(spatial), tuple(pointers))
        tokens = assemble(network.sam2, selection, network.config.sam2)
        top = network.condition(frame, tokens.memory, tokens.memory_position, tokens.pointer_tokens)
        found = _decode_tracked(network, frame, top)
        totals.append(prompter_losses(found, batch)["total"])
        overlaps.append(_overlap(found.mask_logits, batch.mask))
        if at == mended:
            said = corrected(_unprompted(batch), found)
            found = _decode_tracked(network, frame, top, said)
            totals.append(prompter_losses(found, batch)["total"])
        entry = _remember(network, frame, found, found.mask_logits, batch, hard=at == mended)
        (prompted if at == mended else tracked).append((at, entry))
    named["tracked"] = torch.stack(totals).mean()
    named["overlap"] = torch.stack(overlaps).mean()
    return {**named, "total": stills * named["first"] + named["tracked"]}


def mask_logits_of(batch: Batch) -> Tensor:
    """Return the true masks as logits, `B 1 h w`."""
    return (batch.mask * 2 - 1) * 10


def _unprompted(batch: Batch) -> Batch:
    """Return a batch of which nothing was said."""
    return replace(batch, points=batch.points[:, :0], labels=batch.labels[:, :0])


def _decode_tracked(
    network: MAM2Network, frame: Features, top: Tensor, said: Batch | None = None
) -> Decoded:
    """Decode masks with memory, then trimaps by them as the config's second pass has it."""
    clicks: dict[str, Tensor] = {}
    shown = None
    # Where there is nothing to correct, a person says nothing, and the mask isn't shown either.
    if said is not None and said.points.shape[1]:
        clicks, shown = {"points": said.points, "labels": said.labels}, said.mask_logits
    how = network.config.second_pass
    branch: Branch = "on" if how == "off" else "tokens"
    first = network.decode(
        frame,
        top,
        **clicks,
        mask_logits=shown,
        choose="single",
        branch=branch,
        all_masks=True,
    )
    if how == "off":
        return first
    rows = torch.ones(len(first.mask_logits), dtype=torch.bool, device=frame.top.device)
    free = top if how == "mcs" else without_memory(network.sam2, frame.top)
    seen = replace(first, mask_logits=first.mask_logits.detach())
    return replace(first, trimap_logits=second_pass(network, frame, free, seen, rows, **clicks))


def _remember(
    network: MAM2Network,
    frame: Features,
    decoded: Decoded,
    mask_logits: Tensor,
    truth: Batch,
    *,
    hard: bool,
) -> Entry:
    present = truth.mask.flatten(1).amax(1, keepdim=True) > 0
    return {
        FEATURES: network.memory(frame, mask_logits.detach(), present, hard=hard),
        POINTER: network.pointer(decoded, present),
    }


@torch.no_grad()
def _overlap(logits: Tensor, truth: Tensor) -> Tensor:
    said, true = logits > 0, truth > 0.5
    union = (said | true).sum((1, 2, 3)).float()
    common = (said & true).sum((1, 2, 3)).float()
    return torch.where(union > 0, common / union.clamp(min=1), 1.0).mean()
