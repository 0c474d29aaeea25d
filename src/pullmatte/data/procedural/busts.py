"""People down to the shoulders: hair, a simple face, clothes."""

import numpy as np

from pullmatte.data.procedural.hair import draw_flyaways, draw_hair, scalp, stack
from pullmatte.data.procedural.layer import Painter
from pullmatte.data.procedural.outlines import ellipse, tube
from pullmatte.data.procedural.palette import hair_colour, skin_colour
from pullmatte.data.procedural.parts import Part, Surface, draw_surface
from pullmatte.data.procedural.pose import Points, draw_pose
from pullmatte.data.procedural.raster import draw_light
from pullmatte.data.procedural.solids import face_parts
from pullmatte.data.procedural.strands import Numbers
from pullmatte.data.procedural.texture import draw_texture


def bust(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a person down to the shoulders: hair of any length, a simple face, clothes.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    pose, light = draw_pose(generator, tilt=0.12, cut_share=0.4), draw_light(generator)
    skin, colour = skin_colour(generator), hair_colour(generator)
    head = float(generator.uniform(0.32, 0.44))
    tall = head * float(generator.uniform(1.15, 1.4))
    y = float(generator.uniform(-0.4, -0.2))
    parts = _body(generator, skin, head, tall, y)
    if generator.random() < 0.08:
        return stack(size_px, pose, light, [], parts, [])
    length = float(np.exp(generator.uniform(np.log(0.08), np.log(1.3))))
    shift = np.array([0.0, y - 0.1 * tall])
    roots, angles = scalp(generator, int(generator.integers(700, 1500)), head * 1.02)
    keep = roots[:, 1] < head * generator.uniform(-0.2, 0.5)
    back = draw_hair(generator, size_px, roots[keep] + shift, angles[keep], length, colour * 0.8)
    fringe_y = float(generator.uniform(-0.75, -0.35) * head)
    keep = roots[:, 1] < fringe_y
    short = min(length, float(generator.uniform(0.15, 0.5)))
    front = draw_hair(generator, size_px, roots[keep] + shift, angles[keep], short, colour)
    behind = [draw_flyaways(generator, size_px, head, length, colour, shift), back]
    surface = _hair_surface(generator, colour)
    cap = Part([_cap(head, tall, y, fringe_y)], surface)
    if generator.random() < 0.75:
        mass, ends = _mass(generator, head, tall, y, length)
        parts.insert(0, Part([mass], surface))
        angles = np.pi / 2 + generator.normal(0, 0.3, len(ends)) + 0.5 * ends[:, 0]
        behind.append(draw_hair(generator, size_px, ends, angles, 0.1 + 0.3 * length, colour * 0.9))
    if generator.random() < 0.2:
        parts.append(_hat(generator, head, tall, y))
        return stack(size_px, pose, light, behind, parts, [])
    return stack(size_px, pose, light, behind, [*parts, cap], [front])


def _mass(
    generator: np.random.Generator, head: float, tall: float, y: float, length: float
) -> tuple[Points, Points]:
    """Return the outline of the hair behind a head, and roots along its sides and foot."""
    wide = head * float(generator.uniform(1.0, 1.35)) + 0.15 * min(length, 0.6)
    foot = y + min(length, 1.1) * float(generator.uniform(0.5, 1))
    turn = np.linspace(np.pi, 2 * np.pi, 40)
    top = np.stack(
        [np.cos(turn) * wide, y + np.sin(turn) * tall * generator.uniform(1.02, 1.2)], -1
    )
    down = np.linspace(0, 1, 20)
    flare = wide * (1 + generator.normal(0, 0.15) * down)
    flare = flare * np.sqrt(np.clip(1 - (down - 0.15) ** 6, 0.1, 1))
    right = np.stack([flare, y + (foot - y) * down], -1)
    outline = np.concatenate([top, right, right[::-1] * (-1, 1)])
    sides = np.concatenate([right, right * (-1, 1)])
    roots = np.repeat(sides, 12, 0) + generator.normal(0, 0.03, (len(sides) * 12, 2))
    return outline, roots


def _hat(generator: np.random.Generator, head: float, tall: float, y: float) -> Part:
    """Return a cap, a woollen hat or a hat with a brim."""
    turn = np.linspace(np.pi, 2 * np.pi, 40)
    high = tall * generator.uniform(1.05, 1.5)
    line = y - tall * generator.uniform(0.35, 0.6)
    top = np.stack([np.cos(turn) * head * 1.1, line + np.sin(turn) * (high - y + line)], -1)
    brim = head * (1.1 if generator.random() < 0.5 else generator.uniform(1.3, 1.9))
    edge = np.array([[brim, line], [brim, line + 0.05], [-brim, line + 0.05], [-brim, line]])
    return Part(
        [np.concatenate([top, edge])], draw_surface(generator, draw_texture(generator), 0.3)
    )


def _hair_surface(generator: np.random.Generator, colour: Numbers) -> Surface:
    dark = np.asarray(colour * generator.uniform(0.5, 0.9), np.float32)
    tile = np.broadcast_to(dark, (256, 256, 3)).astype(np.float32)
    return Surface(tile, gloss=0.15, sharpness=8.0, roundness=0.2)


def _cap(head: float, tall: float, y: float, fringe_y: float) -> Points:
    """Return the part of the skull that is under hair."""
    turn = np.linspace(np.pi, 2 * np.pi, 40)
    top = np.stack([np.cos(turn) * head * 1.03, y + np.sin(turn) * tall * 1.05], -1)
    side = np.linspace(1, -1, 30)
    line = y + fringe_y * 0.8 + (np.abs(side) ** 3) * (0.1 * head - fringe_y * 0.8)
    return np.concatenate([top, np.stack([side * head * 1.03, line], -1)])


def _body(
    generator: np.random.Generator, skin: Numbers, head: float, tall: float, y: float
) -> list[Part]:
    """Return shoulders, neck, ears, head and face."""
    tone = np.asarray(skin, np.float32)
    tile = np.broadcast_to(tone, (256, 256, 3)).astype(np.float32)
    surface = Surface(tile, gloss=float(generator.uniform(0, 0.3)), sharpness=15.0, roundness=0.25)
    cloth = draw_surface(generator, draw_texture(generator), 0.35)
    wide = float(generator.uniform(0.75, 1.1))
    neck_y = y + tall * 0.95
    shoulders = ellipse((0, 1.25), (wide, 1.25 - neck_y - 0.12), 0, float(generator.uniform(2, 3)))
    line = np.stack([np.zeros(20), np.linspace(y + tall * 0.5, neck_y + 0.3, 20)], -1)
    thick = head * generator.uniform(0.4, 0.6) * (1 + 0.3 * np.linspace(-1, 1, 20) ** 2)
    ears = [
        Part([ellipse((s * head, y + 0.05), (head * 0.15, head * 0.28))], surface) for s in (-1, 1)
    ]
    face = ellipse((0, y), (head, tall), 0, float(generator.uniform(1.9, 2.5)))
    return [
        Part([shoulders], cloth),
        Part([tube(line, thick)], surface, 0.35),
        *ears,
        Part([face], surface, 0.4),
        *face_parts(generator, (0, y + 0.1 * tall), head * 0.95, tone),
    ]
