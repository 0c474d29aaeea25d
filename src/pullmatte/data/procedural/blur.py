"""Motion blur and defocus of cut-outs: colour, premultiplied, and alpha alike."""

from dataclasses import replace

import cv2
import numpy as np

from pullmatte.data.procedural import busts, nets, plants, solids
from pullmatte.data.procedural.layer import Appearance, Layer, Painter, appearance_of, layer_of
from pullmatte.data.samples import Cutout

PASSES = 5
HARD = (solids.toy, solids.pottery, solids.doll, nets.chain, plants.leaves, busts.bust)


def motion_blurred(
    cutout: Cutout,
    shift_px: tuple[float, float],
    turn: float = 0.0,
    growth: float = 0.0,
) -> Cutout:
    """Smear a cut-out as if it had moved evenly while the shutter was open.

    Args:
        cutout: any cut-out; it isn't changed.
        shift_px: how far it moved in x and y.
        turn: how far it turned about its middle, in radians.
        growth: how much larger it became, as a share.

    Returns:
        The mean over its path, which starts half a path before where it was.
    """
    layer = layer_of(cutout.colour, cutout.alpha)
    colour, alpha = appearance_of(_smear(layer, shift_px, turn, growth))
    return replace(cutout, colour=colour, alpha=alpha)


def defocused(cutout: Cutout, radius_px: float) -> Cutout:
    """Blur a cut-out by a lens that isn't focused on it.

    Args:
        cutout: any cut-out; it isn't changed.
        radius_px: of the circle that a point becomes; 0 changes nothing.

    Returns:
        The blurred cut-out.
    """
    layer = layer_of(cutout.colour, cutout.alpha)
    colour, alpha = appearance_of(_spread(layer, radius_px))
    return replace(cutout, colour=colour, alpha=alpha)


def moving(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a solid object that is smeared by its motion.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    sharp = HARD[generator.integers(len(HARD))](size_px, generator)
    length = size_px * float(np.exp(generator.uniform(np.log(0.01), np.log(0.15))))
    angle = float(generator.uniform(0, 2 * np.pi))
    turn = float(generator.normal(0, 0.15)) if generator.random() < 0.4 else 0.0
    growth = float(generator.normal(0, 0.08)) if generator.random() < 0.2 else 0.0
    rate = float(generator.uniform(1, 4))

    def paint(time: float) -> Appearance:
        colour, alpha = sharp(time)
        now = np.cos(rate * time)
        shift = (length * np.cos(angle + time) * now, length * np.sin(angle + time) * now)
        return appearance_of(_smear(layer_of(colour, alpha), shift, turn * now, growth * now))

    return paint


def unfocused(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a solid object that is out of focus.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    sharp = HARD[generator.integers(len(HARD))](size_px, generator)
    radius = size_px * float(np.exp(generator.uniform(np.log(0.003), np.log(0.03))))
    rate = float(generator.uniform(0.5, 2))

    def paint(time: float) -> Appearance:
        colour, alpha = sharp(time)
        now = radius * (1 + 0.5 * np.sin(rate * time))
        return appearance_of(_spread(layer_of(colour, alpha), now))

    return paint


def _smear(layer: Layer, shift_px: tuple[float, float], turn: float, growth: float) -> Layer:
    """Average over a path by halves: each pass joins a picture with itself, moved half as far."""
    height, width = layer.shape[:2]
    middle = np.array([width / 2 - 0.5, height / 2 - 0.5])
    for number in range(1, PASSES + 1):
        step = 0.5**number
        moved = []
        for sign in (-0.5, 0.5):
            part = sign * step
            scale = 1 + growth * part
            cos, sin = np.cos(turn * part) * scale, np.sin(turn * part) * scale
            linear = np.array([[cos, -sin], [sin, cos]])
            offset = middle - linear @ middle + np.array(shift_px) * part
            matrix = np.concatenate([linear, offset[:, None]], 1)
            moved.append(
                cv2.warpAffine(layer, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
            )
        layer = np.asarray((moved[0] + moved[1]) / 2, np.float32)
    return layer


def _spread(layer: Layer, radius_px: float) -> Layer:
    reach = int(np.ceil(radius_px))
    line = np.arange(-reach, reach + 1)
    distance = np.hypot(line, line[:, None])
    kernel = np.clip(radius_px + 0.5 - distance, 0, 1).astype(np.float32)
    kernel[reach, reach] = max(kernel[reach, reach], 1e-6)
    spread = cv2.filter2D(layer, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    return np.clip(spread, 0, 1)
