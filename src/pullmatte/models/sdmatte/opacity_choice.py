"""Which of two answers to take when nobody said whether the object is opaque or transparent.

The network is asked twice, once for each kind of object. Edges, hair and leaves are soft in both
answers, but never far from something solid or empty; smoke, fire and glass are soft throughout.
So the rule measures *depth* in softness: the share of the object that is neither solid nor empty
and lies further than 2 % of the object's size from all that is. If that share, averaged over the
two answers, reaches 0.2, the object is taken for transparent, else for opaque.

The numbers were chosen on 408 true alphas of free cut-outs, brought to a square of 1024 pixels as
the network's answers are (benchmarks/opacity_choice.py): it finds 97 % of 91 clouds of smoke,
fire, splashes and nebulae, and is right on 99 % of 113 photographed animals and things and on
94 % of 204 lacy plants and tree lines; the area under the curve is 0.9997 and 0.991. The plain
mean of 4a(1-a) inside the object would reach 0.95 on plants.

What that can't show: how far a trained network's two answers differ from the truth. Blurred by 8
pixels of 1024, true alphas of opaque objects still pass (93 %), those of plants don't (32 %). No
glass was among the cut-outs.
"""

from typing import Literal

import cv2
import numpy as np

from pullmatte.models.protocol import KnownOpacity, Plane

EMPTY, SOLID = 0.1, 0.9
"""Softness lies between."""
DEPTH = 0.02
"""Of the square root of the object's area: how far softness has to lie from all else to count."""
LEAST_SHARE = 0.2
"""Share of such softness from which on an object is taken for transparent."""
MEASURED_SIDE_PX = 256
_LEAST_AREA_PX = 64


def choose_opacity(opaque: Plane, transparent: Plane) -> KnownOpacity:
    """Choose between the network's two answers for one object.

    Args:
        opaque: `H W` float32 in [0, 1], the alpha if the object is taken for opaque.
        transparent: `H W` float32 in [0, 1], the alpha if it is taken for transparent.

    Returns:
        Which of them to take; opaque where there is next to nothing to judge by.
    """
    share = (deep_softness(opaque) + deep_softness(transparent)) / 2
    choice: Literal["opaque", "transparent"] = "transparent" if share >= LEAST_SHARE else "opaque"
    return choice


def deep_softness(alpha: Plane) -> float:
    """Measure the share of an object that is soft and far from all that is solid or empty.

    Args:
        alpha: `H W` float32 in [0, 1].

    Returns:
        In [0, 1]; 0 for an object of less than 64 pixels on a thumbnail of 256.
    """
    small = _thumbnail(alpha)
    area = int((small > EMPTY).sum())
    if area < _LEAST_AREA_PX:
        return 0.0
    # Beyond the picture's edge the object may go on, so the edge itself is no end of softness.
    soft = ((small > EMPTY) & (small < SOLID)).astype(np.uint8)
    if soft.all():
        return 1.0
    distance = cv2.distanceTransform(soft, cv2.DIST_L2, 5)
    return float((distance > DEPTH * np.sqrt(area)).sum() / area)


def _thumbnail(alpha: Plane) -> Plane:
    height, width = alpha.shape
    shrink = min(1.0, MEASURED_SIDE_PX / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    return np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), np.float32)
