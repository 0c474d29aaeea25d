"""nano going on: more kinds of objects and a lighter network, without forgetting photos.

Composed scenes are not photos, and a network that learns from them alone unlearns what it knew of
those. So the network as it was is the teacher on photos, of which no truth is known, and on the
scenes that it comes from; the truth teaches the rest.

Source: Hinton et al., Distilling the Knowledge in a Neural Network; Li and Hoiem, Learning without
Forgetting, for the old network's answers on new pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pullmatte.data.cutouts import Bytes
from pullmatte.data.degradation import degraded
from pullmatte.data.samples import ClipSource, MattingSample, SampleSource
from pullmatte.data.training_prompts import PromptMixture
from pullmatte.models.mam2.features import Features
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.pdd import Decoded
from pullmatte.models.nano.checkpoint import save_networks
from pullmatte.models.nano.matter_network import MatterNetwork
from pullmatte.train.nano import MEMORY_PARTS, forward, freeze, prompter_losses
from pullmatte.train.nano_batches import Batch, draw_batch, joined_batches
from pullmatte.train.nano_clips import NanoClipSettings, clip_losses, draw_clip_batch

_BOXES = PromptMixture(box=0.9, points=0.2, box_by_points=0.08, mask=0.08)
"""Objects that fill a frame or are many can hardly be clicked at."""
_CATEGORY_STILLS = 2
_STILL, _FIRST, _TRACKED = 0.5, 0.35, 0.3
_TINY = 1e-6


@dataclass(frozen=True)
class NanoTuningSettings(NanoClipSettings):
    """What the tuning is told.

    Attributes:
        batch: Each is a scene, a photo, two pictures of the ten categories and a clip.
        kept: Weight of the teacher's answers.
    """

    batch: int = 2
    steps: int = 1000
    learning_rate: float = 5e-4
    warmup: int = 40
    weight_decay: float = 0.01
    average: float = 0.99
    clip: float = 3.0
    known_rate: float = 0.4
    box: float = 0.5
    points: float = 0.24
    box_by_points: float = 0.16
    kept: float = 1.0


@dataclass(frozen=True, eq=False)
class TuningSources:
    """What is learnt from.

    Attributes:
        scenes: What the teacher knows.
        photos: Pictures as they are, `H W 3`; the teacher's answer is the truth.
        categories: Pictures to be known better.
        clips: Clips of both.
    """

    scenes: SampleSource
    photos: Sequence[Bytes]
    categories: SampleSource
    clips: ClipSource


@dataclass(frozen=True, eq=False)
class TuningItem:
    """One of each source.

    Attributes:
        scene: With truth.
        photo: Without.
        category: With truth.
        frames: Of a clip, with truth.
    """

    scene: Batch
    photo: Batch
    category: Batch
    frames: list[Batch]


class NanoTuningRecipe:
    """The tuning.

    Attributes:
        name: "nano-tuning".
        settings: What it was told.
        network: The prompter.
        helpers: The teacher.
    """

    name = "nano-tuning"

    def __init__(
        self,
        network: MAM2Network,
        matter: MatterNetwork,
        teacher: MAM2Network,
        sources: TuningSources,
        settings: NanoTuningSettings,
    ) -> None:
        """Take a network that starts with its teacher's weights; encoders stay as they are.

        Args:
            network: The prompter; its config may be lighter than the teacher's.
            matter: Is exported along with it.
            teacher: The prompter as it was, of the same image encoder.
            sources: Of pictures of the network's side.
            settings: What to do.
        """
        self.network, self.settings = network, settings
        self._matter, self._sources = matter, sources
        self._teacher = teacher.eval().requires_grad_(False)
        self.helpers: Sequence[nn.Module] = (self._teacher,)
        freeze(network, "vision_encoder", "no_memory_positional_encoding")

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups: what stills have taught learns more slowly."""
        groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                groups[name.removeprefix("sam2.").startswith(MEMORY_PARTS)].append(parameter)
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        return [
            {"params": groups[True], "weight_decay": decay},
            {"params": groups[False], "weight_decay": decay, "lr": rate * self.settings.known_rate},
        ]

    def item(self, number: int) -> TuningItem:
        """Draw one of each."""
        side, mixture = self.network.config.sam2.mask_px, self.settings.mixture
        sources = self._sources
        photos = Photos(sources.photos, self.network.config.sam2.image_px, self.settings.seed)
        several = range(number * _CATEGORY_STILLS, (number + 1) * _CATEGORY_STILLS)
        return TuningItem(
            draw_batch(sources.scenes, [number], mixture, side),
            draw_batch(photos, [number], mixture, side),
            draw_batch(sources.categories, several, _BOXES, side),
            draw_clip_batch(sources.clips, [number], mixture, side),
        )

    def losses(self, items: Sequence[TuningItem]) -> dict[str, Tensor]:
        """Return what is kept of scenes and photos, and the truth's terms."""
        scene, photo, category = (
            joined_batches([getattr(item, part) for item in items])
            for part in ("scene", "photo", "category")
        )
        frames = [
            joined_batches(parts) for parts in zip(*(item.frames for item in items), strict=True)
        ]
        kept, named = [], {}
        for name, batch in (("scene", scene), ("photo", photo)):
            frame = self.network.encode(batch.image)
            found = forward(self.network, batch, frame)
            kept.append(self._kept(found, batch, frame))
            if name == "scene":
                named["scene"] = prompter_losses(found, batch)["total"]
        named["kept_scene"], named["kept_photo"] = kept
        named["category"] = prompter_losses(forward(self.network, category), category)["total"]
        clip = clip_losses(self.network, frames)
        named |= {name: clip[name] for name in ("first", "tracked", "overlap")}
        total = self.settings.kept * (kept[0] + kept[1])
        total = total + _STILL * named["scene"] + named["category"]
        total = total + _FIRST * named["first"] + _TRACKED * named["tracked"]
        return {**named, "total": total}

    def panels(self) -> dict[str, Tensor]:
        """Return how well objects of two clips are tracked."""
        device = self.network.device
        items = [self.item(number) for number in range(1 << 30, (1 << 30) + 2)]
        frames = [
            joined_batches(parts).to(device)
            for parts in zip(*(item.frames for item in items), strict=True)
        ]
        return {"overlap": clip_losses(self.network, frames)["overlap"]}

    def export(self, weights: Mapping[str, Tensor], folder: Path) -> None:
        """Write nano's folder."""
        self.network.load_state_dict(weights)
        save_networks(self.network, self._matter, folder)

    def _kept(self, found: Decoded, batch: Batch, frame: Features) -> Tensor:
        with torch.no_grad():
            wanted = forward(self._teacher, batch, frame)
        return kept_answer(found, wanted)


def kept_answer(found: Decoded, wanted: Decoded) -> Tensor:
    """Compare an answer with a teacher's: 0 if they are the same.

    Args:
        found: With all four masks as candidates, and a trimap.
        wanted: The same, without gradients.
    """
    assert found.trimap_logits is not None
    assert wanted.trimap_logits is not None
    chances = wanted.trimap_logits.softmax(1)
    own = found.trimap_logits.log_softmax(1)
    trimap = (chances * (chances.clamp(min=_TINY).log() - own)).sum(1).mean()
    mine = own.exp()
    alpha = (chances[:, 2] + chances[:, 1] / 2 - mine[:, 2] - mine[:, 1] / 2).abs().mean()
    masks = _parted(found.candidates, wanted.candidates)
    present = _parted(found.score, wanted.score)
    quality = F.l1_loss(found.quality, wanted.quality)
    return trimap + 2 * alpha + masks + 0.3 * present + 0.5 * quality


def _parted(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean divergence of chances of yes and no."""
    chances = wanted.sigmoid()
    both = [F.binary_cross_entropy_with_logits(each, chances) for each in (logits, wanted)]
    return both[0] - both[1]


class Photos:
    """Crops of photos, each with a blob to point at: nobody knows what is there."""

    def __init__(self, pictures: Sequence[Bytes], size_px: int, seed: int) -> None:
        """Take pictures, `H W 3`, and the side of the crops."""
        self._pictures, self._size, self._seed = pictures, size_px, seed

    def sample(self, number: int) -> MattingSample:
        """Return the crop of a number; its alpha is the blob."""
        rng = np.random.default_rng([self._seed, number, 99])
        picture = self._pictures[int(rng.integers(len(self._pictures)))]
        height, width = picture.shape[:2]
        side = int(min(height, width) * rng.uniform(0.45, 1))
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        size = (self._size, self._size)
        cut = picture[top : top + side, left : left + side]
        image = cv2.resize(cut, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        image = image[:, ::-1] if rng.random() < 0.5 else image
        alpha = np.zeros(size, np.float32)
        centre, radii = (
            tuple(int(each) for each in rng.uniform(*share, 2) * self._size)
            for share in ((0.2, 0.8), (0.08, 0.45))
        )
        cv2.ellipse(alpha, centre, radii, rng.uniform(0, 180), 0, 360, 1.0, -1)
        return MattingSample(degraded(np.ascontiguousarray(image), rng, 0.5), alpha)


def lighter(network: MAM2Network) -> MAM2Network:
    """Return a network with the same weights that looks at pooled memories and prompted maps.

    And with maps and blocks left out where nothing is said, which is all that a tracked frame
    costs less.
    """
    config = network.config
    light = replace(
        config,
        sam2=replace(config.sam2, memory_pool=2),
        prompted_pool=2,
        silent_maps=False,
    )
    with torch.random.fork_rng():
        found = MAM2Network(light)
    found.load_state_dict(network.state_dict())
    return found
