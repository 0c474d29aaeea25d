"""Prompts as words of a command line."""

import pytest

from pullmatte.cli.prompt_flags import files_read, parse_prompts
from pullmatte.errors import PromptError
from pullmatte.prompts import Box, FramePrompt, Point, Prompt


@pytest.mark.parametrize(
    ("text", "point", "name", "frame"),
    [
        ("120,80", Point(120, 80), "object", 0),
        ("1.5,2.25,+", Point(1.5, 2.25), "object", 0),
        ("120,80,-", Point(120, 80, 0), "object", 0),
        ("120,80@310", Point(120, 80), "object", 310),
        ("torch=120,80,-@310", Point(120, 80, 0), "torch", 310),
        ("the cat = 1,2", Point(1, 2), "the cat", 0),
        ("Käfer=1e1,2", Point(10, 2), "Käfer", 0),
    ],
)
def test_point_is_read(text, point, name, frame):
    assert parse_prompts([text]).prompts == (FramePrompt(Prompt(points=(point,)), name, frame),)


def test_box_is_read_with_name_and_frame():
    (entry,) = parse_prompts(boxes=["a=1,2,30,40@7"]).prompts
    assert entry == FramePrompt(Prompt(box=Box(1, 2, 30, 40)), "a", 7)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1,2,3",
        "1,2,3,4,5",
        "1;2",
        "=1,2",
        "a=",
        "1,2@",
        "1,2@-1",
        "@",
        "1,2@" + "9" * 5000,
    ],
)
def test_unreadable_point_says_what_is_expected(text):
    with pytest.raises(PromptError, match="expected X,Y"):
        parse_prompts([text])


def test_flags_come_after_the_file(tmp_path):
    saved = tmp_path / "p.json"
    parse_prompts(["1,2"]).save(saved)
    both = parse_prompts(["3,4"], file=saved)
    assert [entry.prompt.points[0].x for entry in both.prompts] == [1, 3]


def test_files_are_named_without_object_and_frame(tmp_path):
    odd = tmp_path / "a=b@3.png"
    odd.touch()
    read = files_read(["cat=m.png@4", str(odd)], ["t.png"], tmp_path / "p.json")
    assert [path.name for path in read] == ["m.png", "a=b@3.png", "t.png", "p.json"]
