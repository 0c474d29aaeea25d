"""One clip, from file to file: decoded, matted and encoded at the same time, safe against crashes.

The run is cut into segments. What the model remembers is saved before a segment's last frame goes
to the encoder, so that a killed run goes on from its last complete segment, to the same bytes.
"""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pullmatte import __version__
from pullmatte.errors import WriteError
from pullmatte.io.clip import Clip, VideoInfo
from pullmatte.io.image import load_picture
from pullmatte.io.project import FolderStore, load_arrays, save_arrays
from pullmatte.io.sequence_write import SequenceWriter, open_writer
from pullmatte.io.video import open_video
from pullmatte.io.video_formats import Content
from pullmatte.io.video_write import SEGMENT_FRAMES, FrameWriter
from pullmatte.jobs.image import OBJECT_TOKEN, fit_plate, join
from pullmatte.jobs.pipeline import Prefetched, Worker
from pullmatte.matte import Matte, make_background
from pullmatte.models.protocol import Image, Opacity, Plane
from pullmatte.prompts import DEFAULT_OBJECT, FramePrompt, Prompt, PromptFile
from pullmatte.sessions.image import or_whole_frame
from pullmatte.sessions.load import Matter
from pullmatte.sessions.video import Direction, FrameMattes, VideoSession

_SIDE_CONTENT: dict[str, Content] = {
    "trimap": "alpha",
    "mask": "alpha",
    "foreground": "opaque",
    "alpha": "alpha",
}
SIDES = tuple(_SIDE_CONTENT)
Progress = Callable[[int, int], None]
"""Called with the frames done and the frames in all."""


@dataclass(frozen=True)
class VideoOptions:
    """How a clip is matted and written.

    Attributes:
        only_alpha: Write the alpha alone, as a grey video.
        background: Composite over this colour, ``"checker"`` or picture instead of cutting out.
        foreground: Estimate the object's own colours; else the clip's stand in.
        opacity: Whether the object is opaque, transparent, or to be found out.
        direction: Which way to track from the prompted frames.
        premultiplied: Write colour multiplied by alpha; None: each format's habit.
        codec: FFmpeg's name of the encoder; None: the format's usual one.
        audio: Copy the clip's sound.
        start_frame: First number of a numbered sequence; None: the clip's own.
        bit_depth: 8 or 16 for numbered sequences; None: the clip's own.
        sides: Further clips to write beside the result: any of `SIDES`.
        segment_frames: Frames of a segment: how much a killed run loses at most.
    """

    only_alpha: bool = False
    background: str | Path | None = None
    foreground: bool = True
    opacity: Opacity = "auto"
    direction: Direction = "both"
    premultiplied: bool | None = None
    codec: str | None = None
    audio: bool = True
    start_frame: int | None = None
    bit_depth: int | None = None
    sides: tuple[str, ...] = ()
    segment_frames: int = SEGMENT_FRAMES

    @property
    def content(self) -> Content:
        """What the main result holds: ``alpha``, ``opaque`` or ``cutout``."""
        if self.only_alpha:
            return "alpha"
        return "opaque" if self.background is not None else "cutout"


@dataclass(frozen=True)
class VideoReport:
    """What was done to one clip.

    Attributes:
        source: What was read.
        outputs: What was written.
        size: Width and height in pixels.
        frames: Number of frames.
        resumed_at: First frame that this run made itself.
        coverage: Object name → mean alpha over the frames of this run.
        notes: What the user should know, such as sound that had to be converted.
    """

    source: str
    outputs: tuple[str, ...]
    size: tuple[int, int]
    frames: int
    resumed_at: int = 0
    coverage: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        document = asdict(self)
        document["coverage"] = {name: round(v, 6) for name, v in self.coverage.items()}
        return document


def default_output(source: Path, options: VideoOptions) -> Path:
    """Name the result beside its clip: ``torch.mp4`` → ``torch_cutout.mov``."""
    kind = {"alpha": "alpha", "opaque": "composite", "cutout": "cutout"}[options.content]
    if "%" in source.name or "#" in source.name:
        return source.with_name(f"{kind}_{source.stem}{_sequence_suffix(source)}")
    return source.with_name(f"{source.stem}_{kind}.mov")


def _sequence_suffix(source: Path) -> str:
    return ".exr" if source.suffix.lower() == ".exr" else ".png"


def matte_video(
    matter: Matter,
    source: str | Path,
    destination: str | Path,
    prompts: PromptFile | None = None,
    options: VideoOptions | None = None,
    *,
    resume: bool = False,
    progress: Progress | None = None,
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
        resume: Go on from the last complete segment of a run that was stopped.
        progress: Called after each frame.

    Raises:
        ReadError: If the clip can't be read.
        PromptError: If a prompt doesn't fit it.
        WriteError: If the result can't be written, would replace the clip, or the stopped run had
            other settings.
    """
    options = options or VideoOptions()
    with ExitStack() as stack:
        clip = stack.enter_context(open_video(source))
        prompts = _whole_frame_if_empty(prompts, clip.size)
        prompts.check(*clip.size, frame_count=len(clip))
        outputs = _plan(Path(destination), prompts, options)
        settings = _settings(matter, prompts, options)
        writers = [
            stack.enter_context(_open_writer(each, clip.info, options, settings, resume=resume))
            for each in outputs
        ]
        run = _Run(matter, clip, list(zip(outputs, writers, strict=True)), options)
        coverage = run.go(prompts, progress or (lambda done, total: None))
    return VideoReport(
        source=str(source),
        outputs=tuple(str(output.path) for output in outputs),
        size=clip.size,
        frames=len(clip),
        resumed_at=run.start,
        coverage=coverage,
        notes=tuple(dict.fromkeys(note for writer in writers for note in writer.notes)),
    )


@dataclass(frozen=True)
class _Output:
    """One file to write: where, what it holds, and how to get that from a frame's mattes."""

    path: Path
    content: Content
    pick: Callable[[FrameMattes], tuple[Image | None, Plane | None]]
    names: tuple[str, ...] = ()

    def named(self, frame: FrameMattes) -> dict[str, Plane] | None:
        """Return the alphas that an EXR holds as channels of their own, if any."""
        if not self.names or self.path.suffix.lower() != ".exr":
            return None
        return {name: frame.mattes[name].alpha for name in self.names}


def _whole_frame_if_empty(prompts: PromptFile | None, size: tuple[int, int]) -> PromptFile:
    if prompts and prompts.prompts:
        return prompts
    return PromptFile((FramePrompt(or_whole_frame(Prompt(), *size)),))


def _plan(destination: Path, prompts: PromptFile, options: VideoOptions) -> list[_Output]:
    """List the files to write: the result, or one for each object, and their sides."""
    if OBJECT_TOKEN in destination.name:
        groups: dict[str, tuple[str, ...]] = {name: (name,) for name in prompts.objects}
    else:
        groups = {"": prompts.objects}
    outputs = []
    for token, names in groups.items():
        path = destination.with_name(destination.name.replace(OBJECT_TOKEN, token))
        named = () if token or names == (DEFAULT_OBJECT,) else names
        outputs.append(_Output(path, options.content, _main_picker(names, options), named))
        outputs += [
            _Output(_side_path(path, side), _SIDE_CONTENT[side], _side_picker(names, side))
            for side in options.sides
        ]
    return outputs


def _side_path(path: Path, side: str) -> Path:
    """Name a side clip: ``out.mov`` → ``out_trimap.mov``; a number mark keeps its place."""
    head, dot, rest = path.name.partition(".")
    return path.with_name(f"{head}_{side}{dot}{rest}")


def _main_picker(
    names: tuple[str, ...], options: VideoOptions
) -> Callable[[FrameMattes], tuple[Image | None, Plane | None]]:
    plates: dict[tuple[int, int], Image] = {}

    def plate(size: tuple[int, int]) -> Image:
        if size not in plates:
            background = options.background
            if isinstance(background, Path):
                plates[size] = fit_plate(load_picture(background).image, (size[1], size[0]))
            else:
                plates[size] = make_background(background or "checker", *size)
        return plates[size]

    def pick(frame: FrameMattes) -> tuple[Image | None, Plane | None]:
        matte = _joined(frame, names)
        if options.only_alpha:
            return None, matte.alpha
        if options.background is not None:
            return matte.composite(plate(matte.size)), None
        return matte.foreground, matte.alpha

    return pick


def _side_picker(
    names: tuple[str, ...], side: str
) -> Callable[[FrameMattes], tuple[Image | None, Plane | None]]:
    def pick(frame: FrameMattes) -> tuple[Image | None, Plane | None]:
        if side == "foreground":
            return _joined(frame, names).foreground, None
        if side == "alpha":
            return None, _joined(frame, names).alpha
        planes = [getattr(frame.mattes[name], side) for name in names]
        if any(plane is None for plane in planes):
            raise WriteError(f"no {side} to write: this model makes none; leave --side {side} out")
        return None, np.max(np.stack(planes).astype(np.float32), axis=0)

    return pick


def _joined(frame: FrameMattes, names: tuple[str, ...]) -> Matte:
    return join({name: frame.mattes[name] for name in names})


def _settings(matter: Matter, prompts: PromptFile, options: VideoOptions) -> dict[str, str]:
    """Name what a resumed run must share with the stopped one, beside the clip itself."""
    said = hashlib.sha256(prompts.to_json().encode()).hexdigest()[:16]
    return {
        "model": matter.spec.name,
        "prompts": said,
        "direction": options.direction,
        "opacity": options.opacity,
        "foreground": str(options.foreground),
        "background": str(options.background),
        "pullmatte": __version__,
    }


def _open_writer(
    output: _Output,
    info: VideoInfo,
    options: VideoOptions,
    settings: Mapping[str, str],
    *,
    resume: bool,
) -> FrameWriter:
    return open_writer(
        output.path,
        info,
        content=output.content,
        codec=options.codec,
        premultiplied=options.premultiplied,
        audio_from=info.path if options.audio and info.has_audio else None,
        start_frame=options.start_frame,
        bit_depth=options.bit_depth,
        segment_frames=options.segment_frames,
        resume=resume,
        settings=settings,
    )


class _Run:
    """The frames of one clip on their way through the model into the writers.

    Attributes:
        start: The first frame that this run makes; over 0 when it goes on with a stopped one.
    """

    def __init__(
        self,
        matter: Matter,
        clip: Clip,
        outputs: list[tuple[_Output, FrameWriter]],
        options: VideoOptions,
    ) -> None:
        self._outputs = outputs
        self._options = options
        # Writers take each frame in turn. What the last of them has, all others have too, so its
        # folder is the one where the state to go on with is surely kept.
        self._keeper = outputs[-1][1]
        self._every = options.segment_frames
        self._frame_count = len(clip)
        self.start = min(writer.next_frame for _, writer in outputs)
        self._session: VideoSession = matter.open_video(
            Prefetched(clip),
            foreground=options.foreground and _needs_colour(options),
            store=FolderStore(self._keeper.state_path(0).parent / "backward"),
        )
        self._sums: dict[str, float] = {}

    def go(self, prompts: PromptFile, progress: Progress) -> dict[str, float]:
        """Make what is left of the clip, and return each object's mean alpha."""
        self._session.add(prompts)
        direction, opacity = self._options.direction, self._options.opacity
        behind = self._session.frames_behind(direction)
        state = self._load_state()
        if state is None:
            self._prepare(behind, progress)
        done_before = behind if state is None else 0
        total = done_before + self._frame_count
        with Worker() as worker:
            for frame in self._session.propagate(direction, opacity=opacity, resume=state):
                self._sums = {
                    name: self._sums.get(name, 0.0) + float(matte.alpha.mean())
                    for name, matte in frame.mattes.items()
                }
                self._save_state(frame.index + 1, worker)
                worker.submit(partial(self._write, frame))
                progress(done_before + frame.index + 1, total)
        made = max(self._frame_count - self.start, 1)
        return {name: total_alpha / made for name, total_alpha in self._sums.items()}

    def _prepare(self, behind: int, progress: Progress) -> None:
        """Track backward; on the way save what a later run needs to go on from there."""
        path = self._keeper.state_path(0).parent / "backward.npz"
        saved = load_arrays(path) if path.is_file() else None
        direction, opacity = self._options.direction, self._options.opacity
        for left in self._session.prepare(direction, opacity=opacity, resume=saved):
            if left % self._every == 0:
                save_arrays(path, self._session.state(left))
            progress(behind - left, behind + self._frame_count)

    def _load_state(self) -> dict[str, NDArray[Any]] | None:
        return load_arrays(self._keeper.state_path(self.start)) if self.start else None

    def _save_state(self, next_frame: int, worker: Worker) -> None:
        """Save before the segment's last frame is written, so that no segment lacks its state."""
        if next_frame % self._every == 0 and next_frame < self._frame_count:
            state = self._session.state(next_frame)
            worker.submit(partial(save_arrays, self._keeper.state_path(next_frame), state))

    def _write(self, frame: FrameMattes) -> None:
        for output, writer in self._outputs:
            if frame.index >= writer.next_frame:
                image, alpha = output.pick(frame)
                if isinstance(writer, SequenceWriter):
                    writer.write(frame.index, image, alpha, mattes=output.named(frame))
                else:
                    writer.write(frame.index, image, alpha)


def _needs_colour(options: VideoOptions) -> bool:
    return not options.only_alpha or "foreground" in options.sides
