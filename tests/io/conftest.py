"""Small clips, made with PyAV itself, that the video tests read."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest


def _picture(number: int, width: int, height: int, pixels: str) -> av.VideoFrame:
    """A flat frame whose luma tells its number: 16 + 4 * number at 8 bits."""
    frame = av.VideoFrame(width, height, pixels)
    bits = frame.format.components[0].bits
    kind = np.uint8 if bits == 8 else np.uint16
    for place, plane in enumerate(frame.planes):
        level = 16 + 4 * number if place == 0 else 128
        np.frombuffer(plane, kind)[:] = level << (bits - 8)
    return frame


def _sound(container: av.container.OutputContainer, stream: av.AudioStream) -> None:
    for number in range(60):
        wave = np.sin(np.arange(960) * 0.05 + number)[None].repeat(2, 0) * 0.3
        frame = av.AudioFrame.from_ndarray(wave.astype(np.float32), "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, number * 960, Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _make(
    path: Path,
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    pts: tuple[int, ...] = tuple(range(30)),
    time_base: Fraction = Fraction(1, 25),
    options: dict[str, str] | None = None,
    sound: str | None = None,
    turn: int = 0,
    tags: tuple[int, int, int, int] | None = None,
    gop: int = 12,
    b_frames: int = 2,
    mux: dict[str, str] | None = None,
) -> Path:
    with av.open(str(path), "w", container_options=mux or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        context = stream.codec_context
        context.time_base, context.gop_size, context.max_b_frames = time_base, gop, b_frames
        if tags:
            context.color_primaries, context.color_trc, context.colorspace = tags[:3]
            context.color_range = tags[3]
        if turn:
            stream.set_display_rotation(turn)
        audio = container.add_stream(sound, rate=48000, layout="stereo") if sound else None
        for number, stamp in enumerate(pts):
            frame = _picture(number, *size, pixels)
            frame.pts, frame.time_base = stamp, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            _sound(container, audio)
    return path


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """Write a small clip of flat frames that tell their number."""
    return _make
