"""The files of a training set of pictures: listed and paired, not yet read."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures
from PIL import UnidentifiedImageError

from pullmatte.data.layouts import IMAGE_SUFFIXES, read_plane
from pullmatte.data.samples import SampleOpacity
from pullmatte.data.training_sets import Pairs, TrainingSet
from pullmatte.errors import DatasetError

Bytes = NDArray[np.uint8]
LABELS = "refmatte_train_label.json"


@dataclass(frozen=True)
class StillFiles:
    """A picture, or a foreground, and its alpha.

    Attributes:
        name: the set's name and the alpha's stem, to be told in a log.
        image: the file of the picture or of the foreground's colours.
        alpha: the file of its alpha or mask.
        opacity: what the object is.
    """

    name: str
    image: Path
    alpha: Path
    opacity: SampleOpacity = "opaque"


def list_files(root: Path, known: TrainingSet) -> list[StillFiles]:
    """List a set's samples in the order of their names.

    Args:
        root: the set's folder.
        known: the set, of pictures or foregrounds.

    Returns:
        At least one; for pictures of several objects one for each object.

    Raises:
        DatasetError: A folder or a file is missing.
    """
    pairs = find_pairs(root, known)
    listed = {"list": _listed, "labels": _labelled, "instances": _instances}
    by = listed.get(known.pairing, _by_stem)
    found = [
        StillFiles(
            f"{known.name} {name}",
            image,
            alpha,
            "transparent" if image.stem in known.transparent else known.opacity,
        )
        for images, alphas in pairs
        for name, image, alpha in by(root / images, root / alphas)
    ]
    if not found:
        raise DatasetError(f"{root / pairs[0][0]} is empty: expected {known.title}'s pictures.")
    return found


def find_pairs(root: Path, known: TrainingSet) -> Pairs:
    """Find out in which of its forms a set lies below a folder.

    Args:
        root: the set's folder.
        known: the set.

    Raises:
        DatasetError: It fits none; the message names what is missing from the first.
    """
    if not root.is_dir():
        raise DatasetError(f"No folder {root}: give the one that holds {known.title}.")
    for form in known.forms:
        if all((root / part).exists() for pair in form for part in pair):
            return form
    wanted = (part for pair in known.forms[0] for part in pair)
    missing = next(part for part in wanted if not (root / part).exists())
    raise DatasetError(
        f"{root} has no {missing}: {known.title} is expected as {known.expected} below it."
    )


def pictures_in(folder: Path) -> dict[str, Path]:
    """Index a folder's pictures by their stems, in their order; other files are passed over."""
    return {
        path.stem: path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    }


def read_colours(path: Path) -> Bytes:
    """Read a picture's colours, `H W 3` uint8.

    Raises:
        DatasetError: It can't be read.
    """
    try:
        with Pictures.open(path) as picture:
            return np.asarray(picture.convert("RGB"), np.uint8)
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"Can't read {path} as a picture: {reason}.") from error


def read_rgba(path: Path) -> Bytes:
    """Read a foreground with its alpha, `H W 4` uint8, straight.

    Raises:
        DatasetError: It can't be read, or has no alpha.
    """
    try:
        with Pictures.open(path) as picture:
            if "A" not in picture.getbands() and "transparency" not in picture.info:
                raise DatasetError(f"{path} has no alpha channel: expected an RGBA foreground.")
            return np.asarray(picture.convert("RGBA"), np.uint8)
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"Can't read {path} as a foreground: {reason}.") from error


def read_pair(files: StillFiles) -> tuple[Bytes, Bytes]:
    """Read a picture and its alpha, `H W 3` and `H W` uint8.

    Raises:
        DatasetError: One can't be read, or their sizes differ.
    """
    colours, alpha = read_colours(files.image), read_plane(files.alpha)
    if colours.shape[:2] != alpha.shape:
        raise DatasetError(
            f"{files.alpha} is {alpha.shape[1]}x{alpha.shape[0]} pixels and {files.image.name} "
            f"{colours.shape[1]}x{colours.shape[0]}: expected equal sizes."
        )
    return colours, alpha


_Named = Iterator[tuple[str, Path, Path]]


def _by_stem(images: Path, alphas: Path) -> _Named:
    known = pictures_in(alphas)
    for stem, image in pictures_in(images).items():
        yield stem, image, _there(known, stem, alphas)


def _instances(images: Path, alphas: Path) -> _Named:
    """Give each instance of each picture: a folder of alphas is named after the picture."""
    for stem, image in pictures_in(images).items():
        folder = alphas / stem
        found = pictures_in(folder) if folder.is_dir() else {}
        if not found:
            raise DatasetError(f"No alphas in {folder}: expected one for each person in {image}.")
        for name, alpha in found.items():
            yield f"{stem}/{name}", image, alpha


def _labelled(images: Path, alphas: Path) -> _Named:
    """Give each mask with its picture, as the label file says it."""
    path = images.parent / LABELS
    labels: dict[str, Any] = _read_json(path, "JSON of mask name to image_name", dict)
    pictures = pictures_in(images)
    for stem, alpha in pictures_in(alphas).items():
        label = labels.get(stem)
        if not isinstance(label, dict) or "image_name" not in label:
            raise DatasetError(f"{path} says nothing of {alpha.name}: expected its image_name.")
        name = str(label["image_name"])
        shown = Path(name).stem if Path(name).suffix.lower() in IMAGE_SUFFIXES else name
        yield stem, _there(pictures, shown, images), alpha


def _listed(path: Path, _: Path) -> _Named:
    """Give what a JSON list of image_path and alpha_path names, relative to its folder."""
    entries: list[Any] = _read_json(path, "a JSON list of image_path and alpha_path", list)
    for entry in entries:
        try:
            image, alpha = (path.parent / entry[key] for key in ("image_path", "alpha_path"))
        except (KeyError, TypeError) as error:
            raise DatasetError(
                f"{path}: expected every entry to have image_path and alpha_path, not {entry!r}."
            ) from error
        for each in (image, alpha):
            if not each.is_file():
                raise DatasetError(f"Missing {each}, which {path.name} names: add it.")
        yield alpha.stem, image, alpha


def _there(files: Mapping[str, Path], stem: str, folder: Path) -> Path:
    if stem not in files:
        raise DatasetError(f"Missing {folder / stem}.png (or another image type): add it.")
    return files[stem]


def _read_json(path: Path, expected: str, kind: type) -> Any:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"Can't read {path}: expected {expected}.") from error
    if not isinstance(found, kind):
        raise DatasetError(f"Can't use {path}: expected {expected}.")
    return found
