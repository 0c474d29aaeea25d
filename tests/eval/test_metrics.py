"""Metrics against literal formulations with scipy's labelling, and the degenerate cases."""

import math

import numpy as np
import pytest
from scipy import ndimage

from pullmatte.errors import PullmatteError
from pullmatte.eval import metrics
from pullmatte.eval.connectivity import DIM, DIM_BY_ROWS, GCA

SIZES = [(1, 1), (1, 12), (3, 2), (8, 5), (17, 23)]


def random_pair(shape, seed, levels=6):
    rng = np.random.default_rng(seed)
    pair = rng.integers(0, levels + 1, (2, *shape)) / levels
    pair[rng.random((2, *shape)) < 0.2] = 0.0
    return tuple((np.round(pair * 255) / 255).astype(np.float32))


def literal_connectivity(prediction, truth, background, order):
    thresholds = np.arange(0, 1.1, 0.1)
    last = -np.ones(truth.shape)
    for step in range(1, 11):
        both = (prediction >= thresholds[step]) & (truth >= thresholds[step])
        labels = ndimage.label(both if order == "rows" else both.T)[0]
        sizes = np.bincount(labels.ravel())
        sizes[0] *= background
        omega = (labels == np.argmax(sizes)) & bool(sizes.max() > 0)
        omega = omega if order == "rows" else omega.T
        last[(last == -1) & ~omega] = thresholds[step - 1]
    last[last == -1] = 1
    distances = [alpha - last for alpha in (prediction, truth)]
    phi = [1 - distance * (distance >= 0.15) for distance in distances]
    return np.abs(phi[0] - phi[1]).sum() / 1000


def literal_gradient(alpha):
    v, u = np.mgrid[-4:5, -4:5].astype(float)
    kernel = u * np.exp(-(u**2 + v**2) / (2 * 1.4**2))
    kernel /= np.sqrt((kernel**2).sum())
    padded = np.pad(alpha.astype(float), 4, mode="edge")
    along_x = ndimage.convolve(padded, kernel)[4:-4, 4:-4]
    along_y = ndimage.convolve(padded, kernel.T)[4:-4, 4:-4]
    return np.hypot(along_x, along_y)


@pytest.mark.parametrize("form", [GCA, DIM, DIM_BY_ROWS])
@pytest.mark.parametrize("shape", SIZES)
def test_connectivity_equals_the_literal_form(shape, form):
    for seed in range(20):
        pair = random_pair(shape, seed)
        expected = literal_connectivity(*pair, form.background, form.ties)
        assert metrics.connectivity_error(*pair, form=form) == pytest.approx(expected, abs=1e-9)


def test_connectivity_ties_follow_the_order():
    truth = np.zeros((5, 5), np.float32)
    truth[0, 4] = truth[4, 0] = 1.0
    prediction = truth.copy()
    prediction[0, 4] = 0.95
    by_rows = metrics.connectivity_error(prediction, truth, form=DIM_BY_ROWS)
    by_columns = metrics.connectivity_error(prediction, truth, form=DIM)
    assert by_rows == 0.0
    assert by_columns == pytest.approx(0.05e-3, abs=1e-8)


def test_connectivity_forms_share_one_labelling():
    pair = random_pair((30, 20), seed=3)
    both = metrics.connectivity_errors(*pair, forms=(GCA, DIM))
    assert both == tuple(metrics.connectivity_error(*pair, form=form) for form in (GCA, DIM))


def test_connectivity_background_wins_when_the_prediction_is_empty():
    truth = np.zeros((20, 20), np.float32)
    truth[4:9, 4:9] = 1.0
    empty = np.zeros_like(truth)
    assert metrics.connectivity_error(empty, truth, form=GCA) == 0.0
    assert metrics.connectivity_error(empty, truth, form=DIM) == pytest.approx(0.025)


@pytest.mark.parametrize("shape", SIZES)
def test_gradient_equals_the_literal_form(shape):
    prediction, truth = random_pair(shape, seed=5)
    expected = ((literal_gradient(prediction) - literal_gradient(truth)) ** 2).sum() / 1000
    found = metrics.gradient_error(prediction, truth)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_gradient_stretch_maps_each_matte_to_the_full_range():
    prediction, truth = random_pair((17, 23), seed=6)
    half = (prediction * 0.5 + 0.25).astype(np.float32)
    plain = metrics.gradient_error(prediction, truth)
    stretched = metrics.gradient_error(half, truth, stretch=True)
    assert stretched == pytest.approx(plain, rel=1e-5)


def test_gradient_of_a_constant_matte_is_zero_with_stretch():
    constant = np.full((4, 5), 0.5, np.float32)
    assert metrics.gradient_error(constant, np.ones_like(constant), stretch=True) == 0.0


def test_errors_equal_plain_numpy_in_a_region():
    prediction, truth = random_pair((17, 23), seed=7)
    region = np.random.default_rng(0).random(truth.shape) < 0.4
    off = np.abs(prediction.astype(float) - truth)[region]
    assert metrics.mad(prediction, truth, region) == pytest.approx(off.mean(), rel=1e-6)
    assert metrics.mse(prediction, truth, region) == pytest.approx((off**2).mean(), rel=1e-6)
    assert metrics.sad(prediction, truth, region) == pytest.approx(off.sum() / 1000, rel=1e-6)


def test_empty_region_gives_nan_means_and_zero_sums():
    pair = random_pair((8, 5), seed=8)
    nothing = np.zeros((8, 5), bool)
    assert math.isnan(metrics.mse(*pair, nothing))
    assert math.isnan(metrics.mad(*pair, nothing))
    assert metrics.sad(*pair, nothing) == metrics.gradient_error(*pair, nothing) == 0.0
    assert metrics.connectivity_error(*pair, nothing) == 0.0


def test_dtssd_equals_its_definition():
    prediction, truth = random_pair((8, 5), seed=9)
    before, true_before = random_pair((8, 5), seed=10)
    change = (prediction.astype(float) - before) - (truth.astype(float) - true_before)
    found = metrics.dtssd(prediction, before, truth, true_before)
    assert found == pytest.approx(100 * math.sqrt((change**2).mean()), rel=1e-6)


def test_metrics_leave_their_input_alone():
    prediction, truth = random_pair((8, 5), seed=11)
    copies = prediction.copy(), truth.copy()
    metrics.gradient_error(prediction, truth, stretch=True)
    metrics.connectivity_errors(prediction, truth)
    assert np.array_equal(prediction, copies[0])
    assert np.array_equal(truth, copies[1])


def test_non_contiguous_mattes_measure_the_same():
    prediction, truth = random_pair((17, 23), seed=12)
    turned = metrics.connectivity_errors(prediction.T[::-1], truth.T[::-1], forms=(GCA,))
    copied = metrics.connectivity_errors(
        prediction.T[::-1].copy(), truth.T[::-1].copy(), forms=(GCA,)
    )
    assert turned == copied


@pytest.mark.parametrize(
    ("prediction", "region", "words"),
    [
        (np.zeros((4, 4)), None, "float64"),
        (np.zeros((4, 4, 1), np.float32), None, "H W"),
        (np.zeros((0, 4), np.float32), None, "1×1"),
        (np.zeros((4, 5), np.float32), None, "one size"),
        (np.zeros((4, 4), np.float32), np.ones((4, 4)), "bool mask"),
    ],
)
def test_unfit_arrays_are_refused_in_one_line(prediction, region, words):
    with pytest.raises(PullmatteError, match=words) as caught:
        metrics.mse(prediction, np.zeros((4, 4), np.float32), region)
    assert "\n" not in str(caught.value)
