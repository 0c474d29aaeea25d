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
    start = _is_foreground(labels)
    if min(start.sum(), (~start).sum()) < 6 or min(labels.shape) < 4:
        return start
    cv2.setRNGSeed(_SEED)  # its k-means draws from this thread's generator
    try:
        cv2.grabCut(
            np.ascontiguousarray(image),
            labels,
            (0, 0, 0, 0),
            np.zeros((1, 65)),
            np.zeros((1, 65)),
            iterations,
            cv2.GC_INIT_WITH_MASK,
        )
    except cv2.error:
        return start
    return _is_foreground(labels)


def _is_foreground(labels: NDArray[np.uint8]) -> BoolMask:
    return np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), np.bool_)
