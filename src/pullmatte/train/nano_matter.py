"""nano's matter, trained on crops of composed scenes with trimaps of every make."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pullmatte.data.samples import MattingSample, SampleSource
from pullmatte.train.losses import laplacian_loss

Floats = NDArray[np.float32]
_LEVELS = np.array([0, 0.5, 1], np.float32)


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
    widest = 8 if by_network else (36 if rng.random() < 0.35 else 16)
    shrunk = []
    for region in (alpha >= 0.98, alpha <= 0.02):
        side = int(rng.integers(1, widest))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        shrunk.append(cv2.erode(region.astype(np.uint8), kernel, borderValue=1) > 0)
    if opacity == "transparent" and rng.random() < 0.8:
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
    source: SampleSource, numbers: Sequence[int], size_px: int, crops_per_scene: int = 2
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
    area = unknown.sum().clamp(min=1)
    # What the trimap took from it can't be learnt.
    truth = torch.where(batch.trimap == 0.5, batch.alpha, batch.trimap)
    error = found - truth
    named = {
        "unknown_l1": (error.abs() * unknown).sum() / area,
        "squared": (error.square() * unknown).sum() / area,
        "laplacian": laplacian_loss(found, truth) * (unknown.numel() / area) * 0.1,
    }
    total = named["unknown_l1"] + named["squared"] + named["laplacian"]
    return {**named, "total": total}
