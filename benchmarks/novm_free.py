"""Measure models on `novm-free`, or on any test set of clips: MAD and dtSSD for each category.

Run: pullmatte data novm-free --out FOLDER
     python benchmarks/novm_free.py [FOLDER] [--models nano,classical] [--clips N]
            [--steady S] [--sheet FILE]

Without FOLDER a small set is built first: ten clips of 8 frames, 256 × 144.

The prompt is the tight box of alpha > 0 on frame 0; the model tracks through the others. Protocol
vm-hr: whole frames, MAD × 1000, means as in Robust Video Matting's sheets, where dtSSD of frame 0
counts as 0. With --steady alphas are steadied in time, as `pullmatte video --steady` does. With
--sheet it draws first and last frame and last alpha of each clip instead.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from clips import machine
from PIL import Image

import pullmatte as pm
from pullmatte.data.clip_layouts import open_test_clips
from pullmatte.data.novm import build_novm_free
from pullmatte.errors import WeightsError
from pullmatte.eval.clips import by_category, measure_clip, spread


def measured(name, clips, steady):
    """Return means by category and processor seconds a frame; tells each clip on stderr."""
    matter, results = pm.load(name), []
    for clip in clips:
        results.append(measure_clip(matter, clip, steady=steady))
        mad = sum(results[-1].frames["mad"]) / len(clip.images)
        print(f"{name} {clip.name}: MAD {mad:.1f}", file=sys.stderr, flush=True)
    frames = sum(len(clip.images) for clip in clips)
    return by_category(results), sum(result.seconds for result in results) / frames


def draw_sheet(clips, path):
    """Draw the clips in two columns."""
    rows = []
    for clip in clips:
        frames, alphas = list(clip.frames()), list(clip.truths())
        shown = [frames[0], frames[-1], np.dstack([alphas[-1]] * 3)]
        rows.append(np.hstack([cv2.resize(s, (256, 144), None, 0, 0, 3) for s in shown]))
    rows += [np.zeros_like(rows[0])] * (len(rows) % 2)
    columns = [np.vstack(rows[at::2]) for at in range(2)]
    Image.fromarray(np.hstack(columns)).save(path, quality=80)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--models", default="classical,nano")
    parser.add_argument("--clips", type=int, default=None)
    parser.add_argument("--steady", type=float, default=0.0)
    parser.add_argument("--sheet", type=Path, default=None)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as temporary:
        if options.folder is None:
            options.folder = Path(temporary) / "set"
            build_novm_free(options.folder, size=(256, 144), frames=8, clips=options.clips or 10)
        report(options)
    return 0


def report(options):
    """Measure the models that are here, and print the table."""
    layout, every = open_test_clips(options.folder)
    clips = spread(every, options.clips)
    if options.sheet:
        draw_sheet(clips, options.sheet)
        return
    found = {}
    for name in options.models.split(","):
        try:
            found[name] = measured(name, clips, options.steady)
        except WeightsError as error:
            print(f"{name}: left out, {error}", file=sys.stderr)
    if not found:
        sys.exit(f"none of {options.models} can be measured: give --models that are here")
    flag = f" --steady {options.steady:g}" if options.steady else ""
    print(f"`python benchmarks/novm_free.py FOLDER --clips {len(clips)}{flag}`; {machine()}\n")
    print(f"{layout.title}: {len(clips)} of {len(every)} clips, box on frame 0, protocol vm-hr\n")
    print(f"| category | {' | '.join(f'{n}: MAD | {n}: dtSSD' for n in found)} |")
    print(f"| --- |{' --: | --: |' * len(found)}")
    categories = next(iter(found.values()))[0]
    for category in categories:
        values = [
            f"{table[category]['mad']:.2f} | {table[category]['dtssd']:.2f}"
            for table, _ in found.values()
        ]
        print(f"| {category or 'all of one kind'} | {' | '.join(values)} |")
    for name, (_, seconds) in found.items():
        print(f"\n{name}: {seconds:.2f} CPU seconds a frame")


if __name__ == "__main__":
    sys.exit(main())
