"""nano's judge of opacity: which of its two decoders does better on an object.

What is right isn't what an object is called, but which decoder's trimap is less wrong about it; and
pictures count by how much it matters.
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
from torch.nn import functional as F

from pullmatte.data.samples import MattingSample, SampleSource
from pullmatte.data.training_prompts import PromptMixture
from pullmatte.errors import PullmatteError
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.opacity_judge import SharesBox, judged_maps
from pullmatte.models.mam2.pdd import Decoded
from pullmatte.models.nano.checkpoint import save_networks
from pullmatte.models.nano.matter_network import MatterNetwork
from pullmatte.train.draws import numpy_generator
from pullmatte.train.nano import forward
from pullmatte.train.nano_batches import Batch, draw_batch
from pullmatte.train.recipe import decayed_groups
from pullmatte.train.settings import LoopSettings

JUDGE_PROMPTS = PromptMixture(
    box=0.75, points=0.05, box_by_points=0.2, mask=0, mask_and_points=0, box_and_points=0
)
_PART = "see_through.judge."
_UNKNOWN_COSTS = 0.06
_PHOTO_COSTS = 0.3
_MOST, _LEAST = 0.15, 0.01
_SMOOTH = 0.02
_PHOTOS = 0.18


@dataclass(frozen=True)
class NanoJudgeSettings(LoopSettings):
    """What the training is told.

    Attributes:
        batch: Pictures in a step.
        width: Channels of the judge.
    """

    batch: int = 16
    steps: int = 2000
    learning_rate: float = 2e-3
    warmup: int = 50
    weight_decay: float = 0.1
    width: int = 48


class PhotoCrops:
    """Crops of photos as they are, with a spot where something is asked for.

    Nobody knows what is there, only that one can't see through it.
    """

    def __init__(self, photos: Sequence[NDArray[np.uint8]], size_px: int, seed: int = 0) -> None:
        """Take photos.

        Args:
            photos: `H W 3` uint8.
            size_px: Side of a crop.
            seed: All random numbers follow from it and a crop's number.

        Raises:
            PullmatteError: If there is no photo.
        """
        if not photos:
            raise PullmatteError("no photos to cut from: give some backgrounds")
        self._photos, self._size, self._seed = photos, size_px, seed

    def sample(self, number: int) -> MattingSample:
        """Return the crop of a number; its alpha is the spot."""
        draw, size = numpy_generator(self._seed, number), self._size
        photo = self._photos[int(draw.integers(len(self._photos)))]
        side = int(min(photo.shape[:2]) * draw.uniform(0.45, 1))
        top, left = (int(draw.integers(length - side + 1)) for length in photo.shape[:2])
        part = photo[top : top + side, left : left + side]
        image = (
            cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        )
        if draw.random() < 0.5:
            image = image[:, ::-1]
        rows, columns = np.mgrid[:size, :size] / size
        centre, reach = draw.uniform(0.25, 0.75, 2), draw.uniform(0.1, 0.45, 2)
        away = ((columns - centre[0]) / reach[0]) ** 2 + ((rows - centre[1]) / reach[1]) ** 2
        alpha = (away < 1).astype(np.float32)
        return MattingSample(np.ascontiguousarray(image), alpha, name="photo")


@dataclass(frozen=True, eq=False)
class JudgeItem:
    """What is asked of one picture.

    Attributes:
        batch: It, with a prompt.
        known: Whether its alpha is the truth.
    """

    batch: Batch
    known: bool


class NanoJudgeRecipe:
    """The training.

    Attributes:
        name: "nano-judge".
        settings: What it was told.
        network: The prompter, with a second decoder and a judge.
        helpers: None.
    """

    name = "nano-judge"
    helpers: Sequence[nn.Module] = ()

    def __init__(
        self,
        network: MAM2Network,
        matter: MatterNetwork,
        source: SampleSource,
        photos: SampleSource,
        settings: NanoJudgeSettings,
    ) -> None:
        """Take a network of which the judge alone learns.

        Args:
            network: The prompter; see `with_judge`.
            matter: Is exported along with it.
            source: Pictures of both kinds.
            photos: Pictures of which nothing is known; see `PhotoCrops`.
            settings: What to do.
        """
        self.network, self.settings = network, settings
        self._matter, self._source, self._photos = matter, source, photos
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith(_PART))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups."""
        return decayed_groups(self.network, self.settings)

    def item(self, number: int) -> JudgeItem:
        """Draw a picture with a prompt."""
        known = float(numpy_generator(self.settings.seed, number).random()) >= _PHOTOS
        source, side = self._source if known else self._photos, self.network.config.sam2.mask_px
        return JudgeItem(draw_batch(source, [number], JUDGE_PROMPTS, side), known)

    def losses(self, items: Sequence[JudgeItem]) -> dict[str, Tensor]:
        """Return cross-entropy by how much it matters, and how much is lost by what is chosen."""
        asked = [found for found in map(self._asked, items) if found is not None]
        # Pictures without anything to judge teach nothing, but a step must have a gradient.
        if not asked:
            nothing = torch.stack([each.sum() for each in self._judge.parameters()]).sum() * 0.0
            return {"total": nothing, "lost": nothing.detach()}
        maps, said, worth = (torch.cat(each) for each in zip(*asked, strict=True))
        logits = self._judge(maps, said)
        through = (worth > 0).float()
        weight = worth.abs().clamp(max=_MOST) + _LEAST
        aim = through * (1 - 2 * _SMOOTH) + _SMOOTH
        each = F.binary_cross_entropy_with_logits(logits, aim, reduction="none")
        lost = torch.where((logits > 0) == (worth > 0), 0.0, worth.abs())
        total = (each * weight).sum() / weight.sum()
        return {"total": total, "lost": lost.mean().detach()}

    def panels(self) -> dict[str, Tensor]:
        """Return how much is lost on pictures that aren't learnt from."""
        items = [self.item(number) for number in range(1 << 30, (1 << 30) + 16)]
        device = self.network.device
        losses = self.losses([replace(each, batch=each.batch.to(device)) for each in items])
        return {"lost": losses["lost"]}

    def export(self, weights: Mapping[str, Tensor], folder: Path) -> None:
        """Write nano's folder."""
        self.network.load_state_dict(weights)
        save_networks(self.network, self._matter, folder)

    @property
    def _judge(self) -> nn.Module:
        through = self.network.see_through
        assert through is not None, "the constructor was given one"
        assert through.judge is not None, "the constructor was given one"
        return through.judge

    @torch.no_grad()
    def _asked(self, item: JudgeItem) -> tuple[Tensor, Tensor, Tensor] | None:
        """Return what the judge sees of a picture, and by how much the second decoder is better."""
        batch, network = item.batch, self.network
        frame = network.encode(batch.image)
        first = forward(network, batch, frame)
        second = forward(network.for_see_through(), batch, frame)
        assert frame.trunk is not None, "a judge comes with a lite trunk"
        seen = judged_maps(frame.trunk, first, prompted_box(batch, network.config.sam2.image_px))
        if seen is None:
            return None
        if item.known:
            worth = trimap_cost(first, batch.alpha) - trimap_cost(second, batch.alpha)
        else:
            assert first.trimap_logits is not None, "decoded with trimap"
            assert second.trimap_logits is not None, "decoded with trimap"
            apart = first.trimap_logits.argmax(1) != second.trimap_logits.argmax(1)
            worth = -_PHOTO_COSTS * apart.float().mean()
        return *seen, worth[None]


def trimap_cost(decoded: Decoded, alpha: Tensor) -> Tensor:
    """Return how wrong a trimap is, a scalar: where it knows, and a little where it doesn't.

    Args:
        decoded: Of one object.
        alpha: `1 1 S S`, the truth.
    """
    assert decoded.trimap_logits is not None, "decoded with trimap"
    classes = decoded.trimap_logits.argmax(1, keepdim=True)
    true = F.interpolate(alpha, classes.shape[-2:], mode="area")
    known = torch.where(classes == 2, 1 - true, true)
    return torch.where(classes == 1, _UNKNOWN_COSTS, known).mean()


def prompted_box(batch: Batch, side_px: int) -> SharesBox | None:
    """Return the box of a batch of one as shares of the square's side, if it has one."""
    labels, points = batch.labels[0], batch.points[0] / side_px
    if not (labels == 2).any():
        return None
    (x0, y0), (x1, y1) = (points[labels == label][0].tolist() for label in (2, 3))
    return x0, y0, x1, y1


def with_judge(network: MAM2Network, width: int = 48) -> MAM2Network:
    """Give a network with a second decoder a judge, with random weights from torch's generator.

    Args:
        network: One that has a judge is returned as it is.
        width: Channels of the judge.

    Raises:
        PullmatteError: If it has no second decoder.
    """
    if network.see_through is None:
        raise PullmatteError("a judge is between two decoders: train nano-see-through first")
    if network.see_through.judge is not None:
        return network
    found = MAM2Network(replace(network.config, judge_width=width))
    found.load_state_dict(found.state_dict() | network.state_dict())
    return found
