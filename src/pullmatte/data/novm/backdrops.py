"""Backgrounds without any file: textured places with things in them, and a camera that moves."""

from collections.abc import Iterator

import cv2
import numpy as np

from pullmatte.data.clip_files import composed
from pullmatte.data.moving_grounds import Size, camera_over
from pullmatte.data.moving_scenes import smooth_walk
from pullmatte.data.procedural import KINDS, defocused, make
from pullmatte.data.procedural.texture import draw_texture
from pullmatte.data.samples import Cutout
from pullmatte.data.scenes import made_ground, shape_mask
from pullmatte.data.set_files import Bytes

THINGS = tuple(name for name, kind in KINDS.items() if kind.family == "solid" and name != "bust")


def made_backdrop(frames: int, size: Size, rng: np.random.Generator) -> Iterator[Bytes]:
    """Show a made place: a camera goes over it, and one thing out of focus drifts through it.

    Args:
        frames: how many.
        size: width and height.
        rng: all random numbers come from it.

    Yields:
        `H W 3` uint8.
    """
    picture = made_place(round(1.6 * max(size)), rng)
    drifter = _thing(round(size[1] * rng.uniform(0.35, 0.7)), rng, blur=0.03)
    start = rng.uniform(-0.2, 0.8, 2) * size
    path = start + smooth_walk(frames, 2, rng) * 0.008 * size[0]
    for at, below in enumerate(camera_over(picture, frames, size, rng)):
        matrix = np.array([[1, 0, path[at, 0]], [0, 1, path[at, 1]]])
        layer = np.asarray(cv2.warpAffine(drifter, matrix, size), np.uint8)
        yield composed(layer[..., :3], layer[..., 3], below)


def made_place(side_px: int, rng: np.random.Generator) -> Bytes:
    """Make a picture of a place: surfaces that meet, uneven light, things standing about.

    Args:
        side_px: of the square.
        rng: all random numbers come from it.

    Returns:
        `S S 3` uint8.
    """
    picture: Bytes = made_ground(side_px, rng)
    for _ in range(int(rng.integers(3, 7))):
        part = (shape_mask(side_px, rng) * 255).astype(np.uint8)
        picture = composed(_surface(side_px, rng), part, picture)
    shade = cv2.resize(rng.uniform(0.6, 1.2, (3, 3)), (side_px, side_px), interpolation=2)
    picture = np.clip(picture * shade[..., None], 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(4, 9))):
        thing = _thing(round(side_px * rng.uniform(0.1, 0.3)), rng, blur=0.008)
        side = thing.shape[0]
        top, left = rng.integers(0, side_px - side, 2)
        window = picture[top : top + side, left : left + side]
        window[:] = composed(thing[..., :3], thing[..., 3], window)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.6, 1.6)), np.uint8)


def _surface(side_px: int, rng: np.random.Generator) -> Bytes:
    """Cover a square with a texture, turned and scaled, its tiles mirrored where they meet."""
    tile = (draw_texture(rng) * 255).astype(np.uint8)
    pair = np.hstack([tile, tile[:, ::-1]])
    tile = np.vstack([pair, pair[::-1]])
    count = -(-2 * side_px // tile.shape[0])
    sheet = np.tile(tile, (count, count, 1))
    scale, turn = rng.uniform(0.5, 1.6), rng.uniform(-180, 180)
    matrix = cv2.getRotationMatrix2D((sheet.shape[1] / 2, sheet.shape[0] / 2), turn, scale)
    matrix = matrix + np.array([[0, 0, (side_px - sheet.shape[1]) / 2]] * 2)
    return np.asarray(
        cv2.warpAffine(sheet, matrix, (side_px, side_px), borderMode=cv2.BORDER_REFLECT_101),
        np.uint8,
    )


def _thing(side_px: int, rng: np.random.Generator, blur: float) -> Bytes:
    """Make a thing, out of focus, with a margin: `S S 4` uint8."""
    side = max(side_px, 48)
    made = make(THINGS[int(rng.integers(len(THINGS)))], side, rng)
    edge = max(4, side // 10)
    line = np.minimum(np.arange(side), np.arange(side)[::-1])
    inside = np.clip(np.minimum(line, line[:, None]) / edge, 0, 1).astype(np.float32)
    soft = defocused(Cutout(made.colour, made.alpha * inside, made.kind), blur * side)
    rgba = np.dstack([soft.colour, soft.alpha])
    return np.asarray(np.clip(np.rint(rgba * 255), 0, 255), np.uint8)
