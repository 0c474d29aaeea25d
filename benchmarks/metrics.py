"""Time the five `sdmatte` metrics on one 1080p pair against a literal reference.

Run: python benchmarks/metrics.py [--rounds 5]

Both run in this process on one thread, in turns; the figures are CPU seconds, the median of the
rounds. The reference follows the definitions step by step: an 81-tap convolution for each
gradient, one labelling and one count for each threshold. Ours also gives `conn_dim`.
Exits with 1 if the values differ by more than 1e-4 or the ratio is above the goal.
"""

import argparse
import math
import statistics
import sys
import time

import cv2
import numpy as np
from scipy import ndimage

from pullmatte.eval.protocols import measure

GOAL = 0.3


def make_pair(height, width, seed):
    """A soft-edged object with strands, and a prediction that is a little off."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    radius = np.hypot((x - width / 2) / (0.3 * width), (y - height / 2) / (0.42 * height))
    angle = np.arctan2(y - height / 2, x - width / 2)
    body = np.clip((1.0 - radius) * 12 + 0.5, 0, 1)
    strands = np.clip(1.6 - radius, 0, 1) * (np.sin(angle * 260 + radius * 9) > 0.4)
    truth = np.maximum(body, cv2.GaussianBlur(strands.astype(np.float32), (0, 0), 1.2) * 0.9)
    noise = cv2.GaussianBlur(rng.normal(0, 1, truth.shape).astype(np.float32), (0, 0), 2.0)
    shifted = cv2.GaussianBlur(np.roll(truth, 2, axis=1), (0, 0), 1.5)
    guess = np.clip(shifted + 0.4 * noise * (shifted > 0.01), 0, 1)
    return (guess * 255).astype(np.uint8), (truth * 255).astype(np.uint8)


def reference(guess, truth):
    """The definitions, one step after the other."""
    guess = guess.astype(np.float32) / 255.0
    truth = truth.astype(np.float32) / 255.0
    difference = np.abs(guess - truth)
    slope = (magnitude(guess) - magnitude(truth)) ** 2
    return {
        "mse": float((difference**2).mean()),
        "mad": float(difference.mean()),
        "sad": float(difference.sum() / 1000),
        "grad": float(slope.sum() / 1000),
        "conn": connectivity(guess, truth),
    }


def magnitude(alpha, sigma=1.4):
    half = math.ceil(sigma * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * sigma * 0.01)))
    v, u = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    kernel = u * np.exp(-(u**2 + v**2) / (2 * sigma**2))
    kernel /= np.sqrt((kernel**2).sum())
    along_x = ndimage.convolve(alpha, kernel, mode="nearest")
    along_y = ndimage.convolve(alpha, kernel.T, mode="nearest")
    return np.sqrt(along_x**2 + along_y**2)


def connectivity(guess, truth):
    last = -np.ones(guess.shape)
    for step in range(1, 11):
        labels, _ = ndimage.label((guess >= step * 0.1) & (truth >= step * 0.1))
        omega = labels == np.argmax(np.bincount(labels.ravel()))
        last[(last == -1) & ~omega] = (step - 1) * 0.1
    last[last == -1] = 1.0
    phi = []
    for alpha in (guess, truth):
        distance = alpha - last
        phi.append(1.0 - distance * (distance >= 0.15))
    return float(np.abs(phi[0] - phi[1]).sum() / 1000)


def cpu_seconds(call):
    start = time.process_time()
    values = call()
    return time.process_time() - start, values


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    guess, truth = make_pair(1080, 1920, seed=0)
    times = {"ours": [], "reference": []}
    for _ in range(rounds):
        spent, found = cpu_seconds(lambda: measure("sdmatte", guess, truth))
        times["ours"].append(spent)
        spent, expected = cpu_seconds(lambda: reference(guess, truth))
        times["reference"].append(spent)
    worst = 0.0
    for key, value in expected.items():
        off = abs(found[key] - value) / (abs(value) + 1e-12)
        worst = max(worst, off)
        print(f"{key:>5}  ours {found[key]:.8g}  reference {value:.8g}  relative {off:.1e}")
    ours, theirs = (statistics.median(times[name]) for name in ("ours", "reference"))
    ratio = ours / theirs
    print(f"CPU seconds, one thread, median of {rounds}: ours {ours:.3f}, reference {theirs:.3f}")
    print(f"ratio {ratio:.3f} (goal {GOAL}), values equal to {worst:.1e}")
    return 0 if worst <= 1e-4 and ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
