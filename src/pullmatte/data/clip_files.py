"""The clips of a training set: listed at once, their frames read when they are asked for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image as Pictures
from PIL import UnidentifiedImageError

from pullmatte.data.cutouts import opacity_of
from pullmatte.data.image_sets import bounded, resized
from pullmatte.data.layouts import read_plane
from pullmatte.data.moving_grounds import Ground, ground_frames
from pullmatte.data.samples import SampleKind, SampleOpacity
from pullmatte.data.set_files import Bytes, pictures_in, read_colours, read_rgba
from pullmatte.errors import DatasetError

LEAST_OBJECT = 2e-4
"""An object of which less than this share of the picture is seen isn't chosen."""


@dataclass(frozen=True, eq=False)
class Footage:
    """Some frames of a clip with the alpha of one object.

    Attributes:
        images: `H W 3` uint8 each.
        alphas: `H W` uint8 each; 0 and 255 alone for masks.
        opacity: what the object is.
    """

    images: Sequence[Bytes]
    alphas: Sequence[Bytes]
    opacity: SampleOpacity = "opaque"


class ClipFiles(Protocol):
    """The clips of a set.

    Attributes:
        kind: "segmentation" for masks.
        names: of the clips, in their order.
    """

    kind: SampleKind
    names: list[str]

    def length(self, clip: int) -> int:
        """Return how many frames a clip has."""

    def read(self, clip: int, frames: Sequence[int], rng: np.random.Generator) -> Footage:
        """Read frames of a clip; of several objects one is drawn.

        Raises:
            DatasetError: A file can't be read.
        """


class PaletteClips:
    """Clips with palette pictures in which every object has a number: MOSE, DAVIS.

    Attributes:
        kind: "segmentation".
        names: of the clips.
    """

    kind: SampleKind = "segmentation"

    def __init__(self, images: Path, annotations: Path) -> None:
        """List the clips; each has a folder in both folders.

        Raises:
            DatasetError: There is none, or a clip lacks annotations.
        """
        self._clips = _paired(images, annotations)
        self.names = [images.name for images, _ in self._clips]

    def length(self, clip: int) -> int:
        """Return how many frames a clip has."""
        return len(pictures_in(self._clips[clip][0]))

    def read(self, clip: int, frames: Sequence[int], rng: np.random.Generator) -> Footage:
        """Read frames, and the mask of an object that is in the first of them if any is."""
        images, annotations = self._clips[clip]
        shown, marks = list(pictures_in(images).values()), pictures_in(annotations)
        paths = [shown[at] for at in frames]
        numbers = [_read_numbers(_mark(marks, path.stem, annotations)) for path in paths]
        chosen = _draw_number(numbers, rng)
        return Footage(
            [read_colours(path) for path in paths],
            [np.where(each == chosen, 255, 0).astype(np.uint8) for each in numbers],
        )


class RunLengthClips:
    """Clips whose masks are run lengths in one JSON file: YouTubeVIS.

    Attributes:
        kind: "segmentation".
        names: of the clips.
    """

    kind: SampleKind = "segmentation"

    def __init__(self, images: Path, annotations: Path) -> None:
        """List the clips; a clip counts as often as it has objects.

        Raises:
            DatasetError: The JSON file isn't one of YouTubeVIS.
        """
        self._images, self._path = images, annotations
        try:
            document = json.loads(annotations.read_text(encoding="utf-8"))
            files = {video["id"]: list(video["file_names"]) for video in document["videos"]}
            self._tracks: list[tuple[list[str], list[Any]]] = [
                (files[each["video_id"]], each["segmentations"]) for each in document["annotations"]
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"Can't read {annotations}: expected YouTubeVIS's JSON of videos and annotations."
            ) from error
        if not self._tracks:
            raise DatasetError(f"{annotations} holds no annotations: expected those of training.")
        self.names = [Path(names[0]).parent.name for names, _ in self._tracks]

    def length(self, clip: int) -> int:
        """Return how many frames a clip has."""
        return len(self._tracks[clip][0])

    def read(self, clip: int, frames: Sequence[int], rng: np.random.Generator) -> Footage:
        """Read frames and the masks of the clip's one object, 0 where it isn't seen."""
        files, runs = self._tracks[clip]
        images = [read_colours(self._images / files[at]) for at in frames]
        masks = [
            self._mask(runs[at], image.shape[:2]) for at, image in zip(frames, images, strict=True)
        ]
        return Footage(images, masks)

    def _mask(self, runs: Any, shape: tuple[int, ...]) -> Bytes:
        if runs is None:
            return np.zeros(shape, np.uint8)
        counts = runs.get("counts") if isinstance(runs, dict) else None
        if not isinstance(counts, list) or sum(counts) != shape[0] * shape[1]:
            raise DatasetError(
                f"{self._path}: expected a mask as a list of run lengths for "
                f"{shape[1]}x{shape[0]} pixels."
            )
        # Columns first, and the first run is empty ground.
        flat = np.repeat(np.arange(len(counts)) % 2 * 255, counts).astype(np.uint8)
        return np.ascontiguousarray(flat.reshape(shape[1], shape[0]).T)


class PairedClips:
    """Foregrounds with alpha and the backgrounds that they belong over: VideoMatting108.

    Attributes:
        kind: "matting".
        names: of the clips.
    """

    kind: SampleKind = "matting"
    listing, split = "frame_corr.json", "train_videos.txt"

    def __init__(self, root: Path, side_px: int) -> None:
        """List the training clips; larger frames are made smaller when they are read.

        Raises:
            DatasetError: A list is missing, or names a clip without frames.
        """
        self._root, self._side_px = root, side_px
        try:
            pairs: dict[str, str] = json.loads((root / self.listing).read_text(encoding="utf-8"))
            lines = (root / self.split).read_text(encoding="utf-8").split("\n")
        except (OSError, ValueError) as error:
            raise DatasetError(
                f"{root} lacks {self.listing} or {self.split}, or they can't be read: expected "
                "VideoMatting108's lists beside FG_done and BG_done."
            ) from error
        self.names = [line.strip() for line in lines if line.strip()]
        by_clip: dict[str, list[tuple[str, str]]] = {}
        for front, back in sorted(pairs.items()):
            by_clip.setdefault(front.rpartition("/")[0], []).append((front, back))
        lacking = [name for name in self.names if name not in by_clip]
        if lacking or not self.names:
            raise DatasetError(
                f"{root / self.listing} has no frames of {lacking[0] if lacking else 'any clip'}: "
                f"expected those of every clip in {self.split}."
            )
        self._clips = [by_clip[name] for name in self.names]

    def length(self, clip: int) -> int:
        """Return how many frames a clip has."""
        return len(self._clips[clip])

    def read(self, clip: int, frames: Sequence[int], rng: np.random.Generator) -> Footage:
        """Read frames and compose them."""
        images, alphas = [], []
        for at in frames:
            front, back = self._clips[clip][at]
            rgba = read_rgba(self._root / "FG_done" / front)
            ground = self._root / "BG_done" / back
            # The list says .jpg where some backgrounds are .png.
            ground = ground if ground.is_file() else ground.with_suffix(".png")
            rgba = bounded(rgba, self._side_px)
            size = (rgba.shape[1], rgba.shape[0])
            alphas.append(rgba[..., 3])
            images.append(
                composed(rgba[..., :3], rgba[..., 3], resized(read_colours(ground), size))
            )
        return Footage(images, alphas, _opacity(alphas))


class ForegroundClips:
    """Foregrounds and alphas as folders of frames, composed over given backgrounds: VideoMatte240K.

    Attributes:
        kind: "matting".
        names: of the clips.
    """

    kind: SampleKind = "matting"

    def __init__(
        self, colours: Path, alphas: Path, grounds: Sequence[Ground], side_px: int
    ) -> None:
        """List the clips; larger frames are made smaller when they are read.

        Raises:
            DatasetError: There is none, or a clip lacks alphas.
        """
        self._clips = _paired(colours, alphas)
        self._grounds, self._side_px = grounds, side_px
        self.names = [folder.name for folder, _ in self._clips]

    def length(self, clip: int) -> int:
        """Return how many frames a clip has."""
        return len(pictures_in(self._clips[clip][0]))

    def read(self, clip: int, frames: Sequence[int], rng: np.random.Generator) -> Footage:
        """Read frames and compose them over a background that is drawn and moves."""
        folder, alpha_folder = self._clips[clip]
        shown, marks = list(pictures_in(folder).values()), pictures_in(alpha_folder)
        paths = [shown[at] for at in frames]
        colours = [bounded(read_colours(path), self._side_px) for path in paths]
        alphas = [
            bounded(read_plane(_mark(marks, path.stem, alpha_folder)), self._side_px)
            for path in paths
        ]
        ground = self._grounds[int(rng.integers(len(self._grounds)))]
        size = (colours[0].shape[1], colours[0].shape[0])
        below = ground_frames(ground, len(frames), size, rng)
        images = [composed(*each) for each in zip(colours, alphas, below, strict=True)]
        return Footage(images, alphas, _opacity(alphas))


def composed(colours: Bytes, alpha: Bytes, below: Bytes) -> Bytes:
    """Lay straight colours over a background as the sets' own scripts do: in sRGB, rounded.

    Args:
        colours: `H W 3` uint8.
        alpha: `H W` uint8.
        below: `H W 3` uint8.
    """
    share = alpha[..., None].astype(np.float32) / np.float32(255)
    mixed = colours * share + below * (1 - share)
    return np.asarray(np.rint(mixed), np.uint8)


def _opacity(alphas: Sequence[Bytes]) -> SampleOpacity:
    whole = np.concatenate([each.ravel() for each in alphas])
    return opacity_of(whole > 242, whole > 5)


def _paired(images: Path, alphas: Path) -> list[tuple[Path, Path]]:
    found = [
        (folder, alphas / folder.name)
        for folder in sorted(images.iterdir())
        if folder.is_dir() and pictures_in(folder)
    ]
    if not found:
        raise DatasetError(f"No clips in {images}: expected a folder of frames for each.")
    for _, folder in found:
        if not folder.is_dir():
            raise DatasetError(f"Missing {folder}: expected a folder of alphas for each clip.")
    return found


def _mark(marks: dict[str, Path], stem: str, folder: Path) -> Path:
    if stem not in marks:
        raise DatasetError(f"Missing {folder / stem}.png (or another image type): add it.")
    return marks[stem]


def _read_numbers(path: Path) -> Bytes:
    """Read the numbers of a palette picture as they are, without its colours."""
    try:
        with Pictures.open(path) as picture:
            mode, numbers = picture.mode, np.asarray(picture, np.uint8)
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"Can't read {path} as annotations: {reason}.") from error
    if mode not in {"P", "L"}:
        raise DatasetError(f"{path} has mode {mode}: expected a palette picture of object numbers.")
    return numbers


def _draw_number(numbers: Sequence[Bytes], rng: np.random.Generator) -> int:
    """Draw an object: of the first frame if one is there, else of any."""
    for each in numbers:
        counts = np.bincount(each.ravel(), minlength=2)
        counts[0] = 0
        there = np.flatnonzero(counts > LEAST_OBJECT * each.size)
        if len(there):
            return int(rng.choice(there))
    return 255
