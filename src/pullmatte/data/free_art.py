"""Free art from Debian packages: the cut-outs and backgrounds that nano is trained on.

Packages are fetched by name with apt-get, unpacked without being installed, and sifted by rules
that stand here. So the whole training set is made again from this table, and each file's package,
version, path and licence are written beside it.
"""

import csv
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from glob import escape
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures
from PIL import UnidentifiedImageError

from pullmatte.errors import DatasetError

Bytes = NDArray[np.uint8]
Use = Literal["cutouts", "backgrounds"]
LEAST_PX = 64
CUTOUT_PX = 640
BACKGROUND_PX = 1280
EMPTY_SHARE = (0.03, 0.98)
"""A cut-out has so much of nothing round it; less is a picture, more is hardly there."""
_PART_SHARE = 0.02
_COLUMNS = ("file", "package", "version", "path", "licence", "use")


@dataclass(frozen=True)
class Package:
    """What is taken of a Debian package.

    Attributes:
        name: The package's.
        kind: The folder that its pictures come into.
        licence: As its copyright file states it.
        wanted: Patterns of paths that are taken.
        unwanted: Patterns of paths that are not.
        use: As cut-outs, which need an alpha channel, or as backgrounds.
        sheets: Whether a picture shows several things side by side, which are taken apart.
    """

    name: str
    kind: str
    licence: str
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...] = ()
    use: Use = "cutouts"
    sheets: bool = False


_CLIPART = "*/openclipart/png/{}/*.png"
PACKAGES: tuple[Package, ...] = (
    Package(
        "tuxpaint-stamps-default",
        "tuxpaint",
        "GPL-2",
        ("*/stamps/*.png",),
        ("*/symbols/alphabets/*", "*/symbols/m*", "*/symbols/shapes/*", "*cartoon*"),
    ),
    Package(
        "wesnoth-1.16-data",
        "portraits",
        "GPL-2+",
        ("*/portraits/*.png", "*/portraits/*.webp"),
    ),
    Package(
        "openclipart-png",
        "clipart",
        "public domain",
        tuple(
            _CLIPART.format(each)
            for each in (
                *("animals/*", "food/*", "people/*", "plants/*", "tools/*", "transportation/*"),
                *("recreation/toys", "recreation/music", "recreation/sports", "household/*"),
                "buildings/*",
            )
        ),
        ("*symbols*", "*roadsigns*", "*stickmen*", "*smilies*", "*aiga*"),
    ),
    Package(
        "flightgear-data-base",
        "trees",
        "GPL-2+",
        ("*/Textures/Trees/*.png", "*/Models/Trees/*.png"),
        sheets=True,
    ),
    Package(
        "supertuxkart-data",
        "kart_plants",
        "CC-BY-SA and GPL, by file",
        ("*/library/*/*.png", "*/textures/*plant*.png", "*/textures/*tree*.png"),
    ),
    Package("stellarium-data", "skyline", "GPL-2+", ("*/landscapes/*/*.png",)),
    Package(
        "endless-sky-data",
        "land",
        "public domain, CC0, CC-BY, CC-BY-SA, by file",
        ("*/images/land/*.jpg",),
        use="backgrounds",
    ),
    Package(
        "mate-backgrounds",
        "wallpapers",
        "CC-BY-SA",
        ("*/backgrounds/mate/nature/*.jpg",),
        use="backgrounds",
    ),
    Package(
        "lomiri-wallpapers-16.04",
        "wallpapers",
        "CC-BY-SA-3.0 and 4.0",
        ("*.jpg", "*.png"),
        use="backgrounds",
    ),
    Package(
        "lomiri-wallpapers-20.04",
        "wallpapers",
        "CC-BY-SA-4.0",
        ("*.jpg", "*.png"),
        use="backgrounds",
    ),
    Package(
        "plasma-workspace-wallpapers",
        "wallpapers",
        "CC-BY-SA-4.0 and LGPL-3, by file",
        ("*/images/*0x*.jpg",),
        use="backgrounds",
    ),
)
"""All that is fetched, unless a choice is made."""


@dataclass(frozen=True)
class Origin:
    """Where a picture of the set comes from.

    Attributes:
        file: Below the set's folder.
        package: Debian's name of its package.
        version: The package's.
        path: In the package.
        licence: The package's.
        use: What it is for.
    """

    file: str
    package: str
    version: str
    path: str
    licence: str
    use: str


def fetch_art(
    folder: Path,
    packages: Sequence[Package] = PACKAGES,
    *,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Origin]:
    """Fetch packages and sift them into a folder.

    Args:
        folder: Gets ``cutouts/KIND``, ``backgrounds/KIND`` and ``SOURCES.csv``; made if it isn't
            there.
        packages: Which.
        tell: Is told what goes on, a line at a time.

    Raises:
        DatasetError: If this machine has no apt-get or dpkg, or a package can't be had.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise DatasetError(f"no {tool} here: free art is fetched on Debian and its kin alone")
    folder.mkdir(parents=True, exist_ok=True)
    origins: list[Origin] = []
    seen: set[str] = set()
    for package in packages:
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            version = unpack(package.name, place)
            found = list(sift(place / "files", package, folder, version, seen))
        tell(f"{package.name} {version}: {len(found)} {package.use}")
        origins += found
    write_sources(folder / "SOURCES.csv", origins)
    return origins


def unpack(package: str, place: Path) -> str:
    """Fetch a package into a folder and unpack it to ``files`` there; return its version.

    Raises:
        DatasetError: If it can't be had.
    """
    done = subprocess.run(
        ["apt-get", "download", "-qq", package], cwd=place, capture_output=True, text=True
    )
    archives = sorted(place.glob("*.deb"))
    if done.returncode or not archives:
        said = " ".join(done.stderr.split()) or "nothing came"
        raise DatasetError(
            f"package {package!r} can't be fetched: {said[:200]}; run 'apt-get update' first"
        )
    subprocess.run(["dpkg-deb", "-x", archives[0].name, "files"], cwd=place, check=True)
    # name_version_architecture.deb, with the epoch's colon encoded.
    return archives[0].name.split("_")[1].replace("%3a", ":")


def sift(
    files: Path, package: Package, folder: Path, version: str, seen: set[str]
) -> Iterator[Origin]:
    """Take what is of use of an unpacked package.

    Args:
        files: The unpacked package.
        package: What is taken.
        folder: The set's.
        version: The package's.
        seen: Digests of pictures that the set has; added to.
    """
    target = folder / package.use / package.kind
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(files.rglob("*")):
        shown = path.relative_to(files).as_posix()
        if not path.is_file() or not _is_wanted("/" + shown, package):
            continue
        for part, picture in enumerate(_pictures(path, package)):
            digest = hashlib.sha256(picture.tobytes()).hexdigest()
            if digest in seen:
                continue
            seen.add(digest)
            suffix = ".webp" if package.use == "cutouts" else ".jpg"
            name = path.stem[:60] + (f"_{part}" if package.sheets else "")
            # Numbers tell namesakes apart: `held_out` keeps them on the same side.
            taken = sum(1 for _ in target.glob(f"{escape(name)}*{suffix}"))
            name += f"_{taken + 1}" if (target / f"{name}{suffix}").exists() else ""
            file = target / f"{name}{suffix}"
            if package.use == "cutouts":
                Pictures.fromarray(picture).save(file, lossless=True, exact=True, method=0)
            else:
                Pictures.fromarray(picture).save(file, quality=92)
            yield Origin(
                file.relative_to(folder).as_posix(),
                package.name,
                version,
                shown,
                package.licence,
                package.use,
            )


def write_sources(path: Path, origins: Sequence[Origin]) -> None:
    """Write where each file comes from, as CSV."""
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows([getattr(each, name) for name in _COLUMNS] for each in origins)
    part.replace(path)


def _is_wanted(path: str, package: Package) -> bool:
    return any(fnmatch(path, each) for each in package.wanted) and not any(
        fnmatch(path, each) for each in package.unwanted
    )


def _pictures(path: Path, package: Package) -> Iterator[Bytes]:
    """Yield what a file shows that is of use, small enough."""
    mode = "RGBA" if package.use == "cutouts" else "RGB"
    most = CUTOUT_PX if package.use == "cutouts" else BACKGROUND_PX
    try:
        with Pictures.open(path) as picture:
            if picture.width * picture.height > 60_000_000:
                return
            alpha = "A" in picture.getbands() or "transparency" in picture.info
            if package.use == "cutouts" and not alpha:
                return
            pixels = np.asarray(picture.convert(mode), np.uint8)
    except (OSError, UnidentifiedImageError, Pictures.DecompressionBombError):
        return
    parts = _taken_apart(pixels) if package.sheets else [pixels]
    for part in parts:
        if package.use == "cutouts":
            part = _cropped(part)
            empty = float((part[..., 3] < 6).mean()) if part.size else 1.0
            if not EMPTY_SHARE[0] <= empty <= EMPTY_SHARE[1]:
                continue
        if min(part.shape[:2]) >= LEAST_PX:
            yield np.ascontiguousarray(_fitted(part, most))


def _cropped(rgba: Bytes) -> Bytes:
    left, top, width, height = cv2.boundingRect((rgba[..., 3] > 5).astype(np.uint8))
    # A rim of nothing tells a whole object from one that was cut.
    rows = slice(max(0, top - 2), top + height + 2)
    return rgba[rows, max(0, left - 2) : left + width + 2]


def _taken_apart(rgba: Bytes) -> list[Bytes]:
    """Cut a sheet into the things on it: what hangs together, gaps of 2 % bridged."""
    there = (rgba[..., 3] > 20).astype(np.uint8)
    reach = max(3, round(0.02 * max(there.shape)))
    joined = cv2.dilate(there, np.ones((reach, reach), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined)
    parts = []
    for at in range(1, count):
        if stats[at, cv2.CC_STAT_AREA] < _PART_SHARE * labels.size:
            continue
        part = rgba.copy()
        part[labels != at] = 0
        parts.append(part)
    return parts


def _fitted(pixels: Bytes, most: int) -> Bytes:
    height, width = pixels.shape[:2]
    scale = most / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if pixels.shape[2] == 3:
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    alpha = pixels[..., 3:].astype(np.float32) / 255
    whole = np.dstack([pixels[..., :3] * alpha, alpha])
    small = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    straight = small[..., :3] / np.maximum(small[..., 3:], 1 / 1024)
    return np.clip(np.rint(np.dstack([straight, small[..., 3] * 255])), 0, 255).astype(np.uint8)
