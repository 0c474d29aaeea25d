"""Cars, vans and buses of simple parts, seen from the side; made for measuring alone."""

import numpy as np

from pullmatte.data.procedural.layer import Painter
from pullmatte.data.procedural.outlines import ellipse, rounded_polygon
from pullmatte.data.procedural.palette import any_colour
from pullmatte.data.procedural.parts import Part, Surface, draw_surface, solid_painter
from pullmatte.data.procedural.pose import Points, Pose
from pullmatte.data.procedural.raster import draw_light
from pullmatte.data.procedural.texture import draw_texture

TILE = (256, 256, 3)


def vehicle(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a vehicle with windows, lamps and wheels, which rocks a little as it goes.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    forward = 1 if generator.random() < 0.5 else -1
    kind = ("car", "van", "bus")[generator.integers(3)]
    roof = {"car": -0.36, "van": -0.5, "bus": -0.62}[kind] * generator.uniform(0.9, 1.1)
    paint = draw_surface(generator, draw_texture(generator, any_colour(generator)), 0.12)
    parts = [Part([_body(kind, roof, generator) * (forward, 1)], paint)]
    glass = _plain((0.2, 0.26, 0.32), gloss=0.8)
    parts += [Part([pane * (forward, 1)], glass, 0.1) for pane in _panes(kind, roof)]
    lamp = ellipse((0.86 * forward, 0.12), (0.06, 0.05))
    parts.append(Part([lamp], _plain((0.98, 0.95, 0.75), gloss=0.5), 0.1))
    bumper = rounded_polygon(np.array([(-0.95, 0.28), (0.95, 0.28), (0.95, 0.36), (-0.95, 0.36)]),
                             0.3)  # fmt: skip
    parts.append(Part([bumper], _plain((0.12, 0.12, 0.13)), 0.1))
    radius = float(generator.uniform(0.15, 0.2))
    for place in (-0.58, 0.58):
        parts.append(Part([ellipse((place, 0.36), (radius, radius))], _plain((0.07, 0.07, 0.08))))
        rim = radius * generator.uniform(0.5, 0.65)
        parts.append(Part([ellipse((place, 0.36), (rim, rim))], _plain((0.7, 0.7, 0.72), 0.6), 0.2))
    pose = Pose(scale=0.44, swing=0.012, drift=(0.0, 0.006), rate=float(generator.uniform(6, 11)))
    return solid_painter(size_px, parts, pose, draw_light(generator))


def _body(kind: str, roof: float, generator: np.random.Generator) -> Points:
    hood = {"car": -0.05, "van": -0.12, "bus": roof * 0.9}[kind]
    tail = {"car": -0.06, "van": roof * 0.95, "bus": roof * 0.95}[kind]
    slope = float(generator.uniform(0.1, 0.25))
    corners = [(-0.97, 0.32), (-0.97, tail), (-0.7, roof if kind != "car" else tail),
               (-0.5, roof), (0.25, roof), (0.3 + slope, hood), (0.95, hood + 0.06),
               (0.97, 0.32)]  # fmt: skip
    if kind == "bus":
        corners[4:6] = [(0.8, roof), (0.94, hood)]
    return rounded_polygon(np.array(corners), 0.25)


def _panes(kind: str, roof: float) -> list[Points]:
    top, foot = roof + 0.08, -0.08
    spans = {
        "car": [(-0.44, -0.1), (-0.05, 0.24)],
        "van": [(-0.02, 0.26)],
        "bus": [(-0.88, -0.6), (-0.54, -0.24), (-0.18, 0.12), (0.18, 0.48), (0.54, 0.82)],
    }[kind]
    return [
        rounded_polygon(np.array([(a, top), (b, top), (b, foot), (a, foot)]), 0.2) for a, b in spans
    ]


def _plain(colour: tuple[float, float, float], gloss: float = 0.1) -> Surface:
    tile = np.broadcast_to(np.array(colour, np.float32), TILE)
    return Surface(np.ascontiguousarray(tile), gloss=gloss, sharpness=30.0, roundness=0.08)
