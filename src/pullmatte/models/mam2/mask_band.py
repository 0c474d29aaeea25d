"""A trimap from a mask's logits alone: a band round the contour, and where the mask is in doubt.

No training is in it, so that SAM 2.1's own weights give mattes with any matter.
"""

import numpy as np

from pullmatte.models.classical.adaptive_trimap import contour_distance
from pullmatte.models.protocol import Plane

_LEAST_PX = 2.0


def mask_band(logits: Plane, *, share: float, doubt: float) -> Plane:
    """Make a trimap.

    Args:
        logits: `H W`, of the mask, at the picture's size.
        share: Half width of the band, as a share of the square root of the object's area; it is
            2 pixels at least.
        doubt: Logits nearer to 0 than this are unknown wherever they are.

    Returns:
        `H W` float32 in {0, 0.5, 1}; all 0 without a positive logit.
    """
    mask = logits > 0
    trimap: Plane = mask.astype(np.float32)
    if not mask.any():
        return trimap
    unknown = np.abs(logits) < doubt
    if not mask.all():
        half_px = max(_LEAST_PX, share * float(np.sqrt(mask.sum())))
        unknown |= np.abs(contour_distance(mask)) <= half_px
    trimap[unknown] = 0.5
    return trimap
