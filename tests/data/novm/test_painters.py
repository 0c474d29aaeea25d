"""What the benchmark draws for itself: in range, moving, and whole in its square."""

from itertools import pairwise

import numpy as np
import pytest

from pullmatte.data.cutouts import StoredCutout
from pullmatte.data.novm.backdrops import made_backdrop
from pullmatte.data.novm.matter import explosion, frost, slime
from pullmatte.data.novm.staging import cutout_design, staged
from pullmatte.data.novm.vehicles import vehicle
from pullmatte.data.procedural import KINDS

OWN = [explosion, frost, slime, vehicle]


@pytest.mark.parametrize("design", OWN)
def test_appearance_is_in_range(design):
    for seed in range(3):
        colour, alpha = design(64, np.random.default_rng(seed))(0.2)
        assert colour.shape == (64, 64, 3)
        assert colour.dtype == alpha.dtype == np.float32
        assert 0 <= colour.min() <= colour.max() <= 1
        assert 0 <= alpha.min() <= alpha.max() <= 1
        assert alpha.mean() > 0.01


@pytest.mark.parametrize("design", OWN)
def test_object_repeats_and_moves(design):
    first, second = (design(64, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first(0.1).alpha, second(0.1).alpha)
    assert np.abs(first(0.0).alpha - first(0.8).alpha).max() > 0.05


@pytest.mark.parametrize("design", [explosion, slime])
def test_alpha_has_soft_parts(design):
    alpha = design(96, np.random.default_rng(2))(0.3).alpha
    assert ((alpha > 0.05) & (alpha < 0.9)).mean() > 0.02


def test_explosion_grows_within_its_square():
    paint = explosion(64, np.random.default_rng(0))
    early, late = (paint(time).alpha for time in (0.0, 0.6))
    assert (late > 0.1).sum() > (early > 0.1).sum()
    assert max(late[0].max(), late[:, 0].max(), late[-1].max(), late[:, -1].max()) < 0.02


@pytest.mark.parametrize("name", ["fur", "smoke", "water", "leaves"])
def test_staged_objects_are_not_cut_inside_the_canvas(name):
    looks = list(staged(KINDS[name].design, 3, (96, 64), np.random.default_rng(1)))
    assert {look.alpha.shape for look in looks} == {(64, 96)}
    # A square's edge would be a straight line of steps all across the canvas.
    steps = np.abs(np.diff(looks[0].alpha, axis=0)) > 0.3
    assert steps.mean(1).max() < 0.5


def test_crossing_object_goes_through():
    rng = np.random.default_rng(0)
    looks = list(staged(vehicle, 12, (96, 64), rng, crossing=True))
    places = [float((look.alpha.sum(0) * np.arange(96)).sum() / look.alpha.sum()) for look in looks]
    assert abs(places[-1] - places[0]) > 5


def test_cutout_bends_unless_it_is_stiff():
    rgba = np.zeros((40, 60, 4), np.uint8)
    rgba[5:35, 5:55] = 255
    cutout = StoredCutout(rgba, "thing", "opaque")
    still = cutout_design(cutout, 0.0)(64, np.random.default_rng(0))
    bends = cutout_design(cutout, 0.1)(64, np.random.default_rng(0))
    assert np.abs(still(0.0).alpha - bends(0.0).alpha).max() < 1e-6
    assert np.abs(still(0.5).alpha - bends(0.5).alpha).max() > 0.2


def test_backdrop_moves_smoothly():
    frames = list(made_backdrop(4, (96, 64), np.random.default_rng(0)))
    assert {frame.shape for frame in frames} == {(64, 96, 3)}
    changes = [np.abs(a.astype(int) - b).mean() for a, b in pairwise(frames)]
    assert 0 < max(changes) < 40
