"""The edge of a matte: moved by fractions of a pixel, soft edges and hair kept."""

import numpy as np
import pytest

from pullmatte.jobs.edge import FINE_PX, edited, feathered_alpha, shifted_alpha
from pullmatte.jobs.look import Look
from pullmatte.matte import Matte


def disc(radius, soft=2.0, side=96):
    """A disc off the grid, whose edge takes `soft` pixels."""
    y, x = np.mgrid[:side, :side] - side / 2 + 0.2
    return np.clip(0.5 + (radius - np.hypot(x, y)) / soft, 0, 1).astype(np.float32)


@pytest.mark.parametrize("soft", [1, 2, 6])
@pytest.mark.parametrize("px", [0.3, 1, 2.5, 7, -0.4, -2.5, -7])
def test_shift_moves_the_edge_by_as_much(px, soft):
    alpha = disc(20, soft)
    kept = alpha.copy()
    area = shifted_alpha(alpha, px).sum()
    assert area == pytest.approx(disc(20 + px, soft).sum(), rel=0.01)
    assert np.array_equal(alpha, kept)


def test_shift_keeps_a_soft_edge_soft():
    shifted = shifted_alpha(disc(20, soft=8), 3)
    assert np.abs(shifted - disc(23, soft=8)).max() < 0.04


@pytest.mark.parametrize("px", [0.5, 1, 2.5, 5])
def test_shift_there_and_back_gives_nearly_the_same(px):
    alpha = disc(20, soft=3)
    back = shifted_alpha(shifted_alpha(alpha, px), -px)
    assert np.abs(back - alpha).max() < 0.13
    assert np.abs(back - alpha).mean() < 0.005


def test_shift_is_alike_in_all_directions():
    grown = shifted_alpha(disc(20, side=97), 5)
    y, x = np.nonzero((grown > 0.45) & (grown < 0.55))
    reach = np.hypot(x - 97 / 2 + 0.2, y - 97 / 2 + 0.2)
    assert np.ptp(reach) < 0.5


def strands():
    """Strands two pixels wide with gaps of three, on a body."""
    alpha = np.zeros((80, 80), np.float32)
    alpha[:, :30] = 1
    for row in range(4, 76, 5):
        alpha[row : row + 2, 30:60] = (1, 0.5)[row % 2]
    return alpha


@pytest.mark.parametrize("px", [4, -4])
def test_hair_stays_hair(px):
    alpha = strands()
    shifted = shifted_alpha(alpha, px)
    gentle = shifted_alpha(alpha, np.copysign(FINE_PX, px))
    middle = (slice(20, 60), slice(40, 52))
    assert np.abs(shifted[middle] - gentle[middle]).max() < 0.02
    assert np.ptp(shifted[middle].mean(axis=1)) > 0.2


def test_wide_edges_beside_hair_still_move():
    alpha = strands()
    alpha[:, :10] = 0
    shrunk = shifted_alpha(alpha, -4)
    assert shrunk[40, :13].max() < 0.1
    assert shrunk[40, 15:26].min() > 0.9


def test_object_cut_by_the_border_goes_on_there():
    alpha = np.zeros((40, 40), np.float32)
    alpha[20:] = 1
    shrunk = shifted_alpha(alpha, -3)
    assert np.allclose(shrunk.sum(axis=0), 17, atol=0.3)


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("px", [3, -3, 100])
def test_flat_alphas_stay(level, px):
    alpha = np.full((9, 7), level, np.float32)
    assert np.array_equal(shifted_alpha(alpha, px), alpha)
    assert np.allclose(feathered_alpha(alpha, abs(px)), alpha, atol=1e-6)


@pytest.mark.parametrize("px", [1.5, 6, 15, 40])
def test_feather_is_a_gaussian(px):
    alpha = np.zeros((8, 400), np.float32)
    alpha[:, 200:] = 1
    soft = feathered_alpha(alpha, px)[4]
    slope = np.diff(soft)
    place = np.arange(len(slope)) + 0.5
    mean = (slope * place).sum()
    assert mean == pytest.approx(199.5, abs=0.1)
    assert np.sqrt((slope * (place - mean) ** 2).sum()) == pytest.approx(px, rel=0.03)


def test_edit_takes_colours_and_limit():
    image = np.full((20, 20, 3), 0.5, np.float32)
    alpha = np.zeros((20, 20), np.float32)
    alpha[5:15, 5:15] = 1
    matte = Matte(alpha, image, foreground=image * 0)
    assert edited(matte, Look()) is matte
    assert edited(matte, Look(decontaminate=False)).foreground.max() == 0.5
    grown = edited(matte, Look(shift_px=2), limit=alpha)
    assert grown.foreground.max() == 0
    assert np.array_equal(grown.alpha, alpha)
