"""A finished matte laid over something else: photos and clips, without any model."""

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pullmatte.errors import PullmatteError, ReadError
from pullmatte.io.atomic import shown
from pullmatte.io.clip import Clip
from pullmatte.io.image import load_picture, read_alpha
from pullmatte.io.video import open_video
from pullmatte.jobs.backdrop import open_backdrop
from pullmatte.jobs.image_options import ImageOptions
from pullmatte.jobs.image_outputs import ImageOutputs, try_format
from pullmatte.jobs.look import Look
from pullmatte.jobs.naming import check_outputs, is_photo
from pullmatte.jobs.pipeline import Prefetched, Worker
from pullmatte.jobs.video_options import VideoOptions
from pullmatte.jobs.video_outputs import plan
from pullmatte.jobs.video_writing import look_settings, open_writers, write_frame
from pullmatte.models.protocol import Plane, Prediction
from pullmatte.prompts import DEFAULT_OBJECT
from pullmatte.sessions.clip import Frame
from pullmatte.sessions.finishing import Finish, Finisher, finish_frame
from pullmatte.sessions.image import make_matte
from pullmatte.sessions.video import FrameMattes

Progress = Callable[[int, int], None]
"""Called with the frames done and the frames in all."""


@dataclass(frozen=True)
class CompositeReport:
    """What was done.

    Attributes:
        source: The photo or clip that was read.
        alpha: The matte that was read.
        outputs: What was written.
        size: Width and height in pixels.
        frames: Number of frames; 1 for a photo.
        notes: What the user should know, such as sound that had to be converted.
    """

    source: str
    alpha: str
    outputs: tuple[str, ...]
    size: tuple[int, int]
    frames: int = 1
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return asdict(self)


def composite(
    source: Path,
    alpha: Path,
    destination: Path,
    look: Look | None = None,
    *,
    steady: float = 0.0,
    progress: Progress | None = None,
    reserved: Sequence[Path] = (),
) -> CompositeReport:
    """Lay what a matte shows of a photo or clip over something else.

    Args:
        source: A photo, a video file or a numbered sequence.
        alpha: Its matte in grey, or a cut-out whose alpha is taken.
        destination: The result; the format follows its name.
        look: Edits of the edge, and what lies behind; without a background the result is a
            cut-out.
        steady: For clips: how strongly alpha is steadied in time, from 0 to less than 1.
        progress: Called when everything given was found usable, and after each frame.
        reserved: Further files that the output may not replace, such as the look that was read.

    Returns:
        What was done.

    Raises:
        ReadError: If an input can't be read, or matte and source don't fit each other.
        WriteError: If the result can't be written, or would replace an input.
        PullmatteError: If the look can't be made.
    """
    look, advance = look or Look(), progress or (lambda done, total: None)
    check_outputs([destination], source, alpha, look.path, *reserved)
    if not is_photo(source):
        return _clip(source, alpha, destination, look, steady, advance)
    if steady:
        raise PullmatteError(
            f"steady {steady:g} for {shown(source)}, which is one picture: leave it out"
        )
    return _photo(source, alpha, destination, look, advance)


def _photo(
    source: Path, alpha: Path, destination: Path, look: Look, progress: Progress
) -> CompositeReport:
    options = ImageOptions(look=look)
    try_format(destination, options)
    picture, plane = load_picture(source), read_alpha(alpha)
    _check_size(alpha, plane.shape[::-1], source, picture.size)
    if picture.alpha is not None:
        # What was transparent already stays so.
        plane = np.minimum(plane, picture.alpha)
    outputs = ImageOutputs(picture, options)
    progress(0, 1)
    matte = make_matte(picture.image, Prediction(plane), foreground=look.decontaminate)
    written = outputs.write(destination, {DEFAULT_OBJECT: matte})
    report = CompositeReport(
        str(source), str(alpha), tuple(str(path) for path in written), picture.size
    )
    progress(1, 1)
    return report


def _clip(
    source: Path, alpha: Path, destination: Path, look: Look, steady: float, progress: Progress
) -> CompositeReport:
    options = VideoOptions(look=look, steady=steady)
    finish = Finish(options.needs_colour, steady)
    with ExitStack() as stack:
        clip = stack.enter_context(open_video(source))
        mattes = _open_mattes(stack, alpha, source, clip)
        backdrop = open_backdrop(stack, options, clip.size)
        outputs = plan(destination, (DEFAULT_OBJECT,), options, backdrop, clip.info.time_of(0))
        settings = look_settings(look)
        writers = open_writers(stack, outputs, clip.info, options, settings, resumable=False)
        taking = [(output, writer, 0) for output, writer in zip(outputs, writers, strict=True)]
        progress(0, len(clip))
        frames = stack.enter_context(closing(_frames(clip, mattes, finish)))
        with Worker() as encoder, Worker() as converter:
            for frame in frames:
                converter.submit(partial(write_frame, frame, taking, encoder))
                progress(frame.index + 1, len(clip))
    notes = tuple(note for writer in writers for note in writer.notes)
    names = tuple(str(output.path) for output in outputs)
    return CompositeReport(str(source), str(alpha), names, clip.size, len(clip), notes)


def _open_mattes(stack: ExitStack, alpha: Path, source: Path, clip: Clip) -> Clip:
    """Open a clip of mattes, and see that it fits."""
    if is_photo(alpha):
        raise ReadError(
            f"matte {shown(alpha)} is one picture, {shown(source)} a clip of {len(clip)} frames: "
            "give a clip of mattes, or numbered pictures"
        )
    mattes = stack.enter_context(open_video(alpha))
    _check_size(alpha, mattes.size, source, clip.size)
    if len(mattes) != len(clip):
        raise ReadError(
            f"matte {shown(alpha)} has {len(mattes)} frames, {shown(source)} has {len(clip)}: "
            "give a matte of every frame"
        )
    return mattes


def _check_size(alpha: Path, size: tuple[int, ...], source: Path, wanted: tuple[int, int]) -> None:
    if tuple(size) != wanted:
        raise ReadError(
            f"matte {shown(alpha)} has {size[0]}x{size[1]} pixels, {shown(source)} has "
            f"{wanted[0]}x{wanted[1]}: give a matte of the same size"
        )


def _frames(clip: Clip, mattes: Clip, finish: Finish) -> Generator[FrameMattes, None, None]:
    """Join the frames of both clips, and finish the mattes."""
    finishers = {DEFAULT_OBJECT: Finisher(finish)}
    is_cutout = _is_cutout(mattes)
    with closing(_ahead(clip)) as pictures, closing(_ahead(mattes)) as planes:
        for frame, matte in zip(pictures, planes, strict=True):
            said = {DEFAULT_OBJECT: Prediction(_alpha_of(matte, is_cutout=is_cutout))}
            finished = finish_frame(finish, finishers, frame.image, said, held_out=frame.alpha)
            yield FrameMattes(frame.index, frame.time_s, frame.image, finished)


def _ahead(clip: Clip) -> Generator[Frame, None, None]:
    yield from Prefetched(clip).frames()


def _is_cutout(mattes: Clip) -> bool:
    """Tell a cut-out from grey mattes; these may have an alpha too, but it hides nothing."""
    alpha = mattes.frame(0).alpha
    return alpha is not None and float(alpha.min()) < 1


def _alpha_of(matte: Frame, *, is_cutout: bool) -> Plane:
    if is_cutout and matte.alpha is not None:
        return matte.alpha
    grey: Plane = np.clip(matte.image.max(axis=2), 0, 1)
    return grey
