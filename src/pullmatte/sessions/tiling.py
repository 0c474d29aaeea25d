"""High resolution for models with a fixed input size: a coarse pass, then tiles on the edges.

A model that looks at a square of 1024 pixels sees a photo of 4000 four times too small. Its answer
says where the object is; the tiles, each of the model's own size, say what its edge looks like.
Interior and background stay as the coarse pass made them, so the object can't fall apart, and
tiles without an edge cost nothing.

On 8 composites of 900 pixels, with the classical engine held to 300, tiles lower the error of 6,
by a third to five sixths for 5 of them, leave one, and raise that of an explosion by 7 %; they
take ten times as long (benchmarks/second_pass.py). With trained SDMatte weights this is untested.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pullmatte.models.protocol import BoolMask, Image, Model, Opacity, Plane, Prediction
from pullmatte.prompts import Box, Mask, Prompt
from pullmatte.sessions.batching import predict_each
from pullmatte.sessions.second_stage import EMPTY, SOLID

REACH_PX = 8
"""Half the width of the band round an edge, in pixels of the coarse pass: one latent of SDMatte."""
FEATHER_PX = 4
"""Width of the fade from the band to what stays as it was, in the same pixels."""
LONGEST = 2
"""Tiles are at most so many times as long as wide: models are trained on photos' proportions."""
TRUST = 0.2
"""Mean error against what is known for certain, up to which a tile's answer is believed."""
MASK_FROM = 0.5
"""Alpha over which a pixel belongs to the mask."""
_LEAST_OBJECT_PX = 16


def refine_in_tiles(
    model: Model,
    image: Image,
    coarse: Prediction,
    *,
    tile_px: int,
    overlap_px: int | None = None,
    opacity: Opacity = "auto",
    by_mask: bool = True,
) -> Prediction:
    """Work out the edges of a coarse alpha again, at the image's full resolution.

    Each tile is asked for the part of the object that the coarse alpha shows in it. Where there
    is none, or the answer contradicts what is certain in the tile, the coarse alpha stands in.
    Neighbours fade into each other over the whole of their overlap with weights that sum to one.

    Args:
        model: Any model.
        image: `H W 3` float32 in [0, 1].
        coarse: What the model said of the whole image.
        tile_px: Side of a tile; the model's own input size.
        overlap_px: What neighbours share, at most a third of a tile; a quarter unless given.
        opacity: As for `Model.predict`; what the coarse pass found out stands above "auto".
        by_mask: Ask for the object with a mask; else with a box round it.

    Returns:
        The prediction with its alpha replaced round the edges, its mask, if it has one, made of
        that, and a trimap whose unknown pixels are those that may have changed; the same object
        if the image is no larger than a tile or has no edge.
    """
    height, width = coarse.alpha.shape
    change = edge_weight(coarse.alpha, max(height, width) / tile_px)
    if max(height, width) <= tile_px or not change.any():
        return coarse
    rows = spans(height, _side(tile_px, width), overlap_px)
    columns = spans(width, _side(tile_px, height), overlap_px)
    fine = np.zeros_like(coarse.alpha)
    kind = coarse.opacity or opacity
    for area, weight in _tiles(rows, columns):
        if (change[area] > 0)[weight > 0].any():
            answer = _answer(model, image[area], coarse.alpha[area], change[area], kind, by_mask)
            fine[area] += weight * answer
    alpha = np.where(change > 0, coarse.alpha + change * (fine - coarse.alpha), coarse.alpha)
    trimap = np.where(change > 0, np.float32(0.5), (coarse.alpha > 0.5).astype(np.float32))
    return _changed(coarse, np.clip(alpha, 0, 1).astype(np.float32), trimap)


def edge_weight(alpha: Plane, scale: float) -> Plane:
    """Say how much of each pixel is worked out again: 1 round edges, fading to 0.

    Args:
        alpha: `H W` float32 in [0, 1].
        scale: Pixels of the image for one of the coarse pass.

    Returns:
        `H W` float32 in [0, 1].
    """
    solid, empty = _depth(alpha >= SOLID), _depth(alpha <= EMPTY)
    beyond = np.maximum(solid, empty) - np.float32(REACH_PX * scale)
    weight = np.clip(1 - beyond / np.float32(FEATHER_PX * scale), 0, 1)
    return np.asarray(weight, np.float32)


def _depth(region: BoolMask) -> Plane:
    """Measure how far each pixel of a region lies from all that isn't in it."""
    import cv2

    if region.all():
        return np.full(region.shape, np.float32(1e9))
    return np.asarray(cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def _side(tile_px: int, across: int) -> int:
    """Keep tiles of a narrow photo in proportion, but not so short that there are hundreds."""
    return min(tile_px, max(LONGEST * across, tile_px // 4))


@dataclass(frozen=True, eq=False)
class Span:
    """One tile's place along an axis.

    Attributes:
        start: First pixel.
        weight: What the tile counts at each of its pixels; with its neighbours it sums to 1.
    """

    start: int
    weight: NDArray[np.float32]

    @property
    def pixels(self) -> slice:
        """The pixels it covers."""
        return slice(self.start, self.start + len(self.weight))


def spans(length: int, side: int, overlap: int | None = None) -> list[Span]:
    """Cover an axis evenly with tiles of one size.

    Args:
        length: Pixels of the axis.
        side: Pixels of a tile; a shorter axis gets one tile of its own length.
        overlap: Pixels that neighbours share at least, held to a third of a tile; a quarter of a
            tile unless given.

    Returns:
        The tiles in order. Their weights sum to 1 at every pixel, and rise and fall by 1/overlap
        a pixel in the middle of what two neighbours share.
    """
    side = min(side, length)
    shared = max(1, min(side // 4 if overlap is None else overlap, side // 3))
    count = 1 if side == length else -(-(length - shared) // max(1, side - shared))
    starts = [round(number * (length - side) / max(1, count - 1)) for number in range(count)]
    pixels = np.arange(length) + 0.5
    # Steps from one tile to the next: each tile's weight is what lies between two of them.
    seams = [(left + right + side) / 2 for left, right in pairwise(starts)]
    steps = [np.clip((pixels - seam) / shared + 0.5, 0, 1) for seam in seams]
    bounds = [np.ones(length), *steps, np.zeros(length)]
    return [
        Span(start, (before - after)[start : start + side].astype(np.float32))
        for start, (before, after) in zip(starts, pairwise(bounds), strict=True)
    ]


def _tiles(
    rows: Sequence[Span], columns: Sequence[Span]
) -> Iterator[tuple[tuple[slice, slice], NDArray[np.float32]]]:
    for row in rows:
        for column in columns:
            yield (row.pixels, column.pixels), row.weight[:, None] * column.weight


def _answer(
    model: Model, image: Image, alpha: Plane, change: Plane, opacity: Opacity, by_mask: bool
) -> Plane:
    """Ask for the part of the object in one tile; fall back on the coarse alpha."""
    prompt = _prompt_in(alpha, by_mask=by_mask)
    if prompt is None:
        return alpha
    tile = np.ascontiguousarray(image)
    fine = model.predict(model.encode(tile), prompt, opacity=opacity).alpha
    certain = change == 0
    if certain.any() and float(np.abs(fine - alpha)[certain].mean()) > TRUST:
        return alpha
    return fine


def _prompt_in(alpha: Plane, *, by_mask: bool) -> Prompt | None:
    """Show a tile what the coarse pass found there; wisps count where there is nothing solid."""
    for threshold in (0.5, EMPTY):
        mask = alpha > threshold
        if mask.sum() >= _LEAST_OBJECT_PX:
            return Prompt(mask=Mask(mask)) if by_mask else Prompt(box=_box_round(mask))
    return None


def _box_round(mask: BoolMask) -> Box:
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


@dataclass(frozen=True, eq=False)
class Encoded:
    """An image and what the model made of it.

    Attributes:
        image: `H W 3` float32 in [0, 1].
        whole: What the model's `encode` gave for the whole image.
    """

    image: Image
    whole: Any


class Tiled:
    """A model whose every answer is worked out again in tiles, behind the common protocol."""

    def __init__(self, model: Model, tile_px: int, *, by_mask: bool = True) -> None:
        """Take a model and its input size; `by_mask` as for `refine_in_tiles`."""
        self.model = model
        self.tile_px = tile_px
        self.by_mask = by_mask

    def encode(self, image: Image) -> Encoded:
        """Prepare an image for the coarse pass."""
        return Encoded(image, self.model.encode(image))

    def predict(
        self,
        encoded: Encoded,
        prompt: Prompt,
        *,
        opacity: Opacity = "auto",
        caption: str | None = None,
    ) -> Prediction:
        """Matte the prompted object: whole, then its edges tile by tile.

        Args:
            encoded: What `encode` gave.
            prompt: What was said; where a trimap is known it stands.
            opacity: As for the model.
            caption: Likewise, if it takes any; the tiles don't see it.
        """
        return self.predict_many(encoded, [prompt], opacity=opacity, caption=caption)[0]

    def predict_many(
        self,
        encoded: Encoded,
        prompts: Sequence[Prompt],
        *,
        opacity: Opacity = "auto",
        caption: str | None = None,
    ) -> list[Prediction]:
        """Do the same for several objects; the coarse pass sees them together if it can.

        Args:
            encoded: What `encode` gave.
            prompts: One for each object.
            opacity: As for `predict`.
            caption: As for `predict`.
        """
        coarse = predict_each(
            self.model,
            encoded.whole,
            prompts,
            opacity=opacity,
            caption=caption,
            batch_size=len(prompts),
        )
        return [
            _held_to(
                prompt,
                refine_in_tiles(
                    self.model,
                    encoded.image,
                    each,
                    tile_px=self.tile_px,
                    opacity=opacity,
                    by_mask=self.by_mask,
                ),
            )
            for prompt, each in zip(prompts, coarse, strict=True)
        ]


def _held_to(prompt: Prompt, prediction: Prediction) -> Prediction:
    """Keep to what a user's trimap knows."""
    if prompt.trimap is None:
        return prediction
    trimap = prompt.trimap.array
    alpha = np.where(trimap == 0.5, prediction.alpha, trimap).astype(np.float32)
    return _changed(prediction, alpha, trimap.copy())


def _changed(prediction: Prediction, alpha: Plane, trimap: Plane) -> Prediction:
    """Replace alpha and trimap; a mask, where there is one, follows the alpha."""
    mask = None if prediction.mask is None else alpha > MASK_FROM
    return replace(prediction, alpha=alpha, mask=mask, trimap=trimap)
