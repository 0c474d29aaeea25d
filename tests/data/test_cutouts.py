"""Folders of cut-outs and backgrounds."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pullmatte.data.cutouts import extended, opacity_of, read_backgrounds, read_cutouts
from pullmatte.errors import DatasetError


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def disc(size: int = 40) -> np.ndarray:
    """A red disc; under alpha 0 the colour is green, as undefined colours may be."""
    rows, columns = np.mgrid[:size, :size] - size / 2
    inside = (rows**2 + columns**2 < (size / 3) ** 2)[..., None]
    return np.where(inside, (200, 30, 30, 255), (0, 255, 0, 0)).astype(np.uint8)


def test_cutouts_are_cropped_and_know_their_kind(tmp_path: Path) -> None:
    write(tmp_path / "toys" / "disc.png", disc())
    (found,) = read_cutouts(tmp_path)
    assert (found.kind, found.opacity) == ("toys", "opaque")
    assert max(found.rgba.shape[:2]) < 30
    assert found.rgba[..., 3].max() == 255


def test_colour_goes_on_under_alpha_zero() -> None:
    found = extended(disc())
    assert np.abs(found[0, 0, :3].astype(int) - (200, 30, 30)).max() <= 2
    assert (found[..., 3] == disc()[..., 3]).all()


def test_large_cutouts_shrink_without_a_rim_of_hidden_colour(tmp_path: Path) -> None:
    write(tmp_path / "a.png", disc(200))
    (found,) = read_cutouts(tmp_path, side_px=50)
    seen = found.rgba[found.rgba[..., 3] > 10]
    assert max(found.rgba.shape[:2]) <= 50
    assert seen[:, 1].max() < 60


def test_smoke_is_transparent() -> None:
    alpha = np.full((20, 20), 0.4)
    assert opacity_of(alpha > 0.95, alpha > 0.02) == "transparent"


def test_picture_without_alpha_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.png", disc()[..., :3])
    with pytest.raises(DatasetError, match="no alpha channel"):
        read_cutouts(tmp_path)


def test_empty_and_missing_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no pictures in it"):
        read_backgrounds(tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        read_backgrounds(tmp_path / "none")


def test_unreadable_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"broken\.png: can't be read"):
        read_backgrounds(tmp_path)
