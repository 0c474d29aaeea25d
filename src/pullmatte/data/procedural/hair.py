"""Hair over a head, locks of it, and single strands."""

from dataclasses import dataclass

import numpy as np

from pullmatte.data.procedural.layer import (
    Appearance,
    Layer,
    Painter,
    appearance_of,
    dimmed,
    empty_layer,
    over,
)
from pullmatte.data.procedural.noise import Noise
from pullmatte.data.procedural.outlines import blob
from pullmatte.data.procedural.palette import any_colour, hair_colour, near
from pullmatte.data.procedural.parts import Part, draw_surface, paint_parts, volume_of
from pullmatte.data.procedural.pose import Points, Pose, draw_pose
from pullmatte.data.procedural.raster import Light, draw_light
from pullmatte.data.procedural.strands import (
    FINE,
    Bytes,
    Growth,
    Numbers,
    draw_strands,
    fine_canvas,
    nearest_clump,
    strand_layer,
)
from pullmatte.data.procedural.texture import draw_texture
from pullmatte.data.samples import Plane

GOLDEN_ANGLE = 2.39996


@dataclass(frozen=True)
class Hair:
    """Strands with all that is needed to draw them at any time.

    Attributes:
        growth: where they run.
        widths_px: `N`, at the root.
        colours: `N 3` sRGB.
        opacity: alpha of each.
        sheen: `S S`, factor of the colour.
    """

    growth: Growth
    widths_px: Numbers
    colours: Numbers
    opacity: float
    sheen: Plane

    def draw(self, canvas: Bytes, pose: Pose, time: float) -> None:
        """Draw the strands over what is on a canvas, without their sheen.

        Args:
            canvas: from `fine_canvas`.
            pose: from object coordinates to pixels.
            time: in seconds.
        """
        curves = pose.place(self.growth.curves(time), canvas.shape[0] // FINE, time)
        draw_strands(canvas, curves, self.widths_px, self.colours, opacity=self.opacity)

    def layer(self, pose: Pose, time: float) -> Layer:
        """Draw the strands alone.

        Args:
            pose: from object coordinates to pixels.
            time: in seconds.

        Returns:
            `S S 4`, premultiplied.
        """
        canvas = fine_canvas(self.sheen.shape[0])
        self.draw(canvas, pose, time)
        return dimmed(strand_layer(canvas), self.sheen)


def hair(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a head of hair from behind, or a bundle of it: straight, wavy or curly, any length.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    pose, light = draw_pose(generator, tilt=0.5), draw_light(generator)
    if generator.random() < 0.25:
        return stack(size_px, pose, light, [], [], [_lock(generator, size_px)])
    radius = float(generator.uniform(0.3, 0.6))
    core = blob(generator, radius, 0.06, 4)
    colour = hair_colour(generator)
    length = float(np.clip(generator.lognormal(-0.9, 0.6), 0.15, 1.5))
    roots, angles = scalp(generator, int(generator.integers(900, 2600)), radius)
    strands = draw_hair(generator, size_px, roots, angles, length, colour)
    flyaways = draw_flyaways(generator, size_px, radius, length, colour)
    surface = draw_surface(generator, draw_texture(generator, colour * 0.6), radius * 0.6)
    return stack(size_px, pose, light, [flyaways], [Part([core], surface)], [strands])


def strands(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a few long single strands, with little or no body.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows them.
    """
    pose, light = draw_pose(generator, tilt=1.5), draw_light(generator)
    count = int(np.exp(generator.uniform(np.log(12), np.log(250))))
    origin = generator.uniform(-0.7, 0.7, 2) - np.array([0, 0.3])
    spread = generator.uniform(0.02, 0.6)
    roots = origin + generator.normal(0, 1, (count, 2)) * spread * (1.0, 0.3)
    angles = np.pi / 2 + generator.normal(0, generator.uniform(0.1, 0.8), count)
    length = float(generator.uniform(0.8, 2.2))
    drawn = draw_hair(generator, size_px, roots, angles, length, hair_colour(generator))
    parts = []
    if generator.random() < 0.6:
        body = blob(generator, float(generator.uniform(0.1, 0.35)), 0.1) + origin
        parts = [Part([body], draw_surface(generator, draw_texture(generator)))]
    return stack(size_px, pose, light, [], parts, [drawn])


def scalp(generator: np.random.Generator, count: int, radius: float) -> tuple[Points, Numbers]:
    """Spread roots over a round head, those in the middle last.

    Args:
        generator: drawn from.
        count: how many.
        radius: of the head.

    Returns:
        Roots `N 2` about (0, 0), and the direction in which each strand leaves.
    """
    share = np.sqrt(np.linspace(1, 0.02, count))
    turn = np.arange(count) * GOLDEN_ANGLE + generator.uniform(0, 2 * np.pi)
    roots = radius * share[:, None] * np.stack([np.cos(turn), np.sin(turn)], -1)
    roots += generator.normal(0, radius * 0.03, roots.shape)
    parting = generator.uniform(-0.4, 0.4) * radius
    angles = np.arctan2(roots[:, 1] + radius * 0.4, roots[:, 0] - parting)
    return roots, angles + generator.normal(0, 0.15, count)


def draw_hair(
    generator: np.random.Generator,
    size_px: int,
    roots: Points,
    angles: Numbers,
    length: float,
    colour: Numbers,
    *,
    opacity: float = 1.0,
) -> Hair:
    """Draw how strands curl, lean together and shine.

    Args:
        generator: drawn from.
        size_px: side of the square.
        roots: `N 2`, object coordinates.
        angles: `N`, direction at the root.
        length: typical length, object coordinates.
        colour: of the hair.
        opacity: alpha of each strand.

    Returns:
        The hair.
    """
    count = len(roots)
    curly = generator.choice([0.05, 0.3, 1.0, 1.8], p=[0.35, 0.3, 0.2, 0.15])
    clumps = nearest_clump(roots, int(generator.integers(15, 120)), generator)
    curl = np.abs(generator.normal(curly, 0.2 * curly + 0.03, count))
    turns = length * generator.uniform(1, 5) * (1 + 2 * curly) / 2
    growth = Growth(
        roots=roots,
        angles=angles,
        lengths=np.maximum(length * generator.lognormal(0, 0.25, count), 0.02),
        bends=generator.normal(0, 0.35, count)[clumps] + generator.normal(0, 0.12, count),
        curls=curl[clumps] * generator.uniform(0.8, 1.2, count),
        turns=np.maximum(turns * generator.uniform(0.8, 1.2, count)[clumps], 0.1),
        phases=generator.uniform(0, 2 * np.pi, count)[clumps] + generator.normal(0, 0.4, count),
        fall=float(generator.uniform(0, 2.5)),
        clumps=clumps,
        clumping=float(generator.uniform(0, 0.9)),
        wind=float(generator.normal(0, 0.3)),
        rate=float(generator.uniform(2, 8)),
        steps=14 if length < 0.5 and curly < 1 else 28 if curly < 1 else 44,
    )
    wide = size_px / 512 * float(generator.uniform(0.35, 1.3))
    widths = np.maximum(wide * np.clip(generator.lognormal(0, 0.25, count), 0.5, 1.3), 0.15)
    shade = np.linspace(generator.uniform(0.4, 0.8), 1.1, count)[:, None]
    shade = shade * generator.normal(1, 0.15, count)[clumps][:, None]
    colours = colour * shade * generator.normal(1, 0.1, (count, 1))
    if generator.random() < 0.15:
        streak = generator.random(count)[clumps] < 0.3
        colours[streak] = any_colour(generator) * shade[streak]
    return Hair(growth, widths, colours, opacity, _sheen(generator, size_px))


def draw_flyaways(
    generator: np.random.Generator,
    size_px: int,
    radius: float,
    length: float,
    colour: Numbers,
    shift: Points | None = None,
) -> Hair:
    """Draw thin strands that stand off and are seen against what lies behind.

    Args:
        generator: drawn from.
        size_px: side of the square.
        radius: of the head.
        length: of the hair.
        colour: of the hair.
        shift: centre of the head.

    Returns:
        The hair.
    """
    roots, angles = scalp(generator, int(generator.integers(30, 400)), radius)
    angles = angles + generator.normal(0, 0.7, len(angles))
    roots = roots * 0.95 + (np.zeros(2) if shift is None else shift)
    opacity = float(generator.uniform(0.4, 1))
    bright = near(np.asarray(colour, np.float32), 0.1, generator)
    long = length * float(generator.uniform(0.8, 1.5)) + 0.1
    drawn = draw_hair(generator, size_px, roots, angles, long, bright, opacity=opacity)
    return Hair(drawn.growth, drawn.widths_px * 0.6, drawn.colours, opacity, drawn.sheen)


def _lock(generator: np.random.Generator, size_px: int) -> Hair:
    """Draw a lock, a wig or a tail of hair that hangs from a short line."""
    count = int(generator.integers(400, 1600))
    across = generator.uniform(-1, 1, count)
    wide, high = generator.uniform(0.05, 0.6), generator.uniform(0, 0.3)
    roots = np.stack([wide * across, -0.85 + high * across**2], -1)
    roots += generator.normal(0, 0.02, roots.shape)
    angles = np.pi / 2 - across * generator.uniform(-0.3, 0.9) + generator.normal(0, 0.08, count)
    length = float(generator.uniform(0.7, 1.7))
    return draw_hair(generator, size_px, roots, angles, length, hair_colour(generator))


def _sheen(generator: np.random.Generator, size_px: int) -> Plane:
    field = Noise(generator, generator.uniform(1.5, 4), 2).at(size_px)
    strength = np.float32(generator.uniform(0.05, 0.3))
    return np.asarray(np.clip(1 + strength * field, 0.4, 1.8))


def stack(
    size_px: int,
    pose: Pose,
    light: Light,
    behind: list[Hair],
    parts: list[Part],
    front: list[Hair],
) -> Painter:
    """Lay hair behind and before parts.

    Args:
        size_px: side of the square.
        pose: where all of it stands.
        light: on all of it.
        behind: drawn first, on one canvas.
        parts: drawn over it.
        front: drawn last.

    Returns:
        What shows it.
    """

    def paint(time: float) -> Appearance:
        layer = empty_layer(size_px)
        if behind:
            canvas = fine_canvas(size_px)
            for each in behind:
                each.draw(canvas, pose, time)
            layer = dimmed(strand_layer(canvas), behind[-1].sheen)
        paint_parts(layer, parts, pose, light, time)
        for each in front:
            top = each.layer(pose, time)
            if parts:
                dimmed(top, volume_of(parts, pose, light, size_px, time))
            over(top, layer)
        return appearance_of(layer)

    return paint
