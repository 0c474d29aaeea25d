"""Feathers: a shaft and its barbs."""

import numpy as np

from pullmatte.data.procedural.hair import Hair
from pullmatte.data.procedural.layer import Appearance, Painter, appearance_of, empty_layer, over
from pullmatte.data.procedural.palette import any_colour, hair_colour, near
from pullmatte.data.procedural.plants import draw_twigs, grow_stems, plain_sheen
from pullmatte.data.procedural.pose import Points, draw_pose
from pullmatte.data.procedural.strands import Growth, Numbers, fine_canvas, strand_layer


def feather(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a feather: a shaft, barbs that part here and there, down at its foot.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    pose = draw_pose(generator, tilt=1.2)
    along = np.linspace(0, 1, 60)
    bow = generator.normal(0, 0.35)
    shaft = np.stack([bow * (along - 0.4) ** 2, 0.98 - 1.9 * along], -1)
    count = int(generator.integers(250, 700))
    barbs, tones = _barbs(generator, shaft, count)
    wide = np.full(2 * count, size_px / 512 * generator.uniform(0.6, 1.6))
    vanes = Hair(barbs, wide, tones, 1.0, plain_sheen(generator, size_px))
    quill = near(np.array([0.85, 0.8, 0.7], np.float32), 0.1, generator)
    thick = float(generator.uniform(0.008, 0.02))

    def paint(time: float) -> Appearance:
        layer = over(vanes.layer(pose, time), empty_layer(size_px))
        canvas = fine_canvas(size_px)
        draw_twigs(canvas, [shaft], thick, quill, pose, time)
        return appearance_of(over(strand_layer(canvas), layer))

    return paint


def _barbs(generator: np.random.Generator, shaft: Points, count: int) -> tuple[Growth, Numbers]:
    """Return the barbs of both vanes, foot first, and their colours."""
    place = np.linspace(0.12, 0.995, count)
    place = np.tile(place, 2)
    order = np.argsort(place, kind="stable")
    side = np.repeat([-1.0, 1.0], count)[order]
    place = place[order]
    index = place * (len(shaft) - 1)
    roots = np.stack([np.interp(index, np.arange(len(shaft)), shaft[:, c]) for c in (0, 1)], -1)
    down = np.clip((generator.uniform(0.2, 0.35) - place) * 10, 0, 1)
    splits = np.cumsum(generator.random(2 * count) < 0.01)
    tilt = generator.normal(0, 0.12, splits.max() + 1)[splits]
    angles = -np.pi / 2 + side * (generator.uniform(0.5, 0.9) + tilt + 0.6 * down)
    angles += generator.normal(0, 1, 2 * count) * (0.02 + 0.5 * down)
    wide = generator.uniform(0.15, 0.45)
    vane = wide * np.sin(np.pi * np.clip(place, 0.02, 0.98) ** 0.8) ** 0.5 * (1 - 0.35 * (side > 0))
    growth = grow_stems(generator, roots, angles, vane * generator.normal(1, 0.04, 2 * count), 0.05)
    loose = generator.normal(0, 1, 2 * count)
    growth = Growth(**{
        **vars(growth), "curls": 0.03 + 0.9 * down, "turns": 1 + 2 * down,
        "bends": -side * generator.uniform(0.1, 0.5), "fall": 0.0,
        "wind": growth.wind * 0.3, "phases": 2 * np.pi * place + down * loose,
    })  # fmt: skip
    first, second = hair_colour(generator), any_colour(generator)
    if generator.random() < 0.5:
        second = hair_colour(generator)
    band = np.clip(
        0.5 + 3 * np.sin(place * generator.uniform(3, 40) + generator.uniform(0, 6)), 0, 1
    )
    tones = first * (1 - band[:, None]) + second * band[:, None]
    return growth, tones * generator.normal(1, 0.06, (2 * count, 1))
