"""Compare the peak memory of the video job on a long clip with that on a short one.

Run: python benchmarks/video_memory.py [--long 3000] [--short 300] [--codec prores,ffv1]

The whole job with the stand-in model and sound, on 640x360 clips, each run in a process of its
own that reports its peak resident memory. Exits with 1 if a ratio is above the goal.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from clips import machine, make_clip

from pullmatte.jobs.video import matte_video
from pullmatte.jobs.video_options import VideoOptions
from pullmatte.testing import FakeMatter

GOAL = 1.1
SUFFIX = {"prores": ".mov", "vp9": ".webm", "ffv1": ".mkv"}


def run_job(source: Path, target: Path) -> int:
    """Run the job; return the peak resident memory of this process in bytes."""
    options = VideoOptions(foreground=False, audio=True)
    matte_video(FakeMatter(), source, target, None, options)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_bytes(source: Path, target: Path) -> int:
    command = [sys.executable, __file__, "--job", str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    target.unlink()
    return int(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", type=int, default=3000)
    parser.add_argument("--short", type=int, default=300)
    parser.add_argument("--codec", default="prores,ffv1")
    parser.add_argument("--job", nargs=2)
    options = parser.parse_args()
    if options.job:
        print(run_job(*map(Path, options.job)))
        return 0
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        counts = (options.short, options.long)
        clips = [make_clip(Path(name) / f"{count}.mp4", count) for count in counts]
        print(f"`python benchmarks/video_memory.py`, 640x360 with sound; {machine()}\n")
        print(
            f"| codec | {counts[0]} frames, MB | {counts[1]} frames, MB | ratio | goal | time, s |"
        )
        print("| --- | --: | --: | --: | --: | --: |")
        for codec in options.codec.split(","):
            began = time.perf_counter()
            short, long = (peak_bytes(clip, Path(name) / f"out{SUFFIX[codec]}") for clip in clips)
            ratios.append(long / short)
            spent = time.perf_counter() - began
            print(
                f"| {codec} | {short / 1e6:.0f} | {long / 1e6:.0f} | {long / short:.2f} | {GOAL} "
                f"| {spent:.0f} |",
                flush=True,
            )
    return int(max(ratios) > GOAL)


if __name__ == "__main__":
    sys.exit(main())
