"""Large smooth objects: toys, pottery, cushions, dolls."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pullmatte.data.procedural.hair import draw_hair, scalp, stack
from pullmatte.data.procedural.layer import Painter
from pullmatte.data.procedural.outlines import (
    any_polygon,
    blob,
    ellipse,
    lathe_outline,
    lathe_profile,
    tube,
    turned,
)
from pullmatte.data.procedural.palette import Colour, any_colour, hair_colour, near
from pullmatte.data.procedural.parts import Part, Surface, draw_surface, solid_painter
from pullmatte.data.procedural.pose import Points, draw_pose
from pullmatte.data.procedural.raster import draw_light
from pullmatte.data.procedural.texture import draw_texture
from pullmatte.data.samples import Image


def toy(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a toy: a body with smaller pieces on and behind it, some with holes.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    pose, light = draw_pose(generator, tilt=0.4), draw_light(generator)
    tiles = [draw_texture(generator) for _ in range(int(generator.integers(2, 5)))]
    body = any_shape(generator, float(generator.uniform(0.6, 0.95)))
    behind = [_piece(generator, tiles, 0.5) for _ in range(int(generator.integers(0, 4)))]
    front = [_piece(generator, tiles, 0.3) for _ in range(int(generator.integers(1, 7)))]
    contours = [body]
    if generator.random() < 0.3:
        hole = any_shape(generator, float(generator.uniform(0.12, 0.35)))
        contours.append(hole + generator.uniform(-0.2, 0.2, 2))
    main = Part(contours, draw_surface(generator, tiles[0]))
    return solid_painter(size_px, [*behind, main, *front], pose, light)


def pottery(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a turned vessel: jar, vase or cup, with bands and handles.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    pose, light = draw_pose(generator), draw_light(generator)
    profile = lathe_profile(generator)
    profile[:, 1] *= generator.uniform(0.7, 0.95)
    tile = draw_texture(generator)
    surface = draw_surface(generator, tile, float(generator.uniform(0.3, 0.8)))
    spin = float(generator.normal(0, 0.8)) if generator.random() < 0.5 else 0.0
    surface = replace(surface, scroll=spin)
    sag = float(generator.uniform(0.05, 0.3))
    parts = [Part([lathe_outline(profile, sag)], surface)]
    for _ in range(int(generator.integers(0, 4))):
        start = int(generator.integers(0, 50))
        band = profile[start : start + int(generator.integers(3, 14))] * (0.995, 1)
        shade = draw_surface(generator, draw_texture(generator), surface.roundness)
        parts.append(Part([lathe_outline(band, sag)], replace(shade, scroll=spin), shadow=0.05))
    if generator.random() < 0.7:
        radius, top = profile[0]
        dark = np.full((256, 256, 3), 0.04, np.float32) + tile.mean((0, 1)) * 0.25
        mouth = ellipse((0, top), (radius * 0.9, radius * sag * 0.9))
        parts.append(Part([mouth], Surface(dark.astype(np.float32), gloss=0.0), shadow=0.0))
    sides = generator.choice([0, 1, 2], p=[0.4, 0.35, 0.25])
    handles = [_handle(generator, profile, side, surface) for side in (-1, 1)[:sides]]
    return solid_painter(size_px, [*handles, *parts], pose, light)


def cushion(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw one big soft thing: a cushion, a ball, a stone, a fruit, a loaf.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    pose, light = draw_pose(generator, tilt=1.0, cut_share=0.35), draw_light(generator)
    power = float(generator.uniform(1.6, 6))
    radii = (float(generator.uniform(0.7, 1)), float(generator.uniform(0.5, 1)))
    style = generator.random()
    if style < 0.5:
        outline = ellipse((0, 0), radii, 0.0, power)
        if generator.random() < 0.5:
            pinch = 1 - generator.uniform(0.02, 0.15) * np.cos(2 * np.arctan2(*outline.T)) ** 2
            outline = outline * pinch[:, None]
    else:
        outline = blob(generator, 0.8, float(generator.uniform(0, 0.2)), 4)
    roundness = float(generator.uniform(0.3, 0.9))
    parts = [Part([outline], draw_surface(generator, draw_texture(generator), roundness))]
    for _ in range(int(generator.choice([0, 1, 2], p=[0.55, 0.3, 0.15]))):
        inner = outline * generator.uniform(0.15, 0.75) + generator.uniform(-0.1, 0.1, 2)
        surface = draw_surface(generator, draw_texture(generator), roundness)
        parts.append(Part([inner], surface, shadow=float(generator.uniform(0, 0.2))))
    return solid_painter(size_px, parts, pose, light)


def doll(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a doll or a plush animal: head, ears, body, limbs, a face.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    pose, light = draw_pose(generator, tilt=0.2), draw_light(generator)
    skin = any_colour(generator)
    skins = draw_surface(generator, draw_texture(generator, skin), 0.25)
    cloth = draw_surface(generator, draw_texture(generator), 0.3)
    head_y = float(generator.uniform(-0.6, -0.4))
    head = float(generator.uniform(0.28, 0.42))
    width = float(generator.uniform(0.25, 0.42))
    limbs = [
        Part([_limb(generator, (side * width * 0.55, start), reach)], cover)
        for start, reach, cover in ((-0.1, 0.5, skins), (0.55, 0.4, cloth))
        for side in (-1, 1)
    ]
    body = Part([ellipse((0, 0.3), (width, 0.5), 0, float(generator.uniform(2, 4)))], cloth)
    ears = _ears(generator, head_y, head, skins)
    round_head = ellipse((0, head_y), (head, head * float(generator.uniform(0.8, 1.05))))
    face = face_parts(generator, (0, head_y), head, skin)
    parts = [*limbs, body, *ears, Part([round_head], skins), *face]
    if generator.random() < 0.35:
        roots, angles = scalp(generator, int(generator.integers(200, 900)), head)
        keep = roots[:, 1] < -0.45 * head
        length = float(generator.uniform(0.1, 0.7))
        colour = hair_colour(generator) if generator.random() < 0.6 else any_colour(generator)
        places = roots[keep] + np.array([0, head_y])
        mop = draw_hair(generator, size_px, places, angles[keep], length, colour)
        return stack(size_px, pose, light, [], parts, [mop])
    return solid_painter(size_px, parts, pose, light)


def any_shape(generator: np.random.Generator, radius: float) -> Points:
    """Draw one of the smooth outlines, turned.

    Args:
        generator: drawn from.
        radius: about half its size.

    Returns:
        `N 2` about (0, 0).
    """
    makers: tuple[Callable[[], Points], ...] = (
        lambda: blob(generator, radius, float(generator.uniform(0.05, 0.3))),
        lambda: any_polygon(generator, radius),
        lambda: ellipse(
            (0, 0), (radius, radius * generator.uniform(0.35, 1)), 0, generator.uniform(1.5, 6)
        ),
        lambda: lathe_outline(lathe_profile(generator) * radius),
    )
    outline = makers[generator.integers(len(makers))]()
    return turned(outline, float(generator.uniform(0, 2 * np.pi)))


def face_parts(
    generator: np.random.Generator, centre: tuple[float, float], radius: float, skin: Colour
) -> list[Part]:
    """Draw eyes, brows, nose and mouth.

    Args:
        generator: drawn from.
        centre: of the head, in object coordinates.
        radius: of the head.
        skin: its colour.

    Returns:
        The parts, to be laid over the head.
    """
    x, y = centre[0] + radius * generator.normal(0, 0.12), centre[1]
    gap, size = radius * generator.uniform(0.3, 0.5), radius * generator.uniform(0.07, 0.2)
    white = _flat(np.full(3, 0.93) if generator.random() < 0.7 else skin * 0.3, 0.4)
    iris, dark = _flat(any_colour(generator) * 0.6, 0.6), _flat(np.full(3, 0.03), 0.8)
    lips = _flat(near(skin * np.array([0.8, 0.45, 0.45]), 0.05, generator), 0.1)
    flat = generator.uniform(0.5, 1)
    parts = []
    for side in (-1, 1):
        eye = (x + side * gap, y - radius * 0.05)
        parts.append(Part([ellipse(eye, (size, size * flat))], white, 0.25))
        parts.append(Part([ellipse(eye, (size * 0.6, size * 0.6 * flat))], iris, 0.0))
        parts.append(Part([ellipse(eye, (size * 0.3, size * 0.3))], dark, 0.0))
        brow = (eye[0], eye[1] - size * 1.6)
        brow_radii = (size * 1.2, size * 0.2)
        parts.append(Part([ellipse(brow, brow_radii, side * 0.2)], _flat(skin * 0.4, 0.0), 0.0))
    nose = ellipse((x, y + radius * 0.25), (radius * 0.1, radius * generator.uniform(0.08, 0.2)))
    parts.append(Part([nose], _flat(near(skin, 0.03, generator), 0.3), 0.15))
    turn = np.linspace(0, np.pi, 20)
    wide, smile = radius * generator.uniform(0.2, 0.4), radius * generator.uniform(-0.05, 0.15)
    line = np.stack([x - wide * np.cos(turn), y + radius * 0.55 + smile * np.sin(turn)], -1)
    thick = radius * generator.uniform(0.02, 0.07) * np.sin(turn) + 1e-3
    parts.append(Part([tube(line, thick)], lips, 0.05))
    return parts


def _flat(colour: Colour, gloss: float) -> Surface:
    tile: Image = np.broadcast_to(np.clip(colour, 0, 1), (256, 256, 3)).astype(np.float32)
    return Surface(tile, gloss=gloss, sharpness=40.0, roundness=0.05)


def _piece(generator: np.random.Generator, tiles: list[Image], radius: float) -> Part:
    angle, reach = generator.uniform(0, 2 * np.pi), generator.uniform(0.2, 0.75)
    outline = any_shape(generator, radius * float(generator.uniform(0.4, 1)))
    contours = [outline]
    if generator.random() < 0.25:
        contours.append(outline * generator.uniform(0.3, 0.75))
    offset = reach * np.array([np.cos(angle), np.sin(angle)])
    tile = tiles[generator.integers(len(tiles))]
    return Part([c + offset for c in contours], draw_surface(generator, tile))


def _handle(generator: np.random.Generator, profile: Points, side: int, surface: Surface) -> Part:
    top, foot = profile[int(generator.integers(6, 20))], profile[int(generator.integers(34, 56))]
    turn = np.linspace(0, np.pi, 24)[:, None]
    start, end = top * (side * 0.9, 1), foot * (side * 0.9, 1)
    line = start + (end - start) * (1 - np.cos(turn)) / 2
    line[:, 0] += side * generator.uniform(0.2, 0.5) * np.sin(turn[:, 0])
    return Part([tube(line, np.full(24, generator.uniform(0.03, 0.1)))], surface)


def _limb(generator: np.random.Generator, start: tuple[float, float], reach: float) -> Points:
    side = np.sign(start[0])
    angle = generator.uniform(-0.2, 1.2) if start[1] < 0.3 else generator.uniform(0.9, 1.6)
    along = np.linspace(0, 1, 24)
    bend = angle + generator.normal(0, 0.4) * along
    steps = np.stack([side * np.cos(bend), np.sin(bend)], -1) * reach / 24
    width = generator.uniform(0.08, 0.16) * np.sqrt(np.clip(1 - (along - 0.1) ** 8, 0.02, 1))
    width *= np.sqrt(np.clip(8 * (1.02 - along), 0, 1))
    return tube(np.asarray(start) + np.cumsum(steps, 0), width)


def _ears(
    generator: np.random.Generator, head_y: float, head: float, surface: Surface
) -> list[Part]:
    if generator.random() < 0.3:
        return []
    tall, wide = head * generator.uniform(0.25, 0.9), head * generator.uniform(0.2, 0.4)
    out, angle = generator.uniform(0.5, 0.9), generator.uniform(0, 0.6)
    return [
        Part(
            [ellipse((s * head * out, head_y - head * 0.8 - tall * 0.4), (wide, tall), s * angle)],
            surface,
        )
        for s in (-1, 1)
    ]
