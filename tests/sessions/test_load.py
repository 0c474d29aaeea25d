"""From a name to something that opens images and clips."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pullmatte import MODELS, load
from pullmatte.errors import PullmatteError, ReadError, UnknownModel
from pullmatte.sessions.clip import ArrayClip, FrameSource, as_clip
from pullmatte.testing import FakeMatter

CLIP = np.random.default_rng(4).integers(0, 256, (3, 8, 10, 3), np.uint8)


def test_load_finds_every_model_of_the_table() -> None:
    for name, spec in MODELS.items():
        assert spec.name == name
        assert spec.summary
        assert spec.licence
        if not spec.has_weights and not spec.files:
            assert repr(load(name)) == f"Matter({name!r})"


def test_unknown_model_lists_the_known() -> None:
    with pytest.raises(UnknownModel, match=r"unknown model 'sdmat': known are .*classical"):
        load("sdmat")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"device": "tpu"}, "no device 'tpu': give auto or cpu"),
        ({"dtype": "int4"}, "no dtype 'int4': give float32"),
        ({"speed": 11}, "unknown option 'speed'"),
    ],
)
def test_a_choice_that_a_model_lacks_is_refused(choice: dict[str, object], message: str) -> None:
    assert repr(load("classical", device="cpu", dtype="float32")) == "Matter('classical')"
    with pytest.raises(PullmatteError, match=message):
        load("classical", **choice)


@pytest.mark.parametrize(
    "given",
    [CLIP, list(CLIP), tuple(CLIP / 255), [Image.fromarray(f) for f in CLIP], iter(CLIP)],
    ids=["array", "list", "floats", "pil", "iterator"],
)
def test_clips_come_in_many_forms(given: object) -> None:
    clip = as_clip(given)
    assert isinstance(clip, FrameSource)
    assert (len(clip), clip.size) == (3, (10, 8))
    for frame, expected in zip(clip.frames(), CLIP, strict=True):
        assert frame.image.dtype == np.float32
        np.testing.assert_allclose(frame.image, expected / 255, atol=1e-6)


def test_frames_can_be_asked_for_in_spans_and_backward() -> None:
    clip = ArrayClip(list(CLIP), fps=10)
    assert [f.index for f in clip.frames(1)] == [1, 2]
    assert [f.index for f in clip.frames(0, 2, reverse=True)] == [1, 0]
    assert [f.time_s for f in clip.frames()] == [0, 0.1, 0.2]
    assert list(clip.frames(3)) == []


def test_8_bit_clips_are_not_blown_up() -> None:
    assert np.shares_memory(ArrayClip(CLIP)._images[1], CLIP)


def test_an_open_clip_is_used_as_it_is() -> None:
    clip = ArrayClip(list(CLIP))
    assert FakeMatter().open_video(clip).clip is clip


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "without frames"),
        (CLIP[:0], "without frames"),
        (CLIP[0], "clip of shape"),
        (CLIP[..., 0], "clip of shape"),
        (CLIP[:, :, :, :2], "frame 0: image of shape"),
        ([CLIP[0], CLIP[0][:5]], "different sizes"),
        ([CLIP[0], None], "frame 1: image of shape"),
        ([CLIP[0] / 255, CLIP[0] / np.nan], "frame 1: image holds NaN"),
        ("clip.mp4", "pullmatte.open_video"),
        (Path("clip.mp4"), "pullmatte.open_video"),
        (None, "NoneType"),
        (3, "int"),
    ],
)
def test_what_is_no_clip_is_refused(given: object, says: str) -> None:
    with pytest.raises(ReadError, match=says) as error:
        FakeMatter().open_video(given)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
