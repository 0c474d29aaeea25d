"""Parts of a prompt that a model wasn't made for don't reach it."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from pullmatte import MODELS, Box, Mask, Point, Trimap
from pullmatte.errors import PromptError
from pullmatte.prompts import Prompt
from pullmatte.sessions.image import ImageSession
from pullmatte.sessions.prompt_kinds import left_out, left_out_note, taken
from pullmatte.testing import FakeModel

SPEC = replace(MODELS["classical"], name="boxes", prompts=("box",))
BOX = Box(2, 3, 20, 20)
MASK = Mask(np.ones((30, 40)))
TRIMAP = Trimap(np.full((30, 40), 0.5, np.float32))
IN, OUT = Point(5, 5), Point(9, 9, 0)


@pytest.mark.parametrize(
    ("said", "heard", "kinds"),
    [
        (Prompt(box=BOX, mask=MASK), Prompt(box=BOX), ("mask",)),
        (Prompt(box=BOX, trimap=TRIMAP, mask=MASK), Prompt(box=BOX), ("trimap", "mask")),
        (Prompt((IN, OUT), BOX), Prompt((OUT,), BOX), ("point",)),
        (Prompt((OUT,), BOX), Prompt((OUT,), BOX), ()),
        (Prompt(box=BOX), Prompt(box=BOX), ()),
        (Prompt(), Prompt(), ()),
    ],
)
def test_only_what_the_model_takes_is_heard(said, heard, kinds):
    assert taken(SPEC, said) == heard
    assert left_out(SPEC, [said]) == kinds
    assert taken(None, said) is said
    assert taken(MODELS["classical"], said) is said


@pytest.mark.parametrize("said", [Prompt(mask=MASK), Prompt((OUT,)), Prompt((IN,), mask=MASK)])
def test_prompt_of_nothing_that_the_model_takes_is_refused(said):
    with pytest.raises(PromptError, match=r"'boxes' takes box, not .* alone: give a box"):
        taken(SPEC, said)


def test_box_speaks_where_a_mask_is_beside_it_and_the_log_says_so(caplog):
    image = np.random.default_rng(0).random((30, 40, 3), dtype=np.float32)
    photo = ImageSession(FakeModel(), image, spec=SPEC)
    with caplog.at_level(logging.WARNING):
        both = photo.predict(Prompt(box=BOX, mask=MASK)).alpha
    assert "mask left out: boxes takes box alone" in caplog.text
    np.testing.assert_array_equal(both, photo.predict(box=BOX).alpha)
    assert both[25:].max() == 0


def test_part_that_is_left_out_must_still_fit_the_image():
    photo = ImageSession(FakeModel(), np.zeros((9, 9, 3), np.float32), spec=SPEC)
    with pytest.raises(PromptError, match="mask of 40x30 pixels"):
        photo.predict(Prompt(box=Box(1, 1, 4, 4), mask=MASK))


def test_note_names_each_kind_once():
    prompts = [Prompt(box=BOX, mask=MASK), Prompt((IN,), BOX, MASK)]
    assert left_out_note(SPEC, prompts) == "mask and point left out: boxes takes box alone"
    assert left_out_note(SPEC, []) == left_out_note(None, prompts) == ""
