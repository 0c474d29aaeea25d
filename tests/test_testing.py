"""The public stand-in does what its docstring says, so that others can rely on it."""

import numpy as np
import pytest

from pullmatte import load
from pullmatte.models.protocol import Memories, Model
from pullmatte.prompts import Box, Mask, Point, Prompt
from pullmatte.testing import FakeMatter, FakeModel

IMAGE = np.random.default_rng(1).random((40, 60, 3), dtype=np.float32)
BRIGHT = IMAGE.mean(axis=2)


def region_of(**parts: object) -> np.ndarray:
    matte = FakeMatter().open_image(IMAGE).predict(**parts)  # type: ignore[arg-type]
    assert matte.mask is not None
    np.testing.assert_array_equal(matte.alpha, np.where(matte.mask, BRIGHT, np.float32(0)))
    return matte.mask


def test_box_covers_all_pixels_it_touches() -> None:
    expected = np.zeros((40, 60), bool)
    expected[2:9, 10:21] = True
    np.testing.assert_array_equal(region_of(box=(10.5, 2, 20.2, 8.1)), expected)


def test_mask_stands_above_the_box_and_the_trimap_above_all() -> None:
    blob = np.zeros((40, 60), bool)
    blob[5:7, 5:7] = True
    np.testing.assert_array_equal(region_of(mask=blob, box=(0, 0, 9, 9)), blob)
    trimap = np.where(np.roll(blob, 9), 0.5, 0)
    np.testing.assert_array_equal(
        region_of(mask=blob, trimap=trimap, points=[(50, 30)]), np.roll(blob, 9)
    )


def test_points_put_squares_in_and_take_them_out() -> None:
    expected = np.zeros((40, 60), bool)
    expected[2:19, 12:29] = True
    expected[2:19, 20:29] = False
    np.testing.assert_array_equal(region_of(points=[(20, 10), (28, 10)], labels=[1, 0]), expected)


def test_result_is_the_same_every_time() -> None:
    first, again = (FakeMatter().open_image(IMAGE).predict() for _ in range(2))
    np.testing.assert_array_equal(first.alpha, again.alpha)
    np.testing.assert_array_equal(first.alpha, BRIGHT)


def test_points_alone_correct_what_is_tracked() -> None:
    model = FakeModel()
    start = model.predict(IMAGE, Prompt(box=Box(0, 0, 60, 40)))
    memory = Memories({0: model.remember(IMAGE, start)})
    corrected = model.track(IMAGE, memory, 1, prompt=Prompt(points=(Point(8, 8, 0),)))
    assert corrected.mask is not None
    assert (corrected.mask == 0).sum() == 17 * 17
    np.testing.assert_array_equal(memory.prompted[0]["region"], start.mask)
    replaced = model.track(IMAGE, memory, 1, prompt=Prompt(mask=Mask(np.eye(40, 60))))
    np.testing.assert_array_equal(replaced.mask, np.eye(40, 60))


@pytest.mark.parametrize("model", [FakeModel(), load("classical").model])
def test_models_stand_behind_the_protocol(model: Model) -> None:
    encoded = model.encode(IMAGE)
    prediction = model.predict(encoded, Prompt(box=Box(10, 5, 50, 35)))
    memory = Memories({0: model.remember(encoded, prediction)})
    tracked = model.track(encoded, memory, 1)
    for each in (prediction, tracked):
        assert (each.alpha.dtype, each.alpha.shape) == (np.float32, (40, 60))
        assert 0 <= each.alpha.min() <= each.alpha.max() <= 1
        assert each.mask is not None
        assert each.mask.dtype == bool
        assert each.trimap is not None
        assert set(np.unique(each.trimap)) <= {0, 0.5, 1}
    assert all(isinstance(value, np.ndarray) for value in memory.prompted[0].values())
