"""Open work: nets, fences, lace, webs, chains, baskets."""

import numpy as np

from pullmatte.data.procedural.cords import draw_cords
from pullmatte.data.procedural.flutter import Flutter
from pullmatte.data.procedural.layer import (
    Appearance,
    Painter,
    appearance_of,
    dimmed,
    empty_layer,
    layer_of,
    over,
)
from pullmatte.data.procedural.noise import Noise
from pullmatte.data.procedural.outlines import blob, ellipse, lathe_outline, lathe_profile, tube
from pullmatte.data.procedural.palette import any_colour, near
from pullmatte.data.procedural.parts import Part, draw_surface, paint_parts
from pullmatte.data.procedural.pose import Points, draw_pose
from pullmatte.data.procedural.raster import coverage, draw_light
from pullmatte.data.procedural.strands import fine_canvas, strand_layer
from pullmatte.data.procedural.texture import draw_texture
from pullmatte.data.samples import Plane

Curves = list[Points]


def net(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a net or a wire fence: square, slanted or six-sided meshes, hanging or taut.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    cells = int(np.exp(generator.uniform(np.log(4), np.log(24))))
    style = generator.choice(["square", "diamond", "fence", "hexagon"])
    curves = _mesh(str(style), cells, generator)
    width = 2 / cells * float(generator.uniform(0.03, 0.2))
    return _threads(size_px, generator, curves, width, sag=float(generator.uniform(0, 0.12)))


def lace(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw lace: a fine ground with round flowers of thread on it.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    curves = _mesh(
        str(generator.choice(["diamond", "hexagon"])), int(generator.integers(14, 36)), generator
    )
    petals, rings = int(generator.integers(5, 13)), int(generator.integers(1, 4))
    repeat = int(generator.integers(1, 5))
    turn = np.linspace(0, 2 * np.pi, 20 * petals)
    flowers: Curves = []
    for ring in range(rings):
        reach = (ring + 1) / rings * (1 + generator.uniform(0.1, 0.4) * np.cos(petals * turn))
        flowers.append(np.stack([np.cos(turn) * reach, np.sin(turn) * reach], -1))
    flowers += [ellipse((0, 0), (r, r)) for r in generator.uniform(0.15, 0.9, 2)]
    places = (np.arange(repeat) + 0.5) / repeat * 2 - 1
    scale = 0.75 / repeat
    bold = [f * scale + (x, y) for f in flowers for x in places for y in places]
    width = float(generator.uniform(0.006, 0.014))
    return _threads(size_px, generator, curves, width, bold=bold, sag=0.05)


def web(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a spider's web: spokes and a sagging spiral.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    spokes = int(generator.integers(9, 26))
    angles = np.sort(np.arange(spokes) + generator.uniform(-0.3, 0.3, spokes)) * 2 * np.pi / spokes
    reach = generator.uniform(0.8, 1.3, spokes)
    rounds = int(generator.integers(8, 30))
    steps = np.arange(spokes * rounds)
    radius = np.linspace(0.06, 0.95, steps.size) * (1 + generator.normal(0, 0.015, steps.size))
    corner = np.stack([np.cos(angles[steps % spokes]), np.sin(angles[steps % spokes])], -1)
    corner *= (radius * reach[steps % spokes])[:, None]
    middle = (corner[1:] + corner[:-1]) / 2 * generator.uniform(0.9, 0.98)
    spiral = np.stack([corner[:-1], middle], 1).reshape(-1, 2)
    lines = [
        np.outer(np.linspace(0, r, 12), (np.cos(a), np.sin(a)))
        for a, r in zip(angles, reach, strict=True)
    ]
    width = float(generator.uniform(0.003, 0.009))
    return _threads(size_px, generator, [spiral, *lines], width, sag=0.02, pale=True, framed=False)


def chain(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw one or more chains of shaded links, seen flat and from the edge in turn.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows them.
    """
    pose, light = draw_pose(generator, tilt=1.5), draw_light(generator)
    metal = near(np.full(3, generator.uniform(0.3, 0.8), np.float32), 0.1, generator)
    surface = draw_surface(generator, draw_texture(generator, metal), 0.05)
    count, bend = int(generator.integers(5, 14)), generator.normal(0, 0.6)
    length = 2.2 / count
    width, thick = length * generator.uniform(0.25, 0.45), length * generator.uniform(0.06, 0.14)
    parts = []
    for lane in np.linspace(-0.6, 0.6, int(generator.choice([1, 2, 4], p=[0.5, 0.3, 0.2]))):
        for number in range(count):
            x = -1.1 + length * (number + 0.5)
            centre = (x, lane + bend * (x * x - 0.5) * 0.5)
            angle = float(np.arctan(bend * x))
            long = length * 0.68
            if number % 2:
                parts.append(Part([ellipse(centre, (long, thick), angle, 4)], surface, 0.3))
                continue
            outer = ellipse(centre, (long, width), angle, 2.5)
            inner = ellipse(centre, (long - 2 * thick, width - 2 * thick), angle, 2.2)
            parts.append(Part([outer, inner], surface, 0.3))

    def paint(time: float) -> Appearance:
        return appearance_of(paint_parts(empty_layer(size_px), parts, pose, light, time))

    return paint


def basket(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw an open basket: strips woven over and under, with rims and a handle.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    pose, light = draw_pose(generator), draw_light(generator)
    profile = lathe_profile(generator)
    profile[:, 0] = np.maximum(profile[:, 0], 0.4) * generator.uniform(0.8, 1)
    profile[:, 1] = profile[:, 1] * 0.55 + 0.3
    rate_x, rate_y = generator.uniform(5, 16), generator.uniform(6, 22)
    fill_x, fill_y = generator.uniform(0.3, 0.9, 2)
    straw = near(np.array([0.72, 0.55, 0.33], np.float32), 0.12, generator)
    straw = straw if generator.random() < 0.7 else any_colour(generator)
    rim = draw_surface(generator, draw_texture(generator, straw), 0.05)
    outline = lathe_outline(profile, 0.15)
    turn = np.linspace(np.pi, 2 * np.pi, 30)
    radius, top = profile[0]
    arch = np.stack([np.cos(turn), np.sin(turn) * generator.uniform(0.6, 1.1)], -1) * radius * 0.97
    across = np.linspace(-1, 1, 20)
    parts = []
    for reach, height in profile[[0, -1]]:
        line = np.stack([across * reach, np.full(20, height)], -1)
        parts.append(Part([tube(line, np.full(20, 0.035))], rim, 0.3))
    if generator.random() < 0.6:
        arch[:, 1] += top
        parts.insert(0, Part([tube(arch, np.full(30, 0.04))], rim, 0.0))
    grain = Noise(generator, 12, 3)

    def paint(time: float) -> Appearance:
        x, y = pose.coordinates(size_px, time)
        middle = np.interp(np.clip(y, *profile[[0, -1], 1]), profile[:, 1], profile[:, 0])
        across = np.arcsin(np.clip(x / middle.astype(np.float32), -1, 1)) * 2 / np.pi
        cover, shade = _weave(across * rate_x, y * rate_y, (fill_x, fill_y), size_px * pose.scale)
        inside = coverage([pose.place(outline, size_px, time)], size_px, size_px)
        shade *= light.ambient + (1 - light.ambient) * np.clip(
            np.cos(across * 1.5 - light.direction[0]), 0, 1
        )
        shade *= 1 + 0.12 * grain.at(size_px)
        colour = np.clip(straw * shade[..., None] * light.strength, 0, 1)
        layer = layer_of(colour.astype(np.float32), cover * inside)
        return appearance_of(paint_parts(layer, parts, pose, light, time))

    return paint


def _weave(
    u: Points, v: Points, fills: tuple[float, float], length_px: float
) -> tuple[Plane, Plane]:
    """Weave strips along both axes; returns how much is covered, and the shade."""
    cell_u, cell_v = np.floor(u), np.floor(v)
    off_u, off_v = u - cell_u - 0.5, v - cell_v - 0.5
    sharp_u = 1 / np.maximum(np.abs(np.gradient(u, axis=1)), 1e-4)
    sharp_v = 1 / np.maximum(np.abs(np.gradient(v, axis=0)), 1e-4)
    upright = np.clip((fills[0] / 2 - np.abs(off_u)) * sharp_u + 0.5, 0, 1)
    level = np.clip((fills[1] / 2 - np.abs(off_v)) * sharp_v + 0.5, 0, 1)
    first = (cell_u + cell_v) % 2 == 0
    shade_upright = 1.1 - 1.6 * np.abs(off_u) - 0.5 * np.abs(off_v)
    shade_level = 1.1 - 1.6 * np.abs(off_v) - 0.5 * np.abs(off_u)
    front = np.where(first, upright, level)
    shade = np.where(first, shade_upright, shade_level) * front
    shade += np.where(first, shade_level, shade_upright) * (1 - front) * 0.8
    cover = 1 - (1 - upright) * (1 - level)
    return cover.astype(np.float32), np.clip(shade, 0.15, 1.2).astype(np.float32)


def _mesh(style: str, cells: int, generator: np.random.Generator) -> Curves:
    """Return the curves of a mesh over [-1, 1] and a little beyond."""
    lines = np.linspace(-1, 1, cells + 1)
    along = np.linspace(-1, 1, 4 * cells + 1)
    if style == "square":
        across = cells if generator.random() < 0.6 else max(cells // 3, 2)
        upright = [np.stack([np.full_like(along, x), along], -1) for x in lines]
        level = [
            np.stack([along, np.full_like(along, y)], -1) for y in np.linspace(-1, 1, across + 1)
        ]
        return [*upright, *level]
    phase = along * cells * np.pi
    if style == "diamond":
        zigzag = np.arcsin(np.sin(phase)) / np.pi * 2 / cells
    elif style == "fence":
        zigzag = np.clip(np.sin(phase) * 1.3, -1, 1) / cells
    else:
        zigzag = np.clip(np.arcsin(np.sin(phase)) * 1.4, -1, 1) / cells
    signs = np.where(np.arange(cells + 1) % 2, 1.0, -1.0)
    return [np.stack([x + s * zigzag, along], -1) for x, s in zip(lines, signs, strict=True)]


def _threads(
    size_px: int,
    generator: np.random.Generator,
    curves: Curves,
    width: float,
    *,
    bold: Curves | None = None,
    sag: float = 0.0,
    pale: bool = False,
    framed: bool = True,
) -> Painter:
    """Draw threads as cords: dark at their sides, light along their middle."""
    pose = draw_pose(generator, tilt=0.4)
    flutter = Flutter(generator, sag)
    colour = any_colour(generator)
    if pale:
        colour = near(np.full(3, generator.uniform(0.6, 1), np.float32), 0.03, generator)
    outline = _net_outline(generator) if framed and generator.random() < 0.6 else None
    sheen = np.clip(1 + 0.2 * Noise(generator, 3, 3).at(size_px), 0.3, 1.6)
    rim_width = width * float(generator.uniform(1.5, 3))
    heavy = [*(bold or []), *([] if outline is None else [np.concatenate([outline, outline[:1]])])]

    def placed(lines: Curves, time: float) -> Curves:
        return [pose.place(flutter.bend(line, time), size_px, time) for line in lines]

    def paint(time: float) -> Appearance:
        canvas = fine_canvas(size_px)
        draw_cords(canvas, placed(curves, time), width * pose.scale * size_px, colour)
        layer = strand_layer(canvas)
        if outline is not None:
            shape = pose.place(flutter.bend(outline, time), size_px, time)
            layer *= coverage([shape], size_px, size_px)[..., None]
        if heavy:
            canvas = fine_canvas(size_px)
            draw_cords(canvas, placed(heavy, time), rim_width * pose.scale * size_px, colour)
            over(strand_layer(canvas), layer)
        return appearance_of(dimmed(layer, sheen))

    return paint


def _net_outline(generator: np.random.Generator) -> Points:
    if generator.random() < 0.5:
        return blob(generator, 0.85, 0.12)
    radii = (float(generator.uniform(0.6, 0.95)), float(generator.uniform(0.6, 0.95)))
    return ellipse((0, 0), radii, 0, float(generator.uniform(2, 8)))
