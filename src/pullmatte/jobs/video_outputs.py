"""The files that a clip's job writes: their names, and what of a frame goes into each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pullmatte.errors import WriteError
from pullmatte.io.image import load_picture
from pullmatte.io.video_formats import Content
from pullmatte.jobs.blending import fit_plate, join
from pullmatte.jobs.naming import OBJECT_TOKEN, for_object
from pullmatte.jobs.video_options import SIDE_CONTENT, VideoOptions, is_pattern
from pullmatte.matte import Matte, make_background
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
    """

    path: Path
    content: Content
    pick: Picker
    names: tuple[str, ...] = ()
    is_main: bool = False

    def named(self, frame: FrameMattes) -> dict[str, Plane] | None:
        """Return the alphas that an EXR holds as channels of their own, if any."""
        if not self.names or self.path.suffix.lower() != ".exr":
            return None
        return {name: frame.mattes[name].alpha for name in self.names}


def plan(
    destination: Path, names: tuple[str, ...], options: VideoOptions, size: tuple[int, int]
) -> list[Output]:
    """List the files to write: the result, or one for each object, and their sides.

    Args:
        destination: The result's name, with ``{object}`` for one file an object.
        names: The objects.
        options: What to write.
        size: Width and height of the frames in pixels.

    Returns:
        Each result followed by its sides.

    Raises:
        ReadError: If the picture for the background can't be read.
    """
    groups: dict[Path, tuple[str, ...]] = {destination: names}
    apart = OBJECT_TOKEN in destination.name
    if apart:
        groups = {for_object(destination, name): (name,) for name in names}
    plate = _plate(options.background, size)
    outputs = []
    for path, group in groups.items():
        named = () if apart or group == (DEFAULT_OBJECT,) else group
        picker = _main_picker(group, plate, only_alpha=options.only_alpha)
        outputs.append(Output(path, options.content, picker, named, is_main=True))
        outputs += [
            Output(_side_path(path, side), SIDE_CONTENT[side], _side_picker(group, side))
            for side in options.sides
        ]
    return outputs


def _side_path(path: Path, side: str) -> Path:
    """Name a side clip: ``out.mov`` → ``out_trimap.mov``; a number mark keeps its place."""
    if not is_pattern(path):
        return path.with_name(f"{path.stem}_{side}{path.suffix}")
    head, dot, rest = path.name.partition(".")
    return path.with_name(f"{head}_{side}{dot}{rest}")


def _plate(background: str | Path | None, size: tuple[int, int]) -> Image | None:
    if background is None:
        return None
    if isinstance(background, Path):
        return fit_plate(load_picture(background).image, (size[1], size[0]))
    return make_background(background, *size)


def _main_picker(names: tuple[str, ...], plate: Image | None, *, only_alpha: bool) -> Picker:
    def pick(frame: FrameMattes) -> tuple[Image | None, Plane | None]:
        matte = _joined(frame, names)
        if only_alpha:
            return None, matte.alpha
        if plate is not None:
            return matte.composite(plate), None
        return matte.foreground, matte.alpha

    return pick


def _side_picker(names: tuple[str, ...], side: str) -> Picker:
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
