"""What a video session costs beside its model: memory over the length of a clip, and time.

Run: python benchmarks/video_session.py [--long 600] [--short 60] [--full]

MAM2 with random weights at the size for tests, on a clip made as it is read, each run in a process
of its own, one thread: peak and final resident memory, and the CPU seconds spent inside of the
model, in making frames, and in the rest, which is the session's own bookkeeping. With --full also
a few frames at Hiera-T, 1024 pixels, 1080p frames. Exits with 1 if memory grows by over 2 % or the
bookkeeping is over 5 % of the model's time at full size.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from clips import machine

from pullmatte.io.project_folder import ProjectFolder
from pullmatte.models.mam2.config import MAM2, MINIATURE, TINY
from pullmatte.models.mam2.model import MAM2Model
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.sessions.clip import ArrayFrame
from pullmatte.sessions.editing import EditOptions, EditSession
from pullmatte.sessions.finishing import Finish
from pullmatte.sessions.video import VideoSession

MEMORY_GOAL, TIME_GOAL = 1.02, 0.05
PLAIN = Finish(foreground=False)


class Made:
    """A clip whose frames are made when they are asked for; the time for that is counted."""

    def __init__(self, count: int, size: tuple[int, int]) -> None:
        self.count, self.size, self.seconds = count, size, 0.0
        rng = np.random.default_rng(0)
        self.wall = rng.random((size[1], size[0], 3), np.float32)

    def __len__(self) -> int:
        return self.count

    def frames(
        self, start: int = 0, stop: int | None = None, *, reverse: bool = False
    ) -> Iterator[ArrayFrame]:
        numbers = range(start, self.count if stop is None else min(stop, self.count))
        for index in reversed(numbers) if reverse else numbers:
            began = time.process_time()
            image = np.roll(self.wall, index, axis=1)
            self.seconds += time.process_time() - began
            yield ArrayFrame(index, index / 25, image)


class Timed:
    """A model whose time is counted."""

    def __init__(self, model: Any) -> None:
        self.model, self.seconds = model, 0.0
        self.memory_spans, self.prompted_ahead = model.memory_spans, model.prompted_ahead

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.model, name)

        def timed(*args: Any, **options: Any) -> Any:
            began = time.process_time()
            try:
                return method(*args, **options)
            finally:
                self.seconds += time.process_time() - began

        return timed


class Flat:
    """A matter that costs nothing: the unknown is half."""

    def matte(self, image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
        return trimap.astype(np.float32)


def build(full: bool) -> MAM2Model:
    torch.manual_seed(0)
    network = MAM2Network(type(MAM2)(sam2=TINY) if full else MINIATURE)
    # With random weights objects are as often absent, and absent ones cost less.
    with torch.no_grad():
        for bias in [p for n, p in network.named_parameters() if "pred_obj_score_head" in n]:
            if bias.ndim == 1:
                bias += 3
    return MAM2Model(network, Flat())


def run(kind: str, count: int, full: bool, folder: str) -> dict[str, float]:
    torch.set_num_threads(1)
    model, clip = Timed(build(full)), Made(count, (1920, 1080) if full else (320, 180))
    if kind == "streaming":
        shot: Any = VideoSession(model, clip, finish=PLAIN)
    else:
        shot = EditSession(model, clip, ProjectFolder(folder), EditOptions(finish=PLAIN))
    width, height = clip.size
    shot.prompt(box=(0.2 * width, 0.2 * height, 0.7 * width, 0.8 * height))
    frames = shot.propagate("forward") if kind == "streaming" else shot.update()
    next(frames)
    # Imports and first use are no bookkeeping, and happen once.
    model.seconds = clip.seconds = 0.0
    began = time.process_time()
    for _ in frames:
        pass
    total = time.process_time() - began
    return {
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "model": model.seconds,
        "clip": clip.seconds,
        "own": total - model.seconds - clip.seconds,
    }


def apart(kind: str, count: int, full: bool) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        said = [kind, str(count), str(int(full)), str(Path(folder) / "project")]
        # One arena: what glibc keeps back for threads isn't the session's.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
        done = subprocess.run(
            [sys.executable, __file__, "--run", *said],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", type=int, default=600)
    parser.add_argument("--short", type=int, default=60)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--run", nargs=4)
    options = parser.parse_args()
    if options.run:
        kind, count, full, folder = options.run
        print(json.dumps(run(kind, int(count), bool(int(full)), folder)))
        return 0
    short, long, missed = options.short, options.long, False
    print(f"`python benchmarks/video_session.py`, one thread; {machine()}\n")
    print(f"| session | size | frames | peak, MB | over {short} frames | model, ms a frame | own |")
    print("| --- | --- | --: | --: | --: | --: | --: |")
    for kind in ("streaming", "editing"):
        least = 0.0
        for count in (short, long):
            found = apart(kind, count, False)
            least = least or found["peak"]
            missed |= found["peak"] / least > MEMORY_GOAL
            tell(kind, "for tests, 320x180", count, found, f"{found['peak'] / least:.3f}")
        if options.full:
            found = apart(kind, 12, True)
            missed |= found["own"] / found["model"] > TIME_GOAL
            tell(kind, "Hiera-T, 1920x1080", 12, found, "")
    return int(missed)


def tell(kind: str, size: str, count: int, found: dict[str, float], growth: str) -> None:
    share = found["own"] / found["model"]
    print(
        f"| {kind} | {size} | {count} | {found['peak'] / 1e6:.0f} | {growth} "
        f"| {found['model'] / (count - 1) * 1e3:.0f} | {share:.1%} |",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
