"""The command in this process with the public stand-in model, and small pictures and clips."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pullmatte.cli.app import run
from pullmatte.models import MODELS, ModelSpec

WIDTH, HEIGHT = 40, 30


@pytest.fixture
def fake(monkeypatch):
    """Make the stand-in a model called fake."""
    spec = ModelSpec("fake", "stand-in", "pullmatte.testing:FakeModel", "Apache-2.0", True)
    monkeypatch.setitem(MODELS, "fake", spec)


@pytest.fixture
def image(fake) -> Callable[..., int]:
    """Run ``pullmatte image`` with the stand-in."""
    return lambda *words: run(["image", "--model", "fake", *map(str, words)])


@pytest.fixture
def video(fake) -> Callable[..., int]:
    """Run ``pullmatte video`` with the stand-in."""
    return lambda *words: run(["video", "--model", "fake", *map(str, words)])


def picture() -> np.ndarray:
    """A gradient of which every pixel differs."""
    ramp = np.arange(WIDTH * HEIGHT * 3) * 7 % 251
    return ramp.reshape(HEIGHT, WIDTH, 3).astype(np.uint8)


@pytest.fixture
def photo(tmp_path) -> Path:
    """A PNG of 40x30 pixels."""
    path = tmp_path / "photo.png"
    Image.fromarray(picture()).save(path)
    return path


def make_clip(path: Path, frames: int = 12, *, sound: bool = False, only_sound: bool = False):
    """Write a small H.264 clip, 48x32, whose frames differ."""
    with av.open(str(path), "w") as container:
        if not only_sound:
            stream = container.add_stream("libx264", rate=25, options={"crf": "20", "bf": "0"})
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        audio = container.add_stream("aac", rate=48000, layout="mono") if sound else None
        for number in range(0 if only_sound else frames):
            rgb = np.full((32, 48, 3), 40 + 3 * number, np.uint8)
            rgb[8:24, number % 20 : number % 20 + 20] = 220 - number
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb)))
        if not only_sound:
            container.mux(stream.encode(None))
        if audio is not None:
            for number in range(20):
                wave = np.sin(np.arange(1024) * 0.05 + number)[None].astype(np.float32)
                block = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
                block.sample_rate, block.pts = 48000, number * 1024
                block.time_base = Fraction(1, 48000)
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return path


@pytest.fixture
def clip(tmp_path) -> Path:
    """A clip of 12 frames with sound."""
    return make_clip(tmp_path / "clip.mp4", sound=True)
