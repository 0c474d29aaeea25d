"""nano's prompter: MAM2 at pocket size, trained from composed scenes.

Unlike MAM2's first stage, scenes have masks and trimaps at once, so all losses act on all of them.
The trunk stays as ImageNet left it; what concerns memory is learnt by `nano_clips`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pullmatte.data.samples import SampleSource
from pullmatte.data.training_prompts import (
    PromptMixture,
    TrainingPrompt,
    corrective_clicks,
    draw_clicks,
)
from pullmatte.models.mam2.features import Features
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.pdd import Decoded
from pullmatte.models.mam2.sam2 import without_memory
from pullmatte.models.nano.checkpoint import save_networks
from pullmatte.models.nano.matter_network import MatterNetwork
from pullmatte.train.logs import side_by_side
from pullmatte.train.matter_losses import trimap_loss
from pullmatte.train.nano_batches import Batch, draw_batch, joined_batches, padded_points
from pullmatte.train.recipe import decayed_groups
from pullmatte.train.settings import LoopSettings, ScheduleName

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
OF_MEMORY = ("remembered.", *(f"sam2.{part}" for part in MEMORY_PARTS))
"""What stills can't teach: SAM 2's parts, and how the names of all of it begin."""


@dataclass(frozen=True)
class NanoSettings(LoopSettings):
    """What the prompter's training is told.

    Attributes:
        batch: Scenes in a step.
        box: Share of prompts that are a box alone, like the next five of their kinds.
        box_and_points: See there.
        points: See there.
        mask: See there.
        mask_and_points: See there.
        box_by_points: See there.
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
    box_by_points: float = 0.12
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
        freeze(network, "sam2.vision_encoder.backbone", *OF_MEMORY)

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
        shown, off = shown_beside(self.network, batch)
        return {"scenes": shown, "trimap_off": off}

    def export(self, weights: Mapping[str, Tensor], folder: Path) -> None:
        """Write nano's folder."""
        self.network.load_state_dict(weights)
        save_networks(self.network, self._matter, folder)


def freeze(network: MAM2Network, *parts: str) -> None:
    """Let everything learn but what has names that begin so."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not name.startswith(parts))


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


def shown_beside(network: MAM2Network, batch: Batch) -> tuple[Tensor, Tensor]:
    """Draw what a network makes of a batch, for the log.

    Returns:
        Picture, alpha, true trimap and what is decoded, side by side, `3 H W` in [0, 1]; and by how
        much the trimap is off, a scalar in [0, 1].
    """
    decoded = forward(network, batch)
    assert decoded.trimap_logits is not None
    found = decoded.trimap_logits.argmax(1, keepdim=True) / 2
    true = batch.trimap[:, None] / 2
    size = true.shape[-2:]
    shown = [F.interpolate(each, size, mode="area") for each in (batch.image, batch.alpha)]
    return side_by_side(*shown, true, found), (found - true).abs().mean()


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
