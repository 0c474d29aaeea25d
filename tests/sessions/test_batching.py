"""Several objects at once are the same as one by one."""

import numpy as np
import pytest

from pullmatte.errors import PromptError
from pullmatte.models.protocol import BatchModel
from pullmatte.prompts import Box, Prompt
from pullmatte.sessions.image import ImageSession
from pullmatte.testing import FakeModel

IMAGE = np.random.default_rng(0).random((30, 50, 3), dtype=np.float32)
BOXES = {f"object {n}": Prompt(box=Box(n, n, n + 20, n + 10)) for n in range(7)}


class Batching(FakeModel):
    """Remembers how many objects came at once."""

    def __init__(self):
        self.sizes = []

    def predict_many(self, encoded, prompts, *, opacity="auto"):
        self.sizes.append(len(prompts))
        return [FakeModel.predict(self, encoded, each, opacity=opacity) for each in prompts]


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(8, [7]), (7, [7]), (3, [3, 3, 1]), (2, [2, 2, 2, 1]), (1, [])]
)
def test_objects_go_together_up_to_the_batch_size(batch_size, sizes):
    model = Batching()
    together = ImageSession(model, IMAGE).predict_objects(BOXES, batch_size=batch_size)
    apart = ImageSession(FakeModel(), IMAGE).predict_objects(BOXES)
    assert model.sizes == sizes
    assert list(together) == list(apart)
    for name, matte in together.items():
        np.testing.assert_array_equal(matte.alpha, apart[name].alpha)


def test_one_object_goes_alone():
    model = Batching()
    ImageSession(model, IMAGE).predict(box=(0, 0, 9, 9))
    assert model.sizes == []
    assert isinstance(model, BatchModel)
    assert not isinstance(FakeModel(), BatchModel)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "2"])
def test_batch_size_that_can_not_be_is_refused(batch_size):
    with pytest.raises(PromptError, match=f"batch_size {batch_size!r}: give a whole number from 1"):
        ImageSession(FakeModel(), IMAGE).predict_objects(BOXES, batch_size=batch_size)


def test_no_object_is_no_matte():
    assert ImageSession(FakeModel(), IMAGE).predict_objects({}) == {}
