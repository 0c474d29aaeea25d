"""Tiles of surface: plain, striped, dotted, woven, wooden, knitted."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.data.procedural.noise import Noise
from pullmatte.data.procedural.palette import Colour, any_colour, mix, near
from pullmatte.data.samples import Image, Plane

TILE_PX = 256

Wave = NDArray[np.floating[Any]]
Maker = Callable[[np.random.Generator, Plane, Plane], Wave]


def _plain(generator: np.random.Generator, x: Plane, y: Plane) -> Wave:
    return np.full_like(x, generator.random())


def _stripes(generator: np.random.Generator, x: Plane, y: Plane) -> Wave:
    angle = generator.choice([0, np.pi / 2, generator.uniform(0, np.pi)])
    along = np.cos(angle) * x + np.sin(angle) * y
    wave = np.sin(along * generator.uniform(6, 40) + generator.uniform(0, 6))
    return _hard(wave + generator.uniform(-0.6, 0.6), generator)


def _checks(generator: np.random.Generator, x: Plane, y: Plane) -> Wave:
    rate = generator.uniform(8, 30)
    if generator.random() < 0.5:
        return (_hard(np.sin(x * rate), generator) + _hard(np.sin(y * rate), generator)) / 2
    return _hard(np.sin(x * rate) * np.sin(y * rate), generator)


def _dots(generator: np.random.Generator, x: Plane, y: Plane) -> Wave:
    rate = generator.uniform(4, 16)
    row = np.floor(y * rate)
    u, v = x * rate + row % 2 / 2, y * rate
    distance = np.hypot(u - np.floor(u) - 0.5, v - row - 0.5)
    return np.asarray(np.clip((generator.uniform(0.15, 0.4) - distance) * 20, 0, 1))


def _cloudy(generator: np.random.Generator, x: Plane, y: Plane) -> Wave:
    noise = Noise(generator, generator.uniform(2, 12), 4, generator.uniform(0.3, 0.7))
    return np.asarray(np.clip(0.5 + 0.3 * noise.at(TILE_PX), 0, 1))


def _patches(generator: np.random.Generator, x: Plane, y: Plane) -> Wave:
    noise = Noise(generator, generator.uniform(2, 8), 2).at(TILE_PX)
    return _hard(noise * 3 + generator.uniform(-1, 1), generator)


def _wood(generator: np.random.Generator, x: Plane, y: Plane) -> Wave:
    bend = Noise(generator, 2, 2).at(TILE_PX) * generator.uniform(0.02, 0.12)
    grain = Noise(generator, 6, 3).at(TILE_PX, aspect=(0.5, 4))
    rings = np.sin((x * 0.15 + y + bend) * generator.uniform(25, 90))
    return np.asarray(np.clip(0.5 + 0.25 * rings + 0.15 * grain, 0, 1))


def _knit(generator: np.random.Generator, x: Plane, y: Plane) -> Wave:
    rate = generator.uniform(10, 28)
    u, v = x * rate, y * rate * 1.3
    side = np.abs(u - np.floor(u) - 0.5)
    stitch = np.abs(np.sin(np.pi * (v + side * 1.2)))
    shade = stitch * np.sqrt(np.maximum(1 - (side * 4 - 1) ** 2, 0))
    colour_row = (np.floor(y * rate / 4) % generator.integers(1, 4) == 0) * generator.random() * 0.4
    return np.asarray(np.clip(shade * 0.6 + colour_row, 0, 1))


def _gradient(generator: np.random.Generator, x: Plane, y: Plane) -> Wave:
    angle = generator.uniform(0, 2 * np.pi)
    slope = generator.uniform(0.5, 2)
    return np.asarray(
        np.clip(0.5 + (np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)) * slope, 0, 1)
    )


def _hard(wave: Wave, generator: np.random.Generator) -> Wave:
    return np.asarray(np.clip(0.5 + wave * generator.uniform(2, 12), 0, 1))


MAKERS: tuple[tuple[float, Maker], ...] = (
    (0.3, _plain),
    (0.12, _stripes),
    (0.07, _checks),
    (0.1, _dots),
    (0.13, _cloudy),
    (0.06, _patches),
    (0.07, _wood),
    (0.07, _knit),
    (0.08, _gradient),
)


def draw_texture(generator: np.random.Generator, base: Colour | None = None) -> Image:
    """Draw a tile: a pattern in two colours, with grain and stains.

    Args:
        generator: drawn from.
        base: the first colour, if it is given.

    Returns:
        `256 256 3` sRGB; mirrored at its edges it goes on without a seam.
    """
    line = ((np.arange(TILE_PX) + 0.5) / TILE_PX).astype(np.float32)
    x, y = (np.ascontiguousarray(p, np.float32) for p in np.meshgrid(line, line))
    shares = np.array([share for share, _ in MAKERS])
    maker = MAKERS[generator.choice(len(MAKERS), p=shares / shares.sum())][1]
    first = any_colour(generator) if base is None else base
    far = generator.random() < 0.5
    second = any_colour(generator) if far else near(first, 0.15, generator)
    share = maker(generator, x, y).astype(np.float32)
    planes = [a + (b - a) * share for a, b in zip(first, second, strict=True)]
    tile = np.asarray(cv2.merge(planes), np.float32)
    stains = Noise(generator, 3, 3).at(TILE_PX)
    tile *= (1 + np.float32(generator.uniform(0, 0.12)) * stains)[..., None]
    grain = generator.standard_normal((TILE_PX, TILE_PX), np.float32)
    tile += (np.float32(generator.uniform(0, 0.05)) * cv2.blur(grain, (2, 2)))[..., None]
    return np.clip(tile, 0, 1, out=tile).astype(np.float32, copy=False)


def tinted(tile: Image, colour: Colour, share: float) -> Image:
    """Pull a tile towards a colour.

    Args:
        tile: `H W 3`.
        colour: the colour.
        share: how far, 0 to 1.

    Returns:
        `H W 3`.
    """
    return np.asarray(mix(tile, colour, share), np.float32)
