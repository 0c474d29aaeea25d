"""Track DAVIS clips from frame 0, and measure the overlap.

Run: python benchmarks/tracking.py DATA [--prompt box,mask] [--model nano]

DATA holds ``eval/davis/<clip>/00000.jpg`` with masks ``00000.png`` beside them. Prints the mean
Jaccard index J of alpha > 0.5 over all frames, frame 0 included, J of frame 0 alone, and processor
seconds a frame. The prompt is the true mask of frame 0 or its tight box.
"""

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from clips import machine

import pullmatte as pm
from pullmatte.io.image import read_mask


def overlap(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Return J of `alpha` > 0.5 and `truth`."""
    found = alpha > 0.5
    return float((found & truth).sum() / max(1, (found | truth).sum()))


def track(folder: Path, kind: str, model: str) -> tuple[list[float], float]:
    """Return J of each frame, and processor seconds a frame."""
    names = sorted(folder.glob("*.jpg"))
    truths = [read_mask(name.with_suffix(".png")) for name in names]
    shot = pm.load(model).open_video([pm.read_image(n) for n in names], foreground=False)
    rows, columns = np.nonzero(truths[0])
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    shot.prompt(**({"mask": truths[0]} if kind == "mask" else {"box": box}))
    began = time.process_time()
    pairs = zip(shot.propagate(), truths, strict=True)
    scores = [overlap(frame.mattes["object"].alpha, truth) for frame, truth in pairs]
    return scores, (time.process_time() - began) / len(names)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--prompt", default="box,mask")
    parser.add_argument("--model", default="nano")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    clips = sorted(path for path in (options.data / "eval/davis").glob("*") if path.is_dir())
    if not clips:
        sys.exit(f"no clip below {options.data}/eval/davis: give the data folder")
    print(f"`python benchmarks/tracking.py DATA --model {options.model}`; {machine()}\n")
    print(
        "| prompt | clip | mean J | J of frame 0 | CPU s a frame |\n| --- | --- | --: | --: | --: |"
    )
    for kind in options.prompt.split(","):
        means = []
        for clip in clips:
            scores, seconds = track(clip, kind, options.model)
            means.append(np.mean(scores))
            print(f"| {kind} | {clip.name} | {means[-1]:.3f} | {scores[0]:.3f} | {seconds:.2f} |")
        print(f"| {kind} | **mean** | **{np.mean(means):.3f}** | | |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
