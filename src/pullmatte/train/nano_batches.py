"""Batches of scenes with prompts and true trimaps, as nano's prompter is trained on them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pullmatte.data.samples import MattingSample, SampleSource
from pullmatte.data.training_prompts import (
    MASK_LOGIT,
    PromptMixture,
    TrainingPrompt,
    draw_prompt,
)

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
