"""MAM2 on a clip's frames: memories, corrections, absence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from pullmatte.errors import PromptError
from pullmatte.models.mam2.model import MAM2Model
from pullmatte.models.mam2.options import MAM2Options
from pullmatte.models.protocol import Memories, Prediction
from pullmatte.prompts import Prompt

CLICK = Prompt.of(points=(60, 40))


class Copy:
    """A matter that leaves unknown pixels as they are."""

    def matte(self, image, trimap):
        return trimap.copy()


@pytest.fixture
def model(network) -> MAM2Model:
    return MAM2Model(network, Copy())


@pytest.fixture
def frames(model) -> list[Any]:
    random = np.random.default_rng(0)
    return [model.encode(random.random((90, 130, 3), np.float32)) for _ in range(3)]


@pytest.fixture
def memories(model, frames) -> Memories:
    return Memories({0: model.remember(frames[0], model.predict(frames[0], CLICK))}, {})


@contextmanager
def scores(network: Any, value: float) -> Iterator[None]:
    """Have the score head say whether objects are there."""
    handle = network.decoder.pred_obj_score_head.register_forward_hook(
        lambda _, __, out: torch.full_like(out, value)
    )
    try:
        yield
    finally:
        handle.remove()


def test_memories_follow_the_object(model, frames, memories) -> None:
    found = model.track(frames[1], memories, 1)
    assert found.mask.any()
    other = Memories({0: model.remember(frames[0], model.predict(frames[0], Prompt()))}, {})
    again = model.track(frames[1], other, 1)
    assert not torch.equal(found.carried["logits"], again.carried["logits"])


def test_entries_are_arrays_of_the_stated_kinds(memories) -> None:
    entry = {name: np.asarray(value) for name, value in memories.prompted[0].items()}
    kinds = {name: (value.shape, value.dtype.name) for name, value in entry.items()}
    assert kinds == {
        "features": ((256, 64), "int16"),
        "pointer": ((128,), "float32"),
        "logits": ((64, 64), "float16"),
    }


def test_arrays_given_back_change_nothing(model, frames, memories) -> None:
    saved = {0: {name: np.array(v) for name, v in memories.prompted[0].items()}}
    found = [model.track(frames[1], m, 1) for m in (memories, Memories(saved, {}))]
    assert torch.equal(*(each.carried["logits"] for each in found))


def test_trimap_never_enters_memory(model, frames) -> None:
    found = model.predict(frames[0], CLICK)
    changed = Prediction(
        found.alpha * 0, found.mask, np.zeros_like(found.alpha), carried=found.carried
    )
    kept = [model.remember(frames[0], each) for each in (found, changed)]
    assert all(np.array_equal(kept[0][name], kept[1][name]) for name in kept[0])


def test_others_predictions_are_remembered_as_masks(model, frames) -> None:
    mask = np.zeros((90, 130), bool)
    mask[20:60, 40:100] = True
    said = model.remember(frames[0], model.predict(frames[0], Prompt.of(mask=mask)))
    alien = model.remember(frames[0], Prediction(alpha=mask * np.float32(0.9)))
    assert all(np.array_equal(said[name], alien[name]) for name in said)


def test_empty_masks_are_remembered_as_absence(model, frames) -> None:
    entry = model.remember(frames[0], Prediction(alpha=np.zeros((90, 130), np.float32)))
    absent = model.network.sam2.no_object_pointer[0].numpy()
    assert np.array_equal(entry["pointer"], absent)
    assert (np.asarray(entry["logits"]) < -1000).all()


def test_doubted_foreground_is_unknown_only_where_something_is_said(
    network, frames, memories
) -> None:
    believing, doubting = (
        MAM2Model(network, Copy(), MAM2Options(least_sure=least)) for least in (0.0, 1.1)
    )
    assert (believing.predict(frames[0], CLICK).trimap == 1).any()
    assert not (doubting.predict(frames[0], CLICK).trimap == 1).any()
    tracked = [each.track(frames[1], memories, 1) for each in (believing, doubting)]
    assert (tracked[0].trimap == 1).any()
    assert np.array_equal(tracked[1].trimap, tracked[0].trimap)


@pytest.mark.parametrize("kind", ["box", "mask", "trimap"])
def test_statements_dont_ask_memories(model, frames, memories, kind) -> None:
    plane = np.zeros((90, 130), np.float32)
    plane[20:60, 40:100] = 0.5 if kind == "trimap" else 1
    given = {"box": (20, 10, 100, 80)} if kind == "box" else {kind: plane}
    prompt = Prompt.of(**given)
    found = model.track(frames[1], memories, 1, prompt=prompt)
    assert np.array_equal(found.alpha, model.predict(frames[1], prompt).alpha)


def test_clicks_correct_the_mask_from_before(model, frames, memories) -> None:
    tracked = model.track(frames[1], memories, 1)
    # Entries keep halves, and these weights enlarge what that takes off: so not from an entry.
    before = {"logits": tracked.carried["logits"][0, 0].numpy()}
    again = model.track(frames[1], memories, 1, prompt=CLICK)
    known = model.track(frames[1], memories, 1, prompt=CLICK, before=before)
    assert (again.mask != known.mask).mean() < 1e-3
    inverted = {"logits": -np.asarray(before["logits"])}
    other = model.track(frames[1], memories, 1, prompt=CLICK, before=inverted)
    assert (again.mask != other.mask).mean() > 0.02
    assert not torch.equal(again.carried["logits"], tracked.carried["logits"])


def test_feeding_can_be_switched_off(network, frames, memories) -> None:
    model = MAM2Model(network, Copy(), MAM2Options(feed_previous=False))
    before = {"logits": np.full((64, 64), 30, np.float16)}
    found = [model.track(frames[1], memories, 1, prompt=CLICK, before=b) for b in (None, before)]
    assert np.array_equal(found[0].alpha, found[1].alpha)


def test_absent_objects_have_alpha_0(model, frames, memories) -> None:
    with scores(model.network, -1.0):
        found = model.track(frames[1], memories, 1)
    assert not found.alpha.any()
    assert not found.mask.any()
    assert not found.trimap.any()


def test_clicks_on_an_absent_object_are_a_first_frames(model, frames, memories) -> None:
    absent = {"logits": np.full((64, 64), -1024, np.float16)}
    found = model.track(frames[1], memories, 1, prompt=CLICK, before=absent)
    assert np.array_equal(found.alpha, model.predict(frames[1], CLICK).alpha)


def test_a_click_outside_doesnt_bring_an_absent_object_back(model, frames, memories) -> None:
    outside = Prompt.of(points=(60, 40), labels=[0])
    with scores(model.network, -1.0):
        assert not model.track(frames[1], memories, 1, prompt=outside).alpha.any()


def test_prompts_are_believed_unless_told_otherwise(network, frames, memories) -> None:
    with scores(network, -1.0):
        for believe in (True, False):
            model = MAM2Model(network, Copy(), MAM2Options(believe_prompts=believe))
            assert model.predict(frames[0], CLICK).mask.any() == believe
            before = {"logits": np.full((64, 64), 3, np.float16)}
            found = model.track(frames[1], memories, 1, prompt=CLICK, before=before)
            assert found.trimap.any() == believe


def test_tracking_without_memories_is_refused(model, frames) -> None:
    with pytest.raises(PromptError, match="nothing is known"):
        model.track(frames[1], Memories(), 1)


def test_logits_of_another_size_are_refused(model, frames, memories) -> None:
    with pytest.raises(PromptError, match="expected"):
        model.track(
            frames[1], memories, 1, prompt=CLICK, before={"logits": np.ones((9, 9), np.float16)}
        )


def test_bfloat16_finds_about_the_same(make_network, frames, memories) -> None:
    network = make_network()
    exact = MAM2Model(network, Copy()).track(frames[1], memories, 1)
    network.run_in(torch.bfloat16)
    rough = MAM2Model(network, Copy())
    encoded = rough.encode(frames[1].image)
    assert encoded.features.top.dtype == torch.bfloat16
    found = rough.track(encoded, memories, 1)
    entry = rough.remember(encoded, found)
    assert (found.mask != exact.mask).mean() < 0.2
    assert rough.track(encoded, Memories({0: entry}, {}), 2).mask.any()


def test_a_mask_is_pointed_at_as_sam2s_own_code_does(network, photo):
    said = Prompt.of(mask=np.pad(np.ones((40, 50)), ((20, 30), (30, 50))))
    pointers = {}
    for choice in ("single", "best"):
        model = MAM2Model(network, Copy(), MAM2Options(mask_pointer=choice))
        encoded = model.encode(photo)
        pointers[choice] = np.asarray(
            model.remember(encoded, model.predict(encoded, said))["pointer"]
        )
    assert np.abs(pointers["single"] - pointers["best"]).max() > 1e-3
    default = MAM2Model(network, Copy())
    encoded = default.encode(photo)
    kept = default.remember(encoded, default.predict(encoded, said))
    np.testing.assert_array_equal(np.asarray(kept["pointer"]), pointers["single"])
