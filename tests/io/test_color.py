"""sRGB, linear light, straight and premultiplied."""

import numpy as np
import pytest

from pullmatte.io.color import linear_to_srgb, premultiply, srgb_to_linear, unpremultiply


@pytest.mark.parametrize(
    ("encoded", "linear"),
    # By hand from IEC 61966-2-1: ((c + 0.055) / 1.055) ** 2.4, or c / 12.92 up to 0.04045.
    [(0.0, 0.0), (0.04, 0.00309598), (0.5, 0.21404114), (1.0, 1.0), (2.0, 4.95384575)],
)
def test_curve_has_the_standard_values(encoded: float, linear: float) -> None:
    value = np.array([encoded, -encoded], np.float32)
    assert srgb_to_linear(value) == pytest.approx([linear, -linear], rel=2e-6)


def test_round_trip_is_exact_to_16_bits() -> None:
    codes = np.arange(65536, dtype=np.float32) / 65535
    there_and_back = linear_to_srgb(srgb_to_linear(codes))
    assert there_and_back.dtype == np.float32
    assert np.abs(there_and_back - codes).max() < 0.1 / 65535


def test_curve_rises_everywhere() -> None:
    values = srgb_to_linear(np.linspace(-2, 4, 5001, dtype=np.float32))
    assert (np.diff(values) > 0).all()


def test_premultiplying_comes_undone_and_keeps_glow() -> None:
    image = np.full((1, 3, 3), 0.5, np.float32)
    alpha = np.array([[0, 0.25, 1]], np.float32)
    multiplied = premultiply(image, alpha)
    assert multiplied[0, :, 0].tolist() == [0, 0.125, 0.5]
    assert unpremultiply(multiplied, alpha)[0, :, 0].tolist() == [0, 0.5, 0.5]
    assert unpremultiply(image, np.zeros((1, 3), np.float32)).max() == 0.5
