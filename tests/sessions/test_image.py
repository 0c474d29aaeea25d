"""An image session: encoded once, prompted many times, each answer on its own."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from pullmatte import Box, Mask, Point, PromptFile
from pullmatte.errors import PromptError, ReadError
from pullmatte.prompts import FramePrompt, Prompt
from pullmatte.sessions.image import ImageSession, clip_for_model
from pullmatte.testing import FakeMatter, FakeModel

IMAGE = np.random.default_rng(0).random((30, 50, 3), dtype=np.float32)
BRIGHT = IMAGE.mean(axis=2)


def session() -> ImageSession:
    return FakeMatter().open_image(IMAGE)


def test_no_prompt_is_the_whole_image() -> None:
    np.testing.assert_array_equal(session().predict().alpha, BRIGHT)
    np.testing.assert_array_equal(session().predict(points=[]).alpha, BRIGHT)
    np.testing.assert_array_equal(session().predict(Prompt()).alpha, BRIGHT)


def test_parts_and_ready_made_prompts_give_the_same() -> None:
    photo = session()
    by_parts = photo.predict(points=[[9, 9], [12, 9]], labels=[1, 0], box=(2, 3, 40, 20))
    ready = Prompt(points=(Point(9, 9), Point(12, 9, 0)), box=Box(2, 3, 40, 20))
    np.testing.assert_array_equal(by_parts.alpha, photo.predict(ready).alpha)
    with pytest.raises(PromptError, match="give one or the other"):
        photo.predict(ready, box=(0, 0, 3, 3))


def test_prompts_do_not_disturb_each_other() -> None:
    photo = session()
    boxes = [(0, 0, 9, 9), (20, 5, 50, 30), (3, 3, 4, 4)]
    alone = [session().predict(box=box).alpha for box in boxes]
    for order in ([0, 1, 2, 0], [2, 1, 0, 1]):
        for which in order:
            np.testing.assert_array_equal(photo.predict(box=boxes[which]).alpha, alone[which])


def test_image_is_encoded_once() -> None:
    class Counting(FakeModel):
        encodings = 0

        def encode(self, image: np.ndarray) -> np.ndarray:
            self.encodings += 1
            return super().encode(image)

    model = Counting()
    photo = ImageSession(model, IMAGE)
    for _ in range(3):
        photo.predict(box=(1, 1, 9, 9))
    assert model.encodings == 1


def test_several_objects_each_by_its_own_prompt() -> None:
    photo = session()
    file = PromptFile((
        FramePrompt(Prompt(box=Box(0, 0, 10, 10)), "left one"),
        FramePrompt(Prompt(mask=Mask(BRIGHT > 0.5)), "猫"),
        FramePrompt(Prompt(points=(Point(40, 20),)), "left one"),
    ))
    mattes = photo.predict_objects(file)
    assert list(mattes) == ["left one", "猫"]
    both = photo.predict(box=(0, 0, 10, 10), points=[(40, 20)])
    np.testing.assert_array_equal(mattes["left one"].alpha, both.alpha)
    np.testing.assert_array_equal(mattes["猫"].mask, BRIGHT > 0.5)


def test_objects_come_as_a_mapping_too() -> None:
    mattes = session().predict_objects({"a": Prompt(box=Box(0, 0, 5, 5)), "all": Prompt()})
    assert mattes["a"].alpha[5:].max() == 0
    np.testing.assert_array_equal(mattes["all"].alpha, BRIGHT)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda s: s.predict(box=(0, 0, 51, 30)), "box .* leaves the 50x30 image"),
        (lambda s: s.predict(points=[(50, 3)]), "outside the 50x30 image"),
        (lambda s: s.predict(mask=np.zeros((30, 50))), "mask is empty"),
        (lambda s: s.predict(mask=np.ones((50, 30))), "mask of 30x50 pixels"),
        (lambda s: s.predict(trimap=np.ones((30, 50))), "no unknown pixel"),
        (lambda s: s.predict(trimap=np.full((15, 25), 0.5)), "trimap of 25x15 pixels"),
        (lambda s: s.predict(labels=[1]), "labels without points"),
        (lambda s: s.predict(opacity="glass"), "use auto, opaque, transparent"),
        (lambda s: s.predict_objects({"a": Prompt(box=Box(0, 0, 99, 9))}), "leaves"),
        (
            lambda s: s.predict_objects(PromptFile((FramePrompt(Prompt(), "a", 1),))),
            "only frame 0",
        ),
    ],
)
def test_prompts_that_do_not_fit_are_refused(
    ask: Callable[[ImageSession], object], says: str
) -> None:
    with pytest.raises(PromptError, match=says) as error:
        ask(session())
    assert "\n" not in str(error.value)


def test_nothing_a_caller_passes_is_changed() -> None:
    image, mask = IMAGE.copy(), (BRIGHT > 0.5).astype(np.float32)
    trimap = np.where(mask > 0, 0.5, 0).astype(np.float32)
    given = {"points": np.array([[3.0, 4.0]]), "labels": np.array([1]), "box": np.arange(4.0)}
    before = {name: value.copy() for name, value in given.items()}
    photo = FakeMatter().open_image(image)
    photo.predict(mask=mask, **given).foreground  # noqa: B018 - it is computed here
    photo.predict(trimap=trimap)
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(mask, BRIGHT > 0.5)
    for name, value in before.items():
        np.testing.assert_array_equal(given[name], value)
    assert all(array.flags.writeable for array in (image, mask, trimap))


def test_hdr_values_are_clipped_for_the_model_only() -> None:
    seen = []

    class Watching(FakeModel):
        def encode(self, image: np.ndarray) -> np.ndarray:
            seen.append((float(image.min()), float(image.max())))
            return super().encode(image)

    image = IMAGE * 4 - 0.5
    photo = ImageSession(Watching(), image, foreground=False)
    assert seen == [(0.0, 1.0)]
    assert photo.predict().foreground.max() == image.max()
    assert clip_for_model(IMAGE) is IMAGE


def test_pil_image_is_opened_upright() -> None:
    picture = Image.fromarray(np.zeros((30, 50, 3), np.uint8))
    picture.getexif()[0x0112] = 8
    assert FakeMatter().open_image(picture).size == (30, 50)


def test_one_pixel_is_an_image() -> None:
    matte = FakeMatter().open_image(np.full((1, 1, 3), 0.5, np.float32)).predict(points=(0, 0))
    assert matte.alpha.tolist() == [[0.5]]
    assert matte.foreground.shape == (1, 1, 3)


def test_what_is_no_image_is_refused() -> None:
    for given in ("cat.jpg", None, np.zeros((4, 4, 7)), np.full((4, 4, 3), np.nan)):
        with pytest.raises(ReadError):
            FakeMatter().open_image(given)


def test_foreground_is_estimated_unless_switched_off() -> None:
    box = (10, 5, 40, 25)
    off = FakeMatter().open_image(IMAGE, foreground=False).predict(box=box)
    np.testing.assert_array_equal(off.foreground, IMAGE)
    on = session().predict(box=box)
    assert np.abs(on.foreground - IMAGE).max() > 0.1
    assert on.foreground is on.foreground
