"""Matting metrics as pure functions on float32 mattes in [0, 1].

Each is one term of the published protocols. What differs between those (region, scale,
stretching, how connectivity picks its component) is an argument here and a named choice in
`pullmatte.eval.protocols`.

Shapes: `H` rows, `W` columns. `region` is a bool mask `H W` of the pixels that count; None means
all of them. With an empty region the means are NaN and the sums are 0.
"""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PullmatteError
from pullmatte.eval.connectivity import (
    DIM,
    GCA,
    Connectivity,
    connected_steps,
    connectedness_gap,
)

Alpha = NDArray[np.float32]
Region = NDArray[np.bool_]

SUM_SCALE = 1000.0
SIGMA = 1.4
EPSILON = 0.01


def mse(prediction: Alpha, truth: Alpha, region: Region | None = None) -> float:
    """Mean squared error over the region, as a fraction.

    Args:
        prediction: `H W` in [0, 1].
        truth: `H W` in [0, 1].
        region: bool `H W` of the pixels that count, or None for all.

    Returns:
        The mean, or NaN for an empty region.

    Raises:
        PullmatteError: the arrays don't fit together.

    Source: Deep Image Matting, the authors' evaluation code.
    """
    return _mean(_difference_norm(prediction, truth, region, cv2.NORM_L2SQR), truth, region)


def mad(prediction: Alpha, truth: Alpha, region: Region | None = None) -> float:
    """Mean absolute difference over the region, as a fraction.

    Args:
        prediction: `H W` in [0, 1].
        truth: `H W` in [0, 1].
        region: bool `H W` of the pixels that count, or None for all.

    Returns:
        The mean, or NaN for an empty region.

    Raises:
        PullmatteError: the arrays don't fit together.

    Source: Robust Video Matting, section 5.
    """
    return _mean(_difference_norm(prediction, truth, region, cv2.NORM_L1), truth, region)


def sad(prediction: Alpha, truth: Alpha, region: Region | None = None) -> float:
    """Sum of absolute differences over the region, in thousands.

    Args:
        prediction: `H W` in [0, 1].
        truth: `H W` in [0, 1].
        region: bool `H W` of the pixels that count, or None for all.

    Returns:
        The sum divided by 1000.

    Raises:
        PullmatteError: the arrays don't fit together.

    Source: Deep Image Matting, the authors' evaluation code.
    """
    return _difference_norm(prediction, truth, region, cv2.NORM_L1) / SUM_SCALE


def gradient_error(
    prediction: Alpha, truth: Alpha, region: Region | None = None, *, stretch: bool = False
) -> float:
    """Sum of squared differences of the gradient magnitudes, in thousands.

    The gradient is a Gaussian derivative (sigma 1.4, 9×9 taps of unit L2 norm) with replicated
    borders.

    Args:
        prediction: `H W` in [0, 1].
        truth: `H W` in [0, 1].
        region: bool `H W` of the pixels that count, or None for all.
        stretch: map each matte's own minimum and maximum to 0 and 1 first, as Matlab's script and
            the low-resolution video script do. A constant matte then has no gradient.

    Returns:
        The sum divided by 1000.

    Raises:
        PullmatteError: the arrays don't fit together.

    Source: Rhemann et al., A perceptually motivated online benchmark for image matting, 2009.
    """
    _require_fit(prediction, truth, region)
    error = _gradient_magnitude(prediction, stretch)
    error -= _gradient_magnitude(truth, stretch)
    np.multiply(error, error, out=error)
    return _sum(error, region) / SUM_SCALE


def connectivity_error(
    prediction: Alpha, truth: Alpha, region: Region | None = None, *, form: Connectivity = DIM
) -> float:
    """Sum of absolute differences of the degree of connectedness, in thousands.

    Args:
        prediction: `H W` in [0, 1].
        truth: `H W` in [0, 1].
        region: bool `H W` of the pixels that count, or None for all.
        form: how the component is picked.

    Returns:
        The sum divided by 1000.

    Raises:
        PullmatteError: the arrays don't fit together.

    Source: Rhemann et al., A perceptually motivated online benchmark for image matting, 2009.
    """
    return connectivity_errors(prediction, truth, region, forms=(form,))[0]


def connectivity_errors(
    prediction: Alpha,
    truth: Alpha,
    region: Region | None = None,
    *,
    forms: Sequence[Connectivity] = (GCA, DIM),
) -> tuple[float, ...]:
    """Connectivity in several forms at once: the labelling, which takes the time, is shared.

    Args:
        prediction: `H W` in [0, 1].
        truth: `H W` in [0, 1].
        region: bool `H W` of the pixels that count, or None for all.
        forms: how the component is picked, one for each value wanted.

    Returns:
        One sum, divided by 1000, for each form.

    Raises:
        PullmatteError: the arrays don't fit together.

    Source: Rhemann et al., A perceptually motivated online benchmark for image matting, 2009.
    """
    _require_fit(prediction, truth, region)
    maps = connected_steps(np.minimum(prediction, truth), forms)
    return tuple(
        _sum(connectedness_gap(prediction, truth, steps), region) / SUM_SCALE for steps in maps
    )


def dtssd(
    prediction: Alpha,
    previous_prediction: Alpha,
    truth: Alpha,
    previous_truth: Alpha,
    region: Region | None = None,
) -> float:
    """How differently the two mattes change from one frame to the next, in hundredths.

    Args:
        prediction: `H W` in [0, 1], this frame.
        previous_prediction: `H W` in [0, 1], the frame before.
        truth: `H W` in [0, 1], this frame.
        previous_truth: `H W` in [0, 1], the frame before.
        region: bool `H W` of the pixels that count, or None for all.

    Returns:
        100 times the root of the mean squared difference of the changes; NaN for an empty region.

    Raises:
        PullmatteError: the arrays don't fit together.

    Source: Erofeev et al., Perceptually motivated benchmark for video matting, 2015, in the form
        of Robust Video Matting's evaluation.
    """
    _require_fit(prediction, previous_prediction, region)
    _require_fit(truth, previous_truth, region)
    change = prediction - previous_prediction
    true_change = truth - previous_truth
    return 100.0 * math.sqrt(mse(change, true_change, region))


def _require_fit(first: NDArray[Any], second: NDArray[Any], region: Region | None) -> None:
    for array in (first, second):
        if array.dtype != np.float32 or array.ndim != 2 or array.size == 0:
            raise PullmatteError(
                f"A matte to measure is {array.dtype} of shape {array.shape}; give float32 H W in "
                "[0, 1], at least 1×1."
            )
    if first.shape != second.shape:
        raise PullmatteError(
            f"The mattes are {first.shape} and {second.shape}; resize them to one size first."
        )
    if region is not None and (region.dtype != np.bool_ or region.shape != first.shape):
        raise PullmatteError(
            f"The region is {region.dtype} of shape {region.shape}; give a bool mask of shape "
            f"{first.shape}."
        )


def _difference_norm(prediction: Alpha, truth: Alpha, region: Region | None, kind: int) -> float:
    _require_fit(prediction, truth, region)
    if region is None:
        return float(cv2.norm(prediction, truth, kind))
    return float(cv2.norm(prediction, truth, kind, mask=_bytes(region)))


def _mean(total: float, truth: Alpha, region: Region | None) -> float:
    count = truth.size if region is None else np.count_nonzero(region)
    return total / count if count else math.nan


def _sum(values: NDArray[np.float64], region: Region | None) -> float:
    return float(np.sum(values) if region is None else np.sum(values, where=region))


def _bytes(mask: Region) -> NDArray[np.uint8]:
    return np.ascontiguousarray(mask).view(np.uint8)


def _gradient_taps() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the smoothing and the derivative taps; their outer product has unit L2 norm."""
    half = math.ceil(SIGMA * math.sqrt(-2.0 * math.log(math.sqrt(2.0 * math.pi) * SIGMA * EPSILON)))
    x = np.arange(-half, half + 1, dtype=np.float64)
    smooth = np.exp(-0.5 * (x / SIGMA) ** 2)
    slope = x * smooth
    return smooth / np.linalg.norm(smooth), slope / np.linalg.norm(slope)


def _gradient_magnitude(alpha: Alpha, stretch: bool) -> NDArray[np.float64]:
    """Float64 throughout: the squares of small differences would not survive float32."""
    smooth, slope = _gradient_taps()
    border = cv2.BORDER_REPLICATE
    along_x = cv2.sepFilter2D(alpha, cv2.CV_64F, slope, smooth, borderType=border)
    along_y = cv2.sepFilter2D(alpha, cv2.CV_64F, smooth, slope, borderType=border)
    magnitude = np.asarray(cv2.magnitude(along_x, along_y), dtype=np.float64)
    if stretch:
        low, high, _, _ = cv2.minMaxLoc(alpha)
        np.multiply(magnitude, 1.0 / (high - low) if high > low else 0.0, out=magnitude)
    return magnitude
