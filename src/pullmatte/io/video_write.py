"""Writing videos in crash-safe segments."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np

from pullmatte.errors import UnsupportedFormat, WriteError
from pullmatte.io.atomic import refuse_input, replacing, write_error
from pullmatte.io.clip import VideoInfo
from pullmatte.io.planes import arrays_to_frame
from pullmatte.io.segment_encoder import SegmentEncoder
from pullmatte.io.segments import SegmentCallback, WorkFolder, input_identity
from pullmatte.io.video_formats import Content, choose_encoding
from pullmatte.io.video_join import check_audio, check_times, join, start_shift
from pullmatte.io.yuv import FloatArray

SEGMENT_FRAMES = 100


class FrameWriter(ABC):
    """What a job writes frames to, be it a video file or a sequence.

    A clean end of the ``with`` block finishes the output; an exception keeps the complete
    segments for a later run with ``resume=True``.

    Attributes:
        notes: Remarks for the user's log, such as sound that was converted.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._closed = False

    @property
    @abstractmethod
    def next_frame(self) -> int:
        """The frame to be written next; after a resume the one after the last whole segment."""

    @abstractmethod
    def write(
        self, index: int, image: FloatArray | None = None, alpha: FloatArray | None = None
    ) -> None:
        """Append a frame.

        Args:
            index: Frame number; must be `next_frame`.
            image: ``H W 3`` float32 in [0, 1], straight colour, encoded like the source.
            alpha: ``H W`` float32 in [0, 1].

        Raises:
            WriteError: The frame doesn't fit, or the disk is full.
        """

    @abstractmethod
    def state_path(self, next_frame: int) -> Path:
        """Where the job keeps its state for going on at a frame.

        Args:
            next_frame: The frame that is written next.
        """

    @abstractmethod
    def finish(self) -> None:
        """Make the output appear under its name; all frames must have been written.

        Raises:
            WriteError: Frames are missing, or the disk is full.
        """

    @abstractmethod
    def abort(self) -> None:
        """Stop; complete segments are kept for resuming."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._closed:
            return
        if kind is None:
            self.finish()
        else:
            self.abort()


class VideoWriter(FrameWriter):
    """Writes one video file, in segments that are joined without encoding again.

    Timestamps, colour tags and pixel shape are the source's; pixels are upright, so that the file
    needs no rotation tag. The file appears under its name only when it is whole. Encoders start
    anew with each segment, resumed or not, so a resumed run gives the same bytes.

    Args:
        destination: ``.mov``, ``.webm``, ``.mkv`` or ``.mp4``.
        info: The clip's facts: size, timestamps, tags.
        content: "cutout" (colour and alpha), "alpha" (a grey matte) or "opaque" (colour).
        codec: "prores", "vp9", "ffv1", "h264"; None takes the suffix's usual one.
        premultiplied: Multiply colour by alpha before writing a cutout.
        audio_from: File whose sound streams are copied, packet by packet.
        segment_frames: Frames per segment.
        resume: Go on after the last complete segment of an earlier run, if there is one.
        on_segment: Called as ``on_segment(next_frame, folder)`` before a segment counts.
        settings: What else decides about the output (model, prompts); compared on resume.

    Raises:
        UnsupportedFormat: The container can't hold what it should.
        WriteError: The destination can't be written, is an input, or the resume doesn't fit.
    """

    def __init__(
        self,
        destination: str | os.PathLike[str],
        info: VideoInfo,
        *,
        content: Content = "cutout",
        codec: str | None = None,
        premultiplied: bool = False,
        audio_from: str | os.PathLike[str] | None = None,
        segment_frames: int = SEGMENT_FRAMES,
        resume: bool = False,
        on_segment: SegmentCallback | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._destination = Path(destination)
        self._info = info
        self._content: Content = content
        self._premultiplied = premultiplied and content == "cutout"
        self._audio_from = None if audio_from is None else Path(audio_from)
        self._segment_frames = segment_frames
        self._on_segment = on_segment
        self._encoding = choose_encoding(self._destination, info, content, codec)
        refuse_input(self._destination, info.path, self._audio_from)
        self.notes += check_audio(self._audio_from, self._encoding, self._destination)
        if start_shift(info):
            self.notes.append(
                "the clip begins before zero: picture and sound are put later together"
            )
        self.notes += check_times(info, self._encoding)
        check_destination(self._destination)
        self._work = WorkFolder(self._destination)
        self._work.open(self._settings(settings or {}), resume=resume)
        self._number = self._work.complete_segments()
        self._next = min(self._number * segment_frames, info.frame_count)
        self._segment: SegmentEncoder | None = None

    @property
    def next_frame(self) -> int:
        """The frame to be written next."""
        return self._next

    def state_path(self, next_frame: int) -> Path:
        """Where the job keeps its state for going on at a frame.

        Args:
            next_frame: The frame that is written next.

        Returns:
            A path without suffix in the work folder.
        """
        return self._work.state_path(next_frame)

    def write(
        self, index: int, image: FloatArray | None = None, alpha: FloatArray | None = None
    ) -> None:
        """Append a frame.

        Args:
            index: Frame number; must be `next_frame`.
            image: ``H W 3`` float32 in [0, 1], straight colour; not needed for a grey matte.
            alpha: ``H W`` float32 in [0, 1]; not needed for an opaque clip.

        Raises:
            WriteError: The frame doesn't fit, or the disk is full.
        """
        self.encode(index, self.convert(index, image, alpha))

    def convert(
        self, index: int, image: FloatArray | None = None, alpha: FloatArray | None = None
    ) -> av.VideoFrame:
        """Turn a frame into what the encoder takes: the half of `write` that any thread may do.

        Args:
            index: Frame number, for messages.
            image: As for `write`.
            alpha: As for `write`.

        Returns:
            A frame for `encode`.

        Raises:
            WriteError: The frame doesn't fit.
        """
        name = self._destination.name
        image, alpha = checked_frame(name, self._info, self._content, index, image, alpha)
        if self._premultiplied and image is not None and alpha is not None:
            image = image * alpha[..., None]
        try:
            return arrays_to_frame(self._encoding.pixel_format, image, alpha, self._encoding.tags)
        except (av.FFmpegError, ValueError) as error:
            raise self._refused(error) from error

    def encode(self, index: int, frame: av.VideoFrame) -> None:
        """Append what `convert` made: the other half of `write`.

        Args:
            index: Frame number; must be `next_frame`.
            frame: What `convert` returned.

        Raises:
            WriteError: The frame came out of turn, or the disk is full.
        """
        self._check_turn(index)
        try:
            if self._segment is None:
                self._segment = SegmentEncoder(
                    self._work.part(self._number), self._encoding, self._info
                )
            self._segment.write(frame)
            self._next += 1
            if self._next % self._segment_frames == 0 or self._next == self._info.frame_count:
                self._end_segment()
        except OSError as error:
            raise write_error(self._destination, error) from error
        except (av.FFmpegError, ValueError) as error:
            raise self._refused(error) from error

    def _alpha_mode(self) -> str | None:
        if self._content != "cutout":
            return None
        return "premultiplied" if self._premultiplied else "straight"

    def _refused(self, error: Exception) -> UnsupportedFormat:
        return UnsupportedFormat(
            f"{self._destination.name}: {self._encoding.codec} can't encode "
            f"{self._info.width}x{self._info.height} {self._encoding.pixel_format} ({error}); "
            "choose another codec, for example .mkv (FFV1)"
        )

    def finish(self) -> None:
        """Join the segments, add the sound, and put the file in its place.

        Raises:
            WriteError: Frames are missing, or the disk is full.
        """
        if self._next != self._info.frame_count:
            self.abort()
            raise WriteError(
                f"{self._destination.name}: {self._next} of {self._info.frame_count} frames were "
                "written; run again with --resume"
            )
        self._closed = True
        count = self._work.complete_segments()
        with replacing(self._destination) as temporary:
            try:
                join(
                    [self._work.segment(number) for number in range(count)],
                    temporary,
                    self._encoding,
                    self._info,
                    self._audio_from,
                    self._alpha_mode(),
                )
            except (av.FFmpegError, ValueError) as error:
                if isinstance(error, OSError):
                    raise
                raise WriteError(
                    f"can't write {self._destination}: joining failed ({error}); "
                    "use .mkv or --no-audio, or run again without --resume"
                ) from error
        self._work.remove()

    def abort(self) -> None:
        """Stop; complete segments are kept for resuming."""
        self._closed = True
        if self._segment is not None:
            self._segment.discard()
            self._segment = None

    def _end_segment(self) -> None:
        assert self._segment is not None, "a segment ends after its last frame"
        self._segment.close()
        self._segment = None
        self._work.commit(self._number, self._next, self._on_segment)
        self._number += 1

    def _check_turn(self, index: int) -> None:
        if index != self._next or index >= self._info.frame_count:
            raise WriteError(
                f"{self._destination.name}: frame {index} came, expected frame {self._next} of "
                f"{self._info.frame_count}; write frames in order"
            )

    def _settings(self, extra: Mapping[str, str]) -> dict[str, str]:
        own = {key: str(value) for key, value in asdict(self._encoding).items()}
        return {
            **own,
            **input_identity(self._info.path),
            "content": self._content,
            "premultiplied": str(self._premultiplied),
            "segment_frames": str(self._segment_frames),
            "size": f"{self._info.width}x{self._info.height}",
            "frame_count": str(self._info.frame_count),
            "audio_from": str(self._audio_from and self._audio_from.name),
            "libraries": f"av {av.__version__}",
            **extra,
        }


def check_destination(destination: Path) -> None:
    """Find out before hours of work that the folder is missing or the name is a folder's.

    Args:
        destination: The output.

    Raises:
        WriteError: It can't be written.
    """
    if destination.is_dir():
        raise WriteError(f"can't write {destination}: it is a folder; add a file name")
    if not destination.parent.is_dir():
        raise WriteError(
            f"can't write {destination}: folder {destination.parent} doesn't exist; create it first"
        )


def checked_frame(
    name: str,
    info: VideoInfo,
    content: Content,
    index: int,
    image: FloatArray | None,
    alpha: FloatArray | None,
) -> tuple[FloatArray | None, FloatArray | None]:
    """Pick what a content needs from a frame, and check its size.

    Args:
        name: The output's name, for messages.
        info: The clip's facts.
        content: "cutout", "alpha" or "opaque".
        index: Frame number, for messages.
        image: ``H W 3`` or None.
        alpha: ``H W`` or None.

    Returns:
        Image and alpha as contiguous float32, None where the content doesn't need it.

    Raises:
        WriteError: Something needed is missing or of another size.
    """
    size = (info.height, info.width)
    wanted = {"image": content != "alpha", "alpha": content != "opaque"}
    shapes = {"image": (*size, 3), "alpha": size}
    result: dict[str, FloatArray | None] = {"image": None, "alpha": None}
    for part, array in (("image", image), ("alpha", alpha)):
        if not wanted[part]:
            continue
        if array is None or array.shape != shapes[part]:
            came = "nothing" if array is None else f"shape {array.shape}"
            raise WriteError(
                f"{name}: frame {index} came with {came} as {part}, expected {shapes[part]}; "
                "pass it at the clip's size"
            )
        result[part] = np.ascontiguousarray(array, np.float32)
    return result["image"], result["alpha"]
