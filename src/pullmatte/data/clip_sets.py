"""Training sets of clips as sources of short clips: a random start, stride and crop."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pullmatte.data.clip_files import (
    ClipFiles,
    ForegroundClips,
    PairedClips,
    PaletteClips,
    RunLengthClips,
)
from pullmatte.data.degradation import degraded
from pullmatte.data.image_sets import resized, shuffled_place
from pullmatte.data.moving_grounds import back_and_forth, list_grounds
from pullmatte.data.samples import ClipSource, MattingClip
from pullmatte.data.set_files import Bytes, find_pairs
from pullmatte.data.training_sets import TrainingSet, find_training_set
from pullmatte.errors import DatasetError


@dataclass(frozen=True)
class FootageSettings:
    """How clips become samples; every chance is in [0, 1].

    Attributes:
        size_px: Side of the square picture.
        frames: How many; MAM2 takes 4.
        seed: All random numbers follow from it and a sample's number.
        most_stride: Frames of the clip from one of the sample to the next, at most.
        reverse_chance: Of time going backwards.
        whole_chance: Of the whole picture, squashed to the square.
        crop: Least and greatest side of a crop, as a share of the picture's shorter side.
        flip_chance: Of a mirrored clip.
        degraded_chance: Of blur, grain, colours and JPEG, the same in all frames.
    """

    size_px: int = 512
    frames: int = 4
    seed: int = 0
    most_stride: int = 4
    reverse_chance: float = 0.5
    whole_chance: float = 0.5
    crop: tuple[float, float] = (0.6, 1.0)
    flip_chance: float = 0.5
    degraded_chance: float = 0.2


class FootageSource:
    """Numbered samples of a set's clips; see `ClipSource`.

    Each run of as many numbers as there are clips shows every clip once.

    Attributes:
        settings: How they are made.
    """

    def __init__(self, name: str, files: ClipFiles, settings: FootageSettings) -> None:
        """Take a set's clips."""
        self.settings = settings
        self._name, self._files = name, files

    def clip(self, number: int) -> MattingClip:
        """Return the clip of a number: the same each time.

        Raises:
            DatasetError: A file can't be read.
        """
        settings = self.settings
        at = shuffled_place(number, len(self._files.names), settings.seed)
        rng = np.random.default_rng([settings.seed, number, 13])
        footage = self._files.read(at, self._places(self._files.length(at), rng), rng)
        window = self._window(footage.alphas[0], rng)
        size = (settings.size_px, settings.size_px)
        images = np.stack([resized(each[window], size) for each in footage.images])
        alphas = np.stack([resized(each[window], size) for each in footage.alphas])
        if rng.random() < settings.flip_chance:
            images, alphas = images[:, :, ::-1], alphas[:, :, ::-1]
        shown = np.ascontiguousarray(images, np.float32) / np.float32(255)
        if rng.random() < settings.degraded_chance:
            # The same camera for all frames: the same numbers.
            camera = int(rng.integers(2**31))
            shown = np.stack([degraded(each, np.random.default_rng(camera)) for each in shown])
        return MattingClip(
            shown,
            np.ascontiguousarray(alphas, np.float32) / np.float32(255),
            self._files.kind,
            footage.opacity,
            f"{self._name} {self._files.names[at]}",
        )

    def _places(self, length: int, rng: np.random.Generator) -> list[int]:
        """Choose frames: strided, from a random start; a short clip goes back and forth."""
        frames = self.settings.frames
        most = max(1, min(self.settings.most_stride, (length - 1) // max(frames - 1, 1)))
        stride = int(rng.integers(1, most + 1))
        places = back_and_forth(frames, length, rng, stride)
        return places[::-1] if rng.random() < self.settings.reverse_chance else places

    def _window(self, alpha: Bytes, rng: np.random.Generator) -> tuple[slice, slice]:
        """Choose what is shown in all frames: everything, or a square with the object in it."""
        height, width = alpha.shape
        there = float(alpha.sum(dtype=np.float64))
        if there == 0 or rng.random() < self.settings.whole_chance:
            return slice(height), slice(width)
        for _ in range(8):
            side = max(1, round(min(height, width) * rng.uniform(*self.settings.crop)))
            top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
            window = slice(top, top + side), slice(left, left + side)
            if alpha[window].sum(dtype=np.float64) >= 0.4 * there:
                return window
        return slice(height), slice(width)


def open_clip_set(
    name: str,
    root: str | Path,
    settings: FootageSettings | None = None,
    *,
    backgrounds: str | Path | None = None,
) -> ClipSource:
    """Open a training set of clips.

    Args:
        name: a key of `TRAINING_SETS`, of clips.
        root: its folder.
        settings: how clips become samples.
        backgrounds: a folder of clips or pictures that VideoMatte240K's foregrounds are composed
            over; a camera moves over pictures.

    Raises:
        DatasetError: The set isn't known or is one of pictures, or files are missing.
    """
    known, settings = find_training_set(name), settings or FootageSettings()
    if not known.content.startswith("clip"):
        raise DatasetError(f"{known.title} is a set of pictures: open it with open_image_set.")
    folder = Path(root)
    files = _files(folder, known, backgrounds, 2 * settings.size_px)
    return FootageSource(known.name, files, settings)


def _files(
    root: Path, known: TrainingSet, backgrounds: str | Path | None, side_px: int
) -> ClipFiles:
    images, alphas = (root / part for part in find_pairs(root, known)[0])
    if known.pairing == "objects":
        return PaletteClips(images, alphas)
    if known.pairing == "annotations":
        return RunLengthClips(images, alphas)
    if known.pairing == "frame list":
        return PairedClips(root, side_px)
    if backgrounds is None:
        raise DatasetError(
            f"{known.title} holds foregrounds: give a folder of backgrounds to compose them over."
        )
    return ForegroundClips(images, alphas, list_grounds(Path(backgrounds)), side_px)
