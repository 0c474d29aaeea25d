"""Several segmentations of one prompt, and which of them to believe.

One GrabCut run often ends in a bad local minimum. Runs that differ in feature space, in prior and
in method fail in different ways, so a measure of how plausible each result is pays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.models.classical.colour_classes import Classes, classify, describe, segment
from pullmatte.models.classical.corrections import Click, correct
from pullmatte.models.classical.grabcut import cut
from pullmatte.models.classical.hints import Hints
from pullmatte.models.protocol import BoolMask, Plane

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen.

    Attributes:
        mask: `H W` bool.
        likelihood: `H W` in [0, 1], how likely each pixel's colour is foreground.
        agreement: `H W` in [0, 1], the share of hypotheses, by plausibility, that hold each pixel
            for foreground.
    """

    mask: BoolMask
    likelihood: Plane
    agreement: Plane


def shifted(hints: Hints, logit: float) -> Hints:
    """Make every place likelier (or, below 0, less likely) to be foreground."""
    logits = np.log(hints.prior / (1 - hints.prior)) + logit
    return replace(hints, prior=(1 / (1 + np.exp(-logits))).astype(np.float32))


def propose(image: Bytes, classes: Classes, hints: Hints, wide: Hints) -> dict[str, BoolMask]:
    """Segment in several ways.

    Args:
        image: `H W 3` uint8, a small working copy.
        classes: Its classes.
        hints: What the prompt says.
        wide: The same if the object goes on behind the frame's edge.

    Returns:
        `H W` bool by name.
    """
    lab = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), np.uint8)
    smooth = np.asarray(cv2.bilateralFilter(image, 7, 30, 4), np.uint8)
    focus = focus_space(image)
    runs: dict[str, Callable[[], BoolMask]] = {
        "rgb": lambda: cut(image, hints, 4),
        "lab": lambda: cut(lab, hints, 4),
        "smooth": lambda: cut(smooth, hints, 4),
        "focus": lambda: cut(focus, hints, 2),
        "tight": lambda: cut(image, shifted(hints, -0.7), 3),
        "loose": lambda: cut(image, shifted(hints, 0.7), 3),
        "wide": lambda: cut(image, wide, 4),
        "wide lab": lambda: cut(lab, wide, 3),
        "wide focus": lambda: cut(focus, wide, 2),
        "classes": lambda: segment(classes, hints)[0] > 0.5,
        "classes by place": lambda: segment(classes, hints, prior_weight=0.5)[0] > 0.5,
        "wide classes": lambda: segment(classes, wide)[0] > 0.5,
    }
    return {name: run() for name, run in runs.items()}


def focus_space(image: Bytes) -> Bytes:
    """Lightness, chroma and sharpness as the three channels of a picture."""
    features = describe(image)
    planes = np.dstack([features[..., 0], features[..., 1] + features[..., 2], features[..., 4]])
    low, high = np.percentile(planes.reshape(-1, 3), [0.5, 99.5], axis=0)
    scaled = (planes - low) / np.maximum(high - low, 8)
    return np.asarray(np.clip(scaled, 0, 1) * 255, np.uint8)


_WEIGHTS = np.array([0.35, -0.11, -0.07, -0.9])
_FRAME_WEIGHT = 0.3
_SIZE_WEIGHT = 0.03  # of the log of a mask's area over that which the clicks let expect
_TEMPERATURE = 0.015


def choose(image: Bytes, hints: Hints, wide: Hints, clicks: Sequence[Click] = ()) -> Choice:
    """Segment in several ways and weigh the results by their plausibility.

    The weights were fitted on seeded composites to the error of each result.

    Args:
        image: `H W 3` uint8, a small working copy.
        hints: What the prompt says.
        wide: The same if the object goes on behind the frame's edge.
        clicks: Clicks that `hints` doesn't know of; they change the result only if it contradicts
            them.

    Returns:
        The majority by plausibility.
    """
    if min(image.shape[:2]) < 8:
        mask = cut(image, hints)
        return Choice(mask, mask.astype(np.float32), mask.astype(np.float32))
    classes = classify(image)
    masks = list(propose(image, classes, hints, wide).values())
    if hints.masked:
        masks += [hints.prior > 0.5] * (len(masks) // 2)
    vote = np.mean(masks, axis=0).astype(np.float32)
    masks.append(vote > 0.5)
    badness = np.array([_badness(mask, classes, hints, vote) for mask in masks])
    weights = np.exp((badness.min() - badness) / _TEMPERATURE)
    agreement = np.tensordot(weights / weights.sum(), np.array(masks, np.float32), 1)
    forbidden = np.zeros_like(hints.background) if hints.masked else hints.background
    mask = correct(classes, agreement > 0.5, list(clicks), forbidden)
    sided = replace(
        hints,
        prior=np.where(mask, 0.9, 0.1).astype(np.float32),
        foreground=hints.foreground & mask,
        background=hints.background & ~mask,
    )
    _, likelihood = segment(classes, sided, rounds=1)
    return Choice(mask, likelihood, agreement.astype(np.float32))


def _badness(mask: BoolMask, classes: Classes, hints: Hints, vote: Plane) -> float:
    """Expected error of a segmentation as a share of the image, up to a constant."""
    badness = float(_WEIGHTS @ measure(mask, classes, hints, vote))
    if not hints.boxed:  # without a box, what fills the frame's upper edges is mostly a backdrop
        rim = np.concatenate([mask[0], mask[:, 0], mask[:, -1]])
        badness += _FRAME_WEIGHT * float(rim.mean())
        expected = max(1e-3, float((hints.prior > 0.5).mean()))
        badness += _SIZE_WEIGHT * abs(float(np.log(max(1e-3, float(mask.mean())) / expected)))
    return badness


def measure(mask: BoolMask, classes: Classes, hints: Hints, vote: Plane) -> NDArray[np.float64]:
    """Measure what tells a good segmentation from a bad one.

    Args:
        mask: `H W` bool.
        classes: The image's classes.
        hints: What the prompt says.
        vote: `H W` in [0, 1], share of all hypotheses.

    Returns:
        4 values, each about 0 to 1: overlap of the two sides' class histograms (Bhattacharyya),
        edge strength along the contour, agreement with the prior, agreement with the vote.
    """
    inside = classes.shares(mask.astype(np.float32))
    outside = classes.shares((~mask).astype(np.float32))
    overlap = np.sqrt(inside / max(1, inside.sum()) * outside / max(1, outside.sum())).sum()
    contour = np.zeros_like(mask)
    contour[:, :-1] |= mask[:, 1:] != mask[:, :-1]
    contour[:-1] |= mask[1:] != mask[:-1]
    edge = cv2.dilate(classes.edge, np.ones((3, 3), np.uint8))[contour]
    free = ~hints.background
    if not free.any():
        return np.array([overlap, 0, 0, 1.0])
    logits = np.log(hints.prior[free] / (1 - hints.prior[free]))
    place = float((logits * (mask[free] * 2.0 - 1)).mean())
    agreement = 1 - float(np.abs(mask[free] - vote[free]).mean())
    return np.array([overlap, edge.mean() if edge.size else 0.0, place, agreement])
