"""Time the video job without a model against plain decoding and encoding by PyAV.

Run: python benchmarks/video_loop.py [--frames 200] [--rounds 5] [--codec prores,vp9,ffv1]

Both read the same clip (640x360, H.264, with sound) and write the same codec, pixel format,
encoder options and thread settings, each in a process of its own, in turns. The plain side is
what PyAV's own reading, `reformat` and encoding take; its alpha planes are ready-made, of the same
brightness as the stand-in's, so that both encoders have as much to do. The job side is the whole
job with the stand-in model and the foreground estimate off: exact reading, float images, alpha,
segments, joining, sound. Figures are medians of time inside of the process, imports left out: wall
time, and processor seconds of all threads, which other work on the machine doesn't change.
Exits with 1 if a ratio is above the goal.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

import av
import numpy as np
from clips import machine, make_clip

from pullmatte.io.video import open_video
from pullmatte.io.video_formats import choose_encoding
from pullmatte.jobs.video import matte_video
from pullmatte.jobs.video_options import VideoOptions
from pullmatte.testing import FakeMatter

GOAL = 1.3
SUFFIX = {"prores": ".mov", "vp9": ".webm", "ffv1": ".mkv"}


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def plain(source: Path, target: Path) -> list[float]:
    """Decode and encode by PyAV alone; return wall and processor seconds."""
    with open_video(source) as clip:
        encoding = choose_encoding(target, clip.info, "cutout")
    matte = cycle(alphas(source, encoding.pixel_format))
    began = now()
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        video = given.streams.video[0]
        video.thread_type = "AUTO"
        stream = made.add_stream(encoding.encoder, rate=25, options=dict(encoding.options))
        stream.width, stream.height = video.width, video.height
        stream.pix_fmt = encoding.pixel_format
        stream.codec_context.thread_type = "AUTO"
        stream.codec_context.thread_count = encoding.threads
        for frame in given.decode(video):
            ready = frame.reformat(format=encoding.pixel_format)
            memoryview(ready.planes[3])[:] = next(matte)
            made.mux(stream.encode(ready))
        made.mux(stream.encode(None))
    return [end - start for start, end in zip(began, now(), strict=True)]


def alphas(source: Path, pixel_format: str) -> list[bytes]:
    """Brightness of the first frames as alpha planes: what the stand-in says of them."""
    bits, kind = (10, np.uint16) if "10" in pixel_format else (8, np.uint8)
    with open_video(source) as clip:
        brightness = [frame.image.mean(axis=2) for frame in clip.frames(0, 8)]
    return [np.rint(plane * ((1 << bits) - 1)).astype(kind).tobytes() for plane in brightness]


def job(source: Path, target: Path) -> list[float]:
    """Run the job; return wall and processor seconds."""
    options = VideoOptions(foreground=False, audio=target.suffix != ".webm")
    began = now()
    matte_video(FakeMatter(), source, target, None, options)
    return [end - start for start, end in zip(began, now(), strict=True)]


def in_process(side: str, source: Path, target: Path) -> list[float]:
    command = [sys.executable, __file__, "--side", side, str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def compare(codec: str, source: Path, folder: Path, rounds: int) -> float:
    """Print a row; return the ratio of wall times."""
    times: dict[str, list[list[float]]] = {"plain": [], "job": []}
    for _ in range(rounds):
        for side in times:
            times[side].append(in_process(side, source, folder / f"{side}{SUFFIX[codec]}"))
    wall, cpu = (
        [statistics.median(run[kind] for run in times[side]) for side in ("plain", "job")]
        for kind in (0, 1)
    )
    rounds_said = ", ".join(f"{j[0] / p[0]:.2f}" for p, j in zip(*times.values(), strict=True))
    print(
        f"| {codec} | {wall[0]:.2f} | {wall[1]:.2f} | {wall[1] / wall[0]:.2f} | {rounds_said} "
        f"| {cpu[0]:.2f} | {cpu[1]:.2f} | {cpu[1] / cpu[0]:.2f} |",
        flush=True,
    )
    return wall[1] / wall[0]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--codec", default="prores,vp9,ffv1")
    parser.add_argument("--side", nargs=3)
    options = parser.parse_args()
    if options.side:
        side, source, target = options.side
        print(json.dumps({"plain": plain, "job": job}[side](Path(source), Path(target))))
        return 0
    with tempfile.TemporaryDirectory() as name:
        source = make_clip(Path(name) / "clip.mp4", options.frames)
        print(f"`python benchmarks/video_loop.py`, {options.frames} frames of 640x360; {machine()}")
        print(
            "\n| codec | PyAV, s | job, s | ratio | each round | PyAV, cpu s | job, cpu s | ratio |"
        )
        print("| --- | --: | --: | --: | --- | --: | --: | --: |")
        codecs = options.codec.split(",")
        ratios = [compare(codec, source, Path(name), options.rounds) for codec in codecs]
    print(f"\ngoal: {GOAL} at most")
    return int(max(ratios) > GOAL)


if __name__ == "__main__":
    sys.exit(main())
