"""A trimap from mask logits alone."""

import numpy as np
import pytest

from pullmatte.models.mam2.mask_band import mask_band


def disc(radius: float, side: int = 200) -> np.ndarray:
    ys, xs = np.mgrid[0:side, 0:side] - side / 2 + 0.5
    return ((radius - np.hypot(ys, xs)) * 5).astype(np.float32)


@pytest.mark.parametrize("radius", [20, 40, 80])
def test_band_is_a_share_of_the_objects_size(radius: int) -> None:
    trimap = mask_band(disc(radius), share=0.1, doubt=0)
    half = 0.1 * np.sqrt(np.pi) * radius
    inner, outer = (np.sqrt((trimap >= level).sum() / np.pi) for level in (1, 0.5))
    assert inner == pytest.approx(radius - half, abs=1)
    assert outer == pytest.approx(radius + half, abs=1)


def test_band_is_two_pixels_at_least() -> None:
    trimap = mask_band(disc(10), share=1e-6, doubt=0)
    assert int((trimap[100] == 0.5).sum()) in (8, 9, 10)


def test_doubt_is_unknown_wherever_it_is() -> None:
    logits = disc(40)
    logits[100, 100], logits[5, 5] = 0.4, -0.4
    trimap = mask_band(logits, share=0.01, doubt=1.0)
    assert trimap[100, 100] == trimap[5, 5] == 0.5
    assert (trimap[100, 110], trimap[5, 15]) == (1, 0)


def test_nothing_and_everything() -> None:
    assert not mask_band(np.full((5, 6), -9, np.float32), share=0.1, doubt=1).any()
    assert (mask_band(np.full((5, 6), 9, np.float32), share=0.1, doubt=1) == 1).all()
