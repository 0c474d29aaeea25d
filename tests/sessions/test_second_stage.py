"""A second model for the edge: the trimap between the two, and what the two say together."""

import cv2
import numpy as np
import pytest
from PIL import Image

from pullmatte import load
from pullmatte.models.protocol import Memories, Prediction
from pullmatte.prompts import Box, Prompt, Trimap
from pullmatte.sessions.second_stage import SecondStage, trimap_from_alpha
from pullmatte.testing import FakeModel

IMAGE = np.random.default_rng(0).random((40, 60, 3), dtype=np.float32)
BOX = Prompt(box=Box(10, 10, 50, 30))


class Says(FakeModel):
    """Answers with an alpha that is given; takes note of what it was asked."""

    def __init__(self, alpha, opacity=None):
        self.alpha, self.opacity, self.asked = alpha, opacity, []

    def predict(self, encoded, prompt, *, opacity="auto"):
        self.asked.append((prompt, opacity))
        return Prediction(self.alpha.copy(), mask=self.alpha > 0.5, opacity=self.opacity)


def square(value=1.0, shape=(40, 60)):
    alpha = np.zeros(shape, np.float32)
    alpha[10:30, 15:45] = value
    return alpha


def test_band_lies_on_both_sides_of_a_hard_edge():
    trimap = trimap_from_alpha(square(shape=(100, 100)), reach=0.03)
    row = trimap[20]
    assert row[:12].tolist() == [0] * 12
    assert row[12:18].tolist() == [0.5] * 6
    assert row[18:42].tolist() == [1] * 24
    assert trimap.dtype == np.float32


def test_everything_in_between_is_unknown_and_the_rest_agrees():
    rng = np.random.default_rng(1)
    alpha = cv2.GaussianBlur(rng.random((200, 150)).astype(np.float32), (0, 0), 6)
    alpha = np.clip((alpha - 0.5) * 20 + 0.5, 0, 1)
    trimap = trimap_from_alpha(alpha)
    assert (trimap[(alpha > 0.05) & (alpha < 0.95)] == 0.5).all()
    assert np.abs(trimap - alpha)[trimap != 0.5].max() <= 0.05 + 1e-6


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_plain_alpha_has_nothing_unknown(value):
    assert (trimap_from_alpha(np.full((30, 40), value, np.float32)) == value).all()


def test_thin_parts_and_gaps_keep_their_innermost_pixels():
    alpha = np.zeros((120, 400), np.float32)
    alpha[20:25, 20:380] = 1
    alpha[60:110, 20:380] = 1
    alpha[80:85, 40:360] = 0
    trimap = trimap_from_alpha(alpha, reach=0.03)
    assert (trimap[22, 40:360] == 1).all()
    assert (trimap[82, 60:340] == 0).all()
    assert (trimap[20, 40:360] == 0.5).all()


def test_nothing_is_changed_of_what_was_given():
    alpha = square()
    before = alpha.copy()
    trimap_from_alpha(alpha)
    np.testing.assert_array_equal(alpha, before)


@pytest.mark.parametrize("folder", ["tuxpaint", "stk_plants"])
def test_no_soft_pixel_of_real_alphas_is_called_known(folder, shared):
    for path in sorted((shared / "data/train_fg" / folder).glob("*.webp"))[:12]:
        alpha = np.asarray(Image.open(path).convert("RGBA"))[..., 3].astype(np.float32) / 255
        trimap = trimap_from_alpha(alpha)
        soft = (alpha > 0.05) & (alpha < 0.95)
        assert (trimap[soft] == 0.5).all(), path.name
        # Of an alpha four times coarser, 98 % of the true soft pixels are still found.
        size = (max(1, alpha.shape[1] // 4), max(1, alpha.shape[0] // 4))
        small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
        coarse = cv2.resize(small, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
        assert (trimap_from_alpha(coarse)[soft] == 0.5).mean() > 0.9, path.name


def test_second_model_is_asked_about_the_band_alone():
    first, second = Says(square(), "opaque"), Says(np.full((40, 60), 0.3, np.float32))
    model = SecondStage(first, second)
    answer = model.predict(model.encode(IMAGE), BOX)
    trimap = trimap_from_alpha(square())
    np.testing.assert_array_equal(answer.alpha, np.where(trimap == 0.5, np.float32(0.3), trimap))
    np.testing.assert_array_equal(answer.trimap, trimap)
    np.testing.assert_array_equal(answer.mask, square() > 0.5)
    ((asked, opacity),) = second.asked
    np.testing.assert_array_equal(asked.trimap.array, trimap)
    assert opacity == "opaque"


def test_user_trimap_goes_to_the_second_alone():
    first, second = Says(square()), Says(np.full((40, 60), 0.3, np.float32))
    model = SecondStage(first, second)
    prompt = Prompt(trimap=Trimap(np.full((40, 60), 0.5)))
    both = model.predict_many(model.encode(IMAGE), [prompt, BOX, prompt])
    assert [said for said, _ in first.asked] == [BOX]
    assert [each.alpha[0, 0] for each in both] == [np.float32(0.3), 0, np.float32(0.3)]


@pytest.mark.parametrize("by", ["user", "model"])
def test_transparent_objects_stay_with_the_first(by):
    first = Says(square(0.4), "transparent" if by == "model" else None)
    second = Says(square())
    model = SecondStage(first, second)
    opacity = "transparent" if by == "user" else "auto"
    answer = model.predict(model.encode(IMAGE), BOX, opacity=opacity)
    np.testing.assert_array_equal(answer.alpha, square(0.4))
    assert second.asked == []


def test_without_an_edge_the_second_is_not_asked():
    first, second = Says(np.ones((40, 60), np.float32)), Says(square())
    model = SecondStage(first, second)
    assert (model.predict(model.encode(IMAGE), BOX).alpha == 1).all()
    assert second.asked == []


def test_frames_are_tracked_by_the_first_and_finished_by_the_second():
    model = SecondStage(FakeModel(), load("classical").model)
    image = np.zeros((40, 60, 3), np.float32)
    image[10:30, 10:50] = 1
    encoded = model.encode(image)
    start = model.predict(encoded, BOX)
    memory = Memories({0: model.remember(encoded, start)})
    tracked = model.track(encoded, memory, 1)
    np.testing.assert_array_equal(tracked.alpha, start.alpha)
    assert np.abs(tracked.alpha - image[..., 0]).max() < 0.02


def test_coarse_alphas_of_photographed_things_come_out_better(shared):
    path = shared / "data/train_fg/tuxpaint/animals_birds_owl.webp"
    rgba = np.asarray(Image.open(path).convert("RGBA"), np.float32) / 255
    alpha = np.pad(rgba[..., 3], 20)
    colour = np.pad(rgba[..., :3], ((20, 20), (20, 20), (0, 0))) * alpha[..., None]
    ramp = np.linspace(0.2, 0.9, alpha.shape[1], dtype=np.float32)[None, :, None]
    image = colour + ramp * np.array([0.4, 0.6, 0.9], np.float32) * (1 - alpha[..., None])
    size = (alpha.shape[1] // 4, alpha.shape[0] // 4)
    small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(small, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    for given, most in ((coarse, 0.5 * np.abs(coarse - alpha).mean()), (alpha, 0.005)):
        model = SecondStage(Says(given), load("classical").model)
        fine = model.predict(model.encode(image.astype(np.float32)), Prompt()).alpha
        assert np.abs(fine - alpha).mean() < most
