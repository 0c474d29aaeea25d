"""What nano costs, and what it makes of a box round nothing.

Run: python benchmarks/nano.py [--data DATA] [--rounds 5]

Four ratios, each of things that take turns in this run, on one thread, the median of the rounds:

- a whole ``pullmatte image`` of 1024 × 1024 pixels, cold start to file written, to
  ``python -c "import torch, cv2"``; CPU seconds of whole processes;
- a second prompt on an opened image to opening it and the first one;
- a tracked frame of the example's clip at 640 × 360 to the trunk alone, at its own 512 × 512;
- nano's matter to pymatting's closed form on a given trimap of 1024 × 1024, 18 % unknown.

With DATA, the mean alpha of random boxes on ``eval/video/backgrounds``, photos without a
foreground. Exits with 1 where a floor is missed.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
from clips import machine

import pullmatte as pm
from pullmatte.models.classical.closed_form import solve_alpha
from pullmatte.models.protocol import Memories
from pullmatte.prompts import Prompt, PromptFile

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FLOORS = {"cold start": 4.0, "second prompt": 0.3, "tracked frame": 4.0, "matter": 0.5}
GOALS = {"cold start": 2.5, "second prompt": 0.15, "tracked frame": 2.5, "matter": 0.5}
MOST_ALPHA, ALPHA_GOAL = 0.25, 0.1
BOXES = 4


def picture(height: int, width: int) -> np.ndarray:
    """A soft-edged thing on a textured ground, `H W 3` in [0, 1]."""
    rng = np.random.default_rng(0)
    coarse = rng.random((height // 16, width // 16, 3), np.float32)
    ground = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * 0.6
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    away = np.hypot(rows - height / 2, (columns - width / 2) * height / width) / height
    alpha = np.clip((0.36 - away) * 12, 0, 1)[..., None]
    thing = np.array([0.8, 0.5, 0.2], np.float32) + 0.1 * np.sin(rows / 9)[..., None]
    return np.clip(alpha * thing + (1 - alpha) * ground, 0, 1).astype(np.float32)


def box_of(height: int, width: int) -> tuple[float, float, float, float]:
    return (width * 0.12, height * 0.12, width * 0.88, height * 0.88)


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process, its threads included."""
    began = time.process_time()
    work()
    return time.process_time() - began


def process_seconds(command: list[str]) -> float:
    """CPU seconds of a whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ratio(
    rounds: int, work: Callable[[], float], measure: Callable[[], float]
) -> tuple[float, float]:
    """Return the median of the work's time, and its ratio to that of the measure."""
    pairs = [(work(), measure()) for _ in range(rounds)]
    first, second = (statistics.median(each) for each in zip(*pairs, strict=True))
    return first, first / second


def cold_start(rounds: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "in.png"
        pixels = np.rint(picture(1024, 1024)[..., ::-1] * 255).astype(np.uint8)
        cv2.imwrite(str(path), pixels)
        box = ",".join(f"{side:.0f}" for side in box_of(1024, 1024))
        out = Path(name) / "out.png"
        command = str(Path(sys.executable).parent / "pullmatte")
        ours = [command, "image", str(path), str(out), "--model", "nano", "--box", box, "--quiet"]
        theirs = [sys.executable, "-c", "import torch, cv2"]

        def whole() -> float:
            out.unlink(missing_ok=True)
            took = process_seconds(ours)
            if not out.is_file():
                sys.exit("pullmatte wrote nothing")
            return took

        return ratio(rounds, whole, lambda: process_seconds(theirs))


def second_prompt(rounds: int) -> tuple[float, float]:
    matter, image = pm.load("nano"), picture(1024, 1024)
    box = box_of(1024, 1024)

    def both() -> tuple[float, float]:
        held: list[pm.ImageSession] = []

        def first() -> None:
            held.append(matter.open_image(image, foreground=False))
            held[0].predict(box=box)

        one = seconds(first)
        return seconds(lambda: held[0].predict(box=box, points=[(512, 512)], labels=[1])), one

    both()
    pairs = [both() for _ in range(rounds)]
    second, first = (statistics.median(each) for each in zip(*pairs, strict=True))
    return second, second / first


def tracked_frame(rounds: int) -> tuple[float, float]:
    """The example's clip, so that there is as much edge as objects have; frames 1 to 7 warm up."""
    model, size = pm.load("nano").model, (640, 360)
    said = PromptFile.load(EXAMPLES / "fuzzball.json")
    scale = np.divide(size, said.size)
    with pm.open_video(EXAMPLES / "fuzzball.mp4") as clip:
        shown = [frame.image for frame in clip.frames(0, 8 + rounds)]
    frames = [cv2.resize(image, size, interpolation=cv2.INTER_CUBIC).clip(0, 1) for image in shown]
    box = said.prompts[0].prompt.box
    corners = np.array([box.x0, box.y0, box.x1, box.y1]) * [*scale, *scale]
    encoded = model.encode(frames[0])
    found = model.predict(encoded, Prompt(box=pm.Box(*corners)))
    prompted, tracked = {0: model.remember(encoded, found)}, {}
    trunk = model.network.sam2.vision_encoder.backbone
    pixels = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0))
    pixels = pixels.contiguous(memory_format=torch.channels_last)

    def frame() -> None:
        at = len(tracked) + 1
        here = model.encode(frames[at])
        tracked[at] = model.remember(here, model.track(here, Memories(prompted, tracked), at))

    def alone() -> None:
        with torch.inference_mode():
            trunk(pixels)

    for _ in range(7):
        frame()
        alone()
    return ratio(rounds, lambda: seconds(frame), lambda: seconds(alone))


def matter_alone(rounds: int) -> tuple[float, float]:
    image, model = picture(1024, 1024), pm.load("nano").model
    rows, columns = np.mgrid[:1024, :1024]
    away = np.hypot(rows - 512, columns - 512) / 1024
    trimap = np.where(away < 0.24, 1, np.where(away > 0.34, 0, 0.5)).astype(np.float32)
    model.matte(image, trimap)
    ours = lambda: seconds(lambda: model.matte(image, trimap))  # noqa: E731
    theirs = lambda: seconds(lambda: solve_alpha(image, trimap))  # noqa: E731
    return ratio(max(1, rounds // 2), ours, theirs)


def false_alarms(data: Path) -> float:
    """Mean alpha that random boxes on photos of nothing give, within the whole photo."""
    matter, means = pm.load("nano"), []
    for at, path in enumerate(sorted((data / "eval/video/backgrounds").glob("*"))):
        image, rng = pm.read_image(path), np.random.default_rng(at)
        height, width = image.shape[:2]
        session = matter.open_image(image, foreground=False)
        for _ in range(BOXES):
            low = rng.uniform(0, 0.6, 2)
            high = low + rng.uniform(0.2, 1, 2) * (1 - low)
            box = (low[0] * width, low[1] * height, high[0] * width, high[1] * height)
            alpha = session.predict(box=box).alpha
            means.append(float(alpha.sum() / ((box[2] - box[0]) * (box[3] - box[1]))))
    return float(np.mean(means))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(f"`python benchmarks/nano.py`; {machine()}\n")
    print("| what | CPU s | ratio | floor | goal |\n| --- | --: | --: | --: | --: |")
    works = (cold_start, second_prompt, tracked_frame, matter_alone)
    missed = False
    for name, work in zip(FLOORS, works, strict=True):
        took, share = work(options.rounds)
        missed |= share > FLOORS[name]
        print(f"| {name} | {took:.2f} | {share:.2f} | {FLOORS[name]} | {GOALS[name]} |", flush=True)
    if options.data:
        alpha = false_alarms(options.data)
        missed |= alpha > MOST_ALPHA
        print(f"\nmean alpha within random boxes on photos of nothing: {alpha:.3f}")
        print(f"(floor {MOST_ALPHA}, goal {ALPHA_GOAL})")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
