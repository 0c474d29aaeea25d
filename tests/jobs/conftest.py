"""Small clips for the jobs."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from pullmatte.testing import FakeMatter


def _make(path: Path, frames: int = 24, size: tuple[int, int] = (48, 32), *, sound=False) -> Path:
    """A light square that walks over a ramp, lossless in RGB."""
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "bgr0"
        audio = container.add_stream("pcm_s16le", rate=48000, layout="mono") if sound else None
        for number in range(frames):
            rgb = np.zeros((height, width, 3), np.uint8)
            rgb[...] = (np.arange(width) * 2 + number)[None, :, None]
            rgb[8:24, 4 + number % 20 : 16 + number % 20] = (230, 200, 180)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb).reformat(format="bgr0")))
        container.mux(stream.encode(None))
        if audio is not None:
            tone = (np.sin(np.arange(4608) * 0.1) * 9000).astype(np.int16)[None]
            for begin in range(0, tone.shape[1], 576):
                part = np.ascontiguousarray(tone[:, begin : begin + 576])
                block = av.AudioFrame.from_ndarray(part, "s16", "mono")
                block.sample_rate, block.pts = 48000, begin
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return path


@pytest.fixture
def make_clip(tmp_path) -> Callable[..., Path]:
    """Write a clip of 24 frames of 48x32 pixels into the test's folder."""
    return lambda name="clip.mkv", *args, **options: _make(tmp_path / name, *args, **options)


@pytest.fixture
def fake() -> FakeMatter:
    """The stand-in model."""
    return FakeMatter()
