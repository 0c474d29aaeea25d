"""Clips for the benchmarks, made on the fly: noise, moving shapes and a tone."""

import os
import platform
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (640, 360)
RATE = 25


def make_clip(path: Path, frames: int, *, sound: bool = True) -> Path:
    """Write an H.264 clip of 640x360 at 25 frames a second, with AAC sound if wanted."""
    width, height = SIZE
    rng = np.random.default_rng(7)
    # A few noisy plates, rolled from frame to frame, cost no time to make.
    plates = rng.integers(60, 130, (8, height, width), np.uint8)
    chroma = np.full((height // 2, width), 128, np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        audio = container.add_stream("aac", rate=48000, layout="stereo") if sound else None
        for number in range(frames):
            luma = plates[number % 8].copy()
            left = 40 + 3 * number % 400
            luma[100:260, left : left + 160] = 200
            packed = np.vstack([luma, chroma])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(packed, "yuv420p")))
        container.mux(stream.encode(None))
        if audio is not None:
            _add_tone(container, audio, frames / RATE)
    return path


def _add_tone(container, stream, seconds):
    wave = (np.sin(np.arange(1024) * 0.06)[None].repeat(2, 0) * 0.3).astype(np.float32)
    for number in range(int(seconds * 48000) // 1024):
        block = av.AudioFrame.from_ndarray(wave, "fltp", "stereo")
        block.sample_rate, block.pts, block.time_base = 48000, 1024 * number, Fraction(1, 48000)
        container.mux(stream.encode(block))
    container.mux(stream.encode(None))


def machine() -> str:
    """Say what the figures were measured on, and how busy it was."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    cores = len(os.sched_getaffinity(0))
    return (
        f"{platform.machine()}, {cores} cores, Python {platform.python_version()}, "
        f"av {av.__version__}, numpy {np.__version__}; load average {load}"
    )
