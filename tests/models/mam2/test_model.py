"""MAM2 behind the protocol: prompts of every kind, memories, corrections."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pullmatte.errors import PromptError
from pullmatte.models.mam2.config import MINIATURE
from pullmatte.models.mam2.model import MAM2Model
from pullmatte.models.mam2.options import MAM2Options
from pullmatte.models.nano.matter import NanoMatter
from pullmatte.models.nano.matter_network import MatterConfig, MatterNetwork
from pullmatte.models.protocol import BatchModel, VideoModel
from pullmatte.prompts import Prompt


class Brightness:
    """A matter whose alpha is the red of unknown pixels."""

    def __init__(self) -> None:
        self.calls = 0

    def matte(self, image, trimap):
        self.calls += 1
        return np.where(trimap == 0.5, image[..., 0], trimap)


@pytest.fixture
def model(network) -> MAM2Model:
    return MAM2Model(network, Brightness())


@pytest.fixture
def mask() -> np.ndarray:
    made = np.zeros((90, 130), bool)
    made[20:60, 40:100] = True
    return made


CLICKS = Prompt.of(points=[(60, 40), (20, 70), (80, 30)], labels=[1, 0, 1])
KINDS: dict[str, Any] = {
    "click": {"points": (60, 40)},
    "box": {"box": (20, 10, 100, 80)},
    "nothing": {},
    "box and click": {"box": (20, 10, 100, 80), "points": (60, 40)},
    "mask": {"mask": True},
    "mask and click": {"mask": True, "points": (60, 40)},
    "mask and box": {"mask": True, "box": (20, 10, 100, 80)},
}


def prompt_of(kind: str, mask: np.ndarray) -> Prompt:
    given = KINDS[kind]
    return Prompt.of(**{**given, "mask": mask} if "mask" in given else given)


@pytest.mark.parametrize("kind", KINDS)
def test_every_prompt_gives_mask_trimap_and_alpha(model, photo, mask, kind) -> None:
    found = model.predict(model.encode(photo), prompt_of(kind, mask))
    assert found.alpha.shape == found.mask.shape == found.trimap.shape == photo.shape[:2]
    assert found.alpha.dtype == found.trimap.dtype == np.float32
    assert found.mask.any()
    assert set(np.unique(found.trimap)) <= {0, 0.5, 1}
    known = found.trimap != 0.5
    assert np.array_equal(found.alpha[known], found.trimap[known])


def test_model_is_what_sessions_ask_for(model) -> None:
    assert isinstance(model, VideoModel)
    assert isinstance(model, BatchModel)
    assert dict(model.memory_spans) == {"features": 6, "pointer": 15, "logits": 0}
    assert model.dtype == "float32"


def test_several_objects_are_as_one_by_one(model, photo, mask) -> None:
    encoded = model.encode(photo)
    prompts = [prompt_of(kind, mask) for kind in ("click", "mask")]
    found = model.predict_many(encoded, prompts)
    for prompt, each in zip(prompts, found, strict=True):
        assert np.array_equal(each.alpha, model.predict(encoded, prompt).alpha)


def test_nothing_said_is_the_whole_picture_as_a_box(model, photo) -> None:
    encoded = model.encode(photo)
    whole = model.predict(encoded, Prompt.of(box=(0, 0, 130, 90)))
    assert np.array_equal(model.predict(encoded, Prompt()).trimap, whole.trimap)


def test_a_mask_alone_stands_as_it_is(model, photo, mask) -> None:
    found = model.predict(model.encode(photo), Prompt.of(mask=mask))
    assert (found.mask != mask).mean() < 0.01


def test_a_trimap_goes_to_the_matter_and_is_respected(model, photo, mask) -> None:
    trimap = mask.astype(np.float32)
    trimap[30:50, 20:60] = 0.5
    found = model.predict(model.encode(photo), Prompt.of(trimap=trimap))
    known = trimap != 0.5
    assert np.array_equal(found.trimap, trimap)
    assert np.array_equal(found.alpha[known], trimap[known])
    assert np.array_equal(found.alpha[~known], photo[..., 0][~known])
    expected = (trimap == 1) | ((trimap == 0.5) & (found.alpha > 0.5))
    assert np.array_equal(found.mask, expected)


def test_clicks_see_the_mask_of_those_before(network, photo) -> None:
    encoded = MAM2Model(network, Brightness()).encode(photo)
    logits = None
    for count in (1, 2, 3):
        part = replace(CLICKS, points=CLICKS.points[:count])
        points, labels = encoded.square.points(part, network.device)
        top = encoded.features.top + network.sam2.no_memory_embedding.reshape(1, -1, 1, 1)
        choose = "best" if count == 1 else "stable"
        logits = network.decode(
            encoded.features, top, points=points, labels=labels, mask_logits=logits, choose=choose
        ).mask_logits
    fed = MAM2Model(network, Brightness()).predict(encoded, CLICKS)
    assert torch.allclose(fed.carried["logits"], logits)
    unfed = MAM2Model(network, Brightness(), MAM2Options(feed_previous=False))
    assert not torch.allclose(unfed.predict(encoded, CLICKS).carried["logits"], logits)


def test_answers_dont_depend_on_what_was_asked_before(model, photo) -> None:
    fresh = model.predict(model.encode(photo), CLICKS)
    encoded = model.encode(photo)
    for count in (1, 2, 3):
        last = model.predict(encoded, replace(CLICKS, points=CLICKS.points[:count]))
    assert np.array_equal(last.alpha, fresh.alpha)


def test_a_click_that_moves_nothing_leaves_the_trimap_and_the_matters_work(network, photo) -> None:
    matter = NanoMatter(MatterNetwork(MatterConfig(widths=(8, 8), depths=(0, 1))))
    settling = MAM2Model(network, matter, MAM2Options(settle=2.0))
    encoded = settling.encode(photo)
    first = settling.predict(encoded, replace(CLICKS, points=CLICKS.points[:1]))
    kept = set(encoded.kept)
    later = settling.predict(encoded, CLICKS)
    # Nothing moves by more than 1.
    assert np.array_equal(later.trimap, first.trimap)
    assert np.array_equal(later.alpha, first.alpha)
    assert set(encoded.kept) == kept
    assert (first.trimap == 0.5).any()
    free = MAM2Model(network, matter, MAM2Options())
    assert not np.array_equal(free.predict(free.encode(photo), CLICKS).trimap, first.trimap)


def test_settled_answers_dont_depend_on_what_was_asked_before(network, photo) -> None:
    settling = MAM2Model(network, Brightness(), MAM2Options(settle=0.02))
    fresh = settling.predict(settling.encode(photo), CLICKS)
    encoded = settling.encode(photo)
    for count in (1, 2, 3):
        last = settling.predict(encoded, replace(CLICKS, points=CLICKS.points[:count]))
    assert np.array_equal(last.trimap, fresh.trimap)


def test_clicks_already_decoded_are_not_decoded_again(model, photo, monkeypatch) -> None:
    encoded = model.encode(photo)
    model.predict(encoded, replace(CLICKS, points=CLICKS.points[:2]))
    calls = []
    decode = model.network.decode
    monkeypatch.setattr(model.network, "decode", lambda *a, **k: calls.append(1) or decode(*a, **k))
    model.predict(encoded, CLICKS)
    assert len(calls) == 1


def test_transparent_means_nothing_is_known_foreground(model, photo) -> None:
    encoded = model.encode(photo)
    usual, glass = (model.predict(encoded, CLICKS, opacity=o) for o in ("auto", "transparent"))
    assert (usual.trimap == 1).any()
    assert np.array_equal(glass.trimap == 0.5, usual.trimap > 0)


def test_matter_is_spared_without_unknown_pixels(make_network, photo, mask) -> None:
    plain = replace(MINIATURE, trimap="mask_band", second_pass="off", band_doubt=0.0)
    model = MAM2Model(make_network(plain), Brightness())
    found = model.predict(model.encode(photo), Prompt.of(mask=np.ones_like(mask)))
    assert (found.alpha == 1).all()
    assert model.matter.calls == 0


def test_propose_gives_what_predict_shows(model, photo) -> None:
    mask, trimap = model.propose(photo, CLICKS)
    found = model.predict(model.encode(photo), CLICKS)
    assert np.array_equal(mask, found.mask)
    assert np.array_equal(trimap, found.trimap)


def test_prompts_that_dont_fit_are_refused(model, photo) -> None:
    with pytest.raises(PromptError, match="outside"):
        model.predict(model.encode(photo), Prompt.of(points=(130, 2)))
