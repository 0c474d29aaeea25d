import numpy as np
import pytest

from pullmatte.models.classical.adaptive_trimap import BandConfig, make_trimap


def disc(size, radius):
    ys, xs = np.mgrid[0:size, 0:size] + 0.5
    return np.hypot(xs - size / 2, ys - size / 2) < radius


def grey(size, noise=0.0):
    values = 128 + np.random.default_rng(0).normal(0, noise, (size, size, 1))
    return np.repeat(np.clip(values, 0, 255), 3, axis=2).astype(np.uint8)


def half_width(trimap, mask):
    return (trimap == 0.5).sum() / (2 * np.pi * np.sqrt(mask.sum() / np.pi)) / 2


def test_known_parts_agree_with_the_mask():
    mask = disc(100, 30)
    trimap = make_trimap(grey(100), mask)
    assert set(np.unique(trimap)) == {0.0, 0.5, 1.0}
    assert mask[trimap == 1].all()
    assert not mask[trimap == 0].any()


def test_band_grows_with_object_size():
    small, large = disc(600, 60), disc(600, 240)
    bands = [half_width(make_trimap(grey(600), m), m) for m in (small, large)]
    assert bands[1] > 2 * bands[0]


def test_band_grows_with_texture():
    mask = disc(300, 100)
    bands = [half_width(make_trimap(grey(300, noise), mask), mask) for noise in (0, 40)]
    assert bands[1] > 1.5 * bands[0]


def test_band_grows_where_colours_contradict_the_mask():
    mask = disc(300, 100)
    unsure = np.full(mask.shape, 0.5, np.float32)
    sure = make_trimap(grey(300), mask, mask.astype(np.float32))
    assert (make_trimap(grey(300), mask, unsure) == 0.5).sum() > 1.5 * (sure == 0.5).sum()


def test_band_stays_within_its_limits():
    mask = disc(100, 10)
    config = BandConfig(base=1.0, most=0.1, least_px=2.0)
    assert half_width(make_trimap(grey(100), mask, config=config), mask) < 3


@pytest.mark.parametrize("value", [False, True])
def test_mask_without_contour_is_all_known(value):
    trimap = make_trimap(grey(20), np.full((20, 20), value))
    assert (trimap == value).all()
