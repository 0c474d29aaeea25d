"""Layers against the arithmetic of compositing."""

import numpy as np

from pullmatte.data.procedural.layer import appearance_of, dimmed, layer_of, over, shrunk


def test_over_matches_its_formula():
    generator = np.random.default_rng(0)
    top = layer_of(generator.random((8, 8, 3), np.float32), generator.random((8, 8), np.float32))
    low = layer_of(generator.random((8, 8, 3), np.float32), generator.random((8, 8), np.float32))
    assert np.allclose(over(top, low.copy()), top + (1 - top[..., 3:]) * low, atol=1e-6)


def test_straight_colour_comes_back():
    generator = np.random.default_rng(1)
    colour = generator.random((64, 64, 3), np.float32)
    alpha = 0.2 + 0.8 * generator.random((64, 64), np.float32)
    shown = appearance_of(layer_of(colour, alpha))
    assert np.allclose(shown.colour, colour, atol=0.01)
    assert np.array_equal(shown.alpha, alpha)


def test_colour_under_nothing_is_the_nearest_one():
    alpha = np.zeros((64, 64), np.float32)
    alpha[:, :16], alpha[:, 48:] = 1, 1
    colour = np.zeros((64, 64, 3), np.float32)
    colour[:, :32, 0], colour[:, 32:, 2] = 1, 1
    shown = appearance_of(layer_of(colour, alpha)).colour
    assert shown[32, 20, 0] > 0.9
    assert shown[32, 44, 2] > 0.9
    assert np.abs(np.diff(shown[32], axis=0)).max() < 0.25


def test_one_colour_serves_all_pixels():
    alpha = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    layer = layer_of(np.array([0.5, 0.25, 1.0]), alpha)
    assert np.allclose(layer[..., 0], 0.5 * alpha)
    assert np.array_equal(layer[..., 3], alpha)


def test_dimming_leaves_alpha():
    layer = np.ones((4, 4, 4), np.float32)
    dimmed(layer, np.full((4, 4), 0.5))
    assert np.array_equal(layer[0, 0], np.array([0.5, 0.5, 0.5, 1], np.float32))


def test_shrinking_averages():
    canvas = np.zeros((8, 8), np.uint8)
    canvas[:4, :2] = 200
    assert shrunk(canvas, 4).tolist() == [[100, 0], [0, 0]]
