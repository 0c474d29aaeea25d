"""One clip, from file to file: decoded, matted and encoded at the same time, safe against crashes.

The run is cut into segments. What the model remembers is saved before a segment's last frame goes
to the encoder, so that a killed run goes on from its last complete segment, to the same bytes.
"""

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from pullmatte import __version__
from pullmatte.errors import PromptError, WriteError
from pullmatte.io.clip import Clip
from pullmatte.io.project import Arrays, FolderStore, load_arrays, save_arrays
from pullmatte.io.video import open_video
from pullmatte.io.video_write import FrameWriter
from pullmatte.jobs.backdrop import open_backdrop
from pullmatte.jobs.naming import check_outputs
from pullmatte.jobs.pipeline import Prefetched, Worker
from pullmatte.jobs.video_options import VideoOptions, VideoStart, check_options, span_of
from pullmatte.jobs.video_outputs import Output, plan
from pullmatte.jobs.video_start import open_edit, start_from, tell
from pullmatte.jobs.video_writing import (
    BACKWARD_STATE,
    look_settings,
    open_writers,
    write_frame,
)
from pullmatte.prompts import FramePrompt, Prompt, PromptFile
from pullmatte.sessions.editing import EditSession
from pullmatte.sessions.finishing import Finish
from pullmatte.sessions.image import or_whole_frame
from pullmatte.sessions.load import Matter
from pullmatte.sessions.video import FrameMattes, VideoSession

Progress = Callable[[int, int], None]
"""Called with the frames done and the frames in all."""


@dataclass(frozen=True)
class VideoReport:
    """What was done to one clip.

    Attributes:
        source: What was read.
        outputs: What was written.
        size: Width and height in pixels.
        frames: Number of frames.
        resumed_at: First frame that this run made itself.
        touched: With a project, how many results this run computed; the others were there.
        coverage: Object name → mean alpha over the frames of this run, before a look edits it.
        notes: What the user should know, such as sound that had to be converted.
    """

    source: str
    outputs: tuple[str, ...]
    size: tuple[int, int]
    frames: int
    resumed_at: int = 0
    touched: int | None = None
    coverage: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        document = asdict(self)
        document["coverage"] = {name: round(v, 6) for name, v in self.coverage.items()}
        return document


def matte_video(
    matter: Matter,
    source: str | Path,
    destination: str | Path,
    prompts: PromptFile | None = None,
    options: VideoOptions | None = None,
    *,
    start: VideoStart | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    reserved: Sequence[Path] = (),
) -> VideoReport:
    """Read a clip, matte it, write the result.

    Several objects go into a file each where the name holds ``{object}``, into one EXR sequence as
    named channels, and are otherwise joined to one alpha.

    Args:
        matter: The loaded model.
        source: A video file, or a numbered sequence (``name.%04d.exr``, ``name.####.png``).
        destination: A file or sequence; the format follows its name.
        prompts: What to matte; None or empty takes the whole first frame as the box.
        options: How to write it.
        start: What to start from beside prompts, and the project that keeps the results.
        resume: Go on from the last complete segment of a run that was stopped.
        progress: Called when everything given was found usable, and after each frame.
        reserved: Further files that no output may replace, such as the mask that was read.

    Returns:
        What was done.

    Raises:
        ReadError: If the clip can't be read.
        PromptError: If a prompt doesn't fit it.
        WriteError: If the result can't be written, would replace the clip, or the stopped run had
            other settings.
    """
    options, start = options or VideoOptions(), start or VideoStart()
    _check_options(Path(destination), options, start, resume=resume)
    with ExitStack() as stack:
        clip = stack.enter_context(open_video(source))
        session = _edit(matter, clip, start, options)
        prompts, names = _said(prompts, start, session, clip)
        first, last = span_of(options, len(clip))
        outputs = _outputs(stack, Path(destination), _chosen(names, options), options, clip)
        behind = options.whole_look.path
        check_outputs([output.path for output in outputs], source, behind, *reserved)
        said = _settings(matter, prompts, start, options)
        info = clip.info.cut(first, last) if options.span else clip.info
        writers = open_writers(stack, outputs, info, options, said, resume=resume)
        run = _Run(matter, clip, list(zip(outputs, writers, strict=True)), options)
        start = start_from(start, clip, prompts)
        coverage, touched = run.go(prompts, start, session, progress or (lambda done, total: None))
    return replace(
        _report(str(source), list(zip(outputs, writers, strict=True)), clip),
        frames=last - first + 1,
        resumed_at=run.start,
        touched=touched,
        coverage=coverage,
    )


def _outputs(
    stack: ExitStack, destination: Path, names: tuple[str, ...], options: VideoOptions, clip: Clip
) -> list[Output]:
    """List the files to write; what lies behind the subject is closed with the stack."""
    backdrop = open_backdrop(stack, options, clip.size)
    return plan(destination, names, options, backdrop, clip.info.time_of(0))


def _check_options(
    destination: Path, options: VideoOptions, start: VideoStart, *, resume: bool
) -> None:
    check_options(destination, options)
    if resume and start.project is not None:
        raise WriteError("--resume: a project goes on where it was by itself; leave --resume out")
    if resume and options.span is not None:
        raise WriteError("--resume with --frames: a span is made in one go; leave --resume out")


def _report(source: str, written: list[tuple[Output, FrameWriter]], clip: Clip) -> VideoReport:
    notes = (note for _, writer in written for note in writer.notes)
    return VideoReport(
        source,
        tuple(str(output.path) for output, _ in written),
        clip.size,
        len(clip),
        notes=tuple(dict.fromkeys(notes)),
    )


def _chosen(names: tuple[str, ...], options: VideoOptions) -> tuple[str, ...]:
    """Return the objects that are written."""
    if options.objects is None:
        return names
    unknown = set(options.objects) - set(names)
    if unknown or not options.objects:
        raise PromptError(
            f"objects {', '.join(unknown) or 'none'}: give some of {', '.join(names)}"
        )
    return tuple(name for name in names if name in options.objects)


def _edit(
    matter: Matter, clip: Clip, start: VideoStart, options: VideoOptions
) -> EditSession | None:
    if start.project is None:
        return None
    return open_edit(matter, Prefetched(clip), start, options, _finish(options))


def _said(
    prompts: PromptFile | None, start: VideoStart, session: EditSession | None, clip: Clip
) -> tuple[PromptFile, tuple[str, ...]]:
    """Check what is said; where nothing is, or was, the whole first frame is the box.

    Returns:
        The prompts, and the names of all objects.
    """
    known = () if session is None else session.objects
    if not (start.alphas or known):
        prompts = _whole_frame_if_empty(prompts, clip.size)
    prompts = prompts or PromptFile()
    prompts.check(*clip.size, frame_count=len(clip))
    named = (*known, *prompts.objects, *(each.object for each in start.alphas))
    return prompts, tuple(dict.fromkeys(named))


def _whole_frame_if_empty(prompts: PromptFile | None, size: tuple[int, int]) -> PromptFile:
    if prompts and prompts.prompts:
        return prompts
    return PromptFile((FramePrompt(or_whole_frame(Prompt(), *size)),))


def _finish(options: VideoOptions) -> Finish:
    wanted = options.foreground and options.needs_colour
    return Finish(wanted, options.steady, options.sum_to_one)


def _settings(
    matter: Matter, prompts: PromptFile, start: VideoStart, options: VideoOptions
) -> dict[str, str]:
    """Name what a resumed run must share with the stopped one, beside the clip itself."""
    digest = hashlib.sha256(prompts.to_json().encode())
    for each in start.alphas:
        digest.update(f"{each.object}@{each.frame}".encode() + each.alpha.tobytes())
    said = digest.hexdigest()[:16]
    return {
        "model": matter.label,
        "first": "" if start.matter is None else start.matter.label,
        "prompts": said,
        "direction": options.direction,
        "opacity": options.opacity,
        "foreground": str(options.foreground),
        "written": f"{options.span} {options.objects}",
        "steady": f"{options.steady:g}, sum_to_one {options.sum_to_one}",
        **look_settings(options.whole_look),
        "pullmatte": __version__,
    }


class _Run:
    """The frames of one clip on their way through the model into the writers.

    Attributes:
        start: The first frame that this run makes; over 0 when it goes on with a stopped one.
    """

    def __init__(
        self,
        matter: Matter,
        clip: Clip,
        outputs: list[tuple[Output, FrameWriter]],
        options: VideoOptions,
    ) -> None:
        self._options = options
        # Writers take each frame in turn. What the last of them has, all others have too, so its
        # folder is the one where the state to go on with is surely kept.
        self._keeper = outputs[-1][1]
        self._folder = self._keeper.state_path(0).parent
        self._every = options.segment_frames
        self._frame_count = len(clip)
        self._span = span_of(options, len(clip))
        self._written = [(output, writer, writer.next_frame) for output, writer in outputs]
        self.start = min(first for *_, first in self._written)
        self._matter = matter
        self._clip = Prefetched(clip)
        self._sums: dict[str, float] = {}

    def go(
        self,
        prompts: PromptFile,
        given: VideoStart,
        session: EditSession | None,
        progress: Progress,
    ) -> tuple[dict[str, float], int | None]:
        """Make the clip.

        Returns:
            Each object's mean alpha, and, with a project, how many results were computed.
        """
        if session is None:
            return self._stream(prompts, given, progress), None
        tell(session, prompts, given)
        return self._export(session, progress)

    def _stream(
        self, prompts: PromptFile, given: VideoStart, progress: Progress
    ) -> dict[str, float]:
        """Make what is left of the clip in one go."""
        store = FolderStore(self._folder / "backward")
        finish = _finish(self._options)
        session = self._matter.open_video(
            self._clip,
            foreground=finish.foreground,
            steady=finish.steady,
            sum_to_one=finish.sum_to_one,
            store=store,
        )
        session.add(prompts)
        for each in given.alphas:
            session.give(each.alpha, frame=each.frame, object=each.object)
        if self.start == self._frame_count:
            # Killed after the last segment, before the segments were joined.
            return {}
        direction, opacity = self._options.direction, self._options.opacity
        behind = session.frames_behind(direction)
        state = self._load_state()
        done_before = behind if state is None else 0
        total = done_before + self._frame_count
        progress(self.start, total)
        if state is None:
            self._prepare(session, behind, progress)
        frames = session.propagate(direction, opacity=opacity, resume=state)
        self._make(frames, session, lambda done: progress(done_before + done, total))
        return self._coverage()

    def _export(self, session: EditSession, progress: Progress) -> tuple[dict[str, float], int]:
        """Bring a project up to date, then write all of it."""
        first, last = self._span
        count, touched = last - first + 1, 0
        progress(0, count)
        for touched, _ in enumerate(session.update(self._options.direction), 1):
            progress(touched, touched + count)
        self._make(
            session.frames(first, last + 1),
            None,
            lambda done: progress(touched + done - first, touched + count),
        )
        return self._coverage(), touched

    def _coverage(self) -> dict[str, float]:
        first, last = self._span
        made = last - first + 1 - self.start
        return {name: alpha / made for name, alpha in self._sums.items()}

    def _make(
        self,
        frames: Iterator[FrameMattes],
        session: VideoSession | None,
        advance: Callable[[int], None],
    ) -> None:
        """Hand each frame to the writers; with a session, save what it remembers on the way."""
        # Closed at once when something fails, so that the thread that decodes ends too.
        closed = closing(cast("Generator[FrameMattes, None, None]", frames))
        # Converting and encoding have a thread each: the encoder waits for nothing else.
        with Worker() as encoder, Worker() as converter, closed:
            first, last = self._span
            for frame in frames:
                if frame.index > last:
                    break
                if frame.index < first:
                    advance(frame.index + 1)
                    continue
                for name, matte in frame.mattes.items():
                    mean = float(matte.alpha.mean())
                    self._sums[name] = self._sums.get(name, 0.0) + mean
                if session is not None:
                    self._save_state(session, frame.index + 1, converter, encoder)
                shown = replace(frame, index=frame.index - first)
                converter.submit(partial(write_frame, shown, self._written, encoder))
                advance(frame.index + 1)

    def _prepare(self, session: VideoSession, behind: int, progress: Progress) -> None:
        """Track backward; on the way save what a later run needs to go on from there."""
        path = self._folder / BACKWARD_STATE
        saved = load_arrays(path) if path.is_file() else None
        direction, opacity = self._options.direction, self._options.opacity
        for left in session.prepare(direction, opacity=opacity, resume=saved):
            if left % self._every == 0:
                save_arrays(path, session.state(left))
            progress(behind - left, behind + self._frame_count)

    def _load_state(self) -> Arrays | None:
        return load_arrays(self._keeper.state_path(self.start)) if self.start else None

    def _save_state(
        self, session: VideoSession, next_frame: int, converter: Worker, encoder: Worker
    ) -> None:
        """Save before the segment's last frame is written, so that no segment lacks its state."""
        whole = self._options.span is None
        if whole and next_frame % self._every == 0 and next_frame < self._frame_count:
            state = session.state(next_frame)
            save = partial(save_arrays, self._keeper.state_path(next_frame), state)
            # By way of the converter, so that it takes its turn among the frames.
            converter.submit(partial(encoder.submit, save))
