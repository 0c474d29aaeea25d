"""The connectivity error and the forms in which the published scripts compute it.

φ, the degree of connectedness of a pixel, falls with the distance between its alpha and the last
threshold at which it still belonged to Ω, the largest 4-connected component of what both mattes
hold at that threshold. The scripts differ in how Ω is picked; that is `Connectivity`.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

TOLERANCE = 0.15
THRESHOLDS = np.arange(0.0, 1.05, 0.1)


class Connectivity(NamedTuple):
    """How connectivity picks the component Ω at each threshold.

    Attributes:
        background: the background competes as one more component, as in the GCA script.
        ties: which of equally large components wins: the first by rows (scikit-image, OpenCV)
            or by columns (Matlab).
    """

    background: bool
    ties: Literal["rows", "columns"]


DIM = Connectivity(background=False, ties="columns")
DIM_BY_ROWS = Connectivity(background=False, ties="rows")
GCA = Connectivity(background=True, ties="rows")


def connected_steps(
    overlap: NDArray[np.float32], forms: Sequence[Connectivity]
) -> list[NDArray[np.uint8]]:
    """Find the last threshold at which each pixel was still in Ω, from the first one on.

    Args:
        overlap: `H W` in [0, 1], the lesser of prediction and truth.
        forms: how Ω is picked. They share the labelling, which takes the time.

    Returns:
        One map `H W` of indices into `THRESHOLDS` for each form.

    Source: Rhemann et al., A perceptually motivated online benchmark for image matting, 2009.
    """
    growth = [_Growth(form, overlap.shape) for form in forms]
    for threshold in THRESHOLDS[1:]:
        inside = overlap >= _not_below(threshold)
        labels, sizes = _components(inside)
        for each in growth:
            each.step(inside, labels, sizes)
        if all(each.done for each in growth):
            break
    return [each.steps for each in growth]


def connectedness_gap(
    prediction: NDArray[np.float32], truth: NDArray[np.float32], steps: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Compare the degrees of connectedness of two mattes.

    Args:
        prediction: `H W` in [0, 1].
        truth: `H W` in [0, 1].
        steps: `H W`, from `connected_steps`.

    Returns:
        |φ(prediction) − φ(truth)|, `H W`, not negative.

    Source: Rhemann et al., A perceptually motivated online benchmark for image matting, 2009.
    """
    last = THRESHOLDS[steps]
    gap = _beyond_tolerance(prediction, last)
    gap -= _beyond_tolerance(truth, last)
    return np.abs(gap, out=gap)


class _Growth:
    """One form's walk through the thresholds."""

    def __init__(self, form: Connectivity, shape: tuple[int, ...]) -> None:
        self.form = form
        self.steps = np.zeros(shape, np.uint8)
        self.connected = np.ones(shape, np.bool_)
        self.done = False

    def step(self, inside: Mask, labels: NDArray[np.int32], sizes: NDArray[np.int64]) -> None:
        """Take one threshold: `sizes` counts the pixels of each label, 0 being the background."""
        if self.done:
            return
        largest = int(sizes[1:].max(initial=0))
        if self.form.background and sizes[0] >= largest:
            # It goes on winning, as it only grows with the threshold: these pixels stay to the end.
            self.connected &= ~inside
            self.steps[self.connected] = len(THRESHOLDS) - 1
            self.done = True
        elif largest == 0:
            self.done = True
        else:
            self.connected &= labels == self._pick(labels, sizes, largest)
            self.steps += self.connected

    def _pick(self, labels: NDArray[np.int32], sizes: NDArray[np.int64], largest: int) -> int:
        tied = np.flatnonzero(sizes[1:] == largest) + 1
        if len(tied) == 1:
            return int(tied[0])
        flat = labels.ravel(order="C" if self.form.ties == "rows" else "F")
        return int(flat[np.argmax(np.isin(flat, tied))])


def _components(inside: Mask) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Label the 4-connected components and count their pixels; label 0 is the background."""
    count, found = cv2.connectedComponents(inside.view(np.uint8), connectivity=4)
    labels = np.asarray(found, dtype=np.int32)
    # Counting runs instead of pixels takes a third of the time of OpenCV's own statistics.
    flat = labels.ravel()
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    lengths = np.diff(starts, append=flat.size)
    sizes = np.bincount(flat[starts], weights=lengths, minlength=count)
    return labels, sizes.astype(np.int64)


def _beyond_tolerance(alpha: NDArray[np.float32], last: NDArray[np.float64]) -> NDArray[np.float64]:
    distance = alpha - last
    return np.multiply(distance, distance >= TOLERANCE, out=distance)


def _not_below(threshold: float) -> np.float32:
    """Give the least float32 not below a float64: comparing with it equals comparing in float64."""
    nearest = np.float32(threshold)
    return nearest if float(nearest) >= threshold else np.nextafter(nearest, np.float32(np.inf))
