"""Things that are seen by their rims: bubbles, glass vessels, water."""

import cv2
import numpy as np

from pullmatte.data.procedural.layer import (
    Appearance,
    Layer,
    Painter,
    appearance_of,
    empty_layer,
    layer_of,
    over,
)
from pullmatte.data.procedural.noise import Noise
from pullmatte.data.procedural.outlines import ellipse, lathe_outline, lathe_profile
from pullmatte.data.procedural.palette import Colour, any_colour, near
from pullmatte.data.procedural.pose import Points, Pose, draw_pose
from pullmatte.data.procedural.raster import coverage, fixed, relief
from pullmatte.data.samples import Image, Plane


def bubbles(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw soap bubbles: thin shells, bright at the rim, with the room mirrored in them.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows them.
    """
    count = int(generator.choice([1, 2, 4, 9, 20], p=[0.35, 0.15, 0.2, 0.2, 0.1]))
    largest = 0.45 if count == 1 else 0.6 / count**0.45
    radii = np.sort(largest * generator.uniform(0.35, 1, count)) * size_px
    spread = generator.uniform(0.1, 0.9, (count, 2)) if count > 1 else np.full((1, 2), 0.5)
    speeds = generator.normal(0, 0.04, (count, 2)) - np.array([0, 0.06])
    phases = generator.uniform(0, 2 * np.pi, count)
    looks = [_Film(generator) for _ in range(min(count, 3))]

    def paint(time: float) -> Appearance:
        layer = empty_layer(size_px)
        wobble = 0.02 * np.sin(5 * time + phases)
        for number in range(count):
            centre = (spread[number] + speeds[number] * time) * size_px
            look = looks[number % len(looks)]
            _paint_bubble(layer, centre, float(radii[number]), float(wobble[number]), look, time)
        return appearance_of(layer)

    return paint


def vessel(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a glass, jar or bottle: a turned body with a wall, a foot, and perhaps a drink.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    pose = draw_pose(generator)
    profile = lathe_profile(generator)
    sag = float(generator.uniform(0.05, 0.25))
    profile[:, 1] *= 1 - sag * profile[[0, -1], 0].max()
    wall = float(generator.uniform(0.03, 0.12))
    density = float(np.exp(generator.uniform(np.log(0.25), np.log(2.5))))
    tint = any_colour(generator) if generator.random() < 0.5 else _clear(generator)
    level = float(generator.uniform(-0.6, 0.9)) if generator.random() < 0.5 else 2.0
    drink, drink_density = any_colour(generator), float(generator.uniform(0.2, 3))
    lamps = _lamps(generator)

    def paint(time: float) -> Appearance:
        x, y = pose.coordinates(size_px, time)
        outline = pose.place(lathe_outline(profile, sag), size_px, time)
        inside = coverage([outline], size_px, size_px)
        radius = _radius_at(profile, y)
        path = _chord(radius, x) - _chord(radius - wall, x)
        foot = np.clip((y - profile[-1, 1] + 3 * wall) / (2 * wall), 0, 1)
        shell = 1 - np.exp(-density * (path * 2.5 + foot * _chord(radius, x)) - 0.04)
        layer = layer_of(_shaded(tint, x / np.maximum(radius, 1e-3)), shell * inside)
        if level < 1:
            full = np.clip((y - level) * pose.scale * size_px + 0.5, 0, 1)
            filled = full * (1 - np.exp(-drink_density * 2 * _chord(radius - wall, x)))
            over(layer_of(drink, filled * inside), layer)
        over(layer_of(np.ones(3, np.float32), _glints(x, y, radius, lamps) * inside), layer)
        _paint_rims(layer, pose, profile, sag, level, time)
        return appearance_of(layer)

    return paint


def water(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a splash or drops: clear bodies that mirror the sky, with bright and dark rims.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows them.
    """
    pose = draw_pose(generator, tilt=0.4)
    splash = generator.random() < 0.6
    count = int(generator.integers(10, 60)) if splash else int(generator.integers(3, 40))
    starts = generator.normal((0, 0.6), 0.15, (count, 2))
    angle = generator.normal(-np.pi / 2, 0.6, count)
    speed = generator.uniform(0.8, 3, count)[:, None]
    moves = np.stack([np.cos(angle), np.sin(angle)], -1) * speed
    if not splash:
        starts = generator.uniform(-0.9, 0.9, (count, 2))
        moves = np.stack([np.zeros(count), generator.uniform(0.0, 0.6, count)], -1)
    width = float(generator.uniform(0.04, 0.12))
    thick = width * generator.lognormal(0, 0.5, count)
    age = float(generator.uniform(0.15, 0.5))
    ripple = Noise(generator, 6, 3)
    tint = near(np.array([0.75, 0.85, 0.9], np.float32), 0.08, generator)
    clear = float(generator.uniform(0.05, 0.4))
    gravity = 3.0 if splash else 0.5

    def paint(time: float) -> Appearance:
        ages = age + time - np.linspace(0, 0.12 if splash else 0.03, 6)
        fall = np.stack([0 * ages, gravity * ages**2 / 2], -1)
        tracks = starts[:, None] + moves[:, None] * ages[:, None] + fall
        field = _metaballs(pose.place(tracks, size_px, time), thick * pose.scale, size_px)
        field += 0.15 * ripple.at(size_px, time) * np.minimum(field, 1)
        return _clear_body(field, tint, clear, size_px)

    return paint


class _Film:
    """The colours of a thin film and the lamps mirrored in it."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.rim = float(generator.uniform(1.2, 5))
        self.base = float(generator.uniform(0.01, 0.15))
        self.bands = float(generator.uniform(0.5, 4))
        self.hue = float(generator.uniform(0, 2 * np.pi))
        self.vivid = float(generator.uniform(0, 0.5))
        self.noise = Noise(generator, 2, 3)
        self.lamps = generator.uniform(-0.65, 0.65, (int(generator.integers(1, 4)), 2))
        self.sizes = generator.uniform(0.04, 0.15, len(self.lamps))


def _paint_bubble(
    layer: Layer, centre: Points, radius: float, wobble: float, film: _Film, time: float
) -> None:
    size_px = layer.shape[0]
    x0, y0 = np.clip(np.floor(centre - radius * 1.05), 0, size_px).astype(int)
    x1, y1 = np.clip(np.ceil(centre + radius * 1.05), 0, size_px).astype(int)
    if x1 <= x0 or y1 <= y0:
        return
    line = np.arange(size_px, dtype=np.float32) + 0.5
    x = (line[x0:x1] - np.float32(centre[0])) / np.float32(radius * (1 + wobble))
    y = (line[y0:y1, None] - np.float32(centre[1])) / np.float32(radius * (1 - wobble))
    square = x * x + y * y
    facing = np.sqrt(np.maximum(1 - square, 0))
    edge = np.clip((1 - np.sqrt(square)) * radius + 0.5, 0, 1)
    alpha = film.base + (0.9 - film.base) * (1 - facing) ** film.rim
    size = int(x1 - x0), int(y1 - y0)
    swirl = cv2.resize(film.noise.at(64, time * 0.5), size, interpolation=cv2.INTER_CUBIC)
    phase = film.hue + film.bands * (2 * facing + 0.5 * swirl + y)
    hues = np.stack([np.cos(phase), np.cos(phase + 2.1), np.cos(phase + 4.2)], -1)
    colour = np.clip(0.75 + film.vivid * hues, 0, 1).astype(np.float32)
    shine = np.zeros_like(square)
    for (lx, ly), wide in zip(film.lamps, film.sizes, strict=True):
        for sign, strength in ((1, 1.0), (-0.8, 0.4)):
            far = ((x - sign * lx) ** 2 + (y - sign * ly) ** 2) / wide**2
            shine += strength * np.exp(-(far**2))
    shine = np.clip(shine, 0, 1)
    alpha = (alpha + (1 - alpha) * shine) * edge
    colour += (1 - colour) * shine[..., None]
    over(layer_of(colour, alpha.astype(np.float32)), layer[y0:y1, x0:x1])


def _clear(generator: np.random.Generator) -> Colour:
    return near(np.full(3, generator.uniform(0.5, 0.95), np.float32), 0.03, generator)


def _radius_at(profile: Points, y: Plane) -> Plane:
    """Look a profile's radius up at every height."""
    low, high = profile[0, 1], profile[-1, 1]
    table = np.interp(np.linspace(low, high, 1024), profile[:, 1], profile[:, 0])
    index = np.clip((y - low) * (1023 / (high - low)), 0, 1023).astype(np.int32)
    return np.asarray(table.astype(np.float32)[index])


def _chord(radius: Plane, x: Plane) -> Plane:
    """Return half the length of the line of sight within a circle."""
    inside = np.maximum(radius, 0) * np.maximum(radius, 0) - x * x
    return np.asarray(np.sqrt(np.maximum(inside, 0)), np.float32)


def _shaded(tint: Colour, across: Points) -> Image:
    light = np.clip(0.8 - 0.45 * across**4 + 0.15 * across, 0, 1.1)[..., None]
    return np.asarray(np.clip(tint * light, 0, 1), np.float32)


def _lamps(generator: np.random.Generator) -> Points:
    """Draw streaks: place across, width, top, foot, strength."""
    count = int(generator.integers(1, 5))
    top = generator.uniform(-0.9, 0.2, count)
    return np.stack(
        [
            generator.uniform(-0.85, 0.85, count),
            generator.uniform(0.02, 0.12, count),
            top,
            top + generator.uniform(0.2, 1.2, count),
            generator.uniform(0.2, 0.95, count),
        ],
        -1,
    )


def _glints(x: Plane, y: Plane, radius: Plane, lamps: Points) -> Plane:
    across = x / np.maximum(radius, 1e-3)
    shine = np.zeros_like(x)
    for place, width, top, foot, strength in lamps.astype(np.float32):
        streak = np.clip(1.5 - np.abs(across - place) / width, 0, 1)
        streak *= np.clip((y - top) * 12, 0, 1) * np.clip((foot - y) * 12, 0, 1)
        shine = np.maximum(shine, strength * streak)
    return shine


def _paint_rims(
    layer: Layer, pose: Pose, profile: Points, sag: float, level: float, time: float
) -> None:
    """Draw the ellipses of the mouth, of the foot and of the drink's surface."""
    size_px = layer.shape[0]
    rims = [(profile[0, 1], 0.55), (profile[-1, 1], 0.35)]
    if profile[0, 1] < level < profile[-1, 1]:
        rims.append((level, 0.4))
    width = max(0.012 * pose.scale * size_px, 0.7)
    for height, strength in rims:
        radius = float(np.interp(height, profile[:, 1], profile[:, 0])) * 0.98
        ring = pose.place(ellipse((0, height), (radius, radius * sag)), size_px, time)
        canvas = np.zeros((2 * size_px, 2 * size_px), np.uint8)
        thick = max(round(2 * width), 1)
        cv2.polylines(canvas, [fixed(ring, 2)], True, 255, thick, cv2.LINE_AA, 4)
        small = cv2.resize(canvas, (size_px, size_px), interpolation=cv2.INTER_AREA)
        over(layer_of(np.full(3, 0.95, np.float32), small * np.float32(strength / 255)), layer)


def _metaballs(tracks_px: Points, thick: Points, size_px: int) -> Plane:
    """Sum soft drops along their tracks; the bodies are where the sum is above a half."""
    half = size_px // 2
    canvas = np.zeros((half, half), np.uint8)
    for track, width in zip(tracks_px / 2, thick, strict=True):
        pixels = max(round(float(width) * half), 1)
        line = np.rint(track * 16).astype(np.int32)
        cv2.polylines(canvas, [line], False, 255, pixels, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), half / 110)
    big = cv2.resize(soft, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    return np.asarray(big, np.float32) * np.float32(1.2 / 255)


def _clear_body(field: Plane, tint: Colour, clear: float, size_px: int) -> Appearance:
    """Show a clear body by its edge, its slope against sky and ground, and glints."""
    edge = np.clip((field - 0.5) * size_px / 40 + 0.5, 0, 1)
    half = cv2.resize(edge, (size_px // 2, size_px // 2), interpolation=cv2.INTER_AREA)
    dome = cv2.resize(relief(np.asarray(half, np.float32), size_px / 50), (size_px, size_px))
    height = 2 * dome + (size_px / 60) * field
    right = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    down = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    facing = 1 / np.sqrt(1 + right * right + down * down)
    alpha = clear + (1 - clear) * (1 - facing) ** 1.2
    glint = np.clip((0.75 + 0.5 * right * facing + 0.55 * down * facing) * 6 - 6.2, 0, 1)
    alpha = (alpha + (1 - alpha) * glint) * edge
    sky = np.clip(0.55 + 0.5 * down * facing + 0.2 * right * facing, 0.05, 1)[..., None]
    colour = np.clip(tint * sky + glint[..., None], 0, 1)
    return Appearance(colour.astype(np.float32), alpha.astype(np.float32))
