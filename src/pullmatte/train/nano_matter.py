"""nano's matter, trained on crops of composed scenes with trimaps of every make.

Most trimaps are nano's own, of a prompt or of a tracked frame; with them comes what nano tells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pullmatte.data.samples import ClipSource, MattingClip, MattingSample, SampleSource
from pullmatte.models.mam2.model import MAM2Model
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.prompter import Encoded
from pullmatte.models.mam2.told import Told
from pullmatte.models.nano.checkpoint import nano_options, save_networks
from pullmatte.models.nano.matter_network import MatterNetwork
from pullmatte.models.protocol import Image, Plane, Prediction
from pullmatte.prompts import Box, Mask, Point, Prompt
from pullmatte.train.draws import numpy_generator
from pullmatte.train.logs import side_by_side
from pullmatte.train.losses import laplacian_loss
from pullmatte.train.nano_tracking import tracked_frames
from pullmatte.train.recipe import decayed_groups
from pullmatte.train.settings import LoopSettings, ScheduleName
from pullmatte.train.simulated_prompts import draw_box, draw_mask, draw_points

Floats = NDArray[np.float32]
_LAPLACIAN_WEIGHT = 0.5
_BY_MASK, _BY_CLICKS = 0.1, 0.2
_LEVELS = np.array([0, 0.5, 1], np.float32)


@dataclass(frozen=True)
class NanoMatterSettings(LoopSettings):
    """What the matter's training is told.

    Attributes:
        batch: Scenes in a step.
        crops: Cut from each scene.
        crop_px: Side of a crop, a multiple of 32.
        asked: Share of the scenes whose trimap is nano's own answer.
        tracked: Share of those that are the last frame of a clip.
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
    asked: float = 0.75
    tracked: float = 0.4


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
        clips: ClipSource,
        settings: NanoMatterSettings,
    ) -> None:
        """Take a network and the data.

        Args:
            network: The matter.
            prompter: Answers prompts, and is exported along with it.
            source: Of scenes, at least as large as a crop.
            clips: Of as large frames.
            settings: What to do.
        """
        self.network, self.settings = network, settings
        self._prompter, self._source, self._clips = prompter, source, clips
        # It is asked for trimaps alone.
        own = replace(nano_options(), remember_alpha=False)
        self._asked = MAM2Model(prompter, NoMatter(), own)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups."""
        return decayed_groups(self.network, self.settings)

    def item(self, number: int) -> "MatterBatch":
        """Make the crops of one scene."""
        settings = self.settings
        draw = numpy_generator(settings.seed, number)
        asked, tracked = (draw.random() < share for share in (settings.asked, settings.tracked))
        answer = None
        if asked and tracked:
            answer = answer_on_clip(self._asked, self._clips.clip(number))
        if answer is None or not answer.leaves_something:
            sample = self._source.sample(number)
            answer = answer_on_scene(self._asked, sample, draw)
            if not asked or not answer.leaves_something:
                answer = drawn_answer(answer, sample.opacity, draw)
        return crops(answer, draw, settings.crop_px, settings.crops)

    def losses(self, items: Sequence["MatterBatch"]) -> dict[str, Tensor]:
        """Return `matter_losses`."""
        batch = joined(items).to(next(self.network.parameters()).device)
        return matter_losses(self.network(batch.image, batch.trimap, batch.told), batch)

    def panels(self) -> dict[str, Tensor]:
        """Return crops: picture, trimap, alpha and what is found; how far it's off."""
        batch = self.item(1 << 30).to(next(self.network.parameters()).device)
        found = self.network(batch.image, batch.trimap, batch.told)
        off = (found - batch.alpha)[batch.trimap == 0.5].abs().mean()
        panel = side_by_side(batch.image, batch.trimap, batch.alpha, found)
        return {"crops": panel, "off": off}

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
        told: What nano tells of them; nothing of crops whose trimap isn't its own.
    """

    image: Tensor
    trimap: Tensor
    alpha: Tensor
    told: Told

    def to(self, device: torch.device) -> "MatterBatch":
        """Return the same on a device."""
        image, trimap, alpha = (each.to(device) for each in _parts(self))
        return MatterBatch(image, trimap, alpha, self.told.mapped(lambda each: each.to(device)))


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


@dataclass(frozen=True, eq=False)
class Answer:
    """A whole scene, with a trimap.

    Attributes:
        image: `H W 3` in [0, 1].
        alpha: `H W`, the truth.
        trimap: `H W` in {0, 0.5, 1}.
        told: What nano tells of it.
    """

    image: Floats
    alpha: Floats
    trimap: Floats
    told: Told

    @property
    def leaves_something(self) -> bool:
        """Whether something is unknown."""
        return bool((self.trimap == 0.5).any())


class NoMatter:
    """Leaves a trimap as it is, where nobody looks at alphas."""

    def matte(self, image: Image, trimap: Plane) -> Plane:
        """Return the trimap."""
        return trimap.copy()


def answer_on_scene(model: MAM2Model, sample: MattingSample, rng: np.random.Generator) -> Answer:
    """Ask a model for the object of a scene.

    Args:
        model: It.
        sample: The scene.
        rng: What is said, and how.
    """
    encoded = model.encode(np.ascontiguousarray(sample.image, np.float32))
    found = model.predict(encoded, _said(sample.alpha, rng))
    answer = _answer(model, encoded, found, sample.image, sample.alpha)
    assert answer is not None, "what is prompted is there"
    return answer


def answer_on_clip(model: MAM2Model, clip: MattingClip) -> Answer | None:
    """Let a model track an object to the last frame of a clip; None if it tells nothing there.

    Args:
        model: It.
        clip: See `tracked_frames`.
    """
    *_, (encoded, found) = tracked_frames(model, clip)
    return _answer(model, encoded, found, clip.images[-1], clip.alphas[-1])


def drawn_answer(answer: Answer, opacity: str, rng: np.random.Generator) -> Answer:
    """Change the trimap for one that is drawn from the truth, with which nothing is told.

    What would have been told stays beside it, as norms look at all maps of a batch alike.

    Args:
        answer: A model's.
        opacity: Of the object.
        rng: Where chance comes from.
    """
    told = replace(answer.told, given=torch.zeros_like(answer.told.given))
    return replace(answer, trimap=drawn_trimap(answer.alpha, opacity, rng), told=told)


def crops(answer: Answer, rng: np.random.Generator, size_px: int, count: int) -> MatterBatch:
    """Cut squares where a scene is unknown.

    Args:
        answer: At least so large.
        rng: Where chance comes from.
        size_px: Side of a crop, a multiple of 32.
        count: How many.
    """
    trimap, alpha = answer.trimap, answer.alpha
    unknown = np.flatnonzero(trimap == 0.5)
    soft = np.flatnonzero((alpha > 0.05) & (alpha < 0.95) & (trimap == 0.5))
    found = []
    for _ in range(count):
        places = soft if len(soft) and rng.random() < 0.6 else unknown
        at = int(rng.choice(places)) if len(places) else int(rng.integers(trimap.size))
        edges = []
        for centre, length in zip(np.unravel_index(at, trimap.shape), trimap.shape, strict=True):
            start = int(centre) - size_px // 2 + int(rng.integers(-size_px // 3, size_px // 3))
            edges.append(int(np.clip(start, 0, length - size_px)))
        top, left = edges
        window = np.s_[top : top + size_px, left : left + size_px]
        x, y = (
            (start / length, (start + size_px) / length)
            for start, length in zip((left, top), trimap.shape[::-1], strict=True)
        )
        image, *planes = (
            torch.from_numpy(each[window].copy()) for each in (answer.image, trimap, alpha)
        )
        told = answer.told.window(x, y, (size_px, size_px))
        first, second = (each[None, None] for each in planes)
        found.append(MatterBatch(image.permute(2, 0, 1)[None], first, second, told))
    return joined(found)


def joined(batches: Sequence[MatterBatch]) -> MatterBatch:
    """Return several batches as one."""
    image, trimap, alpha = (torch.cat(each) for each in zip(*map(_parts, batches), strict=True))
    return MatterBatch(image, trimap, alpha, Told.joined([each.told for each in batches]))


def _answer(
    model: MAM2Model, encoded: Encoded, found: Prediction, image: Floats, alpha: Floats
) -> Answer | None:
    told = model.told(encoded, found)
    if told is None or found.trimap is None:
        return None
    # What was made for inference can't be learnt through, nor can what is made of it.
    return Answer(image, alpha, found.trimap, told.mapped(torch.Tensor.clone))


def _said(alpha: Floats, rng: np.random.Generator) -> Prompt:
    """Say an object: mostly by a box, else by clicks or a rough mask."""
    chance = rng.random()
    if chance < _BY_MASK and (alpha > 0.5).any():
        return Prompt(mask=Mask(draw_mask(alpha, rng) > 0.5))
    if chance < _BY_MASK + _BY_CLICKS:
        places, _ = draw_points(alpha, rng, int(rng.integers(1, 11)))
        return Prompt(points=tuple(Point(float(x), float(y), 1) for x, y in places))
    corners, _ = draw_box(alpha, rng, 0.03)
    (x0, y0), (x1, y1) = corners.tolist()
    return Prompt(box=Box(x0, y0, x1, y1)) if x1 > x0 and y1 > y0 else Prompt()


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
