"""Colours, drawn the way the things that wear them are coloured."""

import colorsys
from typing import Any

import numpy as np
from numpy.typing import NDArray

Colour = NDArray[np.floating[Any]]
"""Three sRGB numbers in [0, 1]."""

HAIR = ((0.06, 0.05, 0.05), (0.2, 0.12, 0.07), (0.38, 0.23, 0.12), (0.55, 0.38, 0.2),
        (0.8, 0.65, 0.42), (0.92, 0.84, 0.66), (0.6, 0.22, 0.08), (0.5, 0.5, 0.5),
        (0.9, 0.9, 0.9))  # fmt: skip
SKIN = ((0.98, 0.85, 0.75), (0.93, 0.74, 0.6), (0.82, 0.6, 0.45), (0.65, 0.44, 0.3),
        (0.45, 0.29, 0.19), (0.28, 0.18, 0.13))  # fmt: skip


def any_colour(generator: np.random.Generator) -> Colour:
    """Draw a colour as made things have it: loud, pale, dark or grey.

    Args:
        generator: drawn from.

    Returns:
        The colour.
    """
    hue = generator.random()
    saturation = generator.beta(1.2, 1.4) if generator.random() < 0.75 else generator.random() * 0.1
    value = 0.05 + 0.95 * generator.beta(2.0, 1.2)
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32)


def hair_colour(generator: np.random.Generator) -> Colour:
    """Draw a colour of hair or fur, now and then a dyed one.

    Args:
        generator: drawn from.

    Returns:
        The colour.
    """
    if generator.random() < 0.12:
        return any_colour(generator)
    return near(np.array(HAIR[generator.integers(len(HAIR))], np.float32), 0.05, generator)


def skin_colour(generator: np.random.Generator) -> Colour:
    """Draw a colour of skin between two known ones.

    Args:
        generator: drawn from.

    Returns:
        The colour.
    """
    place = generator.random() * (len(SKIN) - 1)
    low = int(place)
    return near(mix(np.array(SKIN[low]), np.array(SKIN[low + 1]), place - low), 0.03, generator)


def near(colour: Colour, spread: float, generator: np.random.Generator) -> Colour:
    """Draw a colour near another one.

    Args:
        colour: the other one.
        spread: standard deviation.
        generator: drawn from.

    Returns:
        The colour, within [0, 1].
    """
    moved = (
        colour + spread * generator.standard_normal() + spread * generator.standard_normal(3) / 2
    )
    return np.clip(moved, 0, 1).astype(np.float32)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Blend two colours.

    Args:
        first: at share 0.
        second: at share 1.
        share: of the second.

    Returns:
        The blend.
    """
    return np.asarray(first * (1 - share) + second * share, np.float32)
