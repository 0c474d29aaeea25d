"""Writing numbered image sequences, and the one entry that picks the writer for a name."""

import os
from collections.abc import Mapping
from pathlib import Path

from pullmatte.errors import ReadError, UnsupportedFormat, WriteError
from pullmatte.io.atomic import write_error
from pullmatte.io.clip import VideoInfo
from pullmatte.io.segments import SegmentCallback, WorkFolder, input_identity
from pullmatte.io.sequence import SequencePattern, parse_pattern
from pullmatte.io.video_formats import Content
from pullmatte.io.video_write import (
    SEGMENT_FRAMES,
    FrameWriter,
    VideoWriter,
    check_destination,
    checked_frame,
)
from pullmatte.io.yuv import FloatArray


class SequenceWriter(FrameWriter):
    """Writes ``name.%04d.png`` and the like; each file appears whole, as soon as it is done.

    Args:
        destination: A pattern with one number mark; its suffix names the format.
        info: The clip's facts: size, frame count, first number, profile.
        content: "cutout" (colour and alpha), "alpha" (a grey matte) or "opaque" (colour).
        bit_depth: 8 or 16; None follows the source and the format.
        premultiplied: None takes the format's habit: EXR premultiplied, all others straight.
        start_frame: Number of the first file; None takes the source's, or 0 for video files.
        segment_frames: After how many frames progress is recorded for resuming.
        resume: Go on after the last recorded progress of an earlier run, if there was one.
        on_segment: Called as ``on_segment(next_frame, folder)`` before progress counts.
        settings: What else decides about the output (model, prompts); compared on resume.

    Raises:
        UnsupportedFormat: The format is unknown or can't hold alpha.
        WriteError: The destination can't be written, is the input, or the resume doesn't fit.
    """

    def __init__(
        self,
        destination: str | os.PathLike[str],
        info: VideoInfo,
        *,
        content: Content = "cutout",
        bit_depth: int | None = None,
        premultiplied: bool | None = None,
        start_frame: int | None = None,
        segment_frames: int = SEGMENT_FRAMES,
        resume: bool = False,
        on_segment: SegmentCallback | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        path = Path(destination)
        self._pattern = _output_pattern(path)
        self._info, self._content = info, content
        self._premultiplied = premultiplied
        self._start = _first_number(info, start_frame)
        self._segment_frames, self._on_segment = segment_frames, on_segment
        check_destination(path)
        _refuse_own_source(self._pattern, info)
        self._bit_depth = self._checked_depth(bit_depth)
        if info.has_audio:
            self.notes.append("an image sequence can't hold sound: it is left out")
        self._work = WorkFolder(path)
        self._work.open(self._settings(settings or {}), resume=resume)
        self._number = self._work.complete_segments()
        self._next = min(self._number * segment_frames, info.frame_count)
        self._check_earlier()

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
        self,
        index: int,
        image: FloatArray | None = None,
        alpha: FloatArray | None = None,
        mattes: Mapping[str, FloatArray] | None = None,
    ) -> None:
        """Write one file.

        Args:
            index: Frame number from 0; must be `next_frame`.
            image: ``H W 3`` float32 in [0, 1], straight colour; not needed for a grey matte.
            alpha: ``H W`` float32 in [0, 1]; not needed for an opaque sequence.
            mattes: Alphas by object name, for EXR's named channels.

        Raises:
            WriteError: The frame doesn't fit, or the disk is full.
        """
        from pullmatte.io.encoding import write_image
        from pullmatte.io.exr import write_exr

        name = self._pattern.name.name
        if index != self._next or index >= self._info.frame_count:
            raise WriteError(
                f"{name}: frame {index} came, expected frame {self._next} of "
                f"{self._info.frame_count}; write frames in order"
            )
        image, alpha = checked_frame(name, self._info, self._content, index, image, alpha)
        file = self._pattern.path(self._start + index)
        if mattes:
            if file.suffix.lower() != ".exr":
                raise UnsupportedFormat(f"{name}: only EXR holds named mattes; use .exr")
            associated = self._premultiplied is not False
            write_exr(file, image=image, alpha=alpha, mattes=mattes, premultiplied=associated)
        else:
            write_image(
                file,
                image=image,
                alpha=alpha,
                bit_depth=self._bit_depth,
                icc=self._info.icc if image is not None else None,
                premultiplied=self._premultiplied,
            )
        self._next += 1
        if self._next % self._segment_frames == 0 or self._next == self._info.frame_count:
            self._record()

    def finish(self) -> None:
        """Forget what was kept for resuming; the files are there already.

        Raises:
            WriteError: Frames are missing.
        """
        self._closed = True
        if self._next != self._info.frame_count:
            raise WriteError(
                f"{self._pattern.name.name}: {self._next} of {self._info.frame_count} frames were "
                "written; run again with --resume"
            )
        self._work.remove()

    def abort(self) -> None:
        """Stop; progress is kept for resuming."""
        self._closed = True

    def _check_earlier(self) -> None:
        """Find out whether all files that a resumed run counts on are still there."""
        for index in range(self._next):
            file = self._pattern.path(self._start + index)
            if not file.is_file():
                raise WriteError(
                    f"can't resume: {file.name} of the stopped run is gone; "
                    "put it back, or run again without --resume"
                )

    def _record(self) -> None:
        part = self._work.part(self._number)
        try:
            part.write_text(f"{self._next}\n")
        except OSError as error:
            raise write_error(part, error) from error
        self._work.commit(self._number, self._next, self._on_segment)
        self._number += 1

    def _checked_depth(self, bit_depth: int | None) -> int | None:
        """Find out by a one-pixel trial that the format holds what it should."""
        import numpy as np

        from pullmatte.io.encoding import encode_image, suggest_bit_depth

        file = self._pattern.path(self._start)
        depth = bit_depth or suggest_bit_depth(file, self._info.bit_depth)
        pixel = np.zeros((1, 1), np.float32)
        encode_image(
            file.suffix,
            image=None if self._content == "alpha" else np.zeros((1, 1, 3), np.float32),
            alpha=None if self._content == "opaque" else pixel,
            bit_depth=depth,
            premultiplied=self._premultiplied,
            name=str(self._pattern.name),
        )
        return depth

    def _settings(self, extra: Mapping[str, str]) -> dict[str, str]:
        return {
            **input_identity(self._info.path),
            "sequence": self._pattern.name.name,
            "start": str(self._start),
            "bit_depth": str(self._bit_depth),
            "content": self._content,
            "premultiplied": str(self._premultiplied),
            "segment_frames": str(self._segment_frames),
            "size": f"{self._info.width}x{self._info.height}",
            "frame_count": str(self._info.frame_count),
            **extra,
        }


def open_writer(
    destination: str | os.PathLike[str],
    info: VideoInfo,
    *,
    content: Content = "cutout",
    codec: str | None = None,
    bit_depth: int | None = None,
    premultiplied: bool | None = None,
    audio_from: str | os.PathLike[str] | None = None,
    start_frame: int | None = None,
    segment_frames: int = SEGMENT_FRAMES,
    resume: bool = False,
    on_segment: SegmentCallback | None = None,
    settings: Mapping[str, str] | None = None,
) -> FrameWriter:
    """Pick the writer for an output: a numbered sequence if the name has a number mark.

    ``out.mov``, ``out.webm``, ``out.mkv`` and ``out.mp4`` go to a `VideoWriter`, ``out.%04d.png``
    and the like to a `SequenceWriter`. The options are theirs; each gets those that concern it:
    ``codec`` and ``audio_from`` video files, ``bit_depth`` and ``start_frame`` sequences.

    Raises:
        UnsupportedFormat: The format can't hold what it should.
        WriteError: The destination can't be written.
    """
    if "%" in Path(destination).name or "#" in Path(destination).name:
        return SequenceWriter(
            destination,
            info,
            content=content,
            bit_depth=bit_depth,
            premultiplied=premultiplied,
            start_frame=start_frame,
            segment_frames=segment_frames,
            resume=resume,
            on_segment=on_segment,
            settings=settings,
        )
    return VideoWriter(
        destination,
        info,
        content=content,
        codec=codec,
        premultiplied=bool(premultiplied),
        audio_from=audio_from,
        segment_frames=segment_frames,
        resume=resume,
        on_segment=on_segment,
        settings=settings,
    )


def _output_pattern(path: Path) -> SequencePattern:
    try:
        pattern = parse_pattern(path)
    except ReadError as error:
        raise WriteError(str(error)) from error
    if pattern is None:
        raise WriteError(f"{path} has no number mark, expected one such as name.%04d.png; add it")
    return pattern


def _first_number(info: VideoInfo, start_frame: int | None) -> int:
    if start_frame is not None and start_frame < 0:
        raise WriteError(f"start frame {start_frame}: expected 0 or more")
    return start_frame if start_frame is not None else info.start_frame or 0


def _refuse_own_source(pattern: SequencePattern, info: VideoInfo) -> None:
    """Refuse to write a sequence over the one that is read."""
    if info.start_frame is None:
        return
    source = parse_pattern(info.path)
    if source is None or source.folder.resolve() != pattern.folder.resolve():
        return
    if (source.before, source.after) == (pattern.before, pattern.after):
        raise WriteError(
            f"can't write {pattern.name}: it is the input sequence itself; choose another name"
        )
