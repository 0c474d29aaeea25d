"""Prompts made from a true alpha, the way SDMatte's evaluation makes them.

All is drawn on the alpha stretched to 1024×1024, where the published kernel sizes hold, and put
back into the image's own pixels. Each random choice comes from a generator that the caller gives.

Source: SDMatte, section 4 and its data code. That one sets no seed, so its published rows for
points and masks can be approached, but not repeated exactly.
"""

import hashlib
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PromptError
from pullmatte.prompts import Box, Mask, Point, Prompt, Trimap

Kind = Literal["box", "point", "mask", "trimap"]
Bytes = NDArray[np.uint8]
Plane = NDArray[np.float32]

KINDS: tuple[Kind, ...] = ("box", "point", "mask", "trimap")
POINT_COUNT = 10
SIMULATION_SIZE = 1024
OPAQUE_ENOUGH = 0.8
DOMINANT_PART = 10
KERNEL_PX = (15, 29)
MASK_THRESHOLD = (0.01, 1.0)
KNOWN = 0.95


def prompt_generator(seed: int, name: str, kind: str) -> np.random.Generator:
    """Make the generator of one image and one kind of prompt.

    It depends on nothing else, so that a resumed, a partial or a reordered run draws the same.

    Args:
        seed: the run's seed, not negative.
        name: the sample's name.
        kind: the kind of prompt.

    Returns:
        A generator of its own.
    """
    digest = hashlib.sha256(f"{kind}\0{name}".encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, np.uint32).tolist()])


def simulate_prompt(
    kind: Kind,
    alpha: Bytes,
    generator: np.random.Generator,
    *,
    trimap: Bytes | None = None,
    point_count: int = POINT_COUNT,
) -> Prompt:
    """Make one prompt for the object that an alpha shows.

    Args:
        kind: "box", "point", "mask" or "trimap".
        alpha: uint8 `H W`, the true matte.
        generator: drawn from by all kinds but the box.
        trimap: uint8 `H W`, the data set's own; then no trimap is made.
        point_count: how many points.

    Returns:
        A prompt in pixels of the alpha.

    Raises:
        PromptError: the kind is unknown, or the alpha shows nothing.
    """
    if kind not in KINDS:
        raise PromptError(f"Unknown kind of prompt {kind!r}. Known: {', '.join(KINDS)}.")
    if not alpha.any():
        raise PromptError("The true alpha is 0 everywhere: there is no object to prompt.")
    if kind == "box":
        return Prompt(box=simulate_box(alpha))
    if kind == "point":
        return Prompt(points=simulate_points(alpha, generator, point_count))
    if kind == "mask":
        return Prompt(mask=simulate_mask(alpha, generator))
    return Prompt(trimap=simulate_trimap(alpha, generator) if trimap is None else Trimap(trimap))


def simulate_box(alpha: Bytes) -> Box:
    """Bound the object tightly, without jitter.

    Args:
        alpha: uint8 `H W`, not all 0.

    Returns:
        The box in pixels of the alpha, its far edges exclusive.

    Source: `object_extent`.
    """
    x_min, y_min, x_max, y_max = object_extent(_stretched(alpha))
    rows, columns = alpha.shape
    across, down = columns / SIMULATION_SIZE, rows / SIMULATION_SIZE
    return Box(x_min * across, y_min * down, (x_max + 1) * across, (y_max + 1) * down)


def simulate_points(
    alpha: Bytes, generator: np.random.Generator, count: int = POINT_COUNT
) -> tuple[Point, ...]:
    """Draw points among the opaque pixels, alpha > 0.8.

    An object without any, such as smoke, is clicked where its alpha is above 0.8 of its greatest.

    Args:
        alpha: uint8 `H W`, not all 0.
        generator: where the points come from.
        count: how many; repeated only if there are fewer pixels.

    Returns:
        Points with label 1, in pixels of the alpha.

    Raises:
        PromptError: the count is below 1.
    """
    if count < 1:
        raise PromptError(f"{count} points asked for: give 1 or more.")
    stretched = _stretched(alpha)
    candidates = np.argwhere(stretched > OPAQUE_ENOUGH)
    if not len(candidates):
        candidates = np.argwhere(stretched >= OPAQUE_ENOUGH * stretched.max())
    chosen = generator.choice(len(candidates), count, replace=len(candidates) < count)
    rows, columns = alpha.shape
    across, down = columns / SIMULATION_SIZE, rows / SIMULATION_SIZE
    return tuple(
        Point(float((x + 0.5) * across), float((y + 0.5) * down)) for y, x in candidates[chosen]
    )


def simulate_mask(alpha: Bytes, generator: np.random.Generator) -> Mask:
    """Degrade the object to a rough mask.

    The alpha is cut at a random threshold, then eroded, dilated, opened or closed by ellipses of
    15 to 29 pixels. A step that would leave nothing is left out.

    Args:
        alpha: uint8 `H W`, not all 0.
        generator: where threshold, step and sizes come from.

    Returns:
        The mask at the alpha's size.

    Source: SDMatte's data code.
    """
    degraded, binary = degraded_object(_stretched(alpha), generator)
    for candidate in (degraded, binary):
        mask = _restored(candidate, alpha.shape) > 0
        if mask.any():
            return Mask(mask)
    return Mask(alpha > 0)


def simulate_trimap(alpha: Bytes, generator: np.random.Generator) -> Trimap:
    """Make a trimap: object and background shrink by ellipses, the band between is unknown.

    Args:
        alpha: uint8 `H W`, not all 0.
        generator: where the ellipses' sizes, 15 to 29 pixels, come from.

    Returns:
        The trimap at the alpha's size.

    Raises:
        PromptError: no pixel is unknown, as with an alpha of 255 everywhere.

    Source: SDMatte's data code.
    """
    levels = trimap_levels(_stretched(alpha), _kernel_px(generator), _kernel_px(generator))
    return Trimap(_restored(levels, alpha.shape) / 2)


def object_extent(alpha: Plane) -> tuple[int, int, int, int]:
    """Bound what is above 0, or its largest part if that dwarfs the others.

    Args:
        alpha: `H W` float32 in [0, 1], not all 0.

    Returns:
        x_min, y_min, x_max, y_max as pixel indices, the greatest ones inside.

    Source: SDMatte's data code: the largest part alone counts if its area is at least 10 times
        the second's.
    """
    inside = (alpha > 0).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    order = np.argsort(-areas, kind="stable")
    if len(order) > 1 and areas[order[0]] >= DOMINANT_PART * areas[order[1]]:
        inside = (labels == order[0] + 1).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(inside)
    return x, y, x + width - 1, y + height - 1


def degraded_object(alpha: Plane, generator: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Cut an alpha at a random threshold, then erode, dilate, open or close what is inside.

    Args:
        alpha: `H W` float32 in [0, 1], not all 0.
        generator: where threshold, step and the ellipses' sizes, 15 to 29 pixels, come from.

    Returns:
        uint8 `H W` in {0, 1}: the rough mask, which may be empty, and what it was made from.

    Source: SDMatte's data code.
    """
    threshold = generator.uniform(*MASK_THRESHOLD)
    binary = (alpha >= min(threshold, float(alpha.max()))).astype(np.uint8)
    erode = cv2.erode, _ellipse(_kernel_px(generator))
    dilate = cv2.dilate, _ellipse(_kernel_px(generator))
    steps = ((erode,), (dilate,), (erode, dilate), (dilate, erode))[generator.integers(4)]
    degraded = binary
    for change, kernel in steps:
        degraded = np.asarray(change(degraded, kernel), np.uint8)
    return degraded, binary


def trimap_levels(alpha: Plane, inside_px: int, outside_px: int) -> Bytes:
    """Shrink object and background; the band between them is unknown.

    Args:
        alpha: `H W` float32 in [0, 1].
        inside_px: size of the ellipse that shrinks the object.
        outside_px: size of the ellipse that shrinks the background.

    Returns:
        uint8 `H W`: 0 background, 1 unknown, 2 object.

    Source: SDMatte's data code.
    """
    inside = cv2.erode(alpha, _ellipse(inside_px)) >= KNOWN
    outside = cv2.erode(1 - alpha, _ellipse(outside_px)) >= KNOWN
    return np.where(inside, 2, np.where(outside, 0, 1)).astype(np.uint8)


def _kernel_px(generator: np.random.Generator) -> int:
    return int(generator.integers(KERNEL_PX[0], KERNEL_PX[1] + 1))


def _ellipse(size_px: int) -> Bytes:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size_px, size_px))
    return np.asarray(kernel, np.uint8)


def _stretched(alpha: Bytes) -> Plane:
    unit = alpha.astype(np.float32) / np.float32(255)
    size = (SIMULATION_SIZE, SIMULATION_SIZE)
    stretched = cv2.resize(unit, size, interpolation=cv2.INTER_LINEAR)
    if not stretched.any():
        # Linear sampling can step over a tiny object; averaging can't.
        stretched = cv2.resize(unit, size, interpolation=cv2.INTER_AREA)
    return np.asarray(stretched, np.float32)


def _restored(plane: Bytes, shape: tuple[int, ...]) -> Bytes:
    rows, columns = shape
    restored = cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(restored, np.uint8)
