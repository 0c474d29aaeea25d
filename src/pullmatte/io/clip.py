"""What any opened clip is to the rest: facts, and frames by number, forward or backward."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from pullmatte.errors import ReadError
from pullmatte.io.yuv import UNTAGGED, ColorTags, FloatArray


@dataclass(frozen=True)
class VideoInfo:
    """The facts of a clip that a writer must keep.

    Attributes:
        path: The file, or the pattern of a numbered sequence.
        codec: FFmpeg's name of the codec, or the suffix of a sequence ("exr").
        width: Width in pixels of the upright picture.
        height: Height in pixels of the upright picture.
        time_base: Unit of the timestamps, in seconds.
        pts: Timestamp of every frame in order, in ``time_base`` units; strictly rising.
        last_duration: How long the last frame is shown, in ``time_base`` units.
        average_rate: Frames per second on average.
        bit_depth: Bits of a sample: 8, 10, 12, 16, or 32 for float.
        has_alpha: Whether frames carry alpha.
        color: Colour tags.
        sample_aspect_ratio: Width / height of a pixel of the upright picture.
        rotation: Degrees, counter-clockwise, that the file asked for and that were applied.
        audio_codec: FFmpeg's name of the first sound stream's codec, None if there is no sound.
        start_frame: Number of the first file of a sequence, None for video files.
        icc: Colour profile of a sequence's first file.
        sound_span_s: From when to when the file's sound belongs to it, in seconds; None for all.
    """

    path: Path
    codec: str
    width: int
    height: int
    time_base: Fraction
    pts: tuple[int, ...]
    last_duration: int = 1
    average_rate: Fraction = Fraction(25)
    bit_depth: int = 8
    has_alpha: bool = False
    color: ColorTags = UNTAGGED
    sample_aspect_ratio: Fraction = Fraction(1)
    rotation: int = 0
    audio_codec: str | None = None
    start_frame: int | None = None
    icc: bytes | None = None
    sound_span_s: tuple[Fraction, Fraction] | None = None

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return len(self.pts)

    @property
    def has_audio(self) -> bool:
        """Whether there is a sound stream."""
        return self.audio_codec is not None

    def cut(self, first: int, last: int) -> "VideoInfo":
        """Return the facts of a span of frames as a clip of its own, which begins at 0.

        Args:
            first: Its first frame.
            last: Its last frame.
        """
        begin, count = self.pts[first], self.frame_count
        end = self.pts[last + 1] if last + 1 < count else self.pts[last] + self.last_duration
        return replace(
            self,
            pts=tuple(stamp - begin for stamp in self.pts[first : last + 1]),
            last_duration=end - self.pts[last],
            start_frame=None if self.start_frame is None else self.start_frame + first,
            sound_span_s=(begin * self.time_base, end * self.time_base),
        )

    def time_of(self, index: int) -> float:
        """Presentation time of a frame.

        Args:
            index: Frame number from 0.

        Returns:
            Seconds.
        """
        return float(self.pts[index] * self.time_base)


class VideoFrame:
    """One frame; pixels are converted when they are first asked for, and kept.

    Attributes:
        index: Frame number from 0.
        pts: Timestamp in the clip's time base.
        time_s: The same in seconds.
    """

    def __init__(
        self,
        index: int,
        pts: int,
        time_s: float,
        convert: Callable[[], tuple[FloatArray, FloatArray | None]],
    ) -> None:
        self.index = index
        self.pts = pts
        self.time_s = time_s
        self._convert: Callable[[], tuple[FloatArray, FloatArray | None]] | None = convert

    @cached_property
    def _pixels(self) -> tuple[FloatArray, FloatArray | None]:
        assert self._convert is not None, "pixels are converted once"
        pixels = self._convert()
        # The decoder's buffer goes back to its pool.
        self._convert = None
        return pixels

    @property
    def image(self) -> FloatArray:
        """Upright ``H W 3`` float32 in [0, 1], gamma-encoded as in the file."""
        return self._pixels[0]

    @property
    def alpha(self) -> FloatArray | None:
        """Upright ``H W`` float32 in [0, 1], or None if the clip has no alpha."""
        return self._pixels[1]

    def __repr__(self) -> str:
        return f"VideoFrame(index={self.index}, pts={self.pts}, time_s={self.time_s:.6f})"


class Clip(ABC):
    """An opened clip: a context manager, lazy, one frame in memory at a time.

    Attributes:
        info: The clip's facts.
    """

    info: VideoInfo

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of the upright picture."""
        return self.info.width, self.info.height

    @abstractmethod
    def _forward(self, start: int, stop: int) -> Iterator[VideoFrame]:
        """Yield frames start, start + 1, ..., stop - 1; arguments are checked."""

    @abstractmethod
    def _backward(self, start: int, stop: int) -> Iterator[VideoFrame]:
        """Yield frames stop - 1, ..., start; arguments are checked."""

    @abstractmethod
    def frame(self, index: int) -> VideoFrame:
        """Fetch one frame.

        Args:
            index: Frame number in [0, frame count).

        Raises:
            ReadError: There is no such frame, or it can't be decoded.
        """

    def close(self) -> None:
        """Release the file."""
        return

    def frames(
        self, start: int = 0, stop: int | None = None, *, reverse: bool = False
    ) -> Iterator[VideoFrame]:
        """Go through a span of frames, frame-exact; each call is independent of others.

        Args:
            start: First frame of the span, in [0, frame count].
            stop: End of the span, not included; None means the end of the clip.
            reverse: From the last of the span to the first, in bounded memory.

        Yields:
            Each frame of the span once.

        Raises:
            ReadError: The span isn't inside the clip, or a frame can't be decoded.
        """
        end = len(self) if stop is None else stop
        if not 0 <= start <= end <= len(self):
            raise ReadError(
                f"{self.info.path.name}: frames {start} to {end} asked for, the clip has "
                f"frames 0 to {len(self) - 1}; choose a span inside"
            )
        return self._backward(start, end) if reverse else self._forward(start, end)

    def check_index(self, index: int) -> None:
        """Refuse a frame number that doesn't exist.

        Args:
            index: Frame number.

        Raises:
            ReadError: It is outside of the clip.
        """
        if not 0 <= index < len(self):
            raise ReadError(
                f"{self.info.path.name}: frame {index} asked for, the clip has frames 0 to "
                f"{len(self) - 1}; choose one of them"
            )

    def __len__(self) -> int:
        return self.info.frame_count

    def __iter__(self) -> Iterator[VideoFrame]:
        return self.frames()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
