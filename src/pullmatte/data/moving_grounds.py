"""Backgrounds that move: a camera over a picture, or the frames of a clip."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.data.layouts import IMAGE_SUFFIXES
from pullmatte.data.moving_scenes import smooth_walk
from pullmatte.data.set_files import pictures_in, read_colours
from pullmatte.errors import DatasetError, ReadError

Bytes = NDArray[np.uint8]
Size = tuple[int, int]
"""Width and height in pixels."""

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")


@dataclass(frozen=True)
class Ground:
    """A background.

    Attributes:
        name: below the folder it came from.
        path: a picture, a folder of frames, or a video file.
    """

    name: str
    path: Path

    @property
    def moves(self) -> bool:
        """Whether it is a clip itself."""
        return self.path.is_dir() or self.path.suffix.lower() in VIDEO_SUFFIXES


def list_grounds(folder: Path) -> list[Ground]:
    """List the backgrounds in a folder, in the order of their names.

    Args:
        folder: holds video files, folders of numbered frames, and pictures; a folder of pictures
            whose names aren't numbers is gone through as well.

    Raises:
        DatasetError: There is none.
    """
    if not folder.is_dir():
        raise DatasetError(f"No folder {folder}: give one with clips or pictures in it.")
    found = [Ground(path.relative_to(folder).as_posix(), path) for path in _grounds(folder)]
    if not found:
        raise DatasetError(
            f"No backgrounds in {folder}: expected video files, folders of frames, or pictures."
        )
    return found


def ground_frames(
    ground: Ground, frames: int, size: Size, rng: np.random.Generator
) -> Iterator[Bytes]:
    """Show a background for some frames; a clip that is too short goes back and forth.

    Args:
        ground: what is shown.
        frames: how many.
        size: width and height.
        rng: says how the camera moves, or where a clip begins.

    Yields:
        `H W 3` uint8.

    Raises:
        DatasetError: It can't be read.
    """
    if not ground.moves:
        yield from camera_over(read_colours(ground.path), frames, size, rng)
    elif ground.path.is_dir():
        paths = list(pictures_in(ground.path).values())
        for at in back_and_forth(frames, len(paths), rng):
            yield covering(read_colours(paths[at]), size)
    else:
        yield from _video_frames(ground.path, frames, size, rng)


def camera_over(
    picture: Bytes, frames: int, size: Size, rng: np.random.Generator, *, speed: float = 0.012
) -> Iterator[Bytes]:
    """Move a camera smoothly over a picture.

    Args:
        picture: `h w 3`.
        frames: how many.
        size: width and height of what the camera shows.
        rng: says how it moves.
        speed: most of its motion from frame to frame, as a share of the width.

    Yields:
        `H W 3` uint8.
    """
    width, height = size
    tall, wide = picture.shape[:2]
    cover = max(width / wide, height / tall)
    zoom = cover * rng.uniform(1.25, 2.2) * np.exp(0.01 * smooth_walk(frames, 1, rng)[:, 0])
    zoom = np.maximum(zoom, cover * 1.15)
    turn = 0.03 * np.tanh(0.1 * smooth_walk(frames, 1, rng)[:, 0]) * rng.random()
    # The camera slows down where the picture ends; a little is left for turning.
    room = (zoom.min() * np.array([wide, tall]) - size) / 2 * 0.9
    path = smooth_walk(frames, 2, rng) * speed * width * (0.3 + rng.random())
    path = room * np.tanh((rng.uniform(-0.6, 0.6, 2) * room + path) / np.maximum(room, 1))
    centre, middle = np.array([wide - 1, tall - 1]) / 2, np.array([width - 1, height - 1]) / 2
    for at in range(frames):
        cos, sin = np.cos(turn[at]) * zoom[at], np.sin(turn[at]) * zoom[at]
        linear = np.array([[cos, -sin], [sin, cos]])
        offset = middle + path[at] - linear @ centre
        shrinks = zoom[at] < 0.6
        shown = _averaged(picture, zoom[at]) if shrinks else picture
        if shrinks:
            linear = linear @ np.diag([wide / shown.shape[1], tall / shown.shape[0]])
        matrix = np.hstack([linear, offset[:, None]])
        yield np.asarray(
            cv2.warpAffine(shown, matrix, size, flags=cv2.INTER_LINEAR,
                           borderMode=cv2.BORDER_REFLECT_101),
            np.uint8,
        )  # fmt: skip


def covering(picture: Bytes, size: Size) -> Bytes:
    """Cut the middle of a picture so that it fills a width and height."""
    width, height = size
    tall, wide = picture.shape[:2]
    share = min(wide / width, tall / height)
    across, down = min(wide, round(width * share)), min(tall, round(height * share))
    left, top = (wide - across) // 2, (tall - down) // 2
    cut = picture[top : top + down, left : left + across]
    how = cv2.INTER_AREA if share > 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(cut, size, interpolation=how), np.uint8)


def back_and_forth(
    frames: int, length: int, rng: np.random.Generator, stride: int = 1
) -> list[int]:
    """Choose frames of a clip: a run of them, mirrored in time where it would pass an end.

    Args:
        frames: how many are needed.
        length: how many there are, 1 or more.
        rng: says where it starts.
        stride: from one to the next.
    """
    start = int(rng.integers(max(length - stride * (frames - 1), 1)))
    period = max(2 * length - 2, 1)
    places = [(start + stride * at) % period for at in range(frames)]
    return [at if at < length else period - at for at in places]


def _averaged(picture: Bytes, scale: float) -> Bytes:
    """Make a picture smaller by areas: bilinear sampling alone would flicker."""
    size = (max(2, round(picture.shape[1] * scale)), max(2, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _grounds(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_file() and path.suffix.lower() in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES):
            yield path
        elif path.is_dir():
            stems = list(pictures_in(path))
            if len(stems) > 1 and all(stem.isdigit() for stem in stems):
                yield path
            else:
                yield from _grounds(path)


def _video_frames(path: Path, frames: int, size: Size, rng: np.random.Generator) -> Iterator[Bytes]:
    from pullmatte.io.video import open_video

    try:
        with open_video(path) as clip:
            places = back_and_forth(frames, len(clip), rng)
            for at in places:
                image = np.rint(clip.frame(at).image * 255).astype(np.uint8)
                yield covering(image, size)
    except ReadError as error:
        raise DatasetError(f"Can't use {path} as a background: {error}") from error
