"""Blur treats colour, premultiplied, and alpha alike."""

import numpy as np
import pytest

from pullmatte.data.procedural import defocused, make, motion_blurred
from pullmatte.data.samples import Cutout


@pytest.fixture
def square():
    """A red square of 24 pixels in the middle of 64, green under alpha 0."""
    alpha = np.zeros((64, 64), np.float32)
    alpha[20:44, 20:44] = 1
    colour = np.zeros((64, 64, 3), np.float32)
    colour[...] = (0, 1, 0)
    colour[20:44, 20:44] = (1, 0, 0)
    return Cutout(colour, alpha, "square")


def test_motion_smears_along_its_path_only(square):
    blurred = motion_blurred(square, (16.0, 0.0))
    assert np.allclose(blurred.alpha[32, [8, 20, 32, 44, 56]], [0, 0.5, 1, 0.5, 0], atol=0.06)
    assert np.allclose(blurred.alpha[:19], 0, atol=1e-3)


def test_motion_keeps_the_middle_and_the_mass(square):
    blurred = motion_blurred(square, (9.0, -6.0))
    rows, columns = np.mgrid[:64, :64]
    assert blurred.alpha.sum() == pytest.approx(square.alpha.sum(), rel=1e-3)
    assert (blurred.alpha * columns).sum() / blurred.alpha.sum() == pytest.approx(31.5, abs=0.05)
    assert (blurred.alpha * rows).sum() / blurred.alpha.sum() == pytest.approx(31.5, abs=0.05)


def test_turning_blurs_the_rim_and_not_the_middle(square):
    alpha = motion_blurred(square, (0.0, 0.0), turn=0.5).alpha
    assert alpha[32, 32] == pytest.approx(1, abs=1e-3)
    assert 0.2 < alpha[20, 20] < 0.9


@pytest.mark.parametrize("blur", [lambda c: defocused(c, 5.0), lambda c: motion_blurred(c, (9, 4))])
def test_hidden_colour_does_not_bleed_in(square, blur):
    blurred = blur(square)
    seen = blurred.alpha > 0.02
    assert blurred.colour[seen][:, 1].max() < 0.01
    assert blurred.colour[seen][:, 0].min() > 0.9


def test_defocus_spreads_a_point_over_a_disc():
    alpha = np.zeros((41, 41), np.float32)
    alpha[20, 20] = 1
    blurred = defocused(Cutout(np.ones((41, 41, 3), np.float32), alpha, "point"), 6.0).alpha
    assert blurred.sum() == pytest.approx(1, rel=1e-3)
    assert blurred[20, 20] == pytest.approx(blurred[20, 25], rel=1e-3)
    assert blurred[20, 28] < 1e-6


def test_no_blur_changes_next_to_nothing(square):
    for same in (defocused(square, 0.0), motion_blurred(square, (0.0, 0.0))):
        assert np.allclose(same.alpha, square.alpha, atol=1e-4)
        assert np.allclose(same.colour[20:44, 20:44], square.colour[20:44, 20:44], atol=0.01)


def test_given_cutout_is_left_alone_and_its_kind_is_kept(square):
    before = square.alpha.copy()
    assert defocused(square, 3.0).kind == "square"
    assert np.array_equal(square.alpha, before)


def test_object_at_the_edge_does_not_fade_there():
    cutout = make("cushion", 96, np.random.default_rng(0))
    full = Cutout(cutout.colour, np.ones_like(cutout.alpha), "full")
    assert defocused(full, 4.0).alpha.min() > 0.999
    assert motion_blurred(full, (12.0, 3.0)).alpha.min() > 0.999
