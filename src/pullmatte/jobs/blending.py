"""Several mattes as one, and plates that fit."""

from collections.abc import Mapping

import numpy as np

from pullmatte.matte import Matte
from pullmatte.models.protocol import Image, Plane


def join(mattes: Mapping[str, Matte]) -> Matte:
    """Join several objects to one.

    Args:
        mattes: Object name → matte, at least one, all of one image.

    Returns:
        Alpha ``1 - prod(1 - alpha)``; colours weighted by their alphas.
    """
    if len(mattes) == 1:
        return next(iter(mattes.values()))
    alphas = np.stack([matte.alpha for matte in mattes.values()])
    alpha: Plane = 1 - np.prod(1 - alphas, axis=0)
    total = alphas.sum(axis=0)
    weights = alphas / np.maximum(total, np.float32(1e-6))
    first = next(iter(mattes.values()))

    def colour() -> Image:
        blend = np.zeros_like(first.image)
        for weight, matte in zip(weights, mattes.values(), strict=True):
            blend += weight[..., None] * matte.foreground
        return np.where((total > 1e-6)[..., None], blend, first.foreground)

    return Matte(alpha, first.image, foreground=colour)


def fit_plate(plate: Image, shape: tuple[int, ...]) -> Image:
    """Scale and crop a picture so that it fills a frame without distortion.

    Args:
        plate: `H W 3` float32 in [0, 1].
        shape: Height and width of the frame; further entries don't count.

    Returns:
        `H W 3` float32 in [0, 1], of the frame's size.
    """
    import cv2

    height, width = shape[:2]
    scale = max(height / plate.shape[0], width / plate.shape[1])
    size = max(width, round(plate.shape[1] * scale)), max(height, round(plate.shape[0] * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(plate, size, interpolation=method)
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    cropped = np.asarray(scaled[top : top + height, left : left + width], np.float32)
    # Cubic scaling overshoots at edges.
    return np.clip(cropped, 0, max(1.0, float(plate.max())))
