"""Composed scenes and clips."""

from dataclasses import replace

import numpy as np
import pytest

from pullmatte.data.cutouts import StoredCutout
from pullmatte.data.moving_scenes import ClipScenes, ClipSettings
from pullmatte.data.scenes import SceneSettings, SceneSource, placement, procedural_makers
from pullmatte.errors import DatasetError, PullmatteError

SETTINGS = SceneSettings(size_px=64, seed=3)


def cutouts() -> list[StoredCutout]:
    rgba = np.zeros((40, 30, 4), np.uint8)
    rgba[..., 0] = 220
    rgba[5:35, 5:25, 3] = 255
    return [StoredCutout(rgba, "box", "opaque")]


def grounds() -> list[np.ndarray]:
    return [np.random.default_rng(0).integers(0, 255, (90, 120, 3)).astype(np.uint8)]


def source(settings: SceneSettings = SETTINGS) -> SceneSource:
    return SceneSource(cutouts(), grounds(), settings)


def test_a_number_gives_the_same_scene_each_time() -> None:
    first, again, other = (source().sample(number) for number in (5, 5, 6))
    assert (first.image == again.image).all()
    assert (first.alpha == again.alpha).all()
    assert not (first.image == other.image).all()


def test_scenes_are_in_range_and_show_their_object() -> None:
    for number in range(12):
        sample = source(replace(SETTINGS, absent_chance=0)).sample(number)
        assert sample.image.shape == (64, 64, 3)
        assert sample.image.dtype == sample.alpha.dtype == np.float32
        assert 0 <= sample.image.min() <= sample.image.max() <= 1
        assert 0 <= sample.alpha.min() <= sample.alpha.max() <= 1 + 1e-6
        assert sample.alpha.any()


def test_absent_objects_have_no_alpha() -> None:
    sample = source(replace(SETTINGS, absent_chance=1)).sample(1)
    assert not sample.alpha.any()


def test_made_objects_are_used() -> None:
    calls = []

    def maker(rng: np.random.Generator) -> StoredCutout:
        calls.append(1)
        return cutouts()[0]

    made = SceneSource(cutouts(), grounds(), replace(SETTINGS, made_chance=1.0), makers=[maker])
    made.sample(0)
    assert calls


def test_some_objects_are_cut_by_the_edge_and_some_are_whole() -> None:
    rng = np.random.default_rng(0)
    cut = []
    for _ in range(200):
        matrix = placement((40, 30), 64, rng, (0.3, 1.5), 0.3)
        corners = matrix @ np.array([[0, 30, 0, 30], [0, 0, 40, 40], [1, 1, 1, 1]])
        cut.append(bool((corners < -1).any() or (corners > 65).any()))
    assert 0.2 < np.mean(cut) < 0.95


@pytest.mark.parametrize("frames", [2, 5])
def test_clips_move_smoothly_and_repeat(frames: int) -> None:
    settings = ClipSettings(frames=frames, scenes=replace(SETTINGS, scale=(0.5, 0.9)))
    clips = ClipScenes(cutouts(), grounds(), settings)
    first, again, other = clips.clip(2), clips.clip(2), clips.clip(3)
    assert first.images.shape == (frames, 64, 64, 3)
    assert (first.alphas == again.alphas).all()
    step = np.abs(first.alphas[1] - first.alphas[0]).mean()
    assert step < np.abs(first.alphas[0] - other.alphas[0]).mean()


def test_objects_of_clips_do_move() -> None:
    clips = ClipScenes(cutouts(), grounds(), ClipSettings(scenes=SETTINGS, reach=0.3))
    moved = [np.abs(np.diff(clips.clip(n).alphas, axis=0)).max() for n in range(6)]
    assert max(moved) > 0.5


def test_nothing_to_compose_is_told() -> None:
    with pytest.raises(DatasetError, match="0 cut-outs, 0 makers and 1 backgrounds"):
        SceneSource([], grounds(), SETTINGS)


def test_scenes_can_be_made_of_procedural_things_alone() -> None:
    makers = procedural_makers(["toy", "cushion"], 40, 64)
    made = SceneSource([], grounds(), SETTINGS, makers=makers)
    assert {made.sample(n).name.split()[0] for n in range(12)} == {"toy", "cushion"}


def test_unknown_kind_is_told_at_once() -> None:
    with pytest.raises(PullmatteError, match="no-such"):
        procedural_makers(["no-such"], 40, 64)
