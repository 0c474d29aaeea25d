"""nano's prompter: MAM2 at pocket size, trained from composed scenes.

Unlike MAM2's first stage, scenes have masks and trimaps at once, so all losses act on all of them.
The trunk stays as ImageNet left it; what concerns memory is learnt by `nano_clips`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pullmatte.data.samples import MattingSample, SampleSource
from pullmatte.data.training_prompts import (
    MASK_LOGIT,
    PromptMixture,
    TrainingPrompt,
    corrective_clicks,
    draw_clicks,
    draw_prompt,
)
from pullmatte.models.mam2.features import Features
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.pdd import Decoded
from pullmatte.models.mam2.sam2 import without_memory
from pullmatte.models.nano.checkpoint import save_networks
from pullmatte.models.nano.matter_network import MatterNetwork
from pullmatte.train.logs import side_by_side
from pullmatte.train.matter_losses import trimap_loss
from pullmatte.train.recipe import decayed_groups
from pullmatte.train.settings import LoopSettings, ScheduleName

TRANSPARENT_MASK = 0.12
KNOWN = 0.98


MEMORY_PARTS = (
    "memory_attention",
    "memory_encoder",
    "object_pointer_proj",
    "temporal_positional_encoding_projection_layer",
    "no_object_pointer",
    "occlusion_spatial_embedding_parameter",
    "memory_temporal_positional_encoding",
    "no_memory_positional_encoding",
)
"""What stills can't teach."""


@dataclass(frozen=True)
class NanoSettings(LoopSettings):
    """What the prompter's training is told.

    Attributes:
        batch: Scenes in a step.
        box: Share of prompts that are a box alone, like the next four of their kinds.
        box_and_points: See there.
        points: See there.
        mask: See there.
        mask_and_points: See there.
        jitter: A box's sides move by up to so much of its size, half of the time.
    """

    batch: int = 8
    steps: int = 20_000
    learning_rate: float = 1e-3
    schedule: ScheduleName = "cosine"
    warmup: int = 100
    weight_decay: float = 0.02
    beta2: float = 0.98
    clip: float = 2.0
    average: float = 0.998
    box: float = 0.38
    box_and_points: float = 0.06
    points: float = 0.36
    mask: float = 0.12
    mask_and_points: float = 0.08
    jitter: float = 0.1

    @property
    def mixture(self) -> PromptMixture:
        """The prompts' shares, as they are drawn by."""
        names = [field.name for field in fields(PromptMixture)]
        return PromptMixture(**{name: getattr(self, name) for name in names})


class NanoRecipe:
    """The prompter's training.

    Attributes:
        name: "nano".
        settings: What it was told.
        network: The prompter.
        helpers: None.
    """

    name = "nano"
    helpers: Sequence[nn.Module] = ()

    def __init__(
        self,
        network: MAM2Network,
        matter: MatterNetwork,
        source: SampleSource,
        settings: NanoSettings,
    ) -> None:
        """Take a network, of which trunk and memory stay as they are, and the data.

        Args:
            network: The prompter; its square's side is the scenes'.
            matter: Is exported along with it.
            source: Of scenes.
            settings: What to do.
        """
        self.network, self.settings = network, settings
        self._matter, self._source = matter, source
        freeze(network, "vision_encoder.backbone", *MEMORY_PARTS)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups."""
        return decayed_groups(self.network, self.settings)

    def item(self, number: int) -> "Batch":
        """Make one scene with a prompt."""
        side = self.network.config.sam2.mask_px
        return draw_batch(self._source, [number], self.settings.mixture, side)

    def losses(self, items: Sequence["Batch"]) -> dict[str, Tensor]:
        """Return `two_round_losses`."""
        batch = joined_batches(items)
        return two_round_losses(self.network, batch)

    def panels(self) -> dict[str, Tensor]:
        """Return two scenes: picture, alpha, true trimap and what is decoded; how far it's off."""
        device = self.network.device
        batch = joined_batches([self.item(number) for number in (1 << 30, (1 << 30) + 1)]).to(
            device
        )
        decoded = forward(self.network, batch)
        assert decoded.trimap_logits is not None
        found = decoded.trimap_logits.argmax(1, keepdim=True) / 2
        true = batch.trimap[:, None] / 2
        size = true.shape[-2:]
        shown = [F.interpolate(each, size, mode="area") for each in (batch.image, batch.alpha)]
        off = (found - true).abs().mean()
        return {"scenes": side_by_side(*shown, true, found), "trimap_off": off}

    def export(self, weights: Mapping[str, Tensor], folder: Path) -> None:
        """Write nano's folder."""
        self.network.load_state_dict(weights)
        save_networks(self.network, self._matter, folder)


def freeze(network: MAM2Network, *parts: str) -> None:
    """Let everything learn but the named parts of SAM 2."""
    network.requires_grad_(True)
    for name, parameter in network.sam2.named_parameters():
        if name.startswith(parts):
            parameter.requires_grad_(False)


@dataclass(frozen=True, eq=False)
class Batch:
    """Scenes and prompts as the network takes them.

    Attributes:
        image: `B 3 S S`.
        alpha: `B 1 S S`.
        points: `B N 2`, padded.
        labels: `B N`; -1 for padding.
        mask_logits: `B 1 S/4 S/4`; 0 where no mask is shown.
        masked: `B` bool: where one is.
        trimap: `B S/4 S/4`, classes 0, 1 and 2.
        mask: `B 1 S/4 S/4` in {0, 1}.
        seed: `B`, that chance of later clicks follows from.
    """

    image: Tensor
    alpha: Tensor
    points: Tensor
    labels: Tensor
    mask_logits: Tensor
    masked: Tensor
    trimap: Tensor
    mask: Tensor
    seed: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return it on a device."""
        return Batch(**{each.name: getattr(self, each.name).to(device) for each in fields(self)})


def joined_batches(batches: Sequence[Batch]) -> Batch:
    """Make one batch of several; points are padded to the most that one has."""
    most = max(each.points.shape[1] for each in batches)
    parts: dict[str, Tensor] = {}
    for field in fields(Batch):
        values = [getattr(each, field.name) for each in batches]
        if field.name in ("points", "labels"):
            values = [_padded(value, most, 0 if field.name == "points" else -1) for value in values]
        parts[field.name] = torch.cat(values)
    return Batch(**parts)


def _padded(value: Tensor, most: int, filling: int) -> Tensor:
    missing = value.new_full((len(value), most - value.shape[1], *value.shape[2:]), filling)
    return torch.cat([value, missing], dim=1)


def trimap_classes(
    alpha: NDArray[np.float32], opacity: str, rng: np.random.Generator, mask_px: int
) -> NDArray[np.int64]:
    """Make the true trimap at the decoder's size: `h w` int64, 0 background, 1 unknown, 2 object.

    Args:
        alpha: `S S` float32.
        opacity: Of a "transparent" object nothing is known to be foreground.
        rng: Where the widths of the two rims come from, 1 to 7 pixels.
        mask_px: Side of the result.
    """
    inside = (alpha >= KNOWN).astype(np.uint8)
    outside = (alpha <= 1 - KNOWN).astype(np.uint8)
    shrunk = []
    for region in (inside, outside):
        side = int(rng.integers(1, 8))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        shrunk.append(cv2.erode(region, kernel, borderValue=1))
    if opacity == "transparent":
        shrunk[0][:] = 0
    size = (mask_px, mask_px)
    # A cell is known only if all of it is: half a cell of rim would be too thin to be learnt.
    solid, empty = (
        cv2.resize(each.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.999
        for each in shrunk
    )
    return np.where(solid, 2, np.where(empty, 0, 1)).astype(np.int64)


def collate(
    samples: Sequence[MattingSample], seeds: Sequence[int], mixture: PromptMixture, mask_px: int
) -> Batch:
    """Draw prompts and truths for samples, and stack all of it.

    Args:
        samples: Of the network's side.
        seeds: All chance in a sample's prompt and truth follows from its seed.
        mixture: How often which prompt.
        mask_px: Side of the decoder's maps.
    """
    prompts, trimaps, masks = [], [], []
    for sample, seed in zip(samples, seeds, strict=True):
        rng = np.random.default_rng([seed, 1])
        prompts.append(draw_prompt(sample.alpha, rng, mixture, mask_px=mask_px))
        trimaps.append(trimap_classes(sample.alpha, sample.opacity, rng, mask_px))
        level = TRANSPARENT_MASK if sample.opacity == "transparent" else 0.5
        small = cv2.resize(sample.alpha, (mask_px, mask_px), interpolation=cv2.INTER_AREA)
        masks.append((small > level).astype(np.float32))
    points, labels = padded_points(prompts)
    shown = [
        np.zeros((mask_px, mask_px), np.float32)
        if each.mask is None
        else (each.mask * 2 - 1) * MASK_LOGIT
        for each in prompts
    ]
    return Batch(
        image=torch.from_numpy(np.stack([each.image for each in samples])).permute(0, 3, 1, 2),
        alpha=torch.from_numpy(np.stack([each.alpha for each in samples]))[:, None],
        points=points,
        labels=labels,
        mask_logits=torch.from_numpy(np.stack(shown))[:, None],
        masked=torch.tensor([each.mask is not None for each in prompts]),
        trimap=torch.from_numpy(np.stack(trimaps)),
        mask=torch.from_numpy(np.stack(masks))[:, None],
        seed=torch.tensor(list(seeds)),
    )


def padded_points(prompts: Sequence[TrainingPrompt]) -> tuple[Tensor, Tensor]:
    """Stack points of different numbers; what is missing has label -1."""
    most = max(1, *(len(each.labels) for each in prompts))
    points = np.zeros((len(prompts), most, 2), np.float32)
    labels = np.full((len(prompts), most), -1, np.int64)
    for at, each in enumerate(prompts):
        points[at, : len(each.labels)] = each.points
        labels[at, : len(each.labels)] = each.labels
    return torch.from_numpy(points), torch.from_numpy(labels)


def draw_batch(
    source: SampleSource, numbers: Sequence[int], mixture: PromptMixture, mask_px: int
) -> Batch:
    """Make the batch of some sample numbers."""
    samples = [source.sample(number) for number in numbers]
    return collate(samples, numbers, mixture, mask_px)


def forward(network: MAM2Network, batch: Batch, frame: Features | None = None) -> Decoded:
    """Decode a batch as first frames are.

    Args:
        network: The prompter.
        batch: What is shown and said.
        frame: What was encoded of it before, if it was.
    """
    frame = frame or network.encode(batch.image)
    return network.decode(
        frame,
        without_memory(network.sam2, frame.top),
        points=batch.points,
        labels=batch.labels,
        mask_logits=batch.mask_logits,
        masked=batch.masked,
        choose="single",
        all_masks=True,
    )


def corrected(batch: Batch, decoded: Decoded) -> Batch:
    """Add the clicks by which a person would answer, and show the mask that they look at.

    Source: SAM 2's training, in which clicks are drawn from where the last mask is wrong.
    """
    shown = decoded.mask_logits.detach()
    alphas = batch.alpha[:, 0].cpu().numpy()
    masks = torch.sigmoid(shown[:, 0]).cpu().numpy()
    prompts = [
        _answer(alpha, mask, np.random.default_rng([int(seed), 3]))
        for alpha, mask, seed in zip(alphas, masks, batch.seed, strict=True)
    ]
    points, labels = (each.to(shown.device) for each in padded_points(prompts))
    return replace(
        batch,
        points=torch.cat([batch.points, points], dim=1),
        labels=torch.cat([batch.labels, labels], dim=1),
        mask_logits=shown,
        masked=torch.ones_like(batch.masked),
    )


def _answer(
    alpha: NDArray[np.float32], mask: NDArray[np.float32], rng: np.random.Generator
) -> TrainingPrompt:
    if float(alpha.max(initial=0)) < 0.1:
        return TrainingPrompt(np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
    count = int(rng.integers(1, 4))
    if rng.random() < 0.3:
        return TrainingPrompt(*draw_clicks(alpha, rng, count, outside=0.3))
    return TrainingPrompt(*corrective_clicks(alpha, mask, rng, count))


def two_round_losses(network: MAM2Network, batch: Batch) -> dict[str, Tensor]:
    """Return `prompter_losses` of the first answer, and ``again`` of the one after corrections."""
    frame = network.encode(batch.image)
    first = forward(network, batch, frame)
    named = prompter_losses(first, batch)
    later = corrected(batch, first)
    again = prompter_losses(forward(network, later, frame), later)["total"]
    return {**named, "again": again, "total": (named["total"] + again) / 2}


def prompter_losses(decoded: Decoded, batch: Batch) -> dict[str, Tensor]:
    """Compare what was decoded with the truth.

    Args:
        decoded: With all four masks as candidates.
        batch: The truth.

    Returns:
        Scalars ``trimap``, ``alpha`` (L1 of the alpha that the trimap's chances stand for),
        ``mask``, ``quality``, ``present`` and their weighed ``total``.
    """
    assert decoded.trimap_logits is not None
    sure = trimap_loss(decoded.trimap_logits, batch.trimap)
    plain = F.cross_entropy(decoded.trimap_logits, batch.trimap)
    chances = decoded.trimap_logits.softmax(1)
    coarse = chances[:, 2:] + 0.5 * chances[:, 1:2]
    known = (batch.trimap != 1)[:, None]
    wanted = batch.trimap[:, None].float() / 2
    alpha = ((coarse - wanted).abs() * known).mean()
    mask, quality = mask_losses(decoded.candidates, decoded.quality, batch.mask)
    there = (batch.mask.flatten(1).amax(1, keepdim=True) > 0).float()
    present = F.binary_cross_entropy_with_logits(decoded.score, there)
    named = {
        "trimap": sure,
        "plain": plain,
        "alpha": alpha,
        "mask": mask,
        "quality": quality,
        "present": present,
    }
    total = sure + plain + 2 * alpha + mask + quality + 0.2 * present
    return {**named, "total": total}


def mask_losses(candidates: Tensor, quality: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Train the single mask, and of the other three the best; quality is learnt of all.

    Args:
        candidates: `B 4 h w`, logits.
        quality: `B 4`, expected intersection over union.
        truth: `B 1 h w` in {0, 1}.
    """
    wanted = truth.expand_as(candidates)
    entropy = F.binary_cross_entropy_with_logits(candidates, wanted, reduction="none").mean((2, 3))
    chance = torch.sigmoid(candidates)
    overlap = (chance * wanted).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (chance.sum((2, 3)) + wanted.sum((2, 3)) + 1)
    each = 2 * entropy + dice
    mask = (each[:, 0] + each[:, 1:].amin(dim=1)).mean()
    with torch.no_grad():
        said = candidates > 0
        common = (said & (wanted > 0.5)).sum((2, 3)).float()
        union = (said | (wanted > 0.5)).sum((2, 3)).float()
        true_quality = torch.where(union > 0, common / union.clamp(min=1), 1.0)
    return mask, F.l1_loss(quality, true_quality)
