"""The writers of a clip's job: opened together, fed frame by frame, gone again when it fails."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from pullmatte.io.clip import VideoInfo
from pullmatte.io.project import sweep
from pullmatte.io.segments import input_identity
from pullmatte.io.sequence_write import SequenceWriter, open_writer
from pullmatte.io.video_write import FrameWriter, VideoWriter
from pullmatte.jobs.look import Look
from pullmatte.jobs.pipeline import Worker
from pullmatte.jobs.video_options import VideoOptions
from pullmatte.jobs.video_outputs import Output
from pullmatte.sessions.video import FrameMattes

BACKWARD_STATE = "backward.npz"


def open_writers(
    stack: ExitStack,
    outputs: Sequence[Output],
    info: VideoInfo,
    options: VideoOptions,
    settings: Mapping[str, str],
    *,
    resume: bool = False,
    resumable: bool = True,
) -> list[FrameWriter]:
    """Open a writer for each output; they are closed with the stack.

    Args:
        stack: Closes them.
        outputs: What is written.
        info: The clip's facts.
        options: How it is written.
        settings: What a resumed run must share with the stopped one.
        resume: Go on with a run that was stopped.
        resumable: Keep what a run that fails has done.

    Raises:
        WriteError: If an output can't be written, or the stopped run was another.
    """
    writers = []
    for output in outputs:
        sweep(output.path)
        sounds = output.is_main and options.audio and info.has_audio
        writer = open_writer(
            output.path,
            info,
            content=output.content,
            codec=options.codec,
            premultiplied=options.premultiplied,
            audio_from=info.path if sounds else None,
            start_frame=options.start_frame,
            bit_depth=options.bit_depth,
            segment_frames=options.segment_frames,
            resume=resume,
            settings=settings,
        )
        writers.append(_enter(stack, writer, resumable=resumable))
    return writers


def write_frame(
    frame: FrameMattes, outputs: Sequence[tuple[Output, FrameWriter, int]], encoder: Worker
) -> None:
    """Convert a frame here, and have it encoded.

    Args:
        frame: With its mattes.
        outputs: Each with its writer and the first frame that this takes.
        encoder: Runs the encoders.
    """
    for output, writer, first in outputs:
        if frame.index < first:
            continue
        image, alpha = output.pick(frame)
        if isinstance(writer, VideoWriter):
            converted = writer.convert(frame.index, image, alpha)
            encoder.submit(partial(writer.encode, frame.index, converted))
        elif isinstance(writer, SequenceWriter):
            named = output.named(frame)
            encoder.submit(partial(writer.write, frame.index, image, alpha, mattes=named))


def look_settings(look: Look) -> dict[str, str]:
    """Name what a resumed run must share with the stopped one of a look."""
    edits = {key: value for key, value in look.as_dict().items() if key != "background"}
    if look.path is not None:
        # Tells the file from another, and from its own older self.
        background = " ".join(input_identity(look.path).values())
    else:
        background = str(look.background)
    return {"background": background, "look": str(edits)}


def _enter(stack: ExitStack, writer: FrameWriter, *, resumable: bool) -> FrameWriter:
    """Enter a writer whose work folder goes too, if the run fails before anything is kept in it."""

    def forget(kind: type[BaseException] | None, *_: object) -> None:
        folder = writer.state_path(0).parent
        kept = any(folder.glob("segment_*")) or (folder / BACKWARD_STATE).exists()
        if kind is not None and not (kept and resumable):
            shutil.rmtree(folder, ignore_errors=True)

    stack.push(forget)
    return stack.enter_context(writer)
