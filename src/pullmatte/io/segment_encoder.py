"""One segment of a video file that is being written: one encoder, one part file."""

import os
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from pullmatte.io.clip import VideoInfo
from pullmatte.io.video_formats import Encoding

# Segments count time in Matroska's milliseconds; the true timestamps are put in by `join`.
_TICK = Fraction(1, 1000)
_BITEXACT = 0x800000


class SegmentEncoder:
    """One encoder and one part file."""

    def __init__(self, path: Path, encoding: Encoding, info: VideoInfo) -> None:
        self._path = path
        self._encoding = encoding
        self._count = 0
        self._step = max(1, round(1 / (info.average_rate * _TICK))) if info.average_rate else 40
        self._container: OutputContainer = av.open(
            os.fspath(path), "w", format="matroska", container_options={"fflags": "+bitexact"}
        )
        stream = self._container.add_stream(
            encoding.encoder, rate=_sane_rate(info.average_rate), options=dict(encoding.options)
        )
        assert isinstance(stream, VideoStream), "a video encoder makes a video stream"
        self._stream: VideoStream = stream
        context = stream.codec_context
        context.width, context.height = info.width, info.height
        context.pix_fmt = encoding.pixel_format
        context.time_base = _TICK
        context.flags |= _BITEXACT
        context.max_b_frames = 0
        context.thread_type = "AUTO"
        context.thread_count = encoding.threads
        context.sample_aspect_ratio = info.sample_aspect_ratio
        context.color_primaries = encoding.tags.primaries
        context.color_trc = encoding.tags.transfer
        context.colorspace = encoding.tags.matrix
        context.color_range = encoding.tags.range

    def write(self, frame: av.VideoFrame) -> None:
        """Encode a frame; its timestamp is set here."""
        frame.pts = self._count * self._step
        frame.time_base = _TICK
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Flush the encoder and close the file."""
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def discard(self) -> None:
        """Close and delete the file, whatever state it is in."""
        try:
            self._container.close()
        except (av.FFmpegError, OSError):
            pass
        finally:
            self._path.unlink(missing_ok=True)


def _sane_rate(rate: Fraction) -> Fraction:
    """A rate that encoders accept; it only guides them, timestamps are exact elsewhere."""
    return rate.limit_denominator(1001) if 0 < rate <= 1000 else Fraction(25)
