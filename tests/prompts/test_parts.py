"""Points, boxes and what `Prompt.of` makes of a caller's values."""

import math

import numpy as np
import pytest

from pullmatte.errors import PromptError
from pullmatte.prompts import Box, Mask, Point, Prompt, Trimap


def one_line(error: pytest.ExceptionInfo[PromptError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert 10 < len(text) < 300
    return text


@pytest.mark.parametrize("x", [math.nan, math.inf, "7", None, [1], np.zeros(2), 10**400, 1j])
def test_point_refuses_what_is_no_finite_number(x: object) -> None:
    with pytest.raises(PromptError) as error:
        Point(x, 5)  # type: ignore[arg-type]
    assert "give a" in one_line(error)


@pytest.mark.parametrize("label", [2, -1, 0.5, "1", None, [1], np.array([1, 0])])
def test_point_refuses_other_labels(label: object) -> None:
    with pytest.raises(PromptError, match=r"use 1 \(include\) or 0 \(exclude\)"):
        Point(1, 2, label)  # type: ignore[arg-type]


def test_numpy_scalars_become_plain_numbers() -> None:
    point = Point(np.float32(0.1), np.int64(3), np.uint8(1))
    assert [type(v) for v in (point.x, point.y, point.label)] == [float, float, int]
    assert point.x == float(np.float32(0.1))
    assert type(Box(*np.arange(4)).x1) is float


def test_points_take_labels_in_order() -> None:
    prompt = Prompt.of(points=[[1, 2], [3.5, 4]], labels=[1, 0])
    assert prompt.points == (Point(1, 2, 1), Point(3.5, 4, 0))


@pytest.mark.parametrize(
    "points", [(1, 2), [(1, 2)], np.array([[1, 2]]), [Point(1, 2)], Point(1, 2), iter([(1, 2)])]
)
def test_points_come_in_many_forms(points: object) -> None:
    assert Prompt.of(points=points).points == (Point(1, 2, 1),)


def test_no_points_is_an_empty_prompt() -> None:
    assert Prompt.of(points=[]).is_empty
    assert Prompt.of(points=np.zeros((0, 2))).is_empty
    assert Prompt.of().is_empty


@pytest.mark.parametrize(
    ("points", "labels"),
    [
        ([(1, 2, 1), (3, 4, 0)], None),
        ([1, 2, 3, 4], None),
        (5, None),
        ("ab", None),
        ([(1, 2), (3,)], None),
        ([(1, 2)], [1, 0]),
        ([(1, 2)], [math.nan]),
        ([(1, 2)], ["yes"]),
        (None, [1]),
        ([Point(1, 2)], [1]),
        ([Point(1, 2), (3, 4)], None),
        (np.zeros((2, 3)), None),
    ],
)
def test_points_that_do_not_pair_are_refused(points: object, labels: object) -> None:
    with pytest.raises(PromptError) as error:
        Prompt.of(points=points, labels=labels)  # type: ignore[arg-type]
    one_line(error)


@pytest.mark.parametrize(
    "box",
    [(1, 2, 3), (1, 2, 3, 4, 5), "1234", 7, np.zeros((2, 2)), np.zeros((300, 300)), (1, 2, 3, "x")],
)
def test_box_needs_four_numbers(box: object) -> None:
    with pytest.raises(PromptError) as error:
        Prompt.of(box=box)  # type: ignore[arg-type]
    one_line(error)


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (9, 1, 2, 3), (1, 9, 3, 2)])
def test_empty_and_turned_boxes_are_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(PromptError, match="is empty: give X0,Y0,X1,Y1"):
        Box(*box)


def test_box_may_fill_the_image_but_not_leave_it() -> None:
    Box(0, 0, 640, 480).check(640, 480)
    for outside in ((-0.5, 0, 9, 9), (0, -1, 9, 9), (0, 0, 640.5, 9), (0, 0, 9, 481)):
        with pytest.raises(PromptError, match=r"leaves the 640x480 image: keep it within"):
            Box(*outside).check(640, 480)


def test_message_shows_the_number_that_is_wrong() -> None:
    with pytest.raises(PromptError, match=r"12345678\.5"):
        Box(0, 0, 12345678.5, 9).check(640, 480)


def test_point_lies_inside_or_is_refused() -> None:
    Point(0, 0).check(640, 480)
    Point(639.9, 479.9).check(640, 480)
    for x, y in ((640, 5), (5, 480), (-0.1, 5), (5, -1)):
        with pytest.raises(PromptError, match="outside the 640x480 image: give 0 <= x < 640"):
            Point(x, y).check(640, 480)


def test_prompt_checks_every_part() -> None:
    ones = np.ones((4, 6))
    for prompt in (
        Prompt.of(points=[(1, 1), (6, 1)]),
        Prompt.of(box=(0, 0, 7, 4)),
        Prompt.of(mask=np.ones((6, 4))),
        Prompt.of(trimap=np.full((4, 5), 0.5)),
    ):
        with pytest.raises(PromptError, match="6x4"):
            prompt.check(6, 4)
    Prompt.of(points=[(5, 3)], box=(0, 0, 6, 4), mask=ones, trimap=ones / 2).check(6, 4)


def test_later_prompts_add_points_and_replace_the_rest() -> None:
    first = Prompt.of(points=[(1, 1)], box=(0, 0, 2, 2), mask=np.eye(3))
    later = Prompt.of(points=[(2, 2)], labels=[0], box=(0, 0, 3, 3), trimap=np.eye(3) / 2)
    merged = first.merged(later)
    assert merged.points == (Point(1, 1, 1), Point(2, 2, 0))
    assert merged.box == Box(0, 0, 3, 3)
    assert (merged.mask, merged.trimap) == (first.mask, later.trimap)


def test_equal_prompts_are_equal_and_hash_alike() -> None:
    def make() -> Prompt:
        return Prompt.of(
            points=[(0.1 + 0.2, 1)], box=(0, 0, 3, 3), mask=np.eye(3), trimap=np.eye(3) / 2
        )

    assert make() == make()
    assert len({make(), make()}) == 1
    assert make() != Prompt.of(points=[(0.3, 1)])


def test_prompt_keeps_no_list_of_the_caller() -> None:
    points = [Point(1, 2)]
    prompt = Prompt(points=points)  # type: ignore[arg-type]
    points.append(Point(3, 4))
    assert prompt.points == (Point(1, 2),)
    hash(prompt)


def test_ready_made_rasters_are_taken_as_they_are() -> None:
    mask, trimap = Mask(np.eye(3)), Trimap(np.eye(3) / 2)
    prompt = Prompt.of(mask=mask, trimap=trimap)
    assert prompt.mask is mask
    assert prompt.trimap is trimap
