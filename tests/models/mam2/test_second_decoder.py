"""Objects that one can see through: which decoder's turn it is, and that it is remembered."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pullmatte.models.mam2.config import MINIATURE, MAM2Config
from pullmatte.models.mam2.model import MAM2Model
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.options import MAM2Options
from pullmatte.prompts import Prompt
from pullmatte.sessions.recall import Recall
from pullmatte.train.nano_see_through import with_see_through

BOX = Prompt.of(box=(20, 10, 100, 80))
MASK = Prompt.of(mask=np.pad(np.ones((40, 60), bool), ((20, 30), (40, 30))))


class Halves:
    """A matter that leaves unknown pixels half."""

    def matte(self, image, trimap):
        return trimap.copy()


@pytest.fixture
def plain(make_network) -> MAM2Network:
    return make_network(replace(MINIATURE, prompted_blocks=1))


@pytest.fixture
def both(plain) -> MAM2Network:
    """The same, and a decoder that says something else."""
    return with_see_through(plain, blocks=1, pool=1).eval()


def judging(network: MAM2Network, least_sure: float) -> MAM2Model:
    """Return a model that is sure of much, or of nothing, and whose second decoder differs."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in network.see_through.decoder.trimap_branch.parameters():
            value.add_(0.3 * torch.randn(value.shape, generator=generator))
    return MAM2Model(network, Halves(), MAM2Options(least_sure=least_sure))


def again(model: MAM2Model, least_sure: float) -> MAM2Model:
    return MAM2Model(model.network, Halves(), MAM2Options(least_sure=least_sure))


def trimap(model: MAM2Model, image: np.ndarray, prompt: Prompt = BOX, **given: str) -> np.ndarray:
    return model.predict(model.encode(image), prompt, **given).trimap


@pytest.mark.parametrize("prompt", [BOX, Prompt.of(points=(60, 40)), MASK])
def test_what_is_nowhere_sure_is_decoded_again(plain, both, photo, prompt) -> None:
    first = trimap(MAM2Model(plain, Halves()), photo, prompt)
    model = judging(both, 0)
    second = trimap(MAM2Model(both.for_see_through(), Halves()), photo, prompt)
    assert not np.array_equal(first, second)
    assert np.array_equal(trimap(model, photo, prompt), first)
    assert np.array_equal(trimap(again(model, 1.01), photo, prompt), second)


def test_a_person_may_say_it(plain, both, photo) -> None:
    first = trimap(MAM2Model(plain, Halves()), photo)
    model = judging(both, 1.01)
    assert np.array_equal(trimap(model, photo, opacity="opaque"), first)
    said = trimap(again(model, 0), photo, opacity="transparent")
    own = trimap(MAM2Model(both.for_see_through(), Halves()), photo)
    assert np.array_equal(said, np.where(own == 1, 0.5, own))


@pytest.mark.parametrize("through", [False, True])
def test_tracked_frames_know_it_from_the_prompted_one(both, photo, through) -> None:
    model = judging(both, 1.01 if through else 0)
    assert "seen_through" in model.memory_spans
    encoded = model.encode(photo)
    entry = model.remember(encoded, model.predict(encoded, BOX))
    # As it comes back from a project's file.
    entry = {name: np.asarray(value) for name, value in entry.items()}
    assert entry["seen_through"].dtype == bool
    assert bool(entry["seen_through"].all()) is through
    # However sure it is by now: that isn't asked again.
    model = again(model, 0 if through else 1.01)
    # As a session keeps it.
    recall = Recall(model.memory_spans)
    recall.add(0, entry, prompted=True)
    memories = recall.memories(1, reverse=False)
    found = model.track(encoded, memories, 1)
    own = model.network.for_see_through() if through else without(model.network)
    wanted = MAM2Model(own, Halves()).track(encoded, memories, 1)
    assert np.array_equal(found.trimap, wanted.trimap)
    assert bool(np.asarray(model.remember(encoded, found)["seen_through"]).all()) is through


def without(network: MAM2Network) -> MAM2Network:
    """Return a network without its second decoder."""
    found = MAM2Network(replace(network.config, see_through_blocks=0)).eval()
    own = found.state_dict()
    found.load_state_dict({n: v for n, v in network.state_dict().items() if n in own})
    return found


def test_networks_without_one_remember_nothing_new(plain, photo) -> None:
    model = MAM2Model(plain, Halves())
    encoded = model.encode(photo)
    entry = model.remember(encoded, model.predict(encoded, BOX))
    assert set(entry) == set(model.memory_spans) == {"features", "pointer", "logits"}


def test_a_config_says_whether_there_is_one() -> None:
    config = replace(MINIATURE, see_through_blocks=1)
    assert MAM2Config.from_dict(config.to_dict()) == config
    assert MAM2Network(MINIATURE).see_through is None
