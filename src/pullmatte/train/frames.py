"""A user's own frames with their mattes, read from one folder.

::

    DIR/shoe.jpg            a picture
    DIR/shoe.alpha.png      its matte: grey, white is the object
    DIR/torch.0001.png      frames whose numbers follow one another make a clip
    DIR/torch.0001.alpha.png
    DIR/torch.0002.png      a frame without a matte is passed over, and ends the clip

"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pullmatte.data.layouts import IMAGE_SUFFIXES
from pullmatte.data.samples import MattingClip, MattingSample, SampleKind, SampleOpacity
from pullmatte.errors import DatasetError
from pullmatte.train.draws import numpy_generator
from pullmatte.train.selective_supervision import DataKind

_ALPHA = ".alpha"
_NUMBERED = re.compile(r"(.*?)(\d+)")
_MARGIN = 0.15
_GAIN, _GAMMA = 0.1, 0.15
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """A picture's file and its matte's."""

    image: Path
    alpha: Path


class FrameFolder:
    """Frames with mattes, as pictures and as clips; each time another crop in other light.

    Attributes:
        frames: All of them, by name.
        clips: Those that follow one another, in runs of two and more.
    """

    def __init__(
        self,
        folder: Path,
        opacity: SampleOpacity = "opaque",
        *,
        kind: DataKind = "image_matting",
        clip_frames: int = 4,
        vary: bool = True,
        seed: int = 0,
    ) -> None:
        """Look a folder through.

        Args:
            folder: As the module says.
            opacity: What its objects are.
            kind: What the alphas are: of "segmentation" they are masks.
            clip_frames: So many frames a clip has.
            vary: Crop and colour by chance; else frames are as they are, in turn.
            seed: Of the chance.

        Raises:
            DatasetError: If no picture has a matte, or a matte no picture.
        """
        self.frames = find_frames(folder)
        self.clips = [run for run in _runs(self.frames) if len(run) >= clip_frames]
        self._opacity, self._length, self._vary, self._seed = opacity, clip_frames, vary, seed
        self._kind: SampleKind = "segmentation" if kind.endswith("segmentation") else "matting"

    def sample(self, number: int) -> MattingSample:
        """Return a frame: they come in turn."""
        frame = self.frames[number % len(self.frames)]
        images, alphas = self._varied([frame], number)
        return MattingSample(images[0], alphas[0], self._kind, self._opacity, frame.image.name)

    def clip(self, number: int) -> MattingClip:
        """Return a part of a clip.

        Raises:
            DatasetError: If there is no clip long enough.
        """
        if not self.clips:
            raise DatasetError(
                f"no {self._length} frames with mattes follow one another: number them as "
                "name.0001.png, name.0001.alpha.png"
            )
        draw = numpy_generator(self._seed, number)
        run = self.clips[number % len(self.clips)]
        first = int(draw.integers(len(run) - self._length + 1))
        part = run[first : first + self._length]
        images, alphas = self._varied(part, number)
        return MattingClip(images, alphas, self._kind, self._opacity, part[0].image.name)

    def _varied(self, frames: Sequence[Frame], number: int) -> tuple[Floats, Floats]:
        pairs = [read_frame(frame) for frame in frames]
        images, alphas = np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs])
        if not self._vary:
            return images, alphas
        draw = numpy_generator(self._seed, number, 1)
        rows, columns = _part(alphas.max(0), draw)
        images, alphas = images[:, rows, columns], alphas[:, rows, columns]
        gain = draw.uniform(1 - _GAIN, 1 + _GAIN, 3)
        gamma = np.exp(draw.uniform(-_GAMMA, _GAMMA))
        return np.clip(images**gamma * gain, 0, 1).astype(np.float32), alphas


def find_frames(folder: Path) -> list[Frame]:
    """List a folder's pictures that have mattes, by name.

    Args:
        folder: As the module says.

    Raises:
        DatasetError: If there is none, or a matte without its picture.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; give one of frames and their mattes")
    files = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES]
    alphas = {p.stem.removesuffix(_ALPHA): p for p in files if p.stem.endswith(_ALPHA)}
    pictures = {p.stem: p for p in files if not p.stem.endswith(_ALPHA)}
    lonely = sorted(set(alphas) - set(pictures))
    if lonely:
        raise DatasetError(
            f"{alphas[lonely[0]]}: a matte without its picture; name that {lonely[0]}.jpg or .png"
        )
    found = [Frame(path, alphas[name]) for name, path in pictures.items() if name in alphas]
    if not found:
        raise DatasetError(
            f"{folder}: no picture has a matte; put name.alpha.png beside name.jpg or name.png"
        )
    return found


def read_frame(frame: Frame) -> tuple[Floats, Floats]:
    """Read a frame: `H W 3` in [0, 1] and its alpha `H W`.

    Raises:
        DatasetError: If a file can't be read, or the sizes differ.
    """
    try:
        with Image.open(frame.image) as file:
            image = np.asarray(file.convert("RGB"), np.float32) / np.float32(255)
        with Image.open(frame.alpha) as file:
            deep = file.mode.startswith("I")
            plane = np.asarray(file if deep else file.convert("L"), np.float32)
            alpha = plane / np.float32(65535 if deep else 255)
    except (OSError, UnidentifiedImageError) as error:
        raise DatasetError(f"{frame.image} or its matte can't be read: {error}") from error
    if image.shape[:2] != alpha.shape:
        raise DatasetError(
            f"{frame.alpha} of {alpha.shape[1]}x{alpha.shape[0]} pixels, its picture of "
            f"{image.shape[1]}x{image.shape[0]}: give both in one size"
        )
    return image, np.clip(alpha, 0, 1)


def _runs(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Join frames of one name whose numbers follow one another."""
    runs: list[list[Frame]] = []
    last: tuple[str, int] | None = None
    for frame in frames:
        match = _NUMBERED.fullmatch(frame.image.stem)
        here = None if match is None else (match[1], int(match[2]))
        if here is not None and last == (here[0], here[1] - 1):
            runs[-1].append(frame)
        else:
            runs.append([frame])
        last = here
    return runs


def _part(alpha: Floats, draw: np.random.Generator) -> tuple[slice, slice]:
    """Choose a part of a picture that holds nearly all of the object."""
    found = []
    for line, length in ((alpha.max(1), alpha.shape[0]), (alpha.max(0), alpha.shape[1])):
        inside = np.flatnonzero(line > 0)
        low, high = (inside[0], inside[-1] + 1) if len(inside) else (length // 3, 2 * length // 3)
        margin = _MARGIN * (high - low)
        begin = int(draw.uniform(0, min(length - 2, max(0.0, low + margin))))
        end = int(np.ceil(draw.uniform(max(begin + 2, min(length, high - margin)), length)))
        found.append(slice(begin, end))
    return found[0], found[1]
