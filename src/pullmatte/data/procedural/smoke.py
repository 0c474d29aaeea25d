"""Smoke and steam: alpha is 1 - exp(-density)."""

import cv2
import numpy as np

from pullmatte.data.procedural.layer import Appearance, Painter
from pullmatte.data.procedural.noise import Noise
from pullmatte.data.procedural.palette import Colour, any_colour, mix
from pullmatte.data.procedural.pose import Points, draw_pose
from pullmatte.data.procedural.raster import Light, draw_light
from pullmatte.data.samples import Image, Plane


def smoke(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a cloud or a plume of smoke.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    light = draw_light(generator)
    rising = generator.random() < 0.6
    shape = _plume(generator, size_px) if rising else _cloud(generator, size_px)
    noise = Noise(generator, generator.uniform(2.5, 6), 5, generator.uniform(0.45, 0.7))
    warp = Noise(generator, generator.uniform(1.5, 4), 3)
    bend = float(generator.uniform(0.0, 0.12))
    depth = float(np.exp(generator.uniform(np.log(0.7), np.log(9))))
    ragged = float(generator.uniform(0.4, 1.3))
    speed = float(generator.uniform(0.1, 0.5)) if rising else 0.03
    colour, tint = _smoke_colour(generator), any_colour(generator)
    tint = mix(colour, tint, float(generator.uniform(0, 0.25)))

    def paint(time: float) -> Appearance:
        drift = (0.0, speed * time)
        turbulent = _warped(noise.at(size_px, time * 0.8, drift), warp, bend, time, drift)
        density = depth * np.maximum(shape * 1.6 - 0.6 + ragged * shape * turbulent, 0) * shape
        thick = np.asarray(density, np.float32)
        return Appearance(_lit_smoke(thick, turbulent, colour, tint, light), 1 - np.exp(-thick))

    return paint


def wisps(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw thin threads of steam or incense.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows them.
    """
    light = draw_light(generator)
    count = int(generator.integers(2, 6))
    noises = [Noise(generator, generator.uniform(1, 2.5), 3, 0.5) for _ in range(count)]
    shape = _plume(generator, size_px)
    haze = Noise(generator, 3, 4, 0.6)
    thin = generator.uniform(0.03, 0.15, count)
    depth = float(generator.uniform(1, 4))
    speed = float(generator.uniform(0.1, 0.4))
    colour = _smoke_colour(generator)
    aspect = (float(generator.uniform(0.8, 1.6)), float(generator.uniform(0.3, 0.8)))

    def paint(time: float) -> Appearance:
        drift = (0.0, speed * time)
        density = np.zeros((size_px, size_px), np.float32)
        for noise, width in zip(noises, thin, strict=True):
            field = noise.at(size_px, time * 0.5, drift, aspect)
            density += np.exp(-((field / width) ** 2) / 2)
        veil = haze.at(size_px, time * 0.5, drift)
        density *= depth * shape * np.clip(0.6 + 0.4 * veil, 0, 1.5)
        density += 0.25 * depth * shape * np.clip(0.3 + veil, 0, 2)
        return Appearance(_lit_smoke(density, veil, colour, colour, light), 1 - np.exp(-density))

    return paint


def _smoke_colour(generator: np.random.Generator) -> Colour:
    if generator.random() < 0.12:
        return any_colour(generator)
    grey = generator.beta(2.5, 1.2) * 0.95 + 0.05
    return np.clip(grey + generator.normal(0, 0.02, 3), 0, 1).astype(np.float32)


def _cloud(generator: np.random.Generator, size_px: int) -> Plane:
    """Return a soft heap: 1 inside, 0 far outside."""
    pose = draw_pose(generator)
    x, y = pose.coordinates(size_px)
    keep = np.ones_like(x)
    for _ in range(int(generator.integers(2, 7))):
        cx, cy = generator.uniform(-0.5, 0.5, 2)
        a, b = generator.uniform(0.25, 0.6, 2)
        keep *= 1 - np.exp(-(((x - cx) / a) ** 2) - ((y - cy) / b) ** 2)
    return np.asarray(1 - keep, np.float32)


def _plume(generator: np.random.Generator, size_px: int) -> Plane:
    """Return a column that widens as it rises."""
    pose = draw_pose(generator, tilt=0.3)
    x, y = pose.coordinates(size_px)
    up = np.clip((1 - y) / 2, 0, 1.2)
    bend = generator.normal(0, 0.4) * up**2
    width = generator.uniform(0.05, 0.25) + generator.uniform(0.15, 0.7) * up
    column = np.exp(-(((x - bend) / width) ** 2))
    fade = np.clip((1 - y) * 4, 0, 1) * np.clip((y + generator.uniform(0.7, 1.4)) * 1.5, 0, 1)
    return np.asarray(column * fade, np.float32)


def _warped(
    field: Plane, warp: Noise, bend: float, time: float, drift: tuple[float, float]
) -> Plane:
    """Read a field where another one bends it to, which curls its edges."""
    size_px = field.shape[0]
    small = size_px // 4
    side = cv2.resize(warp.at(small, time * 0.6, drift), (size_px, size_px))
    down = cv2.resize(warp.at(small, time * 0.6 + 1.3, drift), (size_px, size_px))
    line = np.arange(size_px, dtype=np.float32)
    push = bend * size_px
    return np.asarray(
        cv2.remap(
            field, line + push * side, line[:, None] + push * down,
            cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT,
        ),
        np.float32,
    )  # fmt: skip


def _lit_smoke(
    density: Points, turbulent: Plane, colour: Colour, tint: Colour, light: Light
) -> Image:
    """Shade smoke by how much of it lies towards the light."""
    size_px = density.shape[0]
    small = cv2.resize(density, (size_px // 8, size_px // 8), interpolation=cv2.INTER_AREA)
    shift = np.array([[1, 0, -light.direction[0] * 5], [0, 1, -light.direction[1] * 5]])
    shade = cv2.warpAffine(cv2.GaussianBlur(small, (0, 0), 3), shift, small.shape[::-1])
    bright = np.exp(-0.25 * cv2.resize(shade, (size_px, size_px)))
    bright = light.ambient * 0.7 + (1 - light.ambient * 0.7) * bright + 0.08 * turbulent
    share = np.clip(bright, 0, 1.2)[..., None]
    shown = (tint * (1 - share) * 0.8 + colour * share) * light.strength
    return np.asarray(np.clip(shown, 0, 1), np.float32)
