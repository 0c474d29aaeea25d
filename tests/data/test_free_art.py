"""Free art: what is taken of a package."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pullmatte.data.free_art import (
    PACKAGES,
    Origin,
    Package,
    fetch_art,
    sift,
    unpack,
    write_sources,
)
from pullmatte.errors import DatasetError

CUTOUTS = Package("stamps", "toys", "GPL-2", ("*/stamps/*.png",), ("*cartoon*",))


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def disc(size: int = 100, colour: int = 200) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size] - size / 2
    inside = np.hypot(rows, columns) < 0.4 * size
    rgba = np.full((size, size, 4), colour, np.uint8)
    rgba[..., 3] = inside * 255
    return rgba


def taken(tmp_path: Path, package: Package = CUTOUTS) -> list[Origin]:
    return list(sift(tmp_path / "files", package, tmp_path / "set", "1.0", set()))


def test_wanted_cutouts_are_taken_once_and_cropped(tmp_path: Path) -> None:
    write(tmp_path / "files/usr/stamps/ball.png", disc())
    write(tmp_path / "files/usr/stamps/again.png", disc())
    write(tmp_path / "files/usr/stamps/cartoon/duck.png", disc(colour=90))
    write(tmp_path / "files/usr/other/cup.png", disc(colour=70))
    (origin,) = taken(tmp_path)
    assert origin.package == "stamps"
    assert origin.path == "usr/stamps/again.png"
    with Image.open(tmp_path / "set" / origin.file) as picture:
        found = np.asarray(picture)
    assert found.shape[0] < 90
    assert found[..., 3].max() == 255


def test_pictures_without_alpha_or_edge_are_left(tmp_path: Path) -> None:
    write(tmp_path / "files/usr/stamps/flat.png", disc()[..., :3])
    full = disc()
    full[..., 3] = 255
    write(tmp_path / "files/usr/stamps/full.png", full)
    write(tmp_path / "files/usr/stamps/small.png", disc(40))
    (tmp_path / "files/usr/stamps/broken.png").write_bytes(b"nothing")
    assert taken(tmp_path) == []


def test_sheets_are_taken_apart(tmp_path: Path) -> None:
    write(tmp_path / "files/usr/stamps/two.png", np.hstack([disc(), disc(colour=80)]))
    sheet = Package("stamps", "trees", "GPL-2", ("*.png",), sheets=True)
    assert len(taken(tmp_path, sheet)) == 2


def test_large_backgrounds_are_made_smaller(tmp_path: Path) -> None:
    write(tmp_path / "files/a.png", np.zeros((200, 2000, 3), np.uint8))
    (origin,) = taken(tmp_path, Package("land", "land", "CC0", ("*.png",), use="backgrounds"))
    with Image.open(tmp_path / "set" / origin.file) as found:
        assert found.size == (1280, 128)


def test_sources_name_every_file(tmp_path: Path) -> None:
    origin = Origin("a.webp", "stamps", "1.0", "usr/a.png", "GPL-2", "cutouts")
    write_sources(tmp_path / "SOURCES.csv", [origin])
    lines = (tmp_path / "SOURCES.csv").read_text(encoding="utf-8").splitlines()
    (row,) = csv.DictReader(lines)
    assert (row["file"], row["licence"]) == ("a.webp", "GPL-2")


def test_every_package_states_a_licence_and_what_it_gives() -> None:
    assert len({each.name for each in PACKAGES}) == len(PACKAGES)
    assert all(each.licence and each.wanted for each in PACKAGES)


def test_unknown_package_is_one_clear_line(tmp_path: Path) -> None:
    if shutil.which("apt-get") is None:
        with pytest.raises(DatasetError, match="no apt-get here"):
            fetch_art(tmp_path)
        return
    with pytest.raises(DatasetError, match="can't be fetched"):
        unpack("no-such-package-anywhere", tmp_path)
