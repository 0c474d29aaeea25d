"""What a person might say of an object: the first prompt, and clicks that correct a mask."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pullmatte.data.prompt_simulation import simulate_mask
from pullmatte.data.samples import Plane

PromptName = Literal["box", "point", "mask"]
INSIDE, OUTSIDE, FIRST_CORNER, LAST_CORNER = 1, 0, 2, 3
_HALF = 0.5


def draw_box(
    alpha: Plane, generator: np.random.Generator, jitter: float = 0.1
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Box the object roughly.

    Args:
        alpha: `H W`; where all is 0, the box lies anywhere.
        generator: Where each side's shift comes from.
        jitter: Each side moves by up to so much of the box's extent, in or out.

    Returns:
        `2 2`, the corners (x, y) in pixels, and their labels.
    """
    height, width = alpha.shape
    rows, columns = np.flatnonzero((alpha > 0).any(1)), np.flatnonzero((alpha > 0).any(0))
    if not len(rows):
        x, y = (np.sort(generator.uniform(0, side, 2)) for side in (width, height))
        box = np.array([x[0], y[0], x[1], y[1]])
    else:
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)
    extent = np.tile(box[2:] - box[:2], 2)
    box = box + generator.uniform(-jitter, jitter, 4) * extent
    box = np.clip(box, 0, np.array([width, height, width, height]))
    labels = np.array([FIRST_CORNER, LAST_CORNER], np.int32)
    return box.reshape(2, 2).astype(np.float32), labels


def draw_points(
    alpha: Plane, generator: np.random.Generator, count: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Click into the object.

    Args:
        alpha: `H W`; clicks go where it is over a half, or else over half of its greatest; where
            all is 0, anywhere.
        generator: Where they come from.
        count: How many, 1 or more.

    Returns:
        `count 2`, (x, y) in pixels, and their labels.
    """
    least = min(_HALF, _HALF * float(alpha.max()))
    inside = np.argwhere(alpha > least) if alpha.any() else np.argwhere(alpha == 0)
    chosen = inside[generator.integers(len(inside), size=count)]
    points = chosen[:, ::-1] + generator.uniform(0, 1, (count, 2))
    return points.astype(np.float32), np.full(count, INSIDE, np.int32)


def draw_mask(alpha: Plane, generator: np.random.Generator) -> NDArray[np.float32]:
    """Draw the object roughly, `H W` of 0 and 1; nothing where there is none.

    Source: SDMatte's degradation, `pullmatte.data.prompt_simulation`.
    """
    levels = np.round(alpha * 255).astype(np.uint8)
    if not levels.any():
        return np.zeros(alpha.shape, np.float32)
    return simulate_mask(levels, generator).array.astype(np.float32)


def correcting_clicks(
    mask_logits: Tensor, truth: Tensor, generator: torch.Generator, side_px: int
) -> tuple[Tensor, Tensor]:
    """Click where a mask is wrong: in what it lacks, or in what it has too much.

    Args:
        mask_logits: `K 1 h w`.
        truth: `K 1 h w` of 0 and 1.
        generator: Of the CPU: which of the wrong pixels.
        side_px: Side of the square in whose pixels the click is told.

    Returns:
        `K 1 2` and labels `K 1`. Where nothing is wrong, a click confirms a random pixel.

    Source: SAM 2, training: uniform over the error region.
    """
    found, real = mask_logits.detach() > 0, truth > _HALF
    wrong = (found != real).flatten(1)
    weights = torch.where(wrong.any(1, keepdim=True), wrong, torch.ones_like(wrong)).float()
    at = torch.multinomial(weights.cpu(), 1, generator=generator).to(truth.device)
    columns = truth.shape[-1]
    scale = side_px / columns
    points = torch.stack([at % columns, at // columns], dim=-1).float().add(_HALF) * scale
    return points, real.flatten(1).gather(1, at).to(torch.int32)
