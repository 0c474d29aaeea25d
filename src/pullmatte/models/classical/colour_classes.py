"""Soft segmentation by colour and texture classes: a mixture fitted under a spatial prior.

GrabCut's ten Gaussians can't hold a rich scene. Here each pixel belongs to one of some hundred
classes of like colour, texture and sharpness; how much of each class is foreground is learnt from
the hints by expectation maximisation, and a total variation term keeps the result in one piece.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.models.classical.hints import Hints
from pullmatte.models.protocol import Plane

_SEED = 20070101
_SAMPLES = 12_000
_SURE_LOGIT = 20.0


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of an image's pixels.

    Attributes:
        index: `H W` int, the class of each pixel.
        kinship: `C C`, rows sum to 1: how alike the classes are.
        edge: `H W` in [0, 1], strength of the colour edge at each pixel.
    """

    index: NDArray[np.intp]
    kinship: NDArray[np.float64]
    edge: Plane

    @property
    def count(self) -> int:
        """How many classes there are."""
        return len(self.kinship)

    def shares(self, weights: Plane) -> NDArray[np.float64]:
        """Sum a plane of weights by class; `C`."""
        sums = np.bincount(self.index.ravel(), weights.ravel(), self.count)
        return np.asarray(sums, np.float64)


def describe(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Describe each pixel by Lab colour, local texture and sharpness.

    Args:
        image: `H W 3` uint8.

    Returns:
        `H W 5` float32: L, a, b, texture, sharpness, scaled to matter alike.
    """
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    light = np.ascontiguousarray(lab[..., 0])
    blurs = {s: cv2.GaussianBlur(light, (0, 0), s) for s in (1.0, 1.5, 2.0, 4.0)}
    texture = cv2.GaussianBlur(np.abs(light - blurs[2.0]), (0, 0), 4)
    fine = cv2.GaussianBlur(np.abs(light - blurs[1.0]), (0, 0), 4)
    coarse = cv2.GaussianBlur(np.abs(blurs[1.5] - blurs[4.0]), (0, 0), 5)
    smooth = cv2.GaussianBlur(lab, (0, 0), 0.8)
    sharpness = 12 * np.log((fine + 0.5) / (coarse + 0.5))
    return np.dstack([
        0.7 * smooth[..., 0],
        smooth[..., 1:],
        6 * np.log1p(texture),
        sharpness,
    ]).astype(np.float32)


def classify(image: NDArray[np.uint8], count: int = 96) -> Classes:
    """Sort an image's pixels into classes by k-means.

    Args:
        image: `H W 3` uint8.
        count: How many classes, at most.
    """
    features = describe(image)
    flat = features.reshape(-1, features.shape[2])
    order = np.random.default_rng(_SEED).permutation(len(flat))[:_SAMPLES]
    samples = flat[np.sort(order)]
    count = max(1, min(count, len(samples) // 4))
    cv2.setRNGSeed(_SEED)  # k-means draws from this thread's generator
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 8, 0.5)
    _, _, centres = cv2.kmeans(samples, count, None, stop, 1, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    index = ((centres**2).sum(1)[None] - 2 * flat @ centres.T).argmin(axis=1)
    return Classes(index.reshape(features.shape[:2]), _kinship(centres), edge_strength(image))


def _kinship(centres: NDArray[np.float32]) -> NDArray[np.float64]:
    """Let each class lend its counts to those near to it, so that small classes aren't noise."""
    squared = ((centres[:, None].astype(np.float64) - centres[None]) ** 2).sum(axis=2)
    near = np.sort(squared, axis=1)[:, 1:4]
    unit = float(near.mean()) if near.size else 1.0
    kinship = np.exp(-squared / (2.25 * unit + 1e-6))
    return np.asarray(kinship / kinship.sum(axis=1, keepdims=True), np.float64)


def edge_strength(image: NDArray[np.uint8]) -> Plane:
    """Colour contrast to the right and lower neighbour, relative to the image's mean; [0, 1]."""
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    energy = np.zeros(image.shape[:2], np.float32)
    energy[:, :-1] += ((lab[:, 1:] - lab[:, :-1]) ** 2).sum(axis=2)
    energy[:-1] += ((lab[1:] - lab[:-1]) ** 2).sum(axis=2)
    return np.asarray(1 - np.exp(-energy / (2 * energy.mean() + 1e-6)), np.float32)


def segment(
    classes: Classes, hints: Hints, prior_weight: float = 0.25, rounds: int = 8
) -> tuple[Plane, Plane]:
    """Fit the share of foreground of each class, and the segmentation that goes with it.

    Args:
        classes: What `classify` gave.
        hints: What the prompt says, at the same size.
        prior_weight: How much place counts beside colour.
        rounds: Rounds of fitting.

    Returns:
        The segmentation and the colours' likelihood alone, both `H W` in [0, 1].
    """
    prior = np.log(hints.prior / (1 - hints.prior))
    soft = hints.prior.astype(np.float32)
    weight = (1.05 - classes.edge) * 1.5
    for left in range(rounds - 1, -1, -1):
        soft = np.where(hints.background, 0, np.where(hints.foreground, 1, soft))
        ratio = _log_ratio(classes, soft.astype(np.float32))[classes.index]
        logits = (ratio + prior_weight * prior).astype(np.float32)
        logits[hints.background] = -_SURE_LOGIT
        logits[hints.foreground] = _SURE_LOGIT
        soft = 1 / (1 + np.exp(-logits))
        if left < 3:
            soft = total_variation(logits, weight, soft, steps=60 if left else 150)
    return soft, (1 / (1 + np.exp(-ratio))).astype(np.float32)


def _log_ratio(classes: Classes, soft: Plane, smoothing: float = 0.02) -> NDArray[np.float64]:
    """Log of how much likelier each class is in the foreground; `C`, clipped to [-3, 3]."""
    inside = classes.shares(soft) @ classes.kinship
    outside = classes.shares(1 - soft) @ classes.kinship
    floor = smoothing / classes.count
    ratio = np.log(inside / max(1e-6, inside.sum()) + floor) - np.log(
        outside / max(1e-6, outside.sum()) + floor
    )
    return np.asarray(np.clip(ratio, -3, 3), np.float64)


def total_variation(logits: Plane, weight: Plane, start: Plane, steps: int) -> Plane:
    """Minimise ``sum(-logits u + weight |grad u|)`` over u in [0, 1].

    Args:
        logits: `H W`, positive for foreground.
        weight: `H W`, cost of a contour at each pixel, positive.
        start: `H W` in [0, 1].
        steps: Primal-dual steps.

    Returns:
        `H W` float32 in [0, 1]; its 0.5 level set is the minimal cut.

    Source: Chambolle, Pock, "A first-order primal-dual algorithm", 2011, algorithm 1.
    """
    u = start.astype(np.float32)
    ahead = u.copy()
    across, down = np.zeros_like(u), np.zeros_like(u)
    for _ in range(steps):
        across[:, :-1] += 0.5 * (ahead[:, 1:] - ahead[:, :-1])
        down[:-1] += 0.5 * (ahead[1:] - ahead[:-1])
        shrink = np.maximum(1, np.sqrt(across**2 + down**2) / weight)
        across /= shrink
        down /= shrink
        divergence = across + down
        divergence[:, 1:] -= across[:, :-1]
        divergence[1:] -= down[:-1]
        new = np.clip(u + 0.25 * (divergence + logits), 0, 1)
        ahead, u = 2 * new - u, new
    return u
