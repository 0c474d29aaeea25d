import numpy as np
import pytest
from pymatting import estimate_alpha_cf

from pullmatte.models.classical.closed_form import SolverConfig, solve_alpha


def smooth_scene(width=120, height=90, ring=True):
    """A soft disc of two smooth colours with the trimap of its edge."""
    ys, xs = np.mgrid[0:height, 0:width] + 0.5
    distance = 0.3 * height - np.hypot(xs - width / 2, ys - height / 2)
    alpha = np.clip(distance / 6 + 0.5, 0, 1)
    front = np.dstack([0.8 + 0.1 * xs / width, 0.2 + 0 * xs, 0.3 * ys / height])
    back = np.dstack([0.1 + 0 * xs, 0.5 + 0.2 * ys / height, 0.7 - 0.2 * xs / width])
    image = alpha[..., None] * front + (1 - alpha[..., None]) * back
    image += np.random.default_rng(0).normal(0, 0.01, image.shape)
    trimap = np.where(np.abs(distance) < 8, 0.5, distance > 0)
    return np.clip(image, 0, 1).astype(np.float32), trimap.astype(np.float32), alpha


def test_alpha_equals_pymatting_over_the_whole_image():
    image, trimap, _ = smooth_scene()
    expected = estimate_alpha_cf(image.astype(float), trimap.astype(float))
    np.testing.assert_allclose(solve_alpha(image, trimap), expected, atol=1e-3)


def test_soft_disc_is_recovered():
    image, trimap, truth = smooth_scene()
    assert np.abs(solve_alpha(image, trimap) - truth)[trimap == 0.5].mean() < 0.02


def test_pieces_equal_one_solve():
    image, trimap, _ = smooth_scene(480, 360)
    pieces = solve_alpha(image, trimap, config=SolverConfig(max_pixels=40_000))
    assert np.abs(pieces - solve_alpha(image, trimap)).max() < 2 / 255


def test_separate_regions_equal_one_solve():
    image, trimap, _ = smooth_scene()
    apart = np.round(trimap)
    apart[30:40, 30:40], apart[50:60, 80:90] = 0.5, 0.5
    expected = estimate_alpha_cf(image.astype(float), apart.astype(float))
    np.testing.assert_allclose(solve_alpha(image, apart), expected, atol=1e-3)


def test_strong_prior_is_followed():
    image, trimap, _ = smooth_scene()
    prior = np.full(trimap.shape, 0.25, np.float32)
    alpha = solve_alpha(image, trimap, prior, np.full(trimap.shape, 1e6, np.float32))
    np.testing.assert_allclose(alpha[trimap == 0.5], 0.25, atol=1e-3)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_trimap_of_one_value_is_finite(value):
    image = np.random.default_rng(1).random((20, 30, 3)).astype(np.float32)
    trimap = np.full((20, 30), value, np.float32)
    np.testing.assert_allclose(solve_alpha(image, trimap), trimap, atol=1e-3)


def test_inputs_are_left_alone_and_nothing_is_printed(capsys):
    image, trimap, _ = smooth_scene()
    before = trimap.copy()
    solve_alpha(image, trimap)
    np.testing.assert_array_equal(trimap, before)
    assert capsys.readouterr().out == ""
