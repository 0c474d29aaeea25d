"""What SDMatte learns from: a picture with its matte, and one prompt of a random kind.

Source: SDMatte, section 4.1, and its data code: pictures are squashed on a square of 512, then
trimap, mask, box and points are made from the squashed alpha.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pullmatte.data.prompt_simulation import (
    KERNEL_PX,
    OPAQUE_ENOUGH,
    degraded_object,
    object_extent,
    trimap_levels,
)
from pullmatte.data.samples import SampleSource
from pullmatte.models.sdmatte.fit import Fit
from pullmatte.models.sdmatte.network import PromptBatch
from pullmatte.models.sdmatte.prompt_maps import PromptMap, box_map, mask_map, points_map
from pullmatte.train.draws import numpy_generator
from pullmatte.train.settings import LoopSettings, ScheduleName

SDMattePrompt = Literal["point", "box", "mask"]
AutoencoderPart = Literal["nothing", "decoder", "whole"]
Plane = NDArray[np.float32]
_SIGMA_PX, _SIGMA_SQUARE = 25.0, 512
_SIMULATED_PX = 512
_GREY_SHARE = 0.2
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class SDMatteSettings(LoopSettings):
    """What SDMatte's training is told. The defaults are the paper's; `RELEASED` is its configs'.

    Attributes:
        batch: 2 GPUs of 9 pictures each.
        steps: 50 epochs of 24401 samples.
        schedule: With a warm-up; the paper says as much.
        final_rate: Its configs', like the next two.
        warmup: In steps.
        weight_decay: On weights of two axes and more.
        size_px: Side of the square in training.
        prompts: Of which kinds prompts are. Released SDMatte knows all three; its twin for boxes
            only the one.
        one_kind_a_step: Draw the kind for a step instead of for each picture, as released code
            does.
        point_count: Points of a point prompt.
        lost_points: As in released code: of an object with fewer solid pixels than points
            nothing is shown. Else they are drawn where it is most solid.
        box_jitter: Each side moves by up to so much of the extent.
        grey: Share of pictures that lose their colours.
        autoencoder_learns: Train its "decoder", or the "whole" of it, too, for networks from
            scratch; the paper's is frozen: "nothing".
    """

    batch: int = 18
    steps: int = 67_781
    schedule: ScheduleName = "exponential"
    final_rate: float = 0.005
    warmup: int = 200
    weight_decay: float = 0.1
    size_px: int = 512
    prompts: tuple[SDMattePrompt, ...] = ("point", "box", "mask")
    one_kind_a_step: bool = False
    point_count: int = 10
    lost_points: bool = False
    box_jitter: float = 0.01
    grey: float = _GREY_SHARE
    autoencoder_learns: AutoencoderPart = "nothing"


PAPER = SDMatteSettings()
RELEASED = SDMatteSettings(
    learning_rate=5e-5, batch=8, steps=30_502, one_kind_a_step=True, lost_points=True
)
"""As the released configs and data code have it: 8 GPUs, one picture each, 10 epochs."""


@dataclass(frozen=True, eq=False)
class Prompted:
    """An item.

    Attributes:
        image: `3 S S` in [0, 1].
        alpha: `1 S S` in [0, 1].
        trimap: `1 S S` in {0, 0.5, 1}.
        shown: `1 S S` in [0, 1], the prompt's map.
        kind: What it shows.
        coordinates: The prompt's numbers in [0, 1].
        opacity: Scalar: 1 for opaque, 0 for transparent.
    """

    image: Tensor
    alpha: Tensor
    trimap: Tensor
    shown: Tensor
    kind: Literal["box", "mask", "points"]
    coordinates: Tensor
    opacity: Tensor


def make_lesson(source: SampleSource, number: int, settings: SDMatteSettings) -> Prompted:
    """Make the item of a number; it hangs on nothing else.

    Args:
        source: Where pictures come from.
        number: Which one.
        settings: How prompts are drawn.
    """
    draw = numpy_generator(settings.seed, number)
    sample, size = source.sample(number), settings.size_px
    height, width = sample.alpha.shape
    fit = Fit(width, height, size)
    image, alpha = fit.image(sample.image), fit.plane(sample.alpha)
    if draw.random() < settings.grey:
        image = np.repeat((image @ _LUMA)[..., None], 3, axis=2)
    # Ellipses were chosen for this size, whatever the network's is.
    whole = (_SIMULATED_PX, _SIMULATED_PX)
    large = np.asarray(cv2.resize(alpha, whole, interpolation=cv2.INTER_LINEAR), np.float32)
    inside_px, outside_px = draw.integers(KERNEL_PX[0], KERNEL_PX[1] + 1, 2)
    trimap = _fitted(trimap_levels(large, int(inside_px), int(outside_px)), size)
    step = number // settings.batch
    chooser = numpy_generator(settings.seed, step, 0) if settings.one_kind_a_step else draw
    kind = settings.prompts[int(chooser.integers(len(settings.prompts)))]
    prompt = draw_prompt_map(kind, alpha, large, draw, settings)
    assert prompt.kind in ("box", "mask", "points")
    return Prompted(
        torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)),
        torch.from_numpy(np.asarray(alpha, np.float32)[None]),
        torch.from_numpy(trimap[None].astype(np.float32) / 2),
        torch.from_numpy(prompt.values[None]),
        prompt.kind,
        torch.tensor(prompt.coordinates),
        torch.tensor(1.0 if sample.opacity == "opaque" else 0.0),
    )


def draw_prompt_map(
    kind: SDMattePrompt,
    alpha: Plane,
    large: Plane,
    draw: np.random.Generator,
    settings: SDMatteSettings,
) -> PromptMap:
    """Draw a prompt as the network sees it.

    Args:
        kind: Which.
        alpha: `S S` in [0, 1]; of an empty one the whole square is boxed.
        large: The same at 512 pixels, where masks are degraded.
        draw: Where chance comes from.
        settings: How.

    Source: SDMatte's data code.
    """
    size = settings.size_px
    if not alpha.any():
        return box_map((size, size), None)
    if kind == "mask":
        degraded, binary = degraded_object(large, draw)
        mask = _fitted(degraded if degraded.any() else binary, size) > 0
        return mask_map(mask if mask.any() else alpha > 0)
    if kind == "box":
        x_min, y_min, x_max, y_max = object_extent(alpha)
        extent = np.array([x_min, y_min, x_max, y_max], float)
        reach = np.tile(extent[2:] - extent[:2] + 1, 2) * settings.box_jitter
        moved = np.rint(extent + draw.uniform(-1, 1, 4) * reach).clip(0, size - 1).astype(int)
        x0, y0, x1, y1 = (int(each) for each in moved)
        return box_map((size, size), (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)))
    solid = np.argwhere(alpha > OPAQUE_ENOUGH)
    count = settings.point_count
    if len(solid) < count:
        if settings.lost_points:
            nothing = np.zeros((size, size), np.float32)
            return PromptMap("points", nothing, (0.0,) * (2 * count))
        solid = np.argwhere(alpha >= OPAQUE_ENOUGH * alpha.max())
    chosen = solid[draw.choice(len(solid), count, replace=len(solid) < count)]
    pixels = [(int(column), int(row)) for row, column in chosen]
    return points_map((size, size), pixels, _SIGMA_PX * size / _SIGMA_SQUARE, minimum_points=count)


def as_batch(items: list[Prompted]) -> PromptBatch:
    """Join the items' prompts."""
    return PromptBatch(
        maps=torch.stack([each.shown for each in items]),
        kinds=tuple(each.kind for each in items),
        coordinates=tuple(each.coordinates for each in items),
        opacity=torch.stack([each.opacity for each in items]),
    )


def _fitted(plane: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    resized = cv2.resize(plane, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized, np.uint8)
