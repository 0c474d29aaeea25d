"""The model behind the protocol: sizes, kinds of prompt, opacity, negative clicks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pullmatte.errors import PromptError, PullmatteError
from pullmatte.models.protocol import BatchModel, Image
from pullmatte.models.sdmatte import model as module
from pullmatte.models.sdmatte.config import SDMatteConfig
from pullmatte.models.sdmatte.model import SDMatteModel, SDMatteOptions, prepared
from pullmatte.models.sdmatte.network import SDMatteNetwork
from pullmatte.prompts import Prompt

BOX = Prompt.of(box=(20, 10, 120, 80))


@pytest.fixture
def model(network: SDMatteNetwork) -> SDMatteModel:
    return SDMatteModel(network)


@pytest.fixture
def photo() -> Image:
    rng = np.random.default_rng(0)
    return rng.random((90, 160, 3), np.float32)


PROMPTS = {
    "box": BOX,
    "mask": Prompt.of(mask=np.indices((90, 160)).sum(0) < 100),
    "points": Prompt.of(points=[(30, 40), (60, 50)]),
    "trimap": Prompt.of(trimap=np.where(np.indices((90, 160))[1] < 60, 1.0, 0.5)),
}


@pytest.mark.parametrize("kind", PROMPTS)
@pytest.mark.parametrize("fit", ["squash", "pad"])
def test_every_kind_of_prompt_gives_a_matte_of_the_images_size(
    network: SDMatteNetwork, photo: Image, kind: str, fit: Any
) -> None:
    model = SDMatteModel(network, SDMatteOptions(fit=fit))
    found = model.predict(model.encode(photo), PROMPTS[kind], opacity="opaque")
    assert found.alpha.shape == (90, 160)
    assert found.alpha.dtype == np.float32
    assert 0 <= found.alpha.min() <= found.alpha.max() <= 1
    assert found.opacity == "opaque"


def test_known_parts_of_a_trimap_are_kept(model: SDMatteModel, photo: Image) -> None:
    trimap = np.full((90, 160), 0.5, np.float32)
    trimap[:, :40], trimap[:, 120:] = 1, 0
    found = model.predict(model.encode(photo), Prompt.of(trimap=trimap))
    assert (found.alpha[:, :40] == 1).all()
    assert (found.alpha[:, 120:] == 0).all()
    assert found.trimap is not None
    assert np.array_equal(found.trimap, trimap)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_batches_answer_as_one_by_one(
    network: SDMatteNetwork, photo: Image, batch_size: int
) -> None:
    model = SDMatteModel(network, SDMatteOptions(batch_size=batch_size))
    assert isinstance(model, BatchModel)
    encoded = model.encode(photo)
    together = model.predict_many(encoded, list(PROMPTS.values()), opacity="opaque")
    for prompt, found in zip(PROMPTS.values(), together, strict=True):
        alone = model.predict(encoded, prompt, opacity="opaque")
        assert np.abs(found.alpha - alone.alpha).max() < 1e-5


def test_auto_takes_one_of_both_answers(
    model: SDMatteModel, photo: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = model.encode(photo)
    answers = {
        kind: model.predict(encoded, BOX, opacity=kind) for kind in ("opaque", "transparent")
    }
    assert not np.array_equal(answers["opaque"].alpha, answers["transparent"].alpha)
    for kind, answer in answers.items():
        monkeypatch.setattr(module, "choose_opacity", lambda *_, kind=kind: kind)
        found = model.predict(encoded, BOX, opacity="auto")
        assert np.array_equal(found.alpha, answer.alpha)
        assert found.opacity == kind


def test_without_opacity_embedding_it_is_asked_once(
    build: Callable[..., SDMatteNetwork], tiny: SDMatteConfig, photo: Image
) -> None:
    model = SDMatteModel(build(replace(tiny, opacity_embedding=False)))
    encoded = model.encode(photo)
    found = model.predict(encoded, BOX)
    assert found.opacity is None
    assert np.array_equal(found.alpha, model.predict(encoded, BOX, opacity="transparent").alpha)


def test_negative_click_takes_its_piece_away(
    model: SDMatteModel, photo: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = np.zeros((128, 128), np.float32)
    two[20:100, 10:60], two[40:60, 90:110] = 0.8, 0.7
    monkeypatch.setattr(model, "_answers", lambda *_: [(two, "opaque")])
    said = Prompt.of(box=(0, 0, 160, 90), points=[(125, 35)], labels=[0])
    alpha = model.predict(model.encode(photo), said).alpha
    assert alpha[35, 125] == 0
    assert alpha[40, 40] == pytest.approx(0.8, abs=1e-5)


def test_prompt_outside_the_image_is_refused(model: SDMatteModel, photo: Image) -> None:
    with pytest.raises(PromptError):
        model.predict(model.encode(photo), Prompt.of(points=[(500, 10)]))


def test_caption_without_text_encoder_is_refused(model: SDMatteModel, photo: Image) -> None:
    with pytest.raises(PromptError, match="--keep-text-encoder"):
        model.predict(model.encode(photo), BOX, caption="a cat")


def test_answer_that_isnt_finite_is_refused(
    build: Callable[..., SDMatteNetwork], photo: Image
) -> None:
    network = build()
    network.unet.conv_out.bias.data.fill_(float("nan"))
    model = SDMatteModel(network)
    with pytest.raises(PullmatteError, match="isn't finite"):
        model.predict(model.encode(photo), BOX)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_lack_of_memory_is_one_line(
    build: Callable[..., SDMatteNetwork], photo: Image, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    model = SDMatteModel(build())
    encoded = model.encode(photo)
    model.network.unet.conv_in.register_forward_hook(fail)
    with pytest.raises(PullmatteError, match="out of memory on cpu at size 128 in float32"):
        model.predict(encoded, BOX)


def test_other_errors_keep_their_traceback(
    build: Callable[..., SDMatteNetwork], photo: Image
) -> None:
    model = SDMatteModel(build())
    encoded = model.encode(photo)
    model.network.unet.conv_in.weight = torch.nn.Parameter(torch.zeros(3), requires_grad=False)
    with pytest.raises(RuntimeError, match="weight"):
        model.predict(encoded, BOX)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near(
    build: Callable[..., SDMatteNetwork], photo: Image, dtype: torch.dtype
) -> None:
    exact, half = SDMatteModel(build()), SDMatteModel(prepared(build(), dtype=dtype))
    alphas = [m.predict(m.encode(photo), BOX, opacity="opaque").alpha for m in (exact, half)]
    assert half.network.dtype == dtype
    # Random weights amplify rounding far more than trained ones; flipped parts would differ by 1.
    assert np.abs(alphas[0] - alphas[1]).mean() < 0.02


@pytest.mark.parametrize(
    "changed", [{"fit": "crop"}, {"batch_size": -1}, {"batch_size": 2.5}, {"trimap_as": "box"}]
)
def test_impossible_options_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(PullmatteError, match=str(next(iter(changed.values())))):
        SDMatteOptions(**changed)
