"""The files that a clip's job writes: their names, and what of a frame goes into each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pullmatte.errors import WriteError
from pullmatte.io.video_formats import Content
from pullmatte.jobs.backdrop import Backdrop
from pullmatte.jobs.blending import join
from pullmatte.jobs.edge import edited
from pullmatte.jobs.look import Look
from pullmatte.jobs.naming import OBJECT_TOKEN, for_object, is_pattern
from pullmatte.jobs.video_options import SIDE_CONTENT, VideoOptions
from pullmatte.matte import Matte
from pullmatte.models.protocol import Image, Plane
from pullmatte.prompts import DEFAULT_OBJECT
from pullmatte.sessions.video import FrameMattes

Picker = Callable[[FrameMattes], tuple[Image | None, Plane | None]]


@dataclass(frozen=True)
class Output:
    """One file to write: where, what it holds, and how to get that from a frame's mattes.

    Attributes:
        path: A video file, or the pattern of numbered pictures.
        content: ``cutout``, ``alpha`` or ``opaque``.
        pick: From a frame's mattes to image and alpha.
        names: Objects that get channels of their own where the format is EXR.
        is_main: Whether it is a result, not a side.
        look: How alphas are edited.
    """

    path: Path
    content: Content
    pick: Picker
    names: tuple[str, ...] = ()
    is_main: bool = False
    look: Look = field(default_factory=Look)

    def named(self, frame: FrameMattes) -> dict[str, Plane] | None:
        """Return the alphas that an EXR holds as channels of their own, if any."""
        if not self.names or self.path.suffix.lower() != ".exr":
            return None
        return {
            name: edited(frame.mattes[name], self.look, frame.held_out).alpha for name in self.names
        }


def plan(
    destination: Path,
    names: tuple[str, ...],
    options: VideoOptions,
    backdrop: Backdrop | None = None,
    start_s: float = 0.0,
) -> list[Output]:
    """List the files to write: the result, or one for each object, and their sides.

    Args:
        destination: The result's name, with ``{object}`` for one file an object.
        names: The objects.
        options: What to write.
        backdrop: What lies behind the subject of a composite.
        start_s: When the clip's first frame is shown.

    Returns:
        Each result followed by its sides.
    """
    groups: dict[Path, tuple[str, ...]] = {destination: names}
    apart = OBJECT_TOKEN in destination.name
    if apart:
        groups = {for_object(destination, name): (name,) for name in names}
    look = options.whole_look
    outputs = []
    for path, group in groups.items():
        named = () if apart or group == (DEFAULT_OBJECT,) else group
        if backdrop is None:
            picker = _main_picker(group, look, only_alpha=options.only_alpha)
        else:
            picker = _composite_picker(group, backdrop, start_s)
        outputs.append(Output(path, options.content, picker, named, is_main=True, look=look))
        outputs += [
            Output(_side_path(path, side), SIDE_CONTENT[side], _side_picker(group, side, look))
            for side in options.sides
        ]
    return outputs


def _side_path(path: Path, side: str) -> Path:
    """Name a side clip: ``out.mov`` → ``out_trimap.mov``; a number mark keeps its place."""
    if not is_pattern(path):
        return path.with_name(f"{path.stem}_{side}{path.suffix}")
    head, dot, rest = path.name.partition(".")
    return path.with_name(f"{head}_{side}{dot}{rest}")


def _main_picker(names: tuple[str, ...], look: Look, *, only_alpha: bool) -> Picker:
    def pick(frame: FrameMattes) -> tuple[Image | None, Plane | None]:
        matte = edited(_joined(frame, names), look, frame.held_out)
        return None if only_alpha else matte.foreground, matte.alpha

    return pick


def _composite_picker(names: tuple[str, ...], backdrop: Backdrop, start_s: float) -> Picker:
    def pick(frame: FrameMattes) -> tuple[Image | None, Plane | None]:
        joined = _joined(frame, names)
        return backdrop.lay(joined, frame.time_s - start_s, frame.held_out), None

    return pick


def _side_picker(names: tuple[str, ...], side: str, look: Look) -> Picker:
    def pick(frame: FrameMattes) -> tuple[Image | None, Plane | None]:
        if side == "foreground":
            return _joined(frame, names).foreground, None
        if side == "alpha":
            return None, edited(_joined(frame, names), look, frame.held_out).alpha
        planes = [getattr(frame.mattes[name], side) for name in names]
        if any(plane is None for plane in planes):
            raise WriteError(f"no {side} to write: this model makes none; leave --side {side} out")
        return None, np.max(np.stack(planes).astype(np.float32), axis=0)

    return pick


def _joined(frame: FrameMattes, names: tuple[str, ...]) -> Matte:
    return join({name: frame.mattes[name] for name in names})
