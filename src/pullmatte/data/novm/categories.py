"""The ten categories of NOVM, and what stands for each without any footage.

Source: MAM2, table 9, for the categories; its counts differ, ours are five for each.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pullmatte.data.cutouts import SOLID, StoredCutout, extended, opacity_of
from pullmatte.data.held_out import is_held_out
from pullmatte.data.novm.matter import explosion, frost, slime
from pullmatte.data.novm.staging import Design, cutout_design
from pullmatte.data.novm.vehicles import vehicle
from pullmatte.data.procedural import KINDS
from pullmatte.data.procedural.layer import Appearance, Painter
from pullmatte.data.samples import SampleOpacity
from pullmatte.data.set_files import pictures_in, read_rgba
from pullmatte.errors import DatasetError

CLIPS_PER_CATEGORY = 5
CUTOUTS_PER_CATEGORY = 3
SLOW = {"water": 0.35, "sparks": 0.35}
OWN = "made by pullmatte, Apache-2.0"
UNKNOWN = "as stated by the folder's owner"
WORDS = {
    "animals": ("animals_",),
    "plant": ("plant", "tree", "bush", "fern", "flower", "grass"),
    "vehicles": ("vehicles_",),
}
"""Cut-outs belong to a category if their path has one of these in it."""


@dataclass(frozen=True, eq=False)
class Object:
    """What a clip of the benchmark shows.

    Attributes:
        design: draws it.
        source: what it is, to be told.
        licence: of its pixels.
        opacity: what it is like.
        crossing: whether it goes through the picture.
        filling: whether it is shown large.
        speed: of its own time; what flies off is shown slowly.
    """

    design: Design
    source: str
    licence: str = OWN
    opacity: SampleOpacity = "opaque"
    crossing: bool = False
    filling: bool = False
    speed: float = 1.0


def _kind(name: str, *, filling: bool = False) -> Object:
    known = KINDS[name]
    return Object(
        known.design,
        f"procedural {name}",
        opacity=known.opacity,
        filling=filling,
        speed=SLOW.get(name, 1.0),
    )


def _white(name: str, *, filling: bool = False) -> Object:
    """Return smoke in the colours of clouds."""

    def design(size_px: int, generator: np.random.Generator) -> Painter:
        painter = KINDS[name].design(size_px, generator)
        share = float(generator.uniform(0.5, 0.8))

        def paint(time: float) -> Appearance:
            colour, alpha = painter(time)
            grey = colour.mean(-1, keepdims=True)
            return Appearance(np.float32(share) + np.float32(1 - share) * grey + 0 * colour, alpha)

        return paint

    return Object(design, f"procedural {name}, white", opacity="transparent", filling=filling)


_EXPLOSION = Object(explosion, "procedural explosion", opacity="transparent")
_FROST = Object(frost, "procedural frost", opacity="transparent", filling=True)
_SLIME = Object(slime, "procedural slime")
_VEHICLE = Object(vehicle, "procedural vehicle", crossing=True)

CATEGORIES: dict[str, tuple[Object, ...]] = {
    "animals": (*map(_kind, ("fur", "fur", "doll", "fur")), _kind("fur", filling=True)),
    "bubble": (*[_kind("bubbles")] * 4, _kind("bubbles", filling=True)),
    "cloud": (
        *map(_white, ("smoke", "smoke", "wisps")),
        *[_white("smoke", filling=True)] * 2,
    ),
    "explosion": (_EXPLOSION,) * 5,
    "fire": (*map(_kind, ("fire", "sparks", "fire", "fire")), _kind("fire", filling=True)),
    "frost": (_FROST,) * 5,
    "plant": (*map(_kind, ("leaves", "grass", "seedhead", "leaves")), _kind("grass", filling=True)),
    "slime": (_SLIME,) * 5,
    "vehicles": (_VEHICLE,) * 5,
    "water": (*[_kind("water")] * 3, *[_kind("water", filling=True)] * 2),
}


def objects_of(category: str, cutouts: Path | None) -> list[Object]:
    """Return the objects of a category's clips.

    Args:
        category: a key of `CATEGORIES`.
        cutouts: a folder of RGBA pictures; held-out ones whose path names the category stand in
            for the first procedural objects.

    Raises:
        DatasetError: There is no such folder, or a picture in it can't be read.
    """
    found = list(CATEGORIES[category])
    for at, path in enumerate(_held_out(cutouts, WORDS.get(category, ()))[:CUTOUTS_PER_CATEGORY]):
        found[at] = _cut_out(path, category, licence_of(path))
    return found


def licence_of(path: Path) -> str:
    """Look a file's licence up in the `SOURCES.csv` of its folder or of one above.

    Args:
        path: the file; the list's column `file` gives paths from where the list is.
    """
    for folder in list(path.resolve().parents)[:6]:
        listing = folder / "SOURCES.csv"
        if listing.is_file():
            wanted = path.resolve().relative_to(folder).as_posix()
            with listing.open(encoding="utf-8", newline="") as rows:
                for row in csv.DictReader(rows):
                    if row.get("file") == wanted:
                        return row.get("licence") or UNKNOWN
            break
    return UNKNOWN


def _held_out(folder: Path | None, words: tuple[str, ...]) -> list[Path]:
    """List held-out cut-outs of some words, one for each family of names."""
    if folder is None:
        return []
    if not folder.is_dir():
        raise DatasetError(f"No folder {folder}: give one with RGBA cut-outs in it.")
    folders = [folder, *sorted(each for each in folder.rglob("*") if each.is_dir())]
    paths = [path for each in folders for path in pictures_in(each).values()]
    fitting = [
        path
        for path in paths
        if any(word in path.relative_to(folder).as_posix().lower() for word in words)
        and is_held_out(path.relative_to(folder))
    ]
    # Neighbours in a list are often alike; from all over it they aren't.
    step = max(1, len(fitting) // CUTOUTS_PER_CATEGORY)
    return fitting[::step]


def _cut_out(path: Path, category: str, licence: str) -> Object:
    rgba = read_rgba(path)
    left, top, width, height = cv2.boundingRect((rgba[..., 3] > 2).astype(np.uint8))
    if min(width, height) < 8:
        raise DatasetError(f"{path} is empty: expected a cut-out with something in it.")
    rgba = extended(np.ascontiguousarray(rgba[top : top + height, left : left + width]))
    opacity = opacity_of(rgba[..., 3] > SOLID * 255, rgba[..., 3] > 5)
    stiff = category == "vehicles"
    design = cutout_design(StoredCutout(rgba, category, opacity), 0.0 if stiff else 0.025)
    return Object(design, f"cut-out {path.name}", licence, opacity, crossing=stiff)
