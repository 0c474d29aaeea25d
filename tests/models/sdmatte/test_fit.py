"""The square in front of the network, and the way back."""

import cv2
import numpy as np
import pytest

from pullmatte.errors import PullmatteError
from pullmatte.models.sdmatte.fit import Fit, normalise
from pullmatte.prompts import Box

SIZES = [(64, 64), (97, 41), (30, 200), (1, 50), (300, 1), (1, 1), (5000, 2)]
FITS = [Fit(width, height, 128, kind) for width, height in SIZES for kind in ("squash", "pad")]


def noise(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


@pytest.mark.parametrize("fit", FITS, ids=str)
def test_planes_and_pictures_keep_shape_range_and_type(fit):
    image, alpha = noise(fit.height, fit.width, 3), noise(fit.height, fit.width)
    for fitted, shape in (
        (fit.image(image), (128, 128, 3)),
        (fit.plane(alpha), (128, 128)),
        (fit.trimap(np.round(alpha * 2) / 2), (128, 128)),
        (fit.restore(fit.plane(alpha)), alpha.shape),
    ):
        assert (fitted.shape, fitted.dtype) == (shape, np.float32)
        assert 0 <= fitted.min() <= fitted.max() <= 1
    assert set(np.unique(fit.trimap(np.round(alpha * 2) / 2))) <= {0, 0.5, 1}


def test_squash_is_plain_bilinear_both_ways():
    image, alpha = noise(40, 90, 3), noise(64, 64)
    fit = Fit(90, 40, 64)
    assert np.array_equal(fit.image(image), cv2.resize(image, (64, 64)))
    assert np.array_equal(fit.restore(alpha), cv2.resize(alpha, (90, 40)))


def test_same_size_gives_a_copy():
    image = noise(64, 64, 3)
    fitted = Fit(64, 64, 64).image(image)
    assert np.array_equal(fitted, image)
    assert not np.shares_memory(fitted, image)
    alpha = noise(64, 64)
    assert not np.shares_memory(Fit(64, 64, 64).restore(alpha), alpha)


def test_pad_keeps_the_aspect_in_the_middle():
    fit = Fit(200, 100, 64, "pad")
    assert fit.content == (0, 16, 64, 48)
    ramp = np.tile(np.linspace(0.2, 0.8, 100, dtype=np.float32)[:, None, None], (1, 200, 3))
    edge = fit.image(ramp)
    assert np.array_equal(edge[:16], np.broadcast_to(edge[16], (16, 64, 3)))
    assert np.array_equal(edge[48:], np.broadcast_to(edge[47], (16, 64, 3)))
    grey = Fit(200, 100, 64, "pad", "grey").image(ramp)
    assert (grey[:16] == 0.5).all()
    assert np.array_equal(grey[16:48], edge[16:48])
    assert (fit.plane(ramp[..., 0])[:16] == 0).all()
    assert not fit.mask(np.ones((100, 200), bool))[:16].any()


@pytest.mark.parametrize("fit", FITS, ids=str)
def test_pixels_stay_inside_the_image(fit):
    left, top, right, bottom = fit.content
    assert 0 <= left < right <= 128
    assert 0 <= top < bottom <= 128
    for x, y in ((0, 0), (fit.width - 0.001, fit.height - 0.001), (fit.width / 2, 0)):
        column, row = fit.pixel(x, y)
        assert left <= column < right
        assert top <= row < bottom
    assert fit.box(Box(0, 0, fit.width, fit.height)) == pytest.approx(fit.content)


@pytest.mark.parametrize("kind", ["squash", "pad"])
def test_points_follow_the_picture(kind):
    fit = Fit(90, 160, 128, kind)
    alpha = np.zeros((160, 90), np.float32)
    alpha[100:110, 20:30] = 1
    rows, columns = np.nonzero(fit.plane(alpha) > 0.5)
    centre = (columns.mean() + 0.5, rows.mean() + 0.5)
    assert fit.point(25, 105) == pytest.approx(centre, abs=0.5)
    rows, columns = np.nonzero(fit.restore(fit.plane(alpha)) > 0.5)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((25, 105), abs=0.3)


@pytest.mark.parametrize("size", [(128, 128), (129, 300), (500, 128), (1000, 777)])
def test_mask_drawn_on_the_square_comes_back_as_it_was(size):
    drawn = noise(128, 128) > 0.5
    mask = cv2.resize(drawn.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT) > 0
    assert np.array_equal(Fit(*size, 128).mask(mask), drawn)


def test_tiny_mask_is_never_lost():
    mask = np.zeros((3000, 4000), bool)
    mask[1234, 2345] = True
    for kind in ("squash", "pad"):
        fit = Fit(4000, 3000, 128, kind)
        (row,), (column,) = np.nonzero(fit.mask(mask))
        assert (column, row) == fit.pixel(2345.5, 1234.5)
        assert not fit.mask(np.zeros_like(mask)).any()


def test_normalise_takes_x_by_columns_and_y_by_rows():
    assert normalise((3, 4, 6, 8), 12, 16) == (0.25, 0.25, 0.5, 0.5)
    assert normalise((), 12, 16) == ()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((8, 8, 64, "stretch"), "'stretch': use squash or pad"),
        ((8, 8, 64, "pad", "black"), "'black': use edge or grey"),
        ((0, 8), "0x8"),
        ((8, 8, 0), "square of 0"),
    ],
)
def test_impossible_fits_are_refused(arguments, words):
    with pytest.raises(PullmatteError, match=words) as caught:
        Fit(*arguments)
    assert "\n" not in str(caught.value)
