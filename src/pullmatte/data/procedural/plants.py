"""Leaves on branches and bushes, grass and stems, seed heads."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pullmatte.data.procedural.hair import Hair
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
from pullmatte.data.procedural.outlines import lathe_outline, turned
from pullmatte.data.procedural.palette import Colour, any_colour, near
from pullmatte.data.procedural.parts import Part, draw_surface, paint_parts
from pullmatte.data.procedural.pose import Points, Pose, draw_pose
from pullmatte.data.procedural.raster import draw_light, fixed
from pullmatte.data.procedural.strands import (
    FINE,
    Bytes,
    Growth,
    Numbers,
    draw_strands,
    fine_canvas,
    strand_layer,
)
from pullmatte.data.procedural.texture import draw_texture
from pullmatte.data.samples import Plane

GREENS = ((0.13, 0.3, 0.08), (0.3, 0.5, 0.12), (0.45, 0.62, 0.25), (0.2, 0.36, 0.25),
          (0.6, 0.6, 0.2), (0.7, 0.35, 0.1), (0.55, 0.12, 0.1), (0.45, 0.32, 0.18))  # fmt: skip


@dataclass(frozen=True)
class _Foliage:
    """Leaves on twigs, in object coordinates, each with its own tone and sway."""

    twigs: Sequence[Points]
    places: Points
    angles: Numbers
    sizes: Numbers
    shapes: Points
    tones: Numbers
    phases: Numbers


def leaves(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a branch, a bush or a fern with its leaves.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    bush = generator.random() < 0.35
    pose = draw_pose(generator, tilt=0.1 if bush else 0.6)
    foliage = _grow_bush(generator) if bush else _grow_branch(generator)
    pot = _pot(generator) if bush and generator.random() < 0.6 else []
    lamp = draw_light(generator)
    wind, rate = float(generator.normal(0, 0.25)), float(generator.uniform(2, 6))
    wood = near(np.array([0.3, 0.22, 0.15], np.float32), 0.08, generator)
    thick = float(generator.uniform(0.01, 0.035))
    light = float(generator.uniform(0.1, 0.35))
    sheen = np.clip(1 + 0.2 * Noise(generator, 4, 4).at(size_px), 0.3, 1.7)

    def paint(time: float) -> Appearance:
        canvas = fine_canvas(size_px)
        draw_twigs(canvas, foliage.twigs, thick, wood, pose, time)
        sway = wind * (np.sin(rate * time + foliage.phases) - np.sin(foliage.phases))
        _draw_leaves(canvas, foliage, foliage.angles + sway, light, pose, time)
        layer = paint_parts(empty_layer(size_px), pot, pose, lamp, time)
        return appearance_of(over(dimmed(strand_layer(canvas), sheen), layer))

    return paint


def grass(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw blades of grass or thin stems with ears, rising from the ground.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows them.
    """
    pose = draw_pose(generator, tilt=0.2)
    count = int(np.exp(generator.uniform(np.log(20), np.log(500))))
    spread = generator.uniform(0.05, 0.9)
    roots = np.stack([generator.uniform(-spread, spread, count), np.full(count, 0.98)], -1)
    lean = roots[:, 0] * generator.uniform(0, 1)
    growth = grow_stems(generator, roots, -np.pi / 2 + lean + generator.normal(0, 0.25, count),
                     generator.uniform(0.5, 1.8, count), bend=0.6)  # fmt: skip
    green = _green(generator)
    tones = green * generator.normal(1, 0.2, (count, 1)) + generator.normal(0, 0.03, (count, 3))
    wide = size_px / 512 * float(np.exp(generator.uniform(np.log(0.7), np.log(9))))
    blades = Hair(growth, np.full(count, wide), tones, 1.0, plain_sheen(generator, size_px))
    ears = _Ears(generator, growth, green) if generator.random() < 0.5 else None

    def paint(time: float) -> Appearance:
        layer = over(blades.layer(pose, time), empty_layer(size_px))
        if ears is not None:
            over(ears.layer(pose, time, size_px), layer)
        return appearance_of(layer)

    return paint


def seedhead(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a dandelion clock, a thistle or pampas: tufts of fine hair on fine stems.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    pose = draw_pose(generator, tilt=0.4)
    count = int(generator.integers(40, 220))
    full = generator.uniform(0, 2 * np.pi) if generator.random() < 0.3 else 0.0
    around = full + generator.uniform(0, 2 * np.pi - full * 0.5, count)
    reach = np.sqrt(generator.uniform(0.05, 1, count)) * generator.uniform(0.35, 0.6)
    shift = np.array([0.0, -0.3])
    stems = grow_stems(generator, np.tile(shift, (count, 1)), around, reach, bend=0.1)
    tone = near(np.full(3, generator.uniform(0.6, 0.95), np.float32), 0.04, generator)
    tone = tone if generator.random() < 0.75 else any_colour(generator)
    wide = np.full(count, size_px / 512 * generator.uniform(0.4, 1.0))
    tones = tone * generator.normal(0.8, 0.1, (count, 1))
    sheen = plain_sheen(generator, size_px)
    rays = int(generator.integers(8, 22))
    ray = generator.uniform(0.06, 0.25, count)
    fans = generator.normal(0, generator.uniform(0.3, 1.0), (count, rays))
    stalk = np.array([[0.0, -0.3], [0.03, 0.3], [generator.normal(0, 0.2), 1.4]])
    green = _green(generator)

    def paint(time: float) -> Appearance:
        canvas = fine_canvas(size_px)
        draw_twigs(canvas, [stalk], 0.02, green, pose, time)
        curves = stems.curves(time)
        draw_strands(canvas, pose.place(curves, size_px, time), wide, tones, taper=0.2)
        tips = curves[:, -1] - curves[:, -2]
        angle = np.arctan2(tips[:, 1], tips[:, 0])[:, None] + fans
        ends = np.stack([np.cos(angle), np.sin(angle)], -1) * ray[:, None, None]
        lines = np.stack([curves[:, -1:] + 0 * ends, curves[:, -1:] + ends], 2).reshape(-1, 2, 2)
        hairs = pose.place(lines, size_px, time)
        thin = np.repeat(wide * 0.5, rays)
        draw_strands(canvas, hairs, thin, np.repeat(tones * 1.15, rays, 0))
        return appearance_of(dimmed(strand_layer(canvas), sheen))

    return paint


class _Ears:
    """Ears of grass: short bristles along the ends of some stems."""

    def __init__(self, generator: np.random.Generator, growth: Growth, green: Colour) -> None:
        count = len(growth.roots)
        self.growth = growth
        self.chosen = np.flatnonzero(generator.random(count) < generator.uniform(0.1, 0.6))
        if not self.chosen.size:
            self.chosen = np.array([0])
        self.number = int(generator.integers(10, 40))
        self.spread = float(generator.uniform(0.2, 1.0))
        self.length = float(generator.uniform(0.05, 0.2))
        self.tone = near(green * 0.5 + np.array([0.4, 0.3, 0.15], np.float32), 0.08, generator)
        self.shade = generator.normal(1, 0.15, (self.chosen.size * self.number, 1))

    def layer(self, pose: Pose, time: float, size_px: int) -> Layer:
        curves = self.growth.curves(time)[self.chosen]
        share = np.linspace(0.7, 0.999, self.number) * (curves.shape[1] - 1)
        low = share.astype(int)
        part = (share - low)[:, None]
        feet = curves[:, low] * (1 - part) + curves[:, low + 1] * part
        step = curves[:, low + 1] - curves[:, low]
        side = np.where(np.arange(self.number) % 2, 1, -1) * self.spread
        angle = np.arctan2(step[..., 1], step[..., 0]) + side
        ends = feet + self.length * np.stack([np.cos(angle), np.sin(angle)], -1)
        lines = np.stack([feet, ends], 2).reshape(-1, 2, 2)
        canvas = fine_canvas(size_px)
        widths = np.full(len(lines), 2.0 * size_px / 512)
        draw_strands(canvas, pose.place(lines, size_px, time), widths, self.tone * self.shade)
        return strand_layer(canvas)


def grow_stems(
    generator: np.random.Generator, roots: Points, angles: Numbers, lengths: Numbers, bend: float
) -> Growth:
    """Draw how single stems bend and sway.

    Args:
        generator: drawn from.
        roots: `N 2`, object coordinates.
        angles: `N`, direction at the root.
        lengths: `N`.
        bend: deviation of how far they turn, in radians.

    Returns:
        Their growth.
    """
    count = len(roots)
    return Growth(
        roots=roots,
        angles=angles,
        lengths=lengths,
        bends=generator.normal(0, bend, count),
        curls=np.full(count, 0.05),
        turns=np.full(count, 1.0),
        phases=generator.uniform(0, 2 * np.pi, count),
        fall=float(generator.uniform(0, 0.3)),
        clumps=np.arange(count),
        clumping=0.0,
        wind=float(generator.normal(0, 0.25)),
        rate=float(generator.uniform(1.5, 5)),
    )


def _green(generator: np.random.Generator) -> Colour:
    if generator.random() < 0.06:
        return any_colour(generator)
    return near(np.array(GREENS[generator.integers(len(GREENS))], np.float32), 0.06, generator)


def plain_sheen(generator: np.random.Generator, size_px: int) -> Plane:
    """Draw an uneven brightness.

    Args:
        generator: drawn from.
        size_px: side of the square.

    Returns:
        `S S`, a factor of about 1.
    """
    field = Noise(generator, 3, 3).at(size_px)
    return np.asarray(np.clip(1 + 0.15 * field, 0.4, 1.6))


def _grow_branch(generator: np.random.Generator) -> _Foliage:
    u = generator.uniform
    along = np.linspace(0, 1, 24)
    bend = generator.normal(0, 0.5)
    main = np.stack([bend * along**2 - bend * 0.3, 0.98 - 1.85 * along], -1)
    twigs, places, angles = [main], [], []
    number, each = int(generator.integers(2, 16)), int(generator.integers(4, 24))
    spread, fern = u(0.4, 1.2), generator.random() < 0.25
    for twig in range(number):
        at = 0.1 + 0.88 * (twig + 0.5) / number
        root = main[int(at * 23)]
        side = -1 if twig % 2 else 1
        angle = -np.pi / 2 + side * spread * u(0.7, 1.2)
        long = u(0.5, 0.9) * (1.1 - at) if not fern else 0.7 * np.sin(np.pi * at) + 0.05
        turn = angle + generator.normal(0, 0.5) * along
        twigs.append(root + np.cumsum(np.stack([np.cos(turn), np.sin(turn)], -1), 0) * long / 24)
        spots = np.linspace(0.15, 1, each)
        step = (spots * 23).astype(int)
        places.append(twigs[-1][step])
        open_angle = np.where(np.arange(each) % 2, 1, -1) * u(0.5, 1.2)
        angles.append(turn[step] + np.where(spots > 0.97, 0, open_angle))
    spot, directions = np.concatenate(places), np.concatenate(angles)
    count = len(spot)
    order = generator.permutation(count)
    size = u(0.05, 0.28) * np.clip(6 / each, 0.4, 1.5)
    green = _green(generator)
    tones = green * generator.normal(1, 0.2, (count, 1)) + generator.normal(0, 0.04, (count, 3))
    if generator.random() < 0.2:
        chosen = generator.random(count) < 0.3
        tones[chosen] = any_colour(generator) * generator.normal(1, 0.1, (int(chosen.sum()), 1))
    return _Foliage(
        twigs, spot[order], directions[order] + generator.normal(0, 0.25, count),
        size * generator.lognormal(0, 0.25, count), _leaf_shape(generator), tones,
        spot[order][:, 0] * 2 + generator.normal(0, 0.4, count),
    )  # fmt: skip


def _grow_bush(generator: np.random.Generator) -> _Foliage:
    """Fan several branches out from one foot."""
    branch = _grow_branch(generator)
    foot = np.array([0.0, 0.98])
    leans = np.sort(generator.uniform(-0.9, 0.9, int(generator.integers(2, 6))))
    reach = generator.uniform(0.55, 0.95, len(leans))
    fans = [(_Turn(lean, size), branch) for lean, size in zip(leans, reach, strict=True)]
    raised = np.array([0.0, generator.uniform(0.1, 0.4)])
    count = len(leans)
    return _Foliage(
        twigs=[foot - raised + turn.of(t - foot) for turn, b in fans for t in b.twigs],
        places=np.concatenate([foot - raised + turn.of(b.places - foot) for turn, b in fans]),
        angles=np.concatenate([b.angles + turn.angle for turn, b in fans]),
        sizes=np.concatenate([b.sizes * generator.uniform(0.8, 1.2) for _, b in fans]),
        shapes=branch.shapes,
        tones=np.concatenate([b.tones * generator.uniform(0.7, 1.1) for _, b in fans]),
        phases=generator.permutation(np.tile(branch.phases, count)),
    )


@dataclass(frozen=True)
class _Turn:
    angle: float
    size: float

    def of(self, points: Points) -> Points:
        return turned(points, self.angle) * self.size


def _pot(generator: np.random.Generator) -> list[Part]:
    wide, foot = float(generator.uniform(0.25, 0.5)), float(generator.uniform(0.6, 0.95))
    profile = np.array([[wide, 0.55], [wide * (0.4 + foot) / 1.4, 0.75], [wide * foot, 0.97]])
    surface = draw_surface(generator, draw_texture(generator), 0.3)
    rim = np.array([[wide * 1.08, 0.5], [wide * 1.08, 0.6]])
    return [Part([lathe_outline(profile, 0.1)], surface), Part([lathe_outline(rim, 0.1)], surface)]


def _leaf_shape(generator: np.random.Generator) -> Points:
    """Return half a leaf from its stalk to its tip, along x, to the side of positive y."""
    x = np.linspace(0, 1, 24)
    wide, power = generator.uniform(0.06, 0.38), generator.uniform(0.5, 1.4)
    y = wide * np.sin(np.pi * x**power) ** generator.uniform(0.6, 1.3)
    if generator.random() < 0.4:
        teeth = np.abs(np.sin(x * np.pi * generator.integers(3, 10)))
        y = y * (1 - generator.uniform(0.1, 0.6) * (1 - teeth))
    return np.stack([0.12 + x, y], -1)


def draw_twigs(
    canvas: Bytes, twigs: Sequence[Points], thick: float, colour: Colour, pose: Pose, time: float
) -> None:
    """Draw stems over a canvas, the first one twice as thick as the others.

    Args:
        canvas: from `strands.fine_canvas`.
        twigs: `N 2` each, object coordinates.
        thick: of the first, object coordinates.
        colour: of all.
        pose: from object coordinates to pixels.
        time: in seconds.
    """
    size_px = canvas.shape[0] // FINE
    full = thick * pose.scale * size_px * FINE
    for number, twig in enumerate(twigs):
        width = full if number == 0 else full * 0.5
        line = fixed(pose.place(twig, size_px, time), FINE)
        for share, shade in ((1.0, 0.75), (0.5, 1.2)):
            tone = np.clip(colour * shade, 0, 1) * 255
            paint = (*(float(v) for v in tone), 255.0)
            pixels = max(round(width * share), 1)
            cv2.polylines(canvas, [line], False, paint, pixels, cv2.LINE_8, 4)


def _draw_leaves(
    canvas: Bytes, foliage: _Foliage, angles: Numbers, light: float, pose: Pose, time: float
) -> None:
    """Draw each leaf as two halves of unlike brightness, a rib and a stalk."""
    size_px = canvas.shape[0] // FINE
    cos, sin = np.cos(angles), np.sin(angles)
    turn = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
    half = foliage.shapes
    rib = half * (1, 0)
    sides = [np.concatenate([half * (1, s), rib[::-1]]) for s in (1, -1)]
    stalk = np.concatenate([[[0.0, 0.0]], rib[[0, -3]]])
    curves = [
        (p @ turn) * foliage.sizes[:, None, None] + foliage.places[:, None] for p in (*sides, stalk)
    ]
    left, right, ribs = (fixed(pose.place(c, size_px, time), FINE) for c in curves)
    tilt = light * np.sin(angles)
    for number, tone in enumerate(foliage.tones):
        shades = (1 + tilt[number], 1 - tilt[number], 0.7)
        paints = [(*(np.clip(tone * s, 0, 1) * 255).tolist(), 255.0) for s in shades]
        cv2.fillPoly(canvas, [left[number]], paints[0], cv2.LINE_8, 4)
        cv2.fillPoly(canvas, [right[number]], paints[1], cv2.LINE_8, 4)
        cv2.polylines(canvas, [ribs[number]], False, paints[2], max(FINE * size_px // 700, 1), 8, 4)
