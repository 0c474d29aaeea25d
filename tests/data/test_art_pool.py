"""The training set in memory."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pullmatte.data.art_pool import fine_scenes, moving_scenes, read_art, scenes
from pullmatte.data.held_out import is_held_out
from pullmatte.data.moving_scenes import ClipSettings
from pullmatte.data.scenes import SceneSettings
from pullmatte.errors import DatasetError

NAMES = [f"thing{letter * 2}" for letter in "abcdefghijklmnopqrst"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("art")
    for part in ("cutouts/tuxpaint", "backgrounds/land"):
        (place / part).mkdir(parents=True)
    rgba = np.zeros((20, 20, 4), np.uint8)
    rgba[3:17, 3:17] = (200, 100, 0, 255)
    for name in NAMES:
        Image.fromarray(rgba).save(place / "cutouts/tuxpaint" / f"{name}.png")
        Image.fromarray(rgba[..., :3]).save(place / "backgrounds/land" / f"{name}.png")
    return place


def test_what_is_held_out_is_left_alone(folder: Path) -> None:
    kept = [name for name in NAMES if not is_held_out(f"tuxpaint/{name}.png")]
    art = read_art(folder)
    assert len(art.cutouts) == len(art.backgrounds) == len(kept)
    assert 0 < len(kept) < len(NAMES)


def test_pools_compose_scenes_and_clips(folder: Path) -> None:
    art, settings = read_art(folder), SceneSettings(size_px=64)
    for source in (scenes(art, settings), fine_scenes(art, settings)):
        assert source.sample(1).image.shape == (64, 64, 3)
    clip = moving_scenes(art, ClipSettings(frames=2, scenes=settings)).clip(1)
    assert clip.alphas.shape == (2, 64, 64)


def test_missing_folder_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="pullmatte data art"):
        read_art(tmp_path)
