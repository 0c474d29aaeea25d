"""Folders of the published matting data sets, read as one list of samples.

Source: the layouts as SDMatte's evaluation expects them, and alphamatting.com's archives.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pullmatte.data.transparent_samples import AIM500_TRANSPARENT
from pullmatte.errors import DatasetError

Opacity = Literal["auto", "opaque", "transparent"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".avif")


@dataclass(frozen=True)
class Sample:
    """One image with its truth.

    Attributes:
        name: unique in its data set; for RefMatte-RW-100 the instance's name.
        image: the picture's file.
        alpha: the true matte's file.
        trimap: the data set's trimap, if it has one.
        opacity: what the data set says of the object; "auto" when it says nothing.
        caption: what the data set calls the object, if it does: SDMatte's published numbers on
            RefMatte-RW-100 were made with it.
    """

    name: str
    image: Path
    alpha: Path
    trimap: Path | None = None
    opacity: Opacity = "auto"
    caption: str | None = None


@dataclass(frozen=True)
class Layout:
    """Where a data set keeps its files, below its root.

    Attributes:
        name: the name that ``--layout`` takes.
        title: the data set's own name.
        folders: the forms in use: folder of images, of alphas, and of trimaps or "".
        opacity: of images that no list names.
        transparent: stems of the images whose object is transparent.
        labels: a JSON file that maps instances to images, or "".
        known_by_trimaps: whether the trimaps' folder tells it from a layout that is alike.
    """

    name: str
    title: str
    folders: tuple[tuple[str, str, str], ...]
    opacity: Opacity = "auto"
    transparent: frozenset[str] = frozenset()
    labels: str = ""
    known_by_trimaps: bool = False


@dataclass(frozen=True)
class Dataset:
    """A data set's samples, in the order of their names.

    Attributes:
        root: the folder given.
        layout: how it is laid out.
        samples: at least one.
        trimaps: the trimaps' folder below the root; "" when there are none.
    """

    root: Path
    layout: Layout
    samples: tuple[Sample, ...]
    trimaps: str = ""

    @property
    def name(self) -> str:
        """The root folder's name."""
        return self.root.resolve().name


LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout(
            name="refmatte-rw100",
            title="RefMatte-RW-100",
            folders=(("image", "mask", ""), ("image_all", "mask", "")),
            opacity="opaque",
            labels="refmatte_rw100_label.json",
        ),
        Layout(
            name="p3m500np",
            title="P3M-500-NP",
            folders=tuple(
                (f"{below}original_image", f"{below}mask", f"{below}trimap")
                for below in ("", "P3M-500-NP/", "validation/P3M-500-NP/")
            ),
            opacity="opaque",
        ),
        Layout(
            name="am2k",
            title="AM-2K",
            folders=(("validation/original", "validation/mask", "validation/trimap"),),
            opacity="opaque",
        ),
        Layout(
            name="aim500",
            title="AIM-500",
            folders=(("original", "mask", "trimap"),),
            opacity="opaque",
            transparent=AIM500_TRANSPARENT,
        ),
        Layout(
            name="alphamatting",
            title="alphamatting.com",
            folders=(
                ("image", "alpha", "trimap1"),
                (
                    "input_training_lowres",
                    "gt_training_lowres",
                    "trimap_training_lowres/Trimap1",
                ),
            ),
            known_by_trimaps=True,
        ),
        Layout(name="plain", title="plain", folders=(("image", "alpha", "trimap"),)),
    )
}


def open_dataset(
    folder: str | Path, layout: str | None = None, trimaps: str | None = None
) -> Dataset:
    """Find a data set's samples and check that each has its files.

    Args:
        folder: the data set's root.
        layout: a key of `LAYOUTS`; None looks which one fits.
        trimaps: the trimaps' folder below the root, in place of the layout's own.

    Returns:
        The data set, with at least one sample.

    Raises:
        DatasetError: the folder fits no layout, or a file is missing.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DatasetError(f"No data set at {root}: give an existing folder.")
    if layout is not None and layout not in LAYOUTS:
        raise DatasetError(f"Unknown layout {layout!r}. Known: {', '.join(LAYOUTS)}.")
    chosen = LAYOUTS[layout] if layout else _detect(root)
    image_folder, alpha_folder, own_trimaps = _folders(root, chosen)
    trimap_folder = _trimap_folder(root, own_trimaps, trimaps)
    images, alphas = _by_stem(root / image_folder), _by_stem(root / alpha_folder)
    masks = _by_stem(root / trimap_folder) if trimap_folder else {}
    named = _labelled(root / chosen.labels) if chosen.labels else ((s, s, None) for s in images)
    samples = tuple(
        Sample(
            name=name,
            image=_find(images, image, root / image_folder),
            alpha=_find(alphas, name, root / alpha_folder),
            trimap=_find(masks, name, root / trimap_folder) if trimap_folder else None,
            opacity="transparent" if image in chosen.transparent else chosen.opacity,
            caption=caption,
        )
        for name, image, caption in sorted(named, key=lambda each: each[:2])
    )
    if not samples:
        raise DatasetError(f"No image in {root / image_folder}: expected {chosen.title}'s images.")
    return Dataset(root, chosen, samples, trimap_folder)


def read_plane(path: Path) -> NDArray[np.uint8]:
    """Read a matte or trimap as 8 bits.

    Args:
        path: a grey picture, or one whose colour channels are equal; 16 bits are rounded to 8.

    Returns:
        uint8 `H W`.

    Raises:
        DatasetError: the file can't be read as such.
    """
    try:
        with Image.open(path) as picture:
            plane = _as_plane(picture)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"Can't read {path} as a matte: {reason}.") from error
    except Image.DecompressionBombError as error:
        raise DatasetError(f"Can't read {path} as a matte: it is too large.") from error
    if plane is None:
        raise DatasetError(f"{path} has colours: expected a grey matte.")
    return plane


def _as_plane(picture: Image.Image) -> NDArray[np.uint8] | None:
    if picture.mode == "F":
        unit = np.clip(np.nan_to_num(np.asarray(picture)), 0, 1)
        rounded: NDArray[np.uint8] = np.floor(unit * 255 + 0.5).astype(np.uint8)
        return rounded
    if picture.mode.startswith("I"):
        wide = np.asarray(picture).astype(np.float64)
        return np.floor(np.clip(wide, 0, 65535) / 257 + 0.5).astype(np.uint8)
    if picture.mode in {"1", "L", "LA"}:
        return np.asarray(picture.convert("LA"))[..., 0]
    channels = np.asarray(picture.convert("RGB"))
    grey = (channels == channels[..., :1]).all()
    return np.ascontiguousarray(channels[..., 0]) if grey else None


def _detect(root: Path) -> Layout:
    """Take the first layout that fits; those with a mark of their own stand first."""
    for layout in LAYOUTS.values():
        found = _existing(root, layout)
        if found and all((root / mark).exists() for mark in _marks(layout, found)):
            return layout
    raise DatasetError(
        f"{root} fits no known layout ({', '.join(LAYOUTS)}): expected at least the folders "
        "image/ and alpha/."
    )


def _marks(layout: Layout, folders: tuple[str, str, str]) -> list[str]:
    """Name what else must be there for a layout to be recognised."""
    return [layout.labels] * bool(layout.labels) + [folders[2]] * layout.known_by_trimaps


def _existing(root: Path, layout: Layout) -> tuple[str, str, str] | None:
    for folders in layout.folders:
        if (root / folders[0]).is_dir() and (root / folders[1]).is_dir():
            return folders
    return None


def _folders(root: Path, layout: Layout) -> tuple[str, str, str]:
    found = _existing(root, layout)
    if found is None:
        images, alphas, _ = layout.folders[0]
        raise DatasetError(
            f"{root} isn't laid out as {layout.title}: expected folders {images}/ and {alphas}/."
        )
    return found


def _trimap_folder(root: Path, own: str, wanted: str | None) -> str:
    if wanted is not None and not (root / wanted).is_dir():
        raise DatasetError(f"No folder of trimaps at {root / wanted}: give one that exists.")
    return wanted or (own if own and (root / own).is_dir() else "")


def _by_stem(folder: Path) -> dict[str, Path]:
    """Index a folder's pictures; hidden and other files are passed over."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if path.stem in found:
            raise DatasetError(
                f"{folder} holds both {found[path.stem].name} and {path.name}: keep one of them."
            )
        found[path.stem] = path
    return found


def _find(files: Mapping[str, Path], stem: str, folder: Path) -> Path:
    if stem not in files:
        raise DatasetError(f"Missing {folder / stem}.png (or another image type): add it.")
    return files[stem]


def _labelled(path: Path) -> Iterator[tuple[str, str, str | None]]:
    """Give each instance's name, its image's stem and its caption: its last expression."""
    try:
        labels: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for name, label in labels.items():
            expressions = list(label.get("expressions", ()))
            caption = str(expressions[-1]) if expressions else None
            yield Path(name).stem, Path(label["image_name"]).stem, caption
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"Can't read {path}: expected JSON of mask name to image_name."
        ) from error
