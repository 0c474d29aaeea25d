"""Plates made of the picture itself: uncovered, blurred without the subject, drained of colour."""

import numpy as np
from numpy.typing import NDArray

from pullmatte.jobs.gaussian import gaussian
from pullmatte.models.protocol import Image, Plane

# Of Rec. 709, as sRGB has them.
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
# The subject's colours reach a little further than its alpha.
MARGIN_PX = 2
# How little of the background may be in reach before what lies further away fills in.
LEAST_SHARE = 0.01
# Keeps the colours of a picture that the subject covers wholly.
LEAST_WEIGHT = np.float32(1e-6)
LEAST_UNCOVERED = np.float32(0.05)


def uncovered_plate(image: Image, alpha: Plane, foreground: Image) -> Image:
    """Take the subject out of the pixels that it covers in part.

    Laying the subject over this plate with the same alpha gives back the picture.

    Args:
        image: `H W 3` float32.
        alpha: `H W` float32 in [0, 1].
        foreground: `H W 3` float32: the subject's own colours.

    Returns:
        `H W 3` float32, in the image's range; wholly covered pixels stay as they are.
    """
    share = alpha / np.maximum(1 - alpha, LEAST_UNCOVERED)
    plate = image + share[..., None] * (image - foreground)
    return np.clip(plate, 0, max(1.0, float(image.max())))


def blurred_plate(image: Image, alpha: Plane, px: float) -> Image:
    """Blur the background, and the background alone.

    Pixels count as far as the subject leaves them free, so that its colours don't glow around it;
    behind it the surroundings go on.

    Args:
        image: `H W 3` float32.
        alpha: `H W` float32 in [0, 1].
        px: Standard deviation of the blur in pixels.

    Returns:
        `H W 3` float32, in the image's range.

    Source: Knutsson and Westin 1993, normalised convolution; gaps are filled from coarser scales.
    """
    import cv2

    side = 2 * MARGIN_PX + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    covered = np.asarray(cv2.dilate(alpha, disc), np.float32)
    # Squared: half covered pixels are half the subject's colour.
    weight = np.maximum((1 - covered) ** 2, LEAST_WEIGHT)
    plate = _normalised(np.dstack([image * weight[..., None], weight]), px)
    return np.clip(plate, 0, max(1.0, float(image.max())))


def popped(image: Image, amount: float) -> Image:
    """Drain a picture of its colour.

    Args:
        image: `H W 3` float32.
        amount: From 0 (nothing changes) to 1 (grey).

    Returns:
        `H W 3` float32.
    """
    grey = (image @ LUMA)[..., None]
    return np.asarray(image + np.float32(amount) * (grey - image), np.float32)


def _normalised(weighted: NDArray[np.float32], px: float) -> Image:
    """Blur weighted colours with their weight in the fourth channel, and divide by the latter."""
    import cv2

    blurred = gaussian(weighted, px)
    colour, share = blurred[..., :3], blurred[..., 3:]
    height, width = weighted.shape[:2]
    if float(share.min()) >= LEAST_SHARE:
        return np.asarray(colour / share, np.float32)
    if min(height, width) <= 2:
        mean = weighted.mean(axis=(0, 1))
        further = np.broadcast_to(mean[:3] / mean[3], colour.shape)
    else:
        half = (width + 1) // 2, (height + 1) // 2
        smaller = cv2.resize(weighted, half, interpolation=cv2.INTER_AREA)
        coarse = _normalised(np.asarray(smaller, np.float32), px)
        further = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    mixed = (colour + LEAST_SHARE * further) / (share + LEAST_SHARE)
    return np.asarray(mixed, np.float32)
