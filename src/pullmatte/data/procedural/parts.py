"""Solid objects put together from shaded, textured parts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pullmatte.data.procedural.layer import (
    Appearance,
    Layer,
    appearance_of,
    dimmed,
    empty_layer,
    layer_of,
)
from pullmatte.data.procedural.pose import Points, Pose
from pullmatte.data.procedural.raster import Light, bounds, coverage, lighting, lit, relief
from pullmatte.data.procedural.texture import TILE_PX
from pullmatte.data.samples import Image, Plane

MARGIN_PX = 8


@dataclass(frozen=True)
class Surface:
    """What a part is made of.

    Attributes:
        tile: `256 256 3` sRGB, see `texture.draw_texture`.
        repeat: tiles along the object's 1.
        turn: of the tile, in radians.
        gloss: strength of the highlight.
        sharpness: of the highlight.
        roundness: how far from its edge the part rises, in object coordinates.
        scroll: how fast the tile moves across a part that turns, in object coordinates a second.
    """

    tile: Image
    repeat: float = 0.7
    turn: float = 0.0
    gloss: float = 0.2
    sharpness: float = 20.0
    roundness: float = 0.3
    scroll: float = 0.0


@dataclass(frozen=True)
class Part:
    """One piece of a solid object.

    Attributes:
        contours: closed curves in object coordinates, by the even-odd rule.
        surface: what it is made of.
        shadow: how dark it makes what lies under its rim, 0 to 1.
    """

    contours: Sequence[Points]
    surface: Surface
    shadow: float = 0.3


def draw_surface(
    generator: np.random.Generator, tile: Image, roundness: float | None = None
) -> Surface:
    """Draw how a tile lies on a part and how it shines.

    Args:
        generator: drawn from.
        tile: the tile.
        roundness: if it is given, not drawn.

    Returns:
        The surface.
    """
    return Surface(
        tile=tile,
        repeat=float(generator.uniform(0.4, 1.6)),
        turn=float(generator.uniform(0, 2 * np.pi)),
        gloss=float(max(generator.normal(0.15, 0.25), 0)),
        sharpness=float(np.exp(generator.uniform(np.log(6), np.log(120)))),
        roundness=float(generator.uniform(0.05, 0.6)) if roundness is None else roundness,
    )


def paint_parts(
    layer: Layer, parts: Sequence[Part], pose: Pose, light: Light, time: float = 0.0
) -> Layer:
    """Lay parts over a layer, the last on top.

    Args:
        layer: `S S 4`, changed and returned.
        parts: in their order.
        pose: where the object stands.
        light: on all of them.
        time: in seconds.

    Returns:
        The layer.
    """
    for part in parts:
        _paint_part(layer, part, pose, light, time)
    return layer


def volume_of(parts: Sequence[Part], pose: Pose, light: Light, size_px: int, time: float) -> Plane:
    """Light the joined volume of parts, for what grows on them.

    Args:
        parts: their surfaces are not used, but for how round they are.
        pose: where they stand.
        light: on them.
        size_px: side of the square.
        time: in seconds.

    Returns:
        `S S`, factor of a colour.
    """
    step = 4
    side = -(-size_px // step)
    mask = np.zeros((side, side), np.float32)
    for part in parts:
        contours = [pose.place(c, size_px, time) / step for c in part.contours]
        np.maximum(mask, coverage(contours, side, side), out=mask)
    radius_px = parts[0].surface.roundness * pose.scale * size_px / step
    diffuse, _ = lighting(relief(mask, radius_px), light, 0.0, 1.0)
    return np.asarray(cv2.resize(diffuse, (size_px, size_px)), np.float32)


def solid_painter(
    size_px: int, parts: Sequence[Part], pose: Pose, light: Light
) -> Callable[[float], Appearance]:
    """Return what shows an object of parts at any time.

    Args:
        size_px: side of the square.
        parts: in their order.
        pose: where it stands.
        light: on it.

    Returns:
        The painter.
    """

    def paint(time: float) -> Appearance:
        return appearance_of(paint_parts(empty_layer(size_px), parts, pose, light, time))

    return paint


def _paint_part(layer: Layer, part: Part, pose: Pose, light: Light, time: float) -> None:
    size_px = layer.shape[0]
    contours = [pose.place(c, size_px, time) for c in part.contours]
    box = bounds(contours, size_px)
    if box is None:
        return
    x0, y0, x1, y1 = box
    corner = np.array([x0, y0])
    radius_px = max(part.surface.roundness * pose.scale * size_px, 2.0)
    mask = coverage([c - corner for c in contours], x1 - x0, y1 - y0)
    diffuse, highlight = _part_light(contours, box, radius_px, light, part.surface)
    matrix = pose.matrix(size_px, time)
    colour = lit(_tile_window(part.surface, matrix, box, time), diffuse, highlight)
    window = layer[y0:y1, x0:x1]
    if part.shadow:
        _darken(window, mask, part.shadow, radius_px)
    window *= (1 - mask)[..., None]
    window += layer_of(colour, mask)


def _part_light(
    contours: Sequence[Points],
    box: tuple[int, int, int, int],
    radius_px: float,
    light: Light,
    surface: Surface,
) -> tuple[Plane, Plane]:
    """Light the part on a coarse grid, with room around it so that the rim falls off."""
    x0, y0, x1, y1 = box
    step = 4 if max(x1 - x0, y1 - y0) > 160 else 2
    width, height = -(-(x1 - x0) // step) + 2 * MARGIN_PX, -(-(y1 - y0) // step) + 2 * MARGIN_PX
    corner = np.array([x0, y0]) - MARGIN_PX * step
    mask = coverage([(c - corner) / step for c in contours], width, height)
    rise = relief(mask, radius_px / step)
    planes = lighting(rise, light, surface.gloss, surface.sharpness)
    size = width * step, height * step
    big = cv2.resize(np.stack(planes, -1), size, interpolation=cv2.INTER_CUBIC)
    inside = big[MARGIN_PX * step :, MARGIN_PX * step :][: y1 - y0, : x1 - x0]
    return np.asarray(inside[..., 0], np.float32), np.asarray(inside[..., 1], np.float32)


def _tile_window(
    surface: Surface, matrix: Points, box: tuple[int, int, int, int], time: float
) -> Image:
    x0, y0, x1, y1 = box
    inverse = np.linalg.inv(matrix[:, :2])
    cos, sin = np.cos(surface.turn), np.sin(surface.turn)
    scale = surface.repeat * TILE_PX
    turn = scale * np.array([[cos, -sin], [sin, cos]])
    linear = turn @ inverse
    start = linear @ (np.array([x0, y0]) + 0.5 - matrix[:, 2]) + TILE_PX / 2
    start = start + turn[:, 0] * surface.scroll * time
    read = np.concatenate([linear, start[:, None]], 1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = x1 - x0, y1 - y0
    window = cv2.warpAffine(surface.tile, read, size, flags=flags, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(window, np.float32)


def _darken(window: Layer, mask: Plane, strength: float, radius_px: float) -> None:
    side = max(int(radius_px * 0.15), 1) * 2 + 1
    shade = 1 - strength * cv2.blur(mask, (side, side))
    dimmed(window, shade)
