"""Video sessions on the real network, small and with random weights."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from pullmatte import open_project
from pullmatte.models.mam2.model import MAM2Model
from pullmatte.sessions.clip import ArrayClip
from pullmatte.sessions.editing import EditOptions, EditSession
from pullmatte.sessions.finishing import Finish
from pullmatte.sessions.video import VideoSession

COUNT, HEIGHT, WIDTH = 10, 48, 72
BOX = (14, 8, 52, 40)
PLAIN = Finish(foreground=False)


def load_network():
    """Build the network that tests/models/mam2 uses, whose masks have both signs."""
    place = Path(__file__).parents[1] / "models/mam2/conftest.py"
    spec = importlib.util.spec_from_file_location("mam2_networks", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build()


class Copy:
    """A matter that says of the unknown how bright it is."""

    def matte(self, image, trimap):
        return np.where(trimap == 0.5, image.mean(axis=2), trimap).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return MAM2Model(load_network(), Copy())


@pytest.fixture(scope="module")
def clip():
    rng = np.random.default_rng(4)
    wall = rng.random((HEIGHT // 8, WIDTH // 8, 3)).repeat(8, 0).repeat(8, 1)
    noise = rng.normal(0, 0.04, (COUNT, HEIGHT, WIDTH, 3))
    return ArrayClip([np.clip(np.roll(wall, i, 1) + noise[i], 0, 1) for i in range(COUNT)])


def edit(model, clip, project=None):
    return EditSession(model, clip, project, EditOptions(finish=PLAIN))


def say(shot):
    shot.prompt(frame=3, object="a", box=BOX)
    shot.prompt(frame=6, object="a", points=[(60, 40)], labels=[0])
    shot.prompt(frame=8, object="a", box=(10, 6, 40, 36))
    shot.prompt(frame=1, object="b", points=[(30, 30)])


def alphas(frames):
    return np.stack([[matte.alpha for matte in frame.mattes.values()] for frame in frames])


@pytest.fixture(scope="module")
def whole(model, clip):
    shot = edit(model, clip)
    say(shot)
    found = alphas(shot.propagate())
    assert ((found > 0).mean(axis=(2, 3)) > 0.02).all(), "the test needs objects that are there"
    return found


def test_streaming_and_editing_give_the_same(model, clip, whole):
    streamed = VideoSession(model, clip, finish=PLAIN)
    say(streamed)
    assert np.abs(alphas(streamed.propagate()) - whole).max() <= 0.51 / 65535


@pytest.mark.parametrize("stop", [2, 9])
def test_a_project_goes_on_from_what_lies_on_disk(model, clip, whole, stop, tmp_path):
    first = edit(model, clip, open_project(tmp_path / "p"))
    say(first)
    running = first.update()
    for _ in range(stop):
        next(running)
    running.close()
    again = edit(model, clip, open_project(tmp_path / "p"))
    rest = list(again.update())
    assert len(rest) == 2 * COUNT - stop
    np.testing.assert_array_equal(alphas(again.frames()), whole)


def test_streaming_goes_on_from_its_state(model, clip, whole):
    stopped = VideoSession(model, clip, finish=PLAIN)
    say(stopped)
    running = stopped.propagate()
    for _ in range(5):
        next(running)
    state, store = stopped.state(5), stopped._store
    shot = VideoSession(model, clip, finish=PLAIN, store=store)
    say(shot)
    rest = alphas(shot.propagate(resume=state))
    assert np.abs(rest - whole[5:]).max() <= 0.51 / 65535


def test_the_bank_has_a_constant_size(model, clip):
    shot = VideoSession(model, clip, finish=PLAIN)
    shot.prompt(box=BOX)
    sizes = []
    for frame in shot.propagate():
        state = shot.state(frame.index + 1)
        sizes.append(sum("/t" in name and "features" in name for name in state))
    assert sizes == [0, 1, 2, 3, 4, 5, 6, 6, 6, 6]


def test_a_given_trimap_is_kept_and_propagated(model, clip):
    trimap = np.zeros((HEIGHT, WIDTH), np.float32)
    trimap[8:40, 14:52], trimap[14:34, 20:46] = 0.5, 1
    shot = edit(model, clip)
    shot.prompt(trimap=trimap)
    frames = list(shot.propagate())
    np.testing.assert_array_equal(frames[0].mattes["object"].trimap, trimap)
    known = trimap != 0.5
    np.testing.assert_array_equal(frames[0].mattes["object"].alpha[known], trimap[known])
    assert len(frames) == COUNT


def test_a_given_alpha_starts_tracking_as_its_mask_would(model, clip):
    alpha = np.zeros((HEIGHT, WIDTH), np.float32)
    alpha[8:40, 14:52] = 1
    given, masked = edit(model, clip), edit(model, clip)
    given.give(alpha)
    masked.prompt(mask=alpha > 0.5)
    one, other = alphas(given.propagate()), alphas(masked.propagate())
    np.testing.assert_array_equal(one[0, 0], alpha)
    np.testing.assert_array_equal(one[1:], other[1:])


def test_a_correction_shows_the_network_the_mask_from_before(model, clip, monkeypatch):
    shot = edit(model, clip)
    shot.prompt(box=BOX)
    list(shot.update())
    seen = []
    track = MAM2Model.track

    def watched(self, *args, **options):
        seen.append((args[2], options["before"] is not None))
        return track(self, *args, **options)

    monkeypatch.setattr(MAM2Model, "track", watched)
    shot.prompt(frame=5, points=[(60, 40)], labels=[0])
    steps = [step.frame for step in shot.update("forward")]
    assert steps[0] == 5
    assert seen[0] == (5, True)
    assert all(not before for _, before in seen[1:])
