"""From hints to a mask: OpenCV's GrabCut started from the hints' prior."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.models.classical.hints import Hints
from pullmatte.models.protocol import BoolMask

_SEED = 20070101


def cut(image: NDArray[np.uint8], hints: Hints, iterations: int = 4) -> BoolMask:
    """Cut the object out of a working copy of the image.

    Args:
        image: `H W 3` uint8.
        hints: What the prompt says of each pixel.
        iterations: Rounds of colour model and graph cut.

    Returns:
        `H W` bool; all False when nothing is left for the foreground.

    Source: Rother, Kolmogorov, Blake, "GrabCut", 2004, as OpenCV has it.
    """
    labels = np.where(hints.prior > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[hints.background] = cv2.GC_BGD
    labels[hints.foreground] = cv2.GC_FGD
    is_foreground = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    if min(is_foreground.sum(), (~is_foreground).sum()) < 6 or min(labels.shape) < 4:
        return is_foreground
    cv2.setRNGSeed(_SEED)  # its k-means draws from this thread's generator
    models = np.zeros((1, 65)), np.zeros((1, 65))
    try:
        cv2.grabCut(
            np.ascontiguousarray(image), labels, None, *models, iterations, cv2.GC_INIT_WITH_MASK
        )
    except cv2.error:
        return is_foreground
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
