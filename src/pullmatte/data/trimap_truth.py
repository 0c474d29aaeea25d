"""The true trimap of a true alpha, as matting networks are trained on it.

Source: MAM2, appendix A.2; MEMatte's training code for the kernels.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.data.samples import Plane, SampleOpacity
from pullmatte.errors import PullmatteError

BACKGROUND, UNKNOWN, FOREGROUND = 0, 1, 2
KERNEL_PX = (1, 29)
"""MEMatte draws the ellipses' sizes from here, both ends included; MattePro up to 14."""
REFERENCE_PX = 640
"""Side of the square for which these sizes hold."""
# Half a step of 8 bits: a resized alpha is seldom exactly 0 or 1.
_SLACK = 1 / 510

Classes = NDArray[np.uint8]


def trimap_truth(
    alpha: Plane, inside_px: int, outside_px: int, opacity: SampleOpacity = "opaque"
) -> Classes:
    """Shrink what is surely in and surely out; the rest is unknown.

    Args:
        alpha: `H W` float32 in [0, 1].
        inside_px: Size of the ellipse by which alpha = 1 shrinks; 1 leaves it as it is.
        outside_px: Size of the ellipse by which alpha = 0 shrinks.
        opacity: Of a transparent object all that isn't background is unknown.

    Returns:
        uint8 `H W`: 0 background, 1 unknown, 2 foreground.

    Raises:
        PullmatteError: If a size is below 1.
    """
    if min(inside_px, outside_px) < 1:
        raise PullmatteError(f"ellipses of {inside_px} and {outside_px} pixels: give 1 or more")
    classes = np.full(alpha.shape, UNKNOWN, np.uint8)
    if opacity == "opaque":
        classes[_shrunk(alpha >= 1 - _SLACK, inside_px)] = FOREGROUND
    classes[_shrunk(alpha <= _SLACK, outside_px)] = BACKGROUND
    return classes


def draw_trimap_truth(
    alpha: Plane,
    generator: np.random.Generator,
    opacity: SampleOpacity = "opaque",
    kernel_px: tuple[int, int] = KERNEL_PX,
) -> Classes:
    """Make a trimap with two ellipses of random sizes, each drawn for itself.

    Args:
        alpha: `H W` float32 in [0, 1].
        generator: Where the sizes come from.
        opacity: See `trimap_truth`.
        kernel_px: The least and the greatest size on a square of 640 pixels; they scale with
            the picture.

    Returns:
        See `trimap_truth`.
    """
    scale = (alpha.shape[0] * alpha.shape[1]) ** 0.5 / REFERENCE_PX
    inside_px, outside_px = (
        max(1, round(int(size) * scale))
        for size in generator.integers(kernel_px[0], kernel_px[1] + 1, 2)
    )
    return trimap_truth(alpha, inside_px, outside_px, opacity)


def _shrunk(region: NDArray[np.bool_], size_px: int) -> NDArray[np.bool_]:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size_px, size_px))
    shrunk: NDArray[np.bool_] = cv2.erode(region.astype(np.uint8), kernel) > 0
    return shrunk
