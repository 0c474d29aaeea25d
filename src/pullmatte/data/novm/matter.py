"""What no procedural kind of training shows: explosions, frost and slime.

They are made for measuring alone, so they stay out of `KINDS`.
"""

import cv2
import numpy as np

from pullmatte.data.procedural import KINDS
from pullmatte.data.procedural.fire import HEAT
from pullmatte.data.procedural.layer import (
    Appearance,
    Painter,
    appearance_of,
    layer_of,
    over,
    shrunk,
)
from pullmatte.data.procedural.noise import Noise
from pullmatte.data.procedural.palette import mix, near
from pullmatte.data.procedural.pose import Points
from pullmatte.data.procedural.raster import draw_light
from pullmatte.data.samples import Image, Plane

FINE = 2
SMOKE = np.array([0.16, 0.14, 0.13], np.float32)


def explosion(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a ball of fire that bursts, cools to smoke and throws sparks.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    noise = Noise(generator, generator.uniform(3, 5), 5, 0.6)
    warp = Noise(generator, 3, 3)
    sparks = KINDS["sparks"].design(size_px, generator) if generator.random() < 0.7 else None
    depth, rate = float(generator.uniform(4, 9)), float(generator.uniform(1.5, 3))
    least, most = float(generator.uniform(0.12, 0.2)), float(generator.uniform(0.34, 0.42))
    cool, soot = float(generator.uniform(0.6, 1.2)), near(SMOKE, 0.04, generator)
    rows, columns = np.mgrid[:size_px, :size_px].astype(np.float32) / size_px - 0.5

    def paint(time: float) -> Appearance:
        reach = least + (most - least) * (1 - np.exp(-rate * (time + 0.05)))
        bent = np.hypot(columns, rows) + 0.05 * warp.at(size_px, time)
        billow = noise.at(size_px, 1.5 * time)
        ball = np.clip((1 - bent / reach) * 2.2 + 0.45 * billow, 0, None)
        # Whatever the billows do, nothing reaches the square's edge.
        ball *= np.clip((0.49 - np.hypot(columns, rows)) * 20, 0, 1)
        alpha = 1 - np.exp(-depth * ball * np.exp(-0.5 * time))
        heat = np.clip(0.35 + 0.45 * ball + 0.2 * billow - cool * time * 0.6, 0, 1)
        lump = np.clip(0.75 + 0.35 * billow, 0.3, 1.5)[..., None]
        share = np.clip(heat * 2.2 - 0.2, 0, 1)[..., None]
        layer = layer_of(np.clip(soot * lump * (1 - share) + _glow(heat) * share, 0, 1), alpha)
        if sparks is not None:
            shown = sparks(time)
            fade = np.clip((0.5 - np.maximum(abs(rows), abs(columns))) * 12, 0, 1)
            over(layer_of(shown.colour, shown.alpha * fade), layer)
        return appearance_of(layer)

    return paint


def frost(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw ice crystals that grow over glass, with a thin haze between their needles.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    middles = generator.uniform(0.1, 0.9, (int(generator.integers(6, 16)), 2))
    crystals = [_crystal(generator, middle) for middle in middles]
    lines = np.concatenate([each[0] for each in crystals])
    births = np.concatenate([each[1] for each in crystals])
    grain = Noise(generator, 24, 3, 0.7)
    cloud = Noise(generator, 3, 4)
    needles, haze = float(generator.uniform(0.8, 2.5)), float(generator.uniform(0.5, 2.2))
    tint = mix(np.array([0.72, 0.86, 0.97], np.float32), np.ones(3, np.float32),
               float(generator.random()))  # fmt: skip
    begun, speed = float(generator.uniform(0.35, 0.55)), float(generator.uniform(0.15, 0.45))
    bright = grain.at(size_px)

    def paint(time: float) -> Appearance:
        grown = _grown(lines, births, begun + speed * time, size_px)
        near_by = cv2.GaussianBlur(grown, (0, 0), size_px / 60)
        veil = np.clip(near_by * (1.2 + 0.6 * cloud.at(size_px)), 0, None)
        alpha = 1 - np.exp(-needles * grown - haze * veil * (1 + 0.25 * bright))
        shade = np.clip(0.88 + 0.1 * bright * (0.3 + veil) + 0.15 * grown, 0, 1)
        colour = np.clip(tint * shade[..., None], 0, 1)
        return Appearance(np.asarray(colour, np.float32), np.asarray(alpha, np.float32))

    return paint


def slime(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw slime that hangs, drips and runs together: clear at its rim, shining, coloured.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    count = int(generator.integers(7, 14))
    starts = np.stack([generator.uniform(0.25, 0.75, count), generator.uniform(0.2, 0.5, count)], 1)
    speeds = generator.gamma(2, 0.06, count)
    radii = generator.uniform(0.05, 0.12, count)
    sway = generator.uniform(0, 2 * np.pi, count)
    light, ripple = draw_light(generator), Noise(generator, 5, 3)
    hue = np.array([(0.35, 0.85, 0.1), (0.6, 0.2, 0.75), (0.15, 0.7, 0.75), (0.85, 0.35, 0.5)])
    colour = near(hue[generator.integers(4)].astype(np.float32), 0.08, generator)
    depth, gloss = float(generator.uniform(0.8, 3)), float(generator.uniform(0.5, 1))
    rows, columns = np.mgrid[:size_px, :size_px].astype(np.float32) / size_px

    def paint(time: float) -> Appearance:
        field = np.zeros((size_px, size_px), np.float32)
        for number in range(count):
            x = starts[number, 0] + 0.01 * np.sin(3 * time + sway[number])
            y = min(starts[number, 1] + speeds[number] * time, 0.82)
            stretch = 1 + 2.5 * speeds[number]
            for along, thin in ((0.0, 1.0), (-0.6, 0.8), (-1.2, 0.6)):
                down = (rows - y - along * radii[number] * stretch) / stretch
                field += thin * np.exp(
                    -((columns - x) ** 2 + down**2) / (radii[number] * thin) ** 2
                )
        field *= 1 + 0.08 * ripple.at(size_px, time)
        thick = np.clip(field - 0.45, 0, None)
        alpha = 1 - np.exp(-depth * thick - 0.5 * np.clip(thick * 12, 0, 1))
        alpha = np.where(thick > 0, alpha, 0) * np.clip(thick * 40, 0, 1)
        return Appearance(_wet(thick, colour, light.direction, gloss), alpha.astype(np.float32))

    return paint


def _glow(heat: Plane) -> Image:
    """Turn heat in [0, 1] into the colours of fire."""
    knots, places = np.array(HEAT), np.linspace(0, 1, len(HEAT))
    return np.stack([np.interp(heat, places, knots[:, c]) for c in range(3)], -1).astype(np.float32)


def _crystal(generator: np.random.Generator, middle: Points) -> tuple[Points, Points]:
    """Draw a crystal of six arms with twigs: lines `N 2 2`, and when each begins, `N`."""
    reach, first = generator.uniform(0.12, 0.4), generator.uniform(0, np.pi)
    lines: list[Points] = []
    births: list[float] = []
    for arm in range(6):
        if generator.random() < 0.15:
            continue
        angle = first + arm * np.pi / 3 + generator.normal(0, 0.05)
        length = reach * generator.uniform(0.6, 1.1)
        end = middle + length * np.array([np.cos(angle), np.sin(angle)])
        lines.append(np.stack([middle, end]))
        births.append(0.0)
        for share in np.linspace(0.15, 0.9, int(generator.integers(8, 20))):
            base = middle + share * (end - middle)
            for side in (-1, 1):
                turn = angle + side * np.pi / 3 + generator.normal(0, 0.08)
                twig = length * (1 - share) * generator.uniform(0.2, 0.6)
                tip = base + twig * np.array([np.cos(turn), np.sin(turn)])
                lines.append(np.stack([base, tip]))
                births.append(float(share))
    return np.stack(lines), np.array(births)


def _grown(lines: Points, births: Points, age: float, size_px: int) -> Plane:
    """Draw as much of the lines as has grown, with soft edges."""
    canvas = np.zeros((size_px * FINE, size_px * FINE), np.uint8)
    shares = np.clip((age - births * 0.8) * 1.6, 0, 1)[:, None]
    ends = lines[:, 0] + shares * (lines[:, 1] - lines[:, 0])
    whole = np.rint(np.stack([lines[:, 0], ends], 1) * size_px * FINE * 16).astype(np.int32)
    width = max(1, round(size_px * FINE / 400))
    for number in np.flatnonzero(shares[:, 0] > 0):
        strength = 255 if births[number] == 0 else 170
        start, end = (tuple(point.tolist()) for point in whole[number])
        cv2.line(canvas, start, end, strength, width + (births[number] == 0), cv2.LINE_AA, 4)
    return shrunk(canvas, FINE).astype(np.float32) / np.float32(255)


def _wet(
    thick: Plane, colour: Points, direction: tuple[float, float, float], gloss: float
) -> Image:
    """Shade a thick fluid: deep parts are darker, slopes towards the light shine."""
    height = np.sqrt(np.clip(thick, 0, None))
    slope_y, slope_x = np.gradient(cv2.GaussianBlur(height, (0, 0), 2.0) * thick.shape[0] / 14)
    length = np.sqrt(slope_x**2 + slope_y**2 + 1)
    x, y, z = direction
    facing = np.clip((-slope_x * x - slope_y * y + z) / length, 0, 1)
    deep = np.exp(-0.35 * thick)[..., None]
    shine = gloss * np.clip(facing - 0.05, 0, 1)[..., None] ** 24
    shown = colour * (0.35 + 0.65 * facing[..., None]) * (0.45 + 0.6 * deep) + shine
    return np.asarray(np.clip(shown, 0, 1), np.float32)
