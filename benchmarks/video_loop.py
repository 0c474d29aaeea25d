"""Time the video job without a model against plain decoding and encoding by PyAV.

Run: python benchmarks/video_loop.py [--frames 200] [--rounds 5] [--codec prores,vp9,ffv1]

Both read the same clip (640x360, H.264, with sound) and write the same codec, pixel format,
encoder options and thread settings, each in a process of its own, in turns. The plain side is
what PyAV's own reading, `reformat` and encoding take; its alpha is the luma plane, as the stand-in's
alpha is brightness. The job side is the whole job with the
stand-in model and the foreground estimate off: exact reading, float images, alpha, segments,
joining, sound. Figures are medians of wall time inside of the process, imports left out.
Exits with 1 if a ratio is above the goal.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
from clips import machine, make_clip

from pullmatte.io.video import open_video
from pullmatte.io.video_formats import choose_encoding
from pullmatte.jobs.video import matte_video
from pullmatte.jobs.video_options import VideoOptions
from pullmatte.testing import FakeMatter

GOAL = 1.3
SUFFIX = {"prores": ".mov", "vp9": ".webm", "ffv1": ".mkv"}


def plain(source: Path, target: Path) -> float:
    """Decode and encode by PyAV alone; return seconds."""
    with open_video(source) as clip:
        encoding = choose_encoding(target, clip.info, "cutout")
    began = time.perf_counter()
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        video = given.streams.video[0]
        video.thread_type = "AUTO"
        stream = made.add_stream(encoding.encoder, rate=25, options=dict(encoding.options))
        stream.width, stream.height = video.width, video.height
        stream.pix_fmt = encoding.pixel_format
        stream.codec_context.thread_type = "AUTO"
        stream.codec_context.thread_count = encoding.threads
        for frame in given.decode(video):
            made.mux(stream.encode(with_alpha(frame.reformat(format=encoding.pixel_format))))
        made.mux(stream.encode(None))
    return time.perf_counter() - began


def with_alpha(frame: av.VideoFrame) -> av.VideoFrame:
    """Put luma into the alpha plane, so that both sides' encoders have as much to do."""
    memoryview(frame.planes[3])[:] = memoryview(frame.planes[0])
    return frame


def job(source: Path, target: Path) -> float:
    """Run the job; return seconds."""
    options = VideoOptions(foreground=False, audio=target.suffix != ".webm")
    began = time.perf_counter()
    matte_video(FakeMatter(), source, target, None, options)
    return time.perf_counter() - began


def in_process(side: str, source: Path, target: Path) -> float:
    command = [sys.executable, __file__, "--side", side, str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def compare(codec: str, source: Path, folder: Path, rounds: int) -> float:
    """Print a row; return the ratio."""
    times: dict[str, list[float]] = {"plain": [], "job": []}
    for _ in range(rounds):
        for side in times:
            times[side].append(in_process(side, source, folder / f"{side}{SUFFIX[codec]}"))
    base, ours = (statistics.median(times[side]) for side in ("plain", "job"))
    spread = ", ".join(f"{j / p:.2f}" for p, j in zip(times["plain"], times["job"], strict=True))
    print(f"| {codec} | {base:.2f} | {ours:.2f} | {ours / base:.2f} | {spread} |", flush=True)
    return ours / base


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
        print("\n| codec | PyAV, s | job, s | ratio | ratios of the rounds |")
        print("| --- | --: | --: | --: | --- |")
        codecs = options.codec.split(",")
        ratios = [compare(codec, source, Path(name), options.rounds) for codec in codecs]
    print(f"\ngoal: {GOAL} at most")
    return int(max(ratios) > GOAL)


if __name__ == "__main__":
    sys.exit(main())
