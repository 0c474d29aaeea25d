"""Measure how many procedural mattes of each kind one core makes a second.

Run: OMP_NUM_THREADS=1 python benchmarks/procedural.py [--size 512] [--count 6] [--kinds hair smoke]

CPU seconds of one thread over stills of unlike seeds, after one that is not counted. Exits with 1
if a kind takes more than 0.15 CPU seconds a still of 512 pixels on average.
"""

import argparse
import os
import platform
import sys
import time

import cv2
import numpy as np

from pullmatte.data.procedural import KINDS, make

GOAL_S, CHEAP_PER_S = 0.15, 20


def seconds_of(kind: str, size_px: int, count: int) -> float:
    make(kind, size_px, np.random.default_rng(0))
    start = time.process_time()
    for seed in range(1, count + 1):
        make(kind, size_px, np.random.default_rng(seed))
    return (time.process_time() - start) / count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, numpy {np.__version__}, cv2 {cv2.__version__}, load {load:.1f}")
    print(f"{arguments.size} x {arguments.size}, {arguments.count} stills a kind\n")
    print("| kind | family | stills a second and core |\n| --- | --- | --- |")
    taken = {}
    for kind in arguments.kinds:
        taken[kind] = seconds_of(kind, arguments.size, arguments.count)
        print(f"| {kind} | {KINDS[kind].family} | {1 / taken[kind]:.0f} |")
    mean = sum(taken.values()) / len(taken)
    cheap = sum(1 / seconds >= CHEAP_PER_S for seconds in taken.values())
    print(
        f"\nall kinds alike: {1 / mean:.0f} a second; {cheap} of {len(taken)} kinds make 20 or more"
    )
    slow = [kind for kind, seconds in taken.items() if seconds > GOAL_S]
    if arguments.size == 512 and slow:
        print(f"slower than {GOAL_S} CPU seconds: {', '.join(slow)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
