"""nano's prompter: MAM2 at pocket size, trained from composed scenes.

Unlike MAM2's first stage, scenes have masks and trimaps at once, so all losses act on all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pullmatte.data.samples import MattingSample, SampleSource
from pullmatte.data.training_prompts import (
    MASK_LOGIT,
    PromptMixture,
    TrainingPrompt,
    draw_prompt,
)
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.pdd import Decoded
from pullmatte.models.mam2.sam2 import without_memory
from pullmatte.train.matter_losses import trimap_loss

TRANSPARENT_MASK = 0.12
KNOWN = 0.98


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
    """

    image: Tensor
    alpha: Tensor
    points: Tensor
    labels: Tensor
    mask_logits: Tensor
    masked: Tensor
    trimap: Tensor
    mask: Tensor


def trimap_classes(
    alpha: np.ndarray, opacity: str, rng: np.random.Generator, mask_px: int
) -> np.ndarray:
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


def forward(network: MAM2Network, batch: Batch) -> Decoded:
    """Decode a batch as first frames are."""
    frame = network.encode(batch.image)
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
