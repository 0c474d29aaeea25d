"""What lies behind the subject: plates without its colours, pop, text, pictures and clips."""

import numpy as np
import pytest
from PIL import Image

from pullmatte.errors import PullmatteError, ReadError
from pullmatte.io.video import open_video
from pullmatte.jobs import text_layer as module
from pullmatte.jobs.backdrop import Backdrop
from pullmatte.jobs.look import Look, Text
from pullmatte.jobs.plates import blurred_plate, popped, uncovered_plate
from pullmatte.jobs.text_layer import text_layer
from pullmatte.matte import Matte

RED, GREY = np.array([1, 0, 0], np.float32), np.array([0.5, 0.5, 0.5], np.float32)


def scene(soft=3.0):
    """A red disc with a soft edge on grey."""
    y, x = np.mgrid[:80, :100]
    alpha = np.clip(0.5 + (24 - np.hypot(x - 50, y - 40)) / soft, 0, 1).astype(np.float32)
    image = alpha[..., None] * RED + (1 - alpha[..., None]) * GREY
    return Matte(alpha, image, foreground=np.broadcast_to(RED, image.shape).copy())


@pytest.mark.parametrize(("px", "most"), [(0, 0.1), (2, 0.01), (12, 0.002), (60, 0.001)])
def test_blurred_plate_has_nothing_of_the_subject(px, most):
    matte = scene()
    plate = blurred_plate(matte.image, matte.alpha, px)
    assert np.abs(plate - GREY).max() < most


def test_blurred_plate_blurs_the_background():
    image = np.zeros((60, 90, 3), np.float32)
    image[:, ::2] = 1
    alpha = np.zeros((60, 90), np.float32)
    alpha[20:40, 30:50] = 1
    assert np.abs(blurred_plate(image, alpha, 6) - 0.5).max() < 0.12


def test_blurred_plate_of_a_covered_picture_is_its_own_blur():
    image = np.full((30, 40, 3), 0.3, np.float32)
    plate = blurred_plate(image, np.ones((30, 40), np.float32), 5)
    assert np.allclose(plate, 0.3, atol=1e-3)


def test_uncovered_plate_takes_the_subject_out():
    matte = scene()
    plate = uncovered_plate(matte.image, matte.alpha, matte.foreground)
    assert np.abs(plate[matte.alpha < 0.9] - GREY).max() < 1e-3
    assert np.abs(matte.composite(plate) - matte.image).max() < 2 / 255


def test_pop_goes_to_luma():
    image = np.random.default_rng(0).random((4, 5, 3), np.float32)
    grey = popped(image, 1)
    assert np.ptp(grey, axis=2).max() < 1e-6
    assert grey[0, 0, 0] == pytest.approx(image[0, 0] @ [0.2126, 0.7152, 0.0722])
    assert np.allclose(popped(image, 0.5), (image + grey) / 2, atol=1e-6)
    assert np.array_equal(popped(image, 0), image)


def test_original_without_edits_is_the_picture():
    matte = scene()
    with Backdrop(Look("original"), matte.size) as backdrop:
        assert np.abs(backdrop.lay(matte) - matte.image).max() < 2 / 255


def test_pop_leaves_the_subject_its_colour():
    matte = scene()
    matte.image[:, :10] = (0, 0.2, 1)
    with Backdrop(Look("original", pop=1), matte.size) as backdrop:
        laid = backdrop.lay(matte)
    assert np.ptp(laid[matte.alpha == 0], axis=1).max() < 1e-6
    assert np.array_equal(laid[40, 50], RED)


def test_text_lies_behind_the_subject():
    matte = scene()
    look = Look("blue", text=Text("MMMMMM\nMMMMMM", size=0.4, colour="lime"))
    with Backdrop(look, matte.size) as backdrop:
        laid = backdrop.lay(matte)
    inside, outside = matte.alpha == 1, matte.alpha == 0
    assert np.array_equal(laid[inside], np.broadcast_to(RED, laid[inside].shape))
    assert (laid[outside][:, 1] > 0.9).mean() > 0.1
    assert (laid[outside][:, 2] > 0.9).mean() > 0.1


def test_text_layer_has_place_size_and_soft_edges():
    layer = text_layer((400, 200), Text("HH\nHH", x=0.25, y=0.5, size=0.2, colour="#ff0000"))
    rows, columns = np.nonzero(layer[..., 3] > 0.5)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(100, abs=2)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(100, abs=8)
    assert 55 < np.ptp(rows) < 90
    assert ((layer[..., 3] > 0) & (layer[..., 3] < 1)).any()
    assert np.array_equal(layer[0, 0, :3], RED)


def test_letters_that_no_font_has_are_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(module, "SYSTEM_FONTS", ("nofont.ttf",))
    with pytest.raises(PullmatteError, match="text with 'жл'") as caught:
        text_layer((40, 20), Text("ab жлж"))
    assert len(str(caught.value).splitlines()) == 1


def test_picture_is_fitted_and_a_missing_one_refused(tmp_path):
    Image.new("RGB", (7, 5), "lime").save(tmp_path / "plate.png")
    matte = scene()
    with Backdrop(Look(tmp_path / "plate.png"), matte.size) as backdrop:
        assert np.allclose(backdrop.lay(matte)[0, 0], (0, 1, 0))
    with pytest.raises(ReadError, match="no such file"):
        Backdrop(Look(tmp_path / "no.png"), matte.size)
    with pytest.raises(ReadError, match="is no picture, and as a clip"):
        Backdrop(Look(tmp_path / "no.mp4"), matte.size, moving=True)


def test_clip_runs_by_time_and_begins_again(make_clip):
    path = make_clip(frames=5)
    with open_video(path) as clip:
        frames = [frame.image for frame in clip.frames()]
    matte = Matte(np.zeros((32, 48), np.float32), np.zeros((32, 48, 3), np.float32))
    shown = []
    with Backdrop(Look(path), (48, 32), moving=True) as backdrop:
        for number in range(13):
            # The clip has 25 frames a second, these times 50.
            laid = backdrop.lay(matte, number / 50)
            shown.append(int(np.argmin([np.abs(laid - frame).max() for frame in frames])))
    assert shown == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 0, 0, 1]
