"""From predictions to mattes: steadied, shared out, coloured."""

import numpy as np
import pytest

from pullmatte.errors import PullmatteError
from pullmatte.models.classical.model import ClassicalModel
from pullmatte.models.protocol import Prediction
from pullmatte.sessions.clip import ArrayClip
from pullmatte.sessions.finishing import Finish, Finisher, share_overlaps
from pullmatte.sessions.video import VideoSession
from pullmatte.testing import FakeModel


def flickering(count=7):
    """A soft disc on a drifting ground, under noise that changes from frame to frame."""
    rng = np.random.default_rng(2)
    ground = rng.random((12, 18, 3)).repeat(6, 0).repeat(6, 1) * 0.4
    ys, xs = np.mgrid[0:72, 0:108]
    alpha = np.clip((26 - np.hypot(xs - 54, ys - 36)) / 14, 0, 1)[..., None]
    clean = alpha * np.array([0.95, 0.8, 0.2]) + (1 - alpha) * ground
    noise = rng.normal(0, 0.025, (count, 72, 108, 3))
    return ArrayClip([np.clip(clean + each, 0, 1).astype(np.float32) for each in noise])


def open_disc(clip, **finish):
    shot = VideoSession(ClassicalModel(), clip, finish=Finish(**finish))
    shot.prompt(frame=0, box=(24, 6, 84, 66))
    shot.prompt(frame=4, box=(24, 6, 84, 66))
    return shot


def alphas(frames):
    return np.stack([frame.mattes["object"].alpha for frame in frames])


class Restless(FakeModel):
    """A model whose uncertain alpha goes up and down, though nothing in the picture does."""

    def __init__(self):
        self.frame = 0

    def encode(self, image):
        self.frame += 1
        return super().encode(image)

    def _inside(self, image, region):
        ys, xs = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
        truth = np.clip((26 - np.hypot(xs - 54, ys - 36)) / 14, 0, 1)
        unknown = (truth > 0) & (truth < 1)
        alpha = np.clip(truth + 0.1 * (-1) ** self.frame * unknown, 0, 1).astype(np.float32)
        trimap = np.where(unknown, 0.5, truth).astype(np.float32)
        return Prediction(alpha=alpha, mask=alpha > 0.5, trimap=trimap)


def test_steadied_alphas_move_less_and_stay_close():
    clip, found = flickering(), []
    for strength in (0.0, 0.7):
        shot = VideoSession(Restless(), clip, finish=Finish(foreground=False, steady=strength))
        shot.prompt()
        found.append(alphas(shot.propagate()))
    plain, steady = found
    soft = (plain > 0).all(0) & (plain < 1).all(0)
    moves = [np.abs(np.diff(each, axis=0))[:, soft].mean() for each in found]
    assert moves[1] < 0.75 * moves[0]
    known = (plain == plain[0]).all(0)
    np.testing.assert_array_equal(steady[:, known], plain[:, known])
    assert np.abs(steady - plain).mean() < 0.02


def test_prompted_frames_are_not_steadied():
    clip = flickering()
    plain = alphas(open_disc(clip, foreground=False).propagate())
    steady = alphas(open_disc(clip, foreground=False, steady=0.7).propagate())
    changed = [index for index in range(len(clip)) if (plain[index] != steady[index]).any()]
    assert changed == [1, 2, 3, 5, 6]


def test_steadied_pass_goes_on_bit_for_bit():
    clip = flickering()
    whole = list(open_disc(clip, steady=0.7).propagate())
    stopped = open_disc(clip, steady=0.7)
    running = stopped.propagate()
    for _ in range(3):
        next(running)
    rest = list(open_disc(clip, steady=0.7).propagate(resume=stopped.state(3)))
    assert [frame.index for frame in rest] == [3, 4, 5, 6]
    for frame in rest:
        matte, other = frame.mattes["object"], whole[frame.index].mattes["object"]
        np.testing.assert_array_equal(matte.alpha, other.alpha)
        np.testing.assert_array_equal(matte.foreground, other.foreground)


def test_what_sums_to_less_than_one_is_left_alone():
    rng = np.random.default_rng(0)
    planes = {name: rng.random((5, 6), np.float32) for name in "abc"}
    shared = share_overlaps(planes)
    total, before = sum(shared.values()), sum(planes.values())
    np.testing.assert_allclose(total, np.minimum(before, 1), atol=1e-6)
    for name, plane in planes.items():
        free = before <= 1
        np.testing.assert_array_equal(shared[name][free], plane[free])
    alone = share_overlaps({"a": planes["a"]})["a"]
    np.testing.assert_array_equal(alone, planes["a"])
    assert alone is not planes["a"]


def test_state_of_what_does_nothing_is_empty():
    assert Finisher(Finish(foreground=False)).state() == {}
    with pytest.raises(PullmatteError, match="from 0 to less than 1"):
        Finish(steady=1.0)
