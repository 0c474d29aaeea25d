"""nano's matter, trained on crops of composed scenes with trimaps of every make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pullmatte.data.samples import MattingSample, SampleSource
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.nano.checkpoint import save_networks
from pullmatte.models.nano.matter_network import MatterNetwork
from pullmatte.train.logs import side_by_side
from pullmatte.train.losses import laplacian_loss
from pullmatte.train.recipe import decayed_groups
from pullmatte.train.settings import LoopSettings, ScheduleName

Floats = NDArray[np.float32]
_LAPLACIAN_WEIGHT = 0.5
_LEVELS = np.array([0, 0.5, 1], np.float32)


@dataclass(frozen=True)
class NanoMatterSettings(LoopSettings):
    """What the matter's training is told.

    Attributes:
        batch: Scenes in a step.
        crops: Cut from each scene.
        crop_px: Side of a crop, a multiple of 32.
    """

    batch: int = 4
    steps: int = 20_000
    learning_rate: float = 2e-3
    schedule: ScheduleName = "cosine"
    warmup: int = 100
    beta2: float = 0.98
    clip: float = 2.0
    average: float = 0.998
    crops: int = 3
    crop_px: int = 256


class NanoMatterRecipe:
    """The matter's training.

    Attributes:
        name: "nano-matter".
        settings: What it was told.
        network: The matter.
        helpers: None.
    """

    name = "nano-matter"
    helpers: Sequence[nn.Module] = ()

    def __init__(
        self,
        network: MatterNetwork,
        prompter: MAM2Network,
        source: SampleSource,
        settings: NanoMatterSettings,
    ) -> None:
        """Take a network and the data.

        Args:
            network: The matter.
            prompter: Is exported along with it.
            source: Of scenes, at least as large as a crop.
            settings: What to do.
        """
        self.network, self.settings = network, settings
        self._prompter, self._source = prompter, source

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups."""
        return decayed_groups(self.network, self.settings)

    def item(self, number: int) -> "MatterBatch":
        """Make the crops of one scene."""
        settings = self.settings
        return draw_matter_batch(self._source, [number], settings.crop_px, settings.crops)

    def losses(self, items: Sequence["MatterBatch"]) -> dict[str, Tensor]:
        """Return `matter_losses`."""
        batch = MatterBatch(*(torch.cat(each) for each in zip(*map(_parts, items), strict=True)))
        return matter_losses(self.network(batch.image, batch.trimap), batch)

    def panels(self) -> dict[str, Tensor]:
        """Return crops: picture, trimap, alpha and what is found; how far it's off."""
        device = next(self.network.parameters()).device
        image, trimap, alpha = (each.to(device) for each in _parts(self.item(1 << 30)))
        found = self.network(image, trimap)
        off = (found - alpha)[trimap == 0.5].abs().mean()
        return {"crops": side_by_side(image, trimap, alpha, found), "off": off}

    def export(self, weights: Mapping[str, Tensor], folder: Path) -> None:
        """Write nano's folder."""
        self.network.load_state_dict(weights)
        save_networks(self._prompter, self.network, folder)


@dataclass(frozen=True, eq=False)
class MatterBatch:
    """Crops as the matter takes them.

    Attributes:
        image: `B 3 S S` in [0, 1].
        trimap: `B 1 S S` in {0, 0.5, 1}.
        alpha: `B 1 S S` in [0, 1].
    """

    image: Tensor
    trimap: Tensor
    alpha: Tensor


def drawn_trimap(alpha: Floats, opacity: str, rng: np.random.Generator) -> Floats:
    """Make a trimap as a person draws one, or as the prompter does: `S S` in {0, 0.5, 1}.

    Args:
        alpha: `S S` in [0, 1].
        opacity: Nothing of a "transparent" object is known to be foreground, mostly.
        rng: Where chance comes from.
    """
    by_network = rng.random() < 0.4
    widest = 8 if by_network else (40 if rng.random() < 0.25 else 20)
    shrunk = []
    for region in (alpha >= 0.98, alpha <= 0.02):
        side = int(rng.integers(1, widest))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        shrunk.append(cv2.erode(region.astype(np.uint8), kernel, borderValue=1) > 0)
    if opacity == "transparent" and rng.random() < 0.6:
        shrunk[0][:] = False
    classes = np.where(shrunk[0], 2, np.where(shrunk[1], 0, 1))
    if by_network:
        classes = _coarse(classes, rng)
    return _LEVELS[classes]


def _coarse(classes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Know a trimap by cells of a few pixels only, as a decoder at a quarter of the size does."""
    size = classes.shape[0]
    cells = size // int(rng.integers(3, 9))
    planes = np.dstack([(classes == level).astype(np.float32) for level in range(3)])
    small = cv2.resize(planes, (cells, cells), interpolation=cv2.INTER_AREA)
    # Half known cells are unknown to a cautious decoder.
    small[..., 1] = small[..., 1] * rng.uniform(1, 2.5)
    grown = cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grown.argmax(-1), np.int64)


def crops(
    sample: MattingSample, rng: np.random.Generator, size_px: int, count: int
) -> list[tuple[Floats, Floats, Floats]]:
    """Cut squares where a scene is unknown: images, trimaps and alphas.

    Args:
        sample: At least so large.
        rng: Where chance comes from.
        size_px: Side of a crop.
        count: How many.
    """
    trimap = drawn_trimap(sample.alpha, sample.opacity, rng)
    unknown = np.flatnonzero(trimap == 0.5)
    soft = np.flatnonzero((sample.alpha > 0.05) & (sample.alpha < 0.95) & (trimap == 0.5))
    found = []
    for _ in range(count):
        places = soft if len(soft) and rng.random() < 0.7 else unknown
        at = int(rng.choice(places)) if len(places) else int(rng.integers(trimap.size))
        row, column = np.unravel_index(at, trimap.shape)
        most = trimap.shape[0] - size_px
        top, left = (
            int(np.clip(centre - size_px // 2 + rng.integers(-size_px // 3, size_px // 3), 0, most))
            for centre in (row, column)
        )
        window = np.s_[top : top + size_px, left : left + size_px]
        found.append((sample.image[window], trimap[window], sample.alpha[window]))
    return found


def draw_matter_batch(
    source: SampleSource, numbers: Sequence[int], size_px: int, crops_per_scene: int = 3
) -> MatterBatch:
    """Make a batch of crops of some scenes."""
    cut = []
    for number in numbers:
        rng = np.random.default_rng([number, 2])
        cut += crops(source.sample(number), rng, size_px, crops_per_scene)
    images, trimaps, alphas = (np.stack(each) for each in zip(*cut, strict=True))
    return MatterBatch(
        image=torch.from_numpy(images).permute(0, 3, 1, 2),
        trimap=torch.from_numpy(trimaps)[:, None],
        alpha=torch.from_numpy(alphas)[:, None],
    )


def matter_losses(found: Tensor, batch: MatterBatch) -> dict[str, Tensor]:
    """Compare alphas in the unknown region.

    Args:
        found: `B 1 S S`, by the network, in known regions the trimap.
        batch: The truth, wherever the trimap is wrong too.

    Returns:
        Scalars ``unknown_l1``, ``squared``, ``laplacian`` and ``total``.
    """
    unknown = (batch.trimap == 0.5).float()
    # Each crop counts alike, however much of it is unknown.
    share = unknown / unknown.sum((1, 2, 3), keepdim=True).clamp(min=64) / len(unknown)
    # What the trimap took from it can't be learnt.
    truth = torch.where(batch.trimap == 0.5, batch.alpha, batch.trimap)
    error = found - truth
    named = {
        "unknown_l1": (error.abs() * share).sum(),
        "squared": (error.square() * share).sum(),
        "laplacian": laplacian_loss(found, truth) * _LAPLACIAN_WEIGHT,
    }
    total = named["unknown_l1"] + named["squared"] + named["laplacian"]
    return {**named, "total": total}


def _parts(batch: MatterBatch) -> tuple[Tensor, Tensor, Tensor]:
    return batch.image, batch.trimap, batch.alpha
