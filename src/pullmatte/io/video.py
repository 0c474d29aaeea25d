"""Reading video files, frame-exact, through FFmpeg's libraries."""

import contextlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from pullmatte.errors import ReadError
from pullmatte.io.clip import Clip, VideoFrame, VideoInfo
from pullmatte.io.orientation import Turn, turn_of
from pullmatte.io.planes import bit_depth_of, frame_to_arrays, has_alpha, tags_of
from pullmatte.io.sequence import SequenceClip, find_sequence
from pullmatte.io.video_index import (
    StreamIndex,
    count_by_decoding,
    from_first,
    is_cut_off,
    refuse_cut_off,
    scan,
)
from pullmatte.io.yuv import RGB_MATRIX, UNSPECIFIED, ColorTags, FloatArray, effective_matrix

# Frames held for going backward; a GOP that is longer is decoded again in parts.
REVERSE_BUDGET: Final = 96 << 20
# FFmpeg's own VP8/VP9 decoders drop the alpha stream without a word.
_ALPHA_DECODERS: Final = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
# Text as ANSI art, and playlists, which could name other files or hosts.
# Enough to see a pattern of B-frames.
_PROBED: Final = 4
_REFUSED: Final = {"tty", "hls", "concat", "dash", "sdp", "rtsp", "ffmetadata"}


def open_video(
    source: str | os.PathLike[str],
    *,
    rate: Fraction | int = 24,
    allow_damaged: bool = False,
) -> Clip:
    """Open a video file, a numbered sequence or a folder of numbered images.

    Args:
        source: A file that FFmpeg reads, a pattern (``shot.%04d.exr``, ``shot.####.png``) or a
            folder that holds one numbered sequence.
        rate: Frames per second of a sequence; video files carry their own.
        allow_damaged: Read a file whose end is missing up to the damage instead of refusing it.

    Returns:
        The clip, to be used in a ``with`` block.

    Raises:
        ReadError: The source is missing, isn't a video, has no picture or is cut off.
    """
    if not isinstance(source, str | os.PathLike):
        raise ReadError(
            f"{type(source).__name__} given: open_video takes a path; "
            "frames in memory go straight into matter.open_video"
        )
    path = Path(source)
    found = find_sequence(path)
    if found is not None:
        return SequenceClip(found, Fraction(rate))
    try:
        if not path.exists():
            raise ReadError(f"{path} doesn't exist; check the name")
        if not path.is_file():
            raise ReadError(f"{path} is not a file: expected a video or a numbered sequence")
        if path.stat().st_size == 0:
            raise ReadError(f"{path} is empty (0 bytes): expected a video; copy it again")
    except (OSError, ValueError) as error:
        raise ReadError(f"can't read {path}: {_line(error)}") from error
    return FileClip(path, allow_damaged=allow_damaged)


class FileClip(Clip):
    """A video file. Made by `open_video`."""

    def __init__(self, path: Path, *, allow_damaged: bool = False) -> None:
        index = _scanned(path, scan) or _scanned(path, count_by_decoding)
        assert index is not None, "counting by decoding always yields an index"
        if not allow_damaged:
            refuse_cut_off(path, len(index.pts))
        if not index.pts:
            raise ReadError(f"{path} has a video stream without frames; export it again")
        self._cursor: _Cursor | None = None
        self._running: Iterator[tuple[int, av.VideoFrame]] | None = None
        self._next = -1
        first_cursor = _Cursor(path, index)
        try:
            heads = first_cursor.first_frames(min(_PROBED, len(index.pts)))
            first = heads[0]
            checked = from_first(index, [frame.pts for frame in heads])
            checked = checked or _scanned(path, count_by_decoding)
            assert checked is not None, "counting by decoding always yields an index"
            self._index = checked
            self._size = (first.width, first.height)
            self._turn = turn_of(first)
            self._held = sum(plane.buffer_size for plane in first.planes)
            self._tags = _merge(tags_of(first), first_cursor.tags, first)
            effective_matrix(self._tags, first.height)
            self.info = _describe(path, first_cursor, first, self._index, self._turn, self._tags)
        finally:
            first_cursor.close()

    def frame(self, index: int) -> VideoFrame:
        """Fetch one frame; going on from the last one asked for needs no seek.

        Args:
            index: Frame number in [0, frame count).

        Returns:
            The frame.

        Raises:
            ReadError: There is no such frame, or it can't be decoded.
        """
        self.check_index(index)
        if self._cursor is None:
            self._cursor = _Cursor(self.info.path, self._index)
        near = self._running is not None and self._next <= index
        if not near or self._key_before(index) > self._next:
            self._running = self._cursor.read(index, len(self))
        assert self._running is not None
        for number, frame in self._running:
            self._next = number + 1
            if number == index:
                return self._wrap(number, frame)
        raise _stopped(self.info.path, index)

    def close(self) -> None:
        """Release the file."""
        self._running = None
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None

    def _forward(self, start: int, stop: int) -> Iterator[VideoFrame]:
        if start == stop:
            return
        cursor = _Cursor(self.info.path, self._index)
        try:
            for number, frame in cursor.read(start, stop):
                yield self._wrap(number, frame)
        finally:
            cursor.close()

    def _backward(self, start: int, stop: int) -> Iterator[VideoFrame]:
        cursor = _Cursor(self.info.path, self._index)
        room = max(2, REVERSE_BUDGET // max(1, self._held))
        try:
            upper = stop
            while upper > start:
                lower = max(start, self._key_before(upper - 1), upper - room)
                held = list(cursor.read(lower, upper))
                while held:
                    yield self._wrap(*held.pop())
                upper = lower
        finally:
            cursor.close()

    def _key_before(self, index: int) -> int:
        return max((key for key in self._index.keys if key <= index), default=0)

    def _wrap(self, number: int, frame: av.VideoFrame) -> VideoFrame:
        if (frame.width, frame.height) != self._size:
            raise ReadError(
                f"{self.info.path}: frame {number} is {frame.width}x{frame.height}, the clip "
                f"began with {self._size[0]}x{self._size[1]}; split the clip there"
            )
        return VideoFrame(
            number,
            self._index.pts[number],
            float(self._index.pts[number] * self._index.time_base),
            _Conversion(frame, self._tags, self._turn),
        )


class _Conversion:
    """A decoded frame that waits to become arrays."""

    def __init__(self, frame: av.VideoFrame, tags: ColorTags, turn: Turn) -> None:
        self._frame, self._tags, self._turn = frame, tags, turn

    def __call__(self) -> tuple[FloatArray, FloatArray | None]:
        image, alpha = frame_to_arrays(self._frame, self._tags)
        return self._turn.apply(image), None if alpha is None else self._turn.apply(alpha)


class _Cursor:
    """A decoder of its own that can be put before any frame."""

    def __init__(self, path: Path, index: StreamIndex) -> None:
        self._path, self._index = path, index
        self._number = {pts: number for number, pts in enumerate(index.pts)}
        self.container = _open(path)
        self.stream = _video_stream(path, self.container)
        self.decoder = _decoder(path, self.stream)
        self.tags = ColorTags(
            int(self.stream.codec_context.color_primaries),
            int(self.stream.codec_context.color_trc),
            int(self.stream.codec_context.colorspace),
            int(self.stream.codec_context.color_range),
        )

    def close(self) -> None:
        self.container.close()

    def first_frames(self, count: int) -> list[av.VideoFrame]:
        """The first frames that the decoder can show, at least one."""
        frames: list[av.VideoFrame] = []
        with contextlib.suppress(ReadError):
            for frame in self._decode():
                frames.append(frame)
                if len(frames) == count:
                    break
        if frames:
            return frames
        raise ReadError(f"{self._path} has no frame that can be decoded; export it again")

    def read(self, start: int, stop: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield the frames of a span with their numbers; seeks by itself."""
        expected = start
        for number, frame in self._from(start):
            if number < expected:
                continue
            if number > expected or frame.is_corrupt:
                raise _stopped(self._path, expected)
            yield number, frame
            expected += 1
            if expected == stop:
                return
        if expected < stop:
            raise _stopped(self._path, expected)

    def _from(self, start: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Numbered frames that begin at or before ``start``, however badly the format seeks."""
        usable = [] if self._index.ordinal else [k for k in self._index.keys if 0 < k <= start]
        for key in reversed(usable[-3:]):
            self._seek(self._index.seek_to[self._index.keys.index(key)])
            frames = self._numbered()
            with contextlib.suppress(ReadError):
                first = next(frames, None)
                if first is not None and first[0] <= start:
                    yield first
                    yield from frames
                    return
        self._restart()
        yield from self._numbered()

    def _numbered(self) -> Iterator[tuple[int, av.VideoFrame]]:
        if self._index.ordinal:
            yield from enumerate(self._decode())
            return
        for frame in self._decode():
            number = self._number.get(frame.pts) if frame.pts is not None else None
            if number is not None:
                yield number, frame

    def _seek(self, timestamp: int) -> None:
        with contextlib.suppress(av.FFmpegError):
            self.container.seek(timestamp, stream=self.stream)
        if self.decoder.is_open:
            self.decoder.flush_buffers()

    def _restart(self) -> None:
        self.container.close()
        self.container = _open(self._path)
        self.stream = _video_stream(self._path, self.container)
        self.decoder = _decoder(self._path, self.stream)

    def _decode(self) -> Iterator[av.VideoFrame]:
        last: int | None = None
        try:
            for packet in self.container.demux(self.stream):
                if packet.is_discard and packet.size == 0:
                    continue
                for frame in self.decoder.decode(packet if packet.size else None):
                    last = frame.pts
                    yield frame
        except (av.FFmpegError, OSError) as error:
            number = self._number.get(last, -1) + 1 if last is not None else 0
            raise _stopped(self._path, number, error) from error


def _open(path: Path) -> InputContainer:
    try:
        container = av.open(os.fspath(path), "r", metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        hint = "it is cut off (its index is missing); copy or export it again"
        if not isinstance(error, OSError) and not is_cut_off(path):
            hint = "not a video file that FFmpeg knows; expected MP4, MOV, WebM, MKV, ..."
        if isinstance(error, PermissionError):
            hint = "no permission to read it; change its permissions"
        raise ReadError(f"can't read {path}: {hint}") from error
    if container.format.name.split(",", maxsplit=1)[0] in _REFUSED:
        container.close()
        raise ReadError(
            f"can't read {path}: {container.format.long_name} is not a video file; expected MP4, "
            "MOV, WebM, MKV, ..."
        )
    return container


def _video_stream(path: Path, container: InputContainer) -> VideoStream:
    for stream in container.streams.video:
        cover = stream.disposition & av.stream.Disposition.attached_pic
        if not cover and stream.codec_context is not None:
            return stream
    kind = "only sound" if container.streams.audio else "no picture"
    container.close()
    raise ReadError(f"{path} has no video stream ({kind}); expected a clip with pictures")


def _decoder(path: Path, stream: VideoStream) -> VideoCodecContext:
    context = stream.codec_context
    mark = {key.lower(): value for key, value in stream.metadata.items()}.get("alpha_mode")
    name = _ALPHA_DECODERS.get(context.name) if mark == "1" else None
    if name is not None:
        try:
            context = av.CodecContext.create(name, "r")  # type: ignore[assignment]
        except (av.FFmpegError, ValueError) as error:
            raise ReadError(
                f"{path} holds VP8/VP9 alpha and this FFmpeg lacks {name}: install PyAV's own wheel"
            ) from error
    context.thread_type = "AUTO"
    return context


def _scanned(
    path: Path, scan_by: Callable[[InputContainer, VideoStream], StreamIndex | None]
) -> StreamIndex | None:
    container = _open(path)
    try:
        return scan_by(container, _video_stream(path, container))
    except (av.FFmpegError, OSError) as error:
        raise ReadError(f"can't read {path}: {_line(error)}; export it again") from error
    finally:
        container.close()


def _merge(frame: ColorTags, stream: ColorTags, sample: av.VideoFrame) -> ColorTags:
    """The frame's own tags; what they leave open is taken from the container."""
    matrix = frame.matrix if frame.matrix != UNSPECIFIED else stream.matrix
    return ColorTags(
        frame.primaries if frame.primaries != UNSPECIFIED else stream.primaries,
        frame.transfer if frame.transfer != UNSPECIFIED else stream.transfer,
        RGB_MATRIX if sample.format.is_rgb else matrix,
        frame.range or stream.range,
    )


def _describe(
    path: Path,
    cursor: _Cursor,
    first: av.VideoFrame,
    index: StreamIndex,
    turn: Turn,
    tags: ColorTags,
) -> VideoInfo:
    width, height = (first.height, first.width) if turn.transposed else (first.width, first.height)
    ratio = cursor.stream.sample_aspect_ratio or cursor.decoder.sample_aspect_ratio or Fraction(1)
    sounds = cursor.container.streams.audio
    span = index.pts[-1] - index.pts[0] + index.last_duration
    measured = len(index.pts) / (span * index.time_base) if span > 0 else Fraction(25)
    return VideoInfo(
        path=path,
        codec=cursor.decoder.codec.canonical_name,
        width=width,
        height=height,
        time_base=index.time_base,
        pts=index.pts,
        last_duration=index.last_duration,
        average_rate=Fraction(cursor.stream.average_rate or measured),
        bit_depth=bit_depth_of(first),
        has_alpha=has_alpha(first),
        color=tags,
        sample_aspect_ratio=1 / ratio if turn.transposed else ratio,
        rotation=turn.degrees,
        audio_codec=sounds[0].codec_context.name if sounds else None,
    )


def _stopped(path: Path, number: int, error: BaseException | None = None) -> ReadError:
    why = f" ({_line(error)})" if error is not None else ""
    return ReadError(
        f"{path}: reading stopped at frame {number}, which is missing or damaged{why}; "
        "copy or export the clip again"
    )


def _line(error: BaseException) -> str:
    text: Any = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())
