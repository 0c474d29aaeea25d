"""Training sets of pictures as sources of samples: photos are cropped, foregrounds composed.

Files are listed at once and read when a sample asks for them.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import cv2
import numpy as np

from pullmatte.data.cutouts import SOLID, StoredCutout, extended, opacity_of
from pullmatte.data.degradation import degraded
from pullmatte.data.layouts import IMAGE_SUFFIXES
from pullmatte.data.samples import MattingSample, SampleKind, SampleSource
from pullmatte.data.scenes import SceneSettings, SceneSource
from pullmatte.data.set_files import (
    Bytes,
    StillFiles,
    list_files,
    read_colours,
    read_pair,
)
from pullmatte.data.training_sets import find_training_set
from pullmatte.errors import DatasetError

KEPT = 64
"""So many decoded cut-outs and backgrounds stay in memory."""
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class StillSettings:
    """How photos become samples; every chance is in [0, 1].

    Attributes:
        size_px: Side of the square picture.
        seed: All random numbers follow from it and a sample's number.
        whole_chance: Of the whole photo, squashed to the square, as SDMatte trains.
        crop: Least and greatest side of a crop, as a share of the photo's shorter side.
        flip_chance: Of a mirrored sample.
        degraded_chance: Of blur, grain, colours and JPEG.
    """

    size_px: int = 512
    seed: int = 0
    whole_chance: float = 0.4
    crop: tuple[float, float] = (0.4, 1.0)
    flip_chance: float = 0.5
    degraded_chance: float = 0.3


class PhotoSource:
    """Numbered samples of photos with alpha, or with masks; see `SampleSource`.

    Each run of as many numbers as there are files shows every file once, in an order of its own.

    Attributes:
        settings: How they are made.
        kind: "segmentation" for masks.
    """

    def __init__(
        self, files: Sequence[StillFiles], settings: StillSettings, kind: SampleKind = "matting"
    ) -> None:
        """Take the files, which `list_files` gives."""
        self.settings, self.kind = settings, kind
        self._files = files

    def sample(self, number: int) -> MattingSample:
        """Return the sample of a number: the same each time.

        Raises:
            DatasetError: A file can't be read.
        """
        settings = self.settings
        files = self._files[shuffled_place(number, len(self._files), settings.seed)]
        rng = np.random.default_rng([settings.seed, number, 11])
        colours, alpha = read_pair(files)
        window = self._window(alpha, rng)
        size = (settings.size_px, settings.size_px)
        image, truth = resized(colours[window], size), resized(alpha[window], size)
        if rng.random() < settings.flip_chance:
            image, truth = image[:, ::-1], truth[:, ::-1]
        shown = np.ascontiguousarray(image, np.float32) / np.float32(255)
        if rng.random() < settings.degraded_chance:
            shown = degraded(shown, rng)
        return MattingSample(
            shown,
            np.ascontiguousarray(truth, np.float32) / np.float32(255),
            self.kind,
            files.opacity,
            files.name,
        )

    def _window(self, alpha: Bytes, rng: np.random.Generator) -> tuple[slice, slice]:
        """Choose what is shown: everything, or a square with some of the object."""
        height, width = alpha.shape
        if rng.random() < self.settings.whole_chance:
            return slice(height), slice(width)
        there = float(alpha.sum(dtype=np.float64))
        for _ in range(8):
            side = max(1, round(min(height, width) * rng.uniform(*self.settings.crop)))
            top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
            window = slice(top, top + side), slice(left, left + side)
            if alpha[window].sum(dtype=np.float64) >= 0.25 * there:
                return window
        return slice(height), slice(width)


class Kept(Generic[_Item]):
    """Remembers the last things that were read; a plain object, so worker processes can take it."""

    def __init__(self, read: Callable[[int], _Item], most: int = KEPT) -> None:
        """Take what reads the thing of a number."""
        self._read, self._most = read, most
        self._held: OrderedDict[int, _Item] = OrderedDict()

    def __call__(self, number: int) -> _Item:
        """Return the thing of a number."""
        if number not in self._held:
            self._held[number] = self._read(number)
        self._held.move_to_end(number)
        while len(self._held) > self._most:
            self._held.popitem(last=False)
        return self._held[number]


class LazyBackgrounds(Sequence[Bytes]):
    """A folder's pictures as a sequence: each is read when it is asked for."""

    def __init__(self, folder: Path, side_px: int) -> None:
        """List the pictures below a folder; larger ones are made smaller when they are read.

        Raises:
            DatasetError: There is none.
        """
        self._paths = picture_paths(folder)
        self._side_px = side_px
        self._kept: Kept[Bytes] = Kept(self._read)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> Bytes:  # type: ignore[override]
        return self._kept(range(len(self._paths))[number])

    def __iter__(self) -> Iterator[Bytes]:
        return (self._kept(number) for number in range(len(self)))

    def _read(self, number: int) -> Bytes:
        return bounded(read_colours(self._paths[number]), self._side_px)


class ForegroundMaker:
    """Draws foregrounds of a set, as `SceneSource` takes makers."""

    def __init__(self, files: Sequence[StillFiles], side_px: int) -> None:
        """Take the files; larger foregrounds are made smaller when they are read."""
        self._files, self._side_px = files, side_px
        self._kept: Kept[StoredCutout] = Kept(self._read)

    def __call__(self, rng: np.random.Generator) -> StoredCutout:
        """Draw one.

        Raises:
            DatasetError: A file can't be read.
        """
        return self._kept(int(rng.integers(len(self._files))))

    def _read(self, number: int) -> StoredCutout:
        files = self._files[number]
        colours, alpha = read_pair(files)
        left, top, width, height = cv2.boundingRect((alpha > 2).astype(np.uint8))
        if min(width, height) < 8:
            raise DatasetError(f"{files.alpha} is empty: expected a foreground's alpha.")
        window = slice(top, top + height), slice(left, left + width)
        rgba = _bounded_foreground(colours[window], alpha[window], self._side_px)
        seen = opacity_of(rgba[..., 3] > SOLID * 255, rgba[..., 3] > 5)
        opacity = "transparent" if files.opacity == "transparent" else seen
        return StoredCutout(extended(rgba), files.name, opacity)


def open_image_set(
    name: str,
    root: str | Path,
    settings: StillSettings | None = None,
    *,
    backgrounds: str | Path | None = None,
    scenes: SceneSettings | None = None,
    only: Collection[str] | None = None,
    most: int | None = None,
) -> SampleSource:
    """Open a training set of pictures.

    Args:
        name: a key of `TRAINING_SETS`, of pictures, masks or foregrounds.
        root: its folder.
        settings: how photos become samples.
        backgrounds: a folder of pictures, such as BG-20K, that foregrounds are composed over.
        scenes: how; size and seed are the settings'.
        only: stems of the alphas to be used.
        most: use so many, drawn by the seed: MAM2 takes 1,000 of P3M-10k's 9,421.

    Raises:
        DatasetError: The set isn't known or is one of clips, or files are missing.
    """
    known, settings = find_training_set(name), settings or StillSettings()
    if known.content not in ("cutouts", "photos", "masks"):
        raise DatasetError(f"{known.title} is a set of clips: open it with open_clip_set.")
    files = chosen(list_files(Path(root), known), only, most, settings.seed)
    if known.content != "cutouts":
        return PhotoSource(
            files, settings, "segmentation" if known.content == "masks" else "matting"
        )
    if backgrounds is None:
        raise DatasetError(
            f"{known.title} holds foregrounds: give a folder of backgrounds to compose them over."
        )
    side = settings.size_px
    made = replace(
        scenes or SceneSettings(),
        size_px=side,
        seed=settings.seed,
        made_chance=1.0,
        absent_chance=0,
    )
    grounds = LazyBackgrounds(Path(backgrounds), 2 * side)
    return SceneSource([], grounds, made, makers=[ForegroundMaker(files, round(1.5 * side))])


def chosen(
    files: Sequence[StillFiles], only: Collection[str] | None, most: int | None, seed: int
) -> list[StillFiles]:
    """Narrow a set down.

    Args:
        files: the whole set.
        only: stems of the alphas to be kept; None keeps all.
        most: draw so many of them; None keeps all.
        seed: of the draw.

    Raises:
        DatasetError: Nothing is left.
    """
    found = [each for each in files if only is None or each.alpha.stem in only]
    if not found or (most is not None and most < 1):
        raise DatasetError("No sample of the set is left: give names that it holds.")
    if most is None or most >= len(found):
        return found
    drawn = np.random.default_rng(seed).permutation(len(found))[:most]
    return [found[at] for at in sorted(drawn)]


def shuffled_place(number: int, count: int, seed: int) -> int:
    """Return which of some things is the one of a number: each once in every round.

    Args:
        number: 0 or more.
        count: how many things there are.
        seed: of the rounds' orders.
    """
    round_number, at = divmod(number, count)
    order = np.random.default_rng([seed, round_number, 7]).permutation(count)
    return int(order[at])


def picture_paths(folder: Path) -> list[Path]:
    """List the pictures in a folder and in the folders below it, in the order of their names.

    Raises:
        DatasetError: There is no such folder, or no picture.
    """
    if not folder.is_dir():
        raise DatasetError(f"No folder {folder}: give one with pictures in it.")
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES]
    if not found:
        raise DatasetError(f"No pictures in {folder}: give photos without a salient object.")
    return found


def resized(picture: Bytes, size: tuple[int, int]) -> Bytes:
    """Resize to a width and height; smaller by areas, larger by cubics."""
    larger = size[0] > picture.shape[1] or size[1] > picture.shape[0]
    how = cv2.INTER_CUBIC if larger else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)


def bounded(picture: Bytes, side_px: int) -> Bytes:
    """Make a picture smaller if its longer side is more than `side_px`."""
    height, width = picture.shape[:2]
    scale = side_px / max(height, width)
    if scale >= 1:
        return picture
    return resized(picture, (max(1, round(width * scale)), max(1, round(height * scale))))


def _bounded_foreground(colours: Bytes, alpha: Bytes, side_px: int) -> Bytes:
    """Make a foreground smaller, premultiplied: colours beyond its alpha may be anything."""
    if max(alpha.shape) <= side_px:
        return np.dstack([colours, alpha])
    share = alpha[..., None].astype(np.float32) / 255
    height, width = (max(1, round(side * side_px / max(alpha.shape))) for side in alpha.shape)
    whole = np.dstack([colours * share, share * 255])
    small = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    straight = small[..., :3] * (255 / np.maximum(small[..., 3:], 0.25))
    return np.asarray(np.clip(np.rint(np.dstack([straight, small[..., 3]])), 0, 255), np.uint8)
