"""What is shown of the inside agrees with what happens there."""

import numpy as np
import pytest

from pullmatte.errors import PullmatteError
from pullmatte.models.sdmatte.inspection import inspect, require_inspectable
from pullmatte.models.sdmatte.model import SDMatteModel
from pullmatte.models.sdmatte.network import SDMatteNetwork
from pullmatte.prompts import Prompt

BOX = Prompt.of(box=(32, 16, 96, 64))


@pytest.fixture
def model(network: SDMatteNetwork) -> SDMatteModel:
    return SDMatteModel(network)


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).random((128, 128, 3), np.float32)


def test_looking_in_changes_nothing(model: SDMatteModel, photo: np.ndarray) -> None:
    encoded = model.encode(photo)
    layers = model.network.unet.cross_attention_layers()
    before = [layer.processor for layer in layers]
    plain = model.predict(encoded, BOX, opacity="opaque").alpha
    seen = inspect(model, encoded, BOX).prediction.alpha
    assert np.abs(seen - plain).max() < 1e-5
    assert [layer.processor for layer in layers] == before


def test_box_lets_self_attention_see_the_box(model: SDMatteModel, photo: np.ndarray) -> None:
    seen = inspect(model, model.encode(photo), BOX)
    assert list(seen.self_attention) == [16, 8, 4, 2]
    finest = seen.self_attention[16]
    assert (finest[20:56, 40:88] == 1).all()
    assert (finest[:, 110:] == 0).all()
    assert seen.prompt_map[30, 50] == 1


def test_mid_block_reads_the_prompt_and_the_last_layer_the_text(
    model: SDMatteModel, photo: np.ndarray
) -> None:
    mid, last = inspect(model, model.encode(photo), BOX).cross_attention
    assert (mid.reads, last.reads) == ("visual prompt", "text")
    assert mid.received is not None
    assert mid.received.max() == pytest.approx(1)
    assert last.received is None
    for layer in (mid, last):
        assert layer.weight.shape == (128, 128)
        assert 0 < layer.weight.min() <= layer.weight.max() < 1


def test_whole_prompt_gets_all_attention(model: SDMatteModel, photo: np.ndarray) -> None:
    whole = Prompt.of(mask=np.ones((128, 128), bool))
    mid, _ = inspect(model, model.encode(photo), whole).cross_attention
    assert np.allclose(mid.weight, 1, atol=1e-5)


def test_other_models_are_refused() -> None:
    with pytest.raises(PullmatteError, match="only sdmatte and litesdmatte"):
        require_inspectable(object())
