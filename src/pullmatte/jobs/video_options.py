"""What a user chooses for a clip."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PromptError, UnsupportedFormat
from pullmatte.io.video_formats import Content
from pullmatte.io.video_write import SEGMENT_FRAMES
from pullmatte.jobs.look import Look, Looked
from pullmatte.jobs.naming import is_pattern
from pullmatte.models.protocol import Opacity
from pullmatte.sessions.load import Matter
from pullmatte.sessions.video import Direction

CODECS = ("prores", "vp9", "ffv1", "h264")
SIDE_CONTENT: dict[str, Content] = {
    "trimap": "alpha",
    "mask": "alpha",
    "foreground": "opaque",
    "alpha": "alpha",
}
SIDES = tuple(SIDE_CONTENT)


@dataclass(frozen=True)
class VideoOptions(Looked):
    """How a clip is matted and written.

    Attributes:
        only_alpha: Write the alpha alone, as a grey video.
        background: Composite over this colour, ``"checker"`` or picture instead of cutting out.
        foreground: Estimate the object's own colours; else the clip's stand in.
        opacity: Whether the object is opaque, transparent, or to be found out.
        direction: Which way to track from the prompted frames.
        premultiplied: Write colour multiplied by alpha; None: each format's habit.
        codec: One of `CODECS`; None: the format's usual one.
        audio: Copy the clip's sound into the result (never into its sides).
        start_frame: First number of a numbered sequence; None: the clip's own.
        bit_depth: 8 or 16 for numbered sequences; None: the clip's own.
        sides: Further clips to write beside the result: any of `SIDES`.
        steady: How strongly alpha is steadied in time where it is uncertain; 0 for not at all.
        sum_to_one: Whether objects share a pixel that they claim together more than once.
        segment_frames: Frames of a segment: how much a killed run loses at most.
        look: Edits of the edge, for every kind of result, and what lies behind it.
        span: First and last frame of the result; None: the whole clip. Objects are tracked
            wherever they are prompted all the same.
        objects: Which objects are written; None: all.
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
    steady: float = 0.0
    sum_to_one: bool = False
    segment_frames: int = SEGMENT_FRAMES
    look: Look | None = None
    span: tuple[int, int] | None = None
    objects: tuple[str, ...] | None = None

    @property
    def content(self) -> Content:
        """What the main result holds: ``alpha``, ``opaque`` or ``cutout``."""
        if self.only_alpha:
            return "alpha"
        return "opaque" if self.is_composite else "cutout"

    @property
    def needs_colour(self) -> bool:
        """Whether any output shows the object's own colours."""
        shown = not self.only_alpha and self.whole_look.decontaminate
        return shown or "foreground" in self.sides


def span_of(options: VideoOptions, frame_count: int) -> tuple[int, int]:
    """Return the first and the last frame of a clip's result.

    Raises:
        PromptError: If the clip doesn't have them.
    """
    first, last = options.span or (0, frame_count - 1)
    if not 0 <= first <= last < frame_count:
        raise PromptError(
            f"frames {first}-{last} asked for, the clip has frames 0 to {frame_count - 1}"
        )
    return first, last


@dataclass(frozen=True)
class Place:
    """An object on some frames.

    Attributes:
        object: Its name; None for all objects.
        first: The first frame.
        last: The last one.
    """

    object: str | None
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class GivenAlpha:
    """An alpha that stands as it is.

    Attributes:
        alpha: `H W` floats in [0, 1].
        object: Whose.
        frame: On which frame.
    """

    alpha: NDArray[np.float32]
    object: str
    frame: int = 0


@dataclass(frozen=True)
class VideoStart:
    """What a clip starts from beside prompts.

    Attributes:
        alphas: Given alphas.
        matter: An image model, loaded, that mattes the frames on which objects are found; the
            video model goes on from there. This is the paper's automatic mode.
        project: Folder that keeps the results, to go on with.
        lock: What must never change again, whatever is computed.
        unlock: What may change again.
        forget: Frames whose prompts the project shall forget.
    """

    alphas: Sequence[GivenAlpha] = ()
    matter: Matter | None = None
    project: Path | None = None
    lock: Sequence[Place] = field(default_factory=tuple)
    unlock: Sequence[Place] = field(default_factory=tuple)
    forget: Sequence[Place] = field(default_factory=tuple)


def default_output(source: Path, options: VideoOptions) -> Path:
    """Name the result beside its clip: ``torch.mp4`` → ``torch_cutout.mov``."""
    kind = {"alpha": "alpha", "opaque": "composite", "cutout": "cutout"}[options.content]
    if is_pattern(source):
        suffix = ".exr" if source.suffix.lower() == ".exr" else ".png"
        return source.with_name(f"{kind}_{source.stem}{suffix}")
    return source.with_name(f"{source.stem}_{kind}.mov")


def check_options(destination: Path, options: VideoOptions) -> None:
    """Refuse what would be passed over in silence, because the output can't have it.

    Raises:
        UnsupportedFormat: If an option doesn't go with the output.
    """
    if options.codec not in (None, *CODECS):
        raise UnsupportedFormat(f"--codec {options.codec!r}: give one of {', '.join(CODECS)}")
    if is_pattern(destination):
        if options.codec is not None:
            raise UnsupportedFormat(
                f"--codec {options.codec}: {destination.name} is numbered pictures, whose suffix "
                "names the format; leave --codec out"
            )
        return
    for flag, value in (("bits", options.bit_depth), ("start-frame", options.start_frame)):
        if value is not None:
            raise UnsupportedFormat(
                f"--{flag} {value}: {destination.name} is a video file, expected numbered pictures "
                f"such as name.%04d.png; leave --{flag} out"
            )
