"""Measure how many procedural mattes of each kind one core makes a second, and draw them.

Run: OMP_NUM_THREADS=1 python benchmarks/procedural.py [--size 512] [--count 6] [--kinds hair smoke]
     OMP_NUM_THREADS=1 python benchmarks/procedural.py --sheets docs/images/procedural

CPU seconds of one thread over stills of unlike seeds, after one that is not counted. A machine that
is shared with other work computes slower even by that clock, so a fixed task of OpenCV is timed
between the stills. Exits with 1 if a kind takes more than 0.15 CPU seconds a still of 512 pixels,
counted as 10.4 such tasks: what they were on the first machine, when it was free.

A sheet has a row per kind: four stills over unlike grounds, the last one's alpha, and a clip's
first and fourth frame.
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from pullmatte.data.procedural import KINDS, make, make_clip

GOAL_TASKS, CHEAP_PER_S = 10.4, 20


def seconds_of(kind: str, size_px: int, count: int) -> tuple[float, float]:
    """Return the CPU seconds of a still, and of the fixed task."""
    make(kind, size_px, np.random.default_rng(0))
    noise = np.random.default_rng(0).random((512, 512, 3), np.float32)
    stills = tasks = 0.0
    for seed in range(1, count + 1):
        start = time.process_time()
        make(kind, size_px, np.random.default_rng(seed))
        middle = time.process_time()
        cv2.GaussianBlur(noise, (0, 0), 8)
        stills += middle - start
        tasks += time.process_time() - middle
    return stills / count, tasks / count


def grounds(size_px: int) -> list[np.ndarray]:
    line = np.arange(size_px) // (size_px // 12) % 2
    checks = (line ^ line[:, None])[..., None] * 0.25 + np.array([0.45, 0.45, 0.45])
    plain = [np.full((size_px, size_px, 3), c) for c in (0.0, 1.0, (0.15, 0.35, 0.5))]
    return [checks, *plain]


def laid(colour: np.ndarray, alpha: np.ndarray, ground: np.ndarray) -> np.ndarray:
    return colour * alpha[..., None] + ground * (1 - alpha[..., None])


def row_of(kind: str, size_px: int) -> np.ndarray:
    stills = [make(kind, size_px, np.random.default_rng([2, seed])) for seed in range(4)]
    clip = make_clip(kind, size_px, 4, np.random.default_rng([2, 4]))
    tiles = [laid(s.colour, s.alpha, g) for s, g in zip(stills, grounds(size_px), strict=True)]
    tiles.append(np.repeat(stills[-1].alpha[..., None], 3, -1))
    tiles += [laid(clip.colour[t], clip.alpha[t], grounds(size_px)[0]) for t in (0, 3)]
    return np.hstack(tiles)


def write_sheets(folder: Path, size_px: int = 256, shown_px: int = 152) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for family in dict.fromkeys(kind.family for kind in KINDS.values()):
        names = [name for name, kind in KINDS.items() if kind.family == family]
        sheet = np.vstack([row_of(name, size_px) for name in names])
        shape = 7 * shown_px, len(names) * shown_px
        small = cv2.resize(sheet, shape, interpolation=cv2.INTER_AREA)
        pixels = np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8)[..., ::-1]
        path = folder / f"{family}.webp"
        cv2.imwrite(str(path), pixels, [cv2.IMWRITE_WEBP_QUALITY, 82])
        print(f"{path}: {', '.join(names)}, {path.stat().st_size / 1000:.0f} kB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--sheets", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if arguments.sheets:
        write_sheets(arguments.sheets)
        return 0
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, numpy {np.__version__}, cv2 {cv2.__version__}, load {load:.1f}")
    print(f"{arguments.size} x {arguments.size}, {arguments.count} stills a kind\n")
    print("| kind | family | stills a second and core | still / task |\n| --- | --- | --- | --- |")
    taken, ratios = {}, {}
    for kind in arguments.kinds:
        taken[kind], task = seconds_of(kind, arguments.size, arguments.count)
        ratios[kind] = taken[kind] / task
        family = KINDS[kind].family
        print(f"| {kind} | {family} | {1 / taken[kind]:.0f} | {ratios[kind]:.1f} |", flush=True)
    mean = sum(taken.values()) / len(taken)
    cheap = sum(1 / seconds >= CHEAP_PER_S for seconds in taken.values())
    print(
        f"\nall kinds alike: {1 / mean:.0f} a second; {cheap} of {len(taken)} kinds make 20 or more"
    )
    slow = [kind for kind, ratio in ratios.items() if ratio > GOAL_TASKS]
    if arguments.size == 512 and slow:
        print(f"slower than {GOAL_TASKS} tasks: {', '.join(slow)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
