"""Fire and sparks: they glow, and their alpha comes from how dense they are."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.data.procedural.layer import Appearance, Painter, shrunk
from pullmatte.data.procedural.noise import Noise
from pullmatte.data.procedural.palette import any_colour
from pullmatte.data.procedural.pose import Points, draw_pose
from pullmatte.data.procedural.raster import fixed
from pullmatte.data.procedural.strands import FINE
from pullmatte.data.samples import Image, Plane

HEAT = ((0.12, 0.01, 0.0), (0.45, 0.06, 0.01), (0.85, 0.25, 0.03), (1.0, 0.55, 0.1),
        (1.0, 0.82, 0.35), (1.0, 0.96, 0.8))  # fmt: skip
GAS = ((0.0, 0.02, 0.15), (0.02, 0.1, 0.5), (0.1, 0.3, 0.9), (0.35, 0.6, 1.0), (0.75, 0.88, 1.0),
       (0.95, 0.98, 1.0))  # fmt: skip
STEPS = 256


def fire(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw flames that rise, or a ball of fire.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    burst = generator.random() < 0.3
    shape = _ball(generator, size_px) if burst else _flames(generator, size_px)
    aspect = (1.0, 1.0) if burst else (1.0, float(generator.uniform(0.35, 0.7)))
    noise = Noise(generator, generator.uniform(2.5, 7), 5, generator.uniform(0.45, 0.65))
    sway = Noise(generator, generator.uniform(1, 3), 2)
    bend = float(generator.uniform(0.02, 0.1)) * size_px
    depth = float(np.exp(generator.uniform(np.log(1.0), np.log(8))))
    speed = 0.1 if burst else float(generator.uniform(0.5, 1.5))
    hot = float(generator.uniform(0.5, 1.2))
    ragged = float(generator.uniform(0.5, 1.2))
    table = _ramp(generator)
    line = np.arange(size_px, dtype=np.float32)

    def paint(time: float) -> Appearance:
        drift = (0.0, speed * time)
        licks = noise.at(size_px, time * 2, drift, aspect)
        push = cv2.resize(sway.at(size_px // 4, time * 1.5, drift), (size_px, size_px))
        rows = np.broadcast_to(line[:, None], push.shape)
        bent = cv2.remap(shape, line + bend * push, rows, 1, borderMode=cv2.BORDER_REPLICATE)
        heat = np.maximum(bent * (1.5 + ragged * licks) - 0.45, 0)
        density = depth * heat * np.minimum(bent * 3, 1)
        colour = _glow(np.clip(hot * (0.25 + 0.55 * heat), 0, 1), table)
        return Appearance(colour, 1 - np.exp(-density))

    return paint


def sparks(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw sparks or embers that fly from one place, each with its trail and its glow.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows them.
    """
    count = int(np.exp(generator.uniform(np.log(40), np.log(700))))
    pose = draw_pose(generator, tilt=3.0)
    origin = generator.uniform(-0.6, 0.6, 2)
    spread, mean = generator.uniform(0.3, np.pi), generator.uniform(0, 2 * np.pi)
    angle = mean + generator.normal(0, spread, count)
    speed = generator.gamma(2, generator.uniform(0.3, 1.0), count)[:, None]
    moves = speed * np.stack([np.cos(angle), np.sin(angle)], -1)
    ages, life = generator.uniform(0.05, 1, count), generator.uniform(0.6, 1.6, count)
    trail = float(generator.uniform(0.01, 0.12))
    fall, curl = float(generator.uniform(0, 1.5)), generator.normal(0, 0.1, (count, 2))
    thick = np.maximum(generator.lognormal(0, 0.5, count) * generator.uniform(0.5, 2), 0.4)
    glow, table = float(generator.uniform(0.2, 1.2)), _ramp(generator)

    def paint(time: float) -> Appearance:
        age = (ages + time)[:, None] - np.linspace(trail, 0, 5)
        bend = curl[:, None] * np.sin(6 * age)[..., None]
        track = origin + moves[:, None] * age[..., None] + bend
        track[..., 1] += fall * age**2 / 2
        warmth = np.clip(1 - (ages + time) / life / 1.6, 0.02, 1)
        canvas = _draw_sparks(pose.place(track, size_px, time), thick, warmth, size_px)
        return _glowing(canvas, glow, table, size_px)

    return paint


def _draw_sparks(
    tracks_px: Points, thick: Points, warmth: Points, size_px: int
) -> NDArray[np.uint8]:
    """Draw heat, which is 0 where nothing glows."""
    canvas = np.zeros((size_px * FINE, size_px * FINE), np.uint8)
    scale = size_px / 512 * FINE
    for group in np.array_split(np.argsort(warmth), min(24, len(warmth))):
        width = max(round(float(thick[group].mean()) * scale), 1)
        lines = list(fixed(tracks_px[group], FINE))
        value = float(60 + 195 * warmth[group].mean())
        cv2.polylines(canvas, lines, False, value, width, cv2.LINE_8, 4)
    return canvas


def _glowing(canvas: NDArray[np.uint8], glow: float, table: Image, size_px: int) -> Appearance:
    heat = shrunk(canvas, FINE) / np.float32(255)
    core = shrunk((canvas > 0).astype(np.uint8) * 255, FINE) / np.float32(255)
    small = cv2.resize(heat, (size_px // 4, size_px // 4), interpolation=cv2.INTER_AREA)
    scale = size_px / 512
    soft = cv2.GaussianBlur(small, (0, 0), scale) + cv2.GaussianBlur(small, (0, 0), 5 * scale)
    halo = np.clip(2 * glow * cv2.resize(soft, (size_px, size_px)), 0, 1)
    alpha = 1 - (1 - core) * (1 - 0.7 * halo)
    warm = np.clip(0.35 + 0.35 * halo + 0.6 * heat, 0, 1)
    return Appearance(_glow(warm, table), np.clip(alpha, 0, 1))


def _ramp(generator: np.random.Generator) -> Image:
    """Return the colours of heat, cold first; now and then of a flame test's or a gas flame's."""
    style = generator.random()
    knots = np.array(GAS if style < 0.08 else HEAT)
    if style > 0.95:
        share = np.linspace(0, 1, 6)[:, None]
        knots = any_colour(generator) * (0.2 + share) + share**3
    places = np.linspace(0, 5, STEPS)
    ramp = np.stack([np.interp(places, np.arange(6), knots[:, c]) for c in range(3)], -1)
    return np.asarray(np.clip(ramp, 0, 1), np.float32)


def _glow(heat: Points, table: Image) -> Image:
    return np.asarray(table[(heat * (STEPS - 1)).astype(np.int32)])


def _flames(generator: np.random.Generator, size_px: int) -> Plane:
    pose = draw_pose(generator, tilt=0.15)
    x, y = pose.coordinates(size_px)
    up = np.clip((1 - y) / 2, 0, 1.3)
    shape = np.zeros_like(x)
    for _ in range(int(generator.integers(1, 6))):
        middle, wide = generator.uniform(-0.5, 0.5), generator.uniform(0.15, 0.5)
        tall = generator.uniform(0.5, 1.0)
        width = wide * np.maximum(1 - up / tall, 0.02) ** 0.6
        tongue = np.exp(-(((x - middle * (1 - 0.5 * up)) / width) ** 2))
        shape = np.maximum(shape, tongue * np.clip(1.2 * (1 - up / tall), 0, 1) ** 0.5)
    return np.asarray(shape * np.clip((1 - y) * 5, 0, 1), np.float32)


def _ball(generator: np.random.Generator, size_px: int) -> Plane:
    pose = draw_pose(generator)
    x, y = pose.coordinates(size_px)
    keep = np.ones_like(x)
    for _ in range(int(generator.integers(1, 6))):
        cx, cy = generator.uniform(-0.4, 0.4, 2)
        radius = generator.uniform(0.3, 0.6)
        keep *= 1 - np.exp(-((((x - cx) ** 2 + (y - cy) ** 2) / radius**2) ** 1.5))
    return np.asarray(1 - keep, np.float32)
