"""What MAM2's first stage learns from: pictures or clips, each with a first prompt.

Source: MAM2, table 7, appendix A.2.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pullmatte.data.samples import ClipSource, SampleOpacity, SampleSource
from pullmatte.data.trimap_truth import draw_trimap_truth
from pullmatte.errors import PullmatteError
from pullmatte.train.draws import numpy_generator, seed_of
from pullmatte.train.selective_supervision import (
    DATA_KINDS,
    DataKind,
    Supervision,
    choose_kind,
)
from pullmatte.train.settings import LoopSettings, ScheduleName
from pullmatte.train.simulated_prompts import PromptName, draw_box, draw_mask, draw_points

_LOOKED_FOR = 64
Floats = NDArray[np.float32]
Prompted = tuple[Tensor | None, Tensor | None, Tensor | None]


@dataclass(frozen=True)
class MAM2Settings(LoopSettings):
    """What the first stage is told.

    Attributes:
        batch: Items in a step: of four pictures, or of one clip of four frames (table 7).
        steps: The paper has 100 epochs of a set whose size it doesn't say.
        learning_rate: 4e-4 (section 4.1).
        schedule: Open in the paper; its forerunner's code drops it twice.
        clip: Open in the paper; SAM 2's is 0.1.
        image_segmentation: Share of steps on pictures with masks (table 7).
        image_matting: Share of steps on pictures with mattes.
        video_segmentation: Share of steps on clips with masks.
        video_matting: Share of steps on clips with mattes.
        images: Pictures in an item (table 7).
        frames: Frames of a clip in an item (table 7).
        prompts: Of which kinds first prompts are, each as often; open in the paper.
        box_jitter: Each side of a box moves by up to so much of its extent.
        points: A point prompt has 1 to so many points.
        corrections: 0 to so many clicks correct the mask, on pictures and first frames.
        least_kernel_px: Least ellipse of trimap truth, on a square of 640 pixels.
        greatest_kernel_px: Greatest ellipse of trimap truth.
        supervision: "selective" is equation 1; "both" lets mattes teach masks too.
        prompt_gradient: Whether the second pass's trimap trains the first pass's mask through
            the prompt; open in the paper.
        trunk_learns: Train the trunk's own weights and add no LoRA.
        reverse: Share of clips that run backwards.
    """

    batch: int = 1
    steps: int = 100_000
    learning_rate: float = 4e-4
    schedule: ScheduleName = "drops"
    weight_decay: float = 0.1
    clip: float = 0.1
    image_segmentation: float = 0.25
    image_matting: float = 0.25
    video_segmentation: float = 0.25
    video_matting: float = 0.25
    images: int = 4
    frames: int = 4
    prompts: tuple[PromptName, ...] = ("box", "point", "mask")
    box_jitter: float = 0.1
    points: int = 3
    corrections: int = 4
    least_kernel_px: int = 1
    greatest_kernel_px: int = 29
    supervision: Supervision = "selective"
    prompt_gradient: bool = False
    trunk_learns: bool = False
    reverse: float = 0.5


@dataclass(frozen=True)
class MAM2Sources:
    """Where the four kinds of data come from; what is None is never taken.

    Attributes:
        image_segmentation: Pictures with masks.
        image_matting: Pictures with mattes.
        video_segmentation: Clips with masks.
        video_matting: Clips with mattes.
    """

    image_segmentation: SampleSource | None = None
    image_matting: SampleSource | None = None
    video_segmentation: ClipSource | None = None
    video_matting: ClipSource | None = None


@dataclass(frozen=True, eq=False)
class Lesson:
    """An item: `T` pictures of as many objects, or `T` frames of one.

    Attributes:
        kind: Of the data.
        images: `T 3 S S` in [0, 1].
        mask: `T 1 S/4 S/4`, true, of 0 and 1.
        classes: `T S/4 S/4` int64, the true trimap.
        points: `K N 2` in pixels of the square, a first prompt; None for a mask.
        labels: `K N`; 2 and 3 are a box's corners.
        drawn: `K 1 S S`, a mask as first prompt; None for points or a box.
        seed: Of the clicks that correct.
    """

    kind: DataKind
    images: Tensor
    mask: Tensor
    classes: Tensor
    points: Tensor | None
    labels: Tensor | None
    drawn: Tensor | None
    seed: int


class LessonMaker:
    """Makes lessons by number; it hangs on nothing else."""

    def __init__(self, sources: MAM2Sources, settings: MAM2Settings, side_px: int) -> None:
        """Take the data, and the side of the network's square.

        Raises:
            PullmatteError: If there is no data.
        """
        self._sources, self._settings, self._side = sources, settings, side_px
        self._shares: dict[DataKind, float] = {
            kind: getattr(settings, kind)
            for kind in DATA_KINDS
            if getattr(sources, kind) is not None
        }
        choose_kind(self._shares, numpy_generator(0))

    def lesson(self, number: int) -> Lesson:
        """Make the lesson of a number."""
        settings = self._settings
        # All items of a step are of one kind, so that processes do the same work.
        step = number // settings.batch
        kind = choose_kind(self._shares, numpy_generator(settings.seed, step))
        draw = numpy_generator(settings.seed, step, number)
        still = kind.startswith("image")
        take = self._pictures if still else self._clip
        images, alphas, opacities = take(kind, number, draw)
        if draw.random() < 0.5:
            images, alphas = images[..., ::-1].copy(), alphas[..., ::-1].copy()
        kernels = settings.least_kernel_px, settings.greatest_kernel_px
        classes = np.stack([
            draw_trimap_truth(alpha[0], draw, opacity, kernels)
            for alpha, opacity in zip(alphas, opacities, strict=True)
        ])
        mask = F.interpolate(torch.from_numpy(alphas), scale_factor=1 / 4, mode="area")
        return Lesson(
            kind,
            torch.from_numpy(images),
            (mask > 0.5).float(),
            # The middle of each cell of 4 by 4 pixels.
            torch.from_numpy(classes[:, 2::4, 2::4].astype(np.int64)),
            *self._prompt(alphas[:, 0] if still else alphas[:1, 0], draw),
            seed_of(settings.seed, step, number, 1),
        )

    def examples(self) -> list[Lesson]:
        """Make the first lesson of each kind that there is, to look at."""
        found: dict[DataKind, int] = {}
        for step in range(_LOOKED_FOR):
            kind = choose_kind(self._shares, numpy_generator(self._settings.seed, step))
            found.setdefault(kind, step * self._settings.batch)
        return [self.lesson(found[kind]) for kind in sorted(found)]

    def _pictures(
        self, kind: DataKind, number: int, draw: np.random.Generator
    ) -> tuple[Floats, Floats, list[SampleOpacity]]:
        source: SampleSource = getattr(self._sources, kind)
        count = self._settings.images
        samples = [source.sample(number * count + at) for at in range(count)]
        images = [square(sample.image[None], self._side) for sample in samples]
        alphas = [square(sample.alpha[None, ..., None], self._side) for sample in samples]
        return np.concatenate(images), np.concatenate(alphas), [s.opacity for s in samples]

    def _clip(
        self, kind: DataKind, number: int, draw: np.random.Generator
    ) -> tuple[Floats, Floats, list[SampleOpacity]]:
        source: ClipSource = getattr(self._sources, kind)
        clip, count = source.clip(number), self._settings.frames
        if len(clip.images) < count:
            raise PullmatteError(
                f"clip {clip.name!r} of {len(clip.images)} frames: {count} are needed"
            )
        first = int(draw.integers(len(clip.images) - count + 1))
        chosen = np.arange(first, first + count)
        if draw.random() < self._settings.reverse:
            chosen = chosen[::-1]
        images = square(clip.images[chosen], self._side)
        alphas = square(clip.alphas[chosen][..., None], self._side)
        return images, alphas, [clip.opacity] * count

    def _prompt(self, alphas: Floats, draw: np.random.Generator) -> Prompted:
        """Draw a first prompt for each of `K` objects, of one kind for all."""
        settings = self._settings
        kind = settings.prompts[int(draw.integers(len(settings.prompts)))]
        if kind == "mask":
            masks = np.stack([draw_mask(alpha, draw) for alpha in alphas])
            return None, None, torch.from_numpy(masks[:, None])
        if kind == "box":
            said = [draw_box(alpha, draw, settings.box_jitter) for alpha in alphas]
        else:
            count = int(draw.integers(1, settings.points + 1))
            said = [draw_points(alpha, draw, count) for alpha in alphas]
        points, labels = (torch.from_numpy(np.stack(part)) for part in zip(*said, strict=True))
        return points, labels, None


def square(frames: Floats, side_px: int) -> Floats:
    """Stretch `T H W C` in [0, 1] over the square, antialiased: `T C S S`."""
    planes = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2), np.float32))
    if planes.shape[-2:] != (side_px, side_px):
        planes = F.interpolate(planes, (side_px, side_px), mode="bilinear", antialias=True)
    found: Floats = planes.clamp(0, 1).numpy()
    return found
