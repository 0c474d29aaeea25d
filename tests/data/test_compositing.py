"""Layers over each other, in linear light."""

import numpy as np
import pytest

from pullmatte.data.compositing import Layer, decoded, encoded, joined, over, placed, shadowed

EYE = np.array([[1.0, 0, 0], [0, 1, 0]])


def square(alpha: int = 255) -> np.ndarray:
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[..., :3] = (250, 120, 10)
    rgba[4:12, 4:12, 3] = alpha
    return rgba


@pytest.mark.parametrize("linear", [True, False])
def test_encoding_undoes_decoding(linear: bool) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    found = encoded(decoded(ramp, linear=linear), linear=linear)
    assert np.abs(found * 255 - ramp).max() < 0.13


def test_half_alpha_mixes_light_and_not_its_code() -> None:
    below = decoded(np.zeros((16, 16, 3), np.uint8), linear=True)
    layer = placed(square(128), EYE, (16, 16), linear=True)
    white = np.full((16, 16, 4), 255, np.uint8)
    white[..., 3] = 128
    found = encoded(over(placed(white, EYE, (16, 16), linear=True), below), linear=True)
    # Half of the light of white is 188 of 255, not 128.
    assert found[8, 8, 0] * 255 == pytest.approx(188, abs=1)
    assert layer.alpha[8, 8] == pytest.approx(128 / 255)


def test_unmoved_cutout_is_itself() -> None:
    layer = placed(square(), EYE, (16, 16), linear=False)
    assert np.abs(layer.colour[8, 8] * 255 - (250, 120, 10)).max() < 0.01
    assert layer.alpha.sum() == pytest.approx(64)


def test_small_scale_keeps_the_area() -> None:
    stripes = square()
    stripes[..., 3] = 0
    stripes[:, ::4, 3] = 255
    layer = placed(stripes, 0.25 * EYE + [[0, 0, 1], [0, 0, 1]], (8, 8), linear=False)
    assert layer.alpha.sum() == pytest.approx(64 / 16, rel=0.1)
    assert layer.alpha.max() < 0.5


def test_colour_never_exceeds_alpha() -> None:
    layer = placed(square(), 1.9 * EYE, (32, 32), linear=True)
    assert (layer.colour <= layer.alpha[..., None] + 1e-6).all()


def test_two_objects_as_one_cover_what_either_covers() -> None:
    flat = lambda value: Layer(np.full((2, 2, 3), value / 2), np.full((2, 2), value))  # noqa: E731
    found = joined(flat(np.float32(0.5)), flat(np.float32(0.5)))
    assert found.alpha[0, 0] == pytest.approx(0.75)


def test_shadow_darkens_only_where_it_falls() -> None:
    below, alpha = np.ones((40, 40, 3), np.float32), np.zeros((40, 40), np.float32)
    alpha[10:20, 10:20] = 1
    found = shadowed(below, alpha, (10, 10), 0.5, 0.5)
    assert found[25, 25, 0] == pytest.approx(0.5, abs=0.01)
    assert found[12, 12, 0] == pytest.approx(1, abs=0.01)
