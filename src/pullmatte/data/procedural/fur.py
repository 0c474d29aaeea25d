"""Short fur over animals and balls, and wool with its fringe."""

from collections.abc import Callable, Sequence

import numpy as np

from pullmatte.data.procedural.hair import Hair
from pullmatte.data.procedural.layer import (
    Appearance,
    Painter,
    appearance_of,
    dimmed,
    empty_layer,
    over,
)
from pullmatte.data.procedural.noise import Noise
from pullmatte.data.procedural.outlines import any_polygon, blob, ellipse
from pullmatte.data.procedural.palette import any_colour, hair_colour
from pullmatte.data.procedural.parts import Part, Surface, draw_surface, paint_parts, volume_of
from pullmatte.data.procedural.pose import Points, Pose, draw_pose
from pullmatte.data.procedural.raster import Light, draw_light
from pullmatte.data.procedural.solids import face_parts
from pullmatte.data.procedural.strands import Growth, Numbers, nearest_clump
from pullmatte.data.procedural.texture import TILE_PX, draw_texture
from pullmatte.data.samples import Image

Ball = tuple[float, float, float, float, float]
"""Centre x and y, radii, and turn."""


def fur(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw an animal, or a ball, with short fur.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    pose, light = draw_pose(generator, tilt=0.3), draw_light(generator)
    balls = _animal(generator) if generator.random() < 0.7 else _fluff(generator)
    tile = _coat(generator)
    length = float(np.exp(generator.uniform(np.log(0.03), np.log(0.25))))
    surface = Surface(tile * 0.8, repeat=0.5, gloss=0.0, roundness=0.35)
    parts = [Part([ellipse((x, y), (a, b), turn)], surface) for x, y, a, b, turn in balls]
    coat = _grow_fur(generator, size_px, balls, tile, length)
    head = balls[-1]
    face: list[Part] = []
    if generator.random() < 0.6:
        face = face_parts(generator, head[:2], min(head[2:4]), tile.mean((0, 1)) * 0.6)[:6]
    return _furry(size_px, pose, light, parts, coat, face)


def wool(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw knitted or felt cloth with fuzz all around and a fringe.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    pose, light = draw_pose(generator, tilt=0.6), draw_light(generator)
    tile = draw_texture(generator)
    colour = tile.mean((0, 1))
    style = generator.random()
    if style < 0.4:
        outline = ellipse((0, 0), (0.8, generator.uniform(0.4, 0.7)), 0, generator.uniform(3, 9))
    elif style < 0.7:
        outline = blob(generator, 0.75, 0.1)
    else:
        outline = any_polygon(generator, 0.85)
    fuzz = _edge_strands(generator, size_px, outline, colour, fringe=False)
    fringe = _edge_strands(generator, size_px, outline, colour, fringe=True)
    parts = [Part([outline], draw_surface(generator, tile, 0.2))]

    def paint(time: float) -> Appearance:
        layer = empty_layer(size_px)
        if style < 0.6:
            over(fringe.layer(pose, time), layer)
        paint_parts(layer, parts, pose, light, time)
        over(fuzz.layer(pose, time), layer)
        return appearance_of(layer)

    return paint


def _furry(
    size_px: int, pose: Pose, light: Light, parts: list[Part], coat: Hair, face: list[Part]
) -> Callable[[float], Appearance]:
    def paint(time: float) -> Appearance:
        layer = paint_parts(empty_layer(size_px), parts, pose, light, time)
        volume = volume_of(parts, pose, light, size_px, time)
        over(dimmed(coat.layer(pose, time), volume), layer)
        return appearance_of(paint_parts(layer, face, pose, light, time))

    return paint


def _animal(generator: np.random.Generator) -> list[Ball]:
    """Return the balls of an animal: legs, body, tail, ears, head, in their order."""
    u = generator.uniform
    wide, high = u(0.4, 0.6), u(0.25, 0.42)
    side = generator.choice([-1, 1])
    legs = [(x * wide, 0.2 + u(0.3, 0.5), u(0.07, 0.13), u(0.2, 0.4), u(-0.2, 0.2))
            for x in (-0.75, -0.5, 0.5, 0.75)]  # fmt: skip
    tail = _spoke((0, 0.1), np.pi / 2 + side * np.pi / 2 + u(-0.8, 0.8), wide * 0.9,
                  u(0.15, 0.35), u(0.05, 0.14))  # fmt: skip
    head, x, y = u(0.22, 0.36), side * wide * u(0.7, 1.05), u(-0.55, -0.2)
    long, out = head * u(0.3, 0.9), u(0.4, 0.8)
    ear = head * u(0.2, 0.35)
    ears = [_spoke((x, y), -np.pi / 2 + s * out, head * 0.85, long, ear) for s in (-1, 1)]
    body = (0.0, 0.15, wide, high, u(-0.2, 0.2))
    if generator.random() < 0.4:
        ears = [(ex - 0.7 * x, ey, *more) for ex, ey, *more in ears]
        return [body, *ears, (x * 0.3, y, head, head * u(0.8, 1.1), 0.0)]
    return [*legs, tail, body, *ears, (x, y, head, head * u(0.8, 1.1), 0.0)]


def _spoke(
    centre: tuple[float, float], direction: float, start: float, half: float, thick: float
) -> Ball:
    """Return a long ball that stands on another one and points away from it."""
    reach = start + half * 0.8
    x, y = centre[0] + reach * np.cos(direction), centre[1] + reach * np.sin(direction)
    return (float(x), float(y), half, thick, direction)


def _fluff(generator: np.random.Generator) -> list[Ball]:
    radius = generator.uniform(0.5, 0.8)
    more = [(*generator.uniform(-0.5, 0.5, 2), *generator.uniform(0.15, 0.4, 2), 0.0)
            for _ in range(int(generator.integers(0, 3)))]  # fmt: skip
    return [*more, (0.0, 0.0, radius, radius * generator.uniform(0.6, 1), generator.uniform(0, 3))]


def _coat(generator: np.random.Generator) -> Image:
    """Draw a coat: one colour, spots, stripes, or patches."""
    base = hair_colour(generator)
    style = generator.random()
    if style < 0.4:
        spots = Noise(generator, 3, 3).at(TILE_PX) * 0.1
        return np.clip(base * (1 + spots[..., None]), 0, 1).astype(np.float32)
    if style < 0.75:
        return draw_texture(generator, base)
    field = Noise(generator, generator.uniform(2, 8), 2).at(
        TILE_PX, aspect=(1, generator.uniform(1, 4))
    )
    share = np.clip(0.5 + 3 * (field - generator.uniform(-0.5, 0.8)), 0, 1)[..., None]
    other = hair_colour(generator) if generator.random() < 0.7 else any_colour(generator)
    return np.asarray(base * (1 - share) + other * share, np.float32)


def _grow_fur(
    generator: np.random.Generator,
    size_px: int,
    balls: Sequence[Ball],
    tile: Image,
    length: float,
) -> Hair:
    """Cover balls with short strands that point away from their middles."""
    areas = np.array([a * b for _, _, a, b, _ in balls])
    count = int(np.clip(1500 * (0.12 / length) ** 0.8, 900, 4500) * generator.uniform(0.8, 1.5))
    roots, angles, combed = [], [], generator.uniform(0, 2 * np.pi)
    comb = generator.uniform(0, 0.75) * np.array([np.cos(combed), np.sin(combed)])
    for (x, y, a, b, turn), share in zip(balls, areas / areas.sum(), strict=True):
        number = max(int(count * share), 40)
        reach = np.sqrt(generator.uniform(0.0, 1.0, number))
        reach[: number // 2] = np.sqrt(generator.uniform(0.75, 1.0, number // 2))
        around = generator.uniform(0, 2 * np.pi, number)
        offset = np.stack([np.cos(around) * a, np.sin(around) * b], -1) * reach[:, None]
        cos, sin = np.cos(turn), np.sin(turn)
        offset = offset @ np.array([[cos, sin], [-sin, cos]])
        order = np.argsort(-reach)
        roots.append(offset[order] * 0.97 + (x, y))
        outward = offset[order] / max(a, b) + comb
        angles.append(np.arctan2(outward[:, 1], outward[:, 0]))
    places, directions = np.concatenate(roots), np.concatenate(angles)
    return _short_hair(generator, size_px, places, directions, length, _tile_colours(tile, places))


def _tile_colours(tile: Image, places: Points) -> Numbers:
    """Read a tile as `parts` lays it, at places in object coordinates."""
    step = np.abs((places * 0.5 * TILE_PX + TILE_PX / 2).astype(int)) % (2 * TILE_PX)
    step = np.where(step >= TILE_PX, 2 * TILE_PX - 1 - step, step)
    return np.asarray(tile[step[:, 1], step[:, 0]], np.float64)


def _short_hair(
    generator: np.random.Generator,
    size_px: int,
    roots: Points,
    angles: Numbers,
    length: float,
    colours: Numbers,
) -> Hair:
    count = len(roots)
    clumps = nearest_clump(roots, int(generator.integers(60, 300)), generator)
    growth = Growth(
        roots=roots,
        angles=angles + generator.normal(0, generator.uniform(0.1, 0.5), count),
        lengths=length * generator.lognormal(0, 0.3, count),
        bends=generator.normal(0, 0.4, count)[clumps] + generator.normal(0, 0.2, count),
        curls=np.full(count, generator.choice([0.0, 0.3, 1.2])),
        turns=generator.uniform(0.5, 1.5, count),
        phases=generator.uniform(0, 2 * np.pi, count),
        fall=float(generator.uniform(0, 0.8)),
        clumps=clumps,
        clumping=float(generator.uniform(0, 0.7)),
        wind=float(generator.normal(0, 0.2)),
        rate=float(generator.uniform(2, 8)),
    )
    shade = generator.normal(1, generator.uniform(0.05, 0.25), (count, 1))
    wide = size_px / 512 * float(generator.uniform(0.5, 1.6))
    widths = np.maximum(wide * generator.lognormal(0, 0.2, count), 0.15)
    sheen = 1 + 0.15 * Noise(generator, 4, 3).at(size_px)
    return Hair(growth, widths, colours * shade, 1.0, sheen)


def _edge_strands(
    generator: np.random.Generator, size_px: int, outline: Points, colour: Numbers, *, fringe: bool
) -> Hair:
    """Grow fuzz all around an outline, or a fringe of threads along its sides."""
    count = int(generator.integers(60, 260)) if fringe else int(generator.integers(400, 2000))
    place = generator.uniform(0, len(outline), count)
    if fringe:
        place = np.sort(place)
    index = place.astype(int)
    after = outline[(index + 1) % len(outline)]
    roots = outline[index] + (after - outline[index]) * (place - index)[:, None]
    along = after - outline[index]
    angles = np.arctan2(-along[:, 0], along[:, 1])
    if fringe:
        keep = np.abs(roots[:, 0]) > generator.uniform(0.3, 0.6) * np.abs(outline).max()
        roots, angles = roots[keep], angles[keep]
    length = float(generator.uniform(0.1, 0.35)) if fringe else float(generator.uniform(0.02, 0.1))
    tones = colour + 0.04 * generator.standard_normal((len(roots), 1))
    drawn = _short_hair(generator, size_px, roots * 0.98, angles, length, tones)
    widths = drawn.widths_px * (2.5 if fringe else 0.5)
    return Hair(drawn.growth, widths, drawn.colours, drawn.opacity, drawn.sheen)
