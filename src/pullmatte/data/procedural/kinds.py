"""All kinds of procedural mattes by name, and how a still or a clip is made of one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pullmatte.data.procedural import (
    blur,
    busts,
    cloth,
    cords,
    feathers,
    fire,
    fur,
    glass,
    hair,
    nets,
    plants,
    smoke,
    solids,
)
from pullmatte.data.procedural.layer import Appearance, Painter
from pullmatte.data.samples import Cutout, CutoutClip, SampleOpacity
from pullmatte.errors import PullmatteError

Design = Callable[[int, np.random.Generator], Painter]

STEP_S = (0.02, 0.08)
TRIES = 6
LEAST_AREA, LEAST_ALPHA = 0.015, 0.35


@dataclass(frozen=True)
class Kind:
    """A kind of procedural matte.

    Attributes:
        family: the group that it belongs to, such as "solid".
        design: draws all random numbers of one object, and returns what shows it at any time.
        opacity: "transparent" if nothing, or nearly nothing, of it is solid.
    """

    family: str
    design: Design
    opacity: SampleOpacity = "opaque"


KINDS: dict[str, Kind] = {
    "hair": Kind("hair", hair.hair),
    "strands": Kind("hair", hair.strands),
    "fur": Kind("hair", fur.fur),
    "wool": Kind("hair", fur.wool),
    "yarn": Kind("hair", cords.yarn),
    "bust": Kind("solid", busts.bust),
    "smoke": Kind("smoke", smoke.smoke, "transparent"),
    "wisps": Kind("smoke", smoke.wisps, "transparent"),
    "fire": Kind("fire", fire.fire, "transparent"),
    "sparks": Kind("fire", fire.sparks, "transparent"),
    "bubbles": Kind("glass", glass.bubbles, "transparent"),
    "vessel": Kind("glass", glass.vessel, "transparent"),
    "water": Kind("glass", glass.water, "transparent"),
    "net": Kind("net", nets.net),
    "lace": Kind("net", nets.lace),
    "web": Kind("net", nets.web),
    "chain": Kind("net", nets.chain),
    "basket": Kind("net", nets.basket),
    "veil": Kind("cloth", cloth.veil, "transparent"),
    "cloth": Kind("cloth", cloth.cloth),
    "leaves": Kind("plant", plants.leaves),
    "grass": Kind("plant", plants.grass),
    "seedhead": Kind("plant", plants.seedhead),
    "feather": Kind("plant", feathers.feather),
    "moving": Kind("blur", blur.moving),
    "unfocused": Kind("blur", blur.unfocused),
    "toy": Kind("solid", solids.toy),
    "pottery": Kind("solid", solids.pottery),
    "cushion": Kind("solid", solids.cushion),
    "doll": Kind("solid", solids.doll),
}


def make(kind: str, size_px: int, generator: np.random.Generator) -> Cutout:
    """Make a still.

    Args:
        kind: a name of `KINDS`.
        size_px: side of the square, 32 or more.
        generator: all random numbers come from it.

    Returns:
        An object that fills most of the square, and now and then leaves it.

    Raises:
        PullmatteError: the kind isn't known, or the size is too small.
    """
    known = _known(kind, size_px)
    _, (colour, alpha) = _visible(known, size_px, generator)
    return Cutout(colour, alpha, kind, known.opacity)


def make_clip(kind: str, size_px: int, frames: int, generator: np.random.Generator) -> CutoutClip:
    """Make a clip of one object that moves; its first frame is the still of the same generator.

    Args:
        kind: a name of `KINDS`.
        size_px: side of the square, 32 or more.
        frames: how many, 1 or more.
        generator: all random numbers come from it.

    Returns:
        The clip; frames lie 0.02 to 0.08 seconds apart.

    Raises:
        PullmatteError: the kind isn't known, the size too small, or there are no frames.
    """
    known = _known(kind, size_px)
    if frames < 1:
        raise PullmatteError(f"A clip of {frames} frames was asked for; give 1 or more.")
    paint, first = _visible(known, size_px, generator)
    step = generator.uniform(*STEP_S)
    shown = [first, *(paint(float(step * number)) for number in range(1, frames))]
    colour, alpha = np.stack([s.colour for s in shown]), np.stack([s.alpha for s in shown])
    return CutoutClip(colour, alpha, kind, known.opacity)


def _visible(
    known: Kind, size_px: int, generator: np.random.Generator
) -> tuple[Painter, Appearance]:
    """Draw objects until one shows enough of itself."""
    for _ in range(TRIES):
        paint = known.design(size_px, generator)
        first = paint(0.0)
        if first.alpha.mean() > LEAST_AREA and first.alpha.max() > LEAST_ALPHA:
            break
    return paint, first


def _known(kind: str, size_px: int) -> Kind:
    if kind not in KINDS:
        names = ", ".join(KINDS)
        raise PullmatteError(f"Unknown kind of procedural matte {kind!r}. Known: {names}.")
    if size_px < 32:
        raise PullmatteError(
            f"A procedural matte of {size_px} pixels was asked for; give 32 or more."
        )
    return KINDS[kind]
