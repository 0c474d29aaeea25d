"""The saved form: what is read back equals what was written, and anything else is refused."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pullmatte import Box, Point, PromptFile
from pullmatte.errors import PromptError, ReadError, WriteError
from pullmatte.prompts import FramePrompt, Prompt

PLANE = np.zeros((5, 7), np.float32)
PLANE[1:4, 1:6] = 0.5
PLANE[2, 3] = 1
EVERYTHING = PromptFile(
    (
        FramePrompt(Prompt(points=(Point(0.1 + 0.2, 1 / 3, 0), Point(2, -0.0))), "a torch", 0),
        FramePrompt(Prompt(box=Box(1e-17, 0, 6.999999999999999, 5)), "Fräulein 猫 🔥", 310),
        FramePrompt(Prompt.of(mask=PLANE > 0), "a torch", 7),
        FramePrompt(Prompt.of(trimap=PLANE, points=[(1, 1)]), "x.y=z@3", 7),
        FramePrompt(Prompt(), "all", 2),
    ),
    source="Ünï code.mp4",
    size=(7, 5),
)


def document(**changes: Any) -> str:
    entry = {"object": "cat", "frame": 0, "box": [1, 2, 3, 4]}
    whole = {"pullmatte_prompts": 1, "source": None, "size": None, "prompts": [entry]}
    return json.dumps(whole | changes)


def test_file_reads_back_exactly(tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    EVERYTHING.save(path)
    again = PromptFile.load(path)
    assert again == EVERYTHING
    assert hash(again) == hash(EVERYTHING)
    assert again.to_json() == EVERYTHING.to_json() == path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["prompts.json"]


def test_random_coordinates_read_back_bit_for_bit() -> None:
    values = np.random.default_rng(3).uniform(0, 5000, (200, 2))
    file = PromptFile((FramePrompt(Prompt.of(points=values)),))
    again = PromptFile.from_json(file.to_json())
    assert (
        np.array([[p.x, p.y] for p in again.prompts[0].prompt.points]).tobytes() == values.tobytes()
    )


def test_numpy_numbers_can_be_saved() -> None:
    prompt = Prompt.of(points=np.float32([[0.1, 2]]), box=np.arange(4, dtype=np.uint8))
    file = PromptFile((FramePrompt(prompt, frame=np.int64(3)),), size=np.array([9, 9]))  # type: ignore[arg-type]
    assert PromptFile.from_json(file.to_json()) == file


def test_whole_numbers_are_written_plainly() -> None:
    entry = json.loads(PromptFile((FramePrompt(Prompt(box=Box(1, 2, 3, 4.5))),)).to_json())
    assert json.dumps(entry["prompts"][0]["box"]) == "[1, 2, 3, 4.5]"


def test_source_that_is_no_valid_unicode_survives(tmp_path: Path) -> None:
    file = PromptFile(source=b"caf\xe9.png".decode("utf-8", "surrogateescape"))
    file.save(tmp_path / "p.json")
    assert PromptFile.load(tmp_path / "p.json") == file


def test_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "windows.json"
    path.write_bytes(b"\xef\xbb\xbf" + document().encode())
    assert PromptFile.load(path).objects == ("cat",)


def test_objects_and_frames_are_sorted_out() -> None:
    assert EVERYTHING.objects == ("a torch", "Fräulein 猫 🔥", "x.y=z@3", "all")
    assert list(EVERYTHING.frames()) == [0, 2, 7, 310]
    assert set(EVERYTHING.on_frame(7)) == {"a torch", "x.y=z@3"}


def test_prompts_of_one_object_and_frame_are_merged() -> None:
    parts = [Prompt.of(points=[(1, 1)]), Prompt.of(box=(0, 0, 2, 2)), Prompt.of(box=(0, 0, 3, 3))]
    merged = PromptFile(tuple(FramePrompt(p, "a", 4) for p in parts)).on_frame(4)
    assert merged == {"a": Prompt(points=(Point(1, 1),), box=Box(0, 0, 3, 3))}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a prompt file"),
        ("{", "not a prompt file"),
        ("[]", "not a prompt file"),
        ("null", "not a prompt file"),
        ('{"boxes": [[1, 2, 3, 4]]}', "not a prompt file"),
        ("[" * 100_000, "not a prompt file"),
        (document(pullmatte_prompts=2), "version '2': this pullmatte reads version 1; update"),
        (document(pullmatte_prompts="new"), "update pullmatte"),
        (document(pullmatte_prompts=None), "update pullmatte"),
        (document(prompts=None), "list of objects"),
        (document(prompts={}), "list of objects"),
        (document(prompts=[3]), "list of objects"),
        (document(size=[640]), "width, height"),
        (document(size=[0, 5]), "give width and height"),
        (document(size=[6.5, 5]), "whole number"),
        (document(size="ab"), "width, height"),
        (document(source=5), "file name"),
    ],
)
def test_damaged_and_foreign_files_are_refused(text: str, says: str) -> None:
    with pytest.raises(PromptError, match=says) as error:
        PromptFile.from_json(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"box": [1, 2, 3, 4]}, 'no "object"'),
        ({"object": "a", "boxx": [1, 2, 3, 4]}, "unknown key 'boxx'; known are"),
        ({"object": "a", "box": [1, 2, 3]}, "four numbers"),
        ({"object": "a", "box": 7}, "four numbers"),
        ({"object": "a", "box": [1, 2, 3, "4"]}, "number of pixels"),
        ({"object": "a", "box": [3, 2, 1, 4]}, "is empty"),
        ({"object": "a", "points": [[1]]}, "two numbers"),
        ({"object": "a", "points": 3}, "wrong type"),
        ({"object": "a", "points": [[1, 2, 3]]}, "use 1"),
        ({"object": "a", "points": [[1, float("nan"), 1]]}, "finite"),
        ({"object": "a", "points": [[10**400, 2, 1]]}, "number of pixels"),
        ({"object": "a", "frame": -1}, "count from 0"),
        ({"object": "a", "frame": 2.5}, "whole number"),
        ({"object": "a", "frame": "3"}, "whole number"),
        ({"object": 5}, "object name"),
        ({"object": "../up"}, "object name"),
        ({"object": "\ud800"}, "object name"),
        ({"object": "a", "mask_png": "@@"}, "mask_png is damaged"),
        ({"object": "a", "mask_png": 5}, "mask_png is damaged"),
        ({"object": "a", "trimap_png": base64.b64encode(b"GIF89a").decode()}, "is damaged"),
    ],
)
def test_damaged_entries_are_named(entry: dict[str, Any], says: str) -> None:
    with pytest.raises(PromptError, match=says) as error:
        PromptFile.from_json(document(prompts=[entry]))
    assert str(error.value).startswith("damaged prompt file, prompt 0")
    assert "\n" not in str(error.value)


def test_every_cut_of_a_mask_is_refused() -> None:
    text = PromptFile((FramePrompt(Prompt.of(mask=PLANE > 0)),)).to_json()
    png = base64.b64decode(json.loads(text)["prompts"][0]["mask_png"])
    for length in range(0, len(png) - 24, 3):
        cut = base64.b64encode(png[:length]).decode()
        with pytest.raises(PromptError):
            PromptFile.from_json(document(prompts=[{"object": "a", "mask_png": cut}]))


def test_masks_that_mark_nothing_are_refused_from_files_too() -> None:
    text = PromptFile((FramePrompt(Prompt.of(trimap=PLANE)),)).to_json()
    png = json.loads(text)["prompts"][0]["trimap_png"]
    assert PromptFile.from_json(text).prompts[0].prompt.trimap is not None
    black = base64.b64encode(_black_png()).decode()
    for key, says in (("mask_png", "mask is empty"), ("trimap_png", "no unknown pixel")):
        with pytest.raises(PromptError, match=says):
            PromptFile.from_json(document(prompts=[{"object": "a", key: black}]))
    assert png != black


def _black_png() -> bytes:
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.new("L", (7, 5)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00bad", b"\x89PNG\r\n\x1a\n", None])
def test_unreadable_files_are_read_errors(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "p.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ReadError, match=r"can't read prompts from .*p\.json") as error:
        PromptFile.load(path)
    assert "\n" not in str(error.value)


def test_odd_paths_are_read_errors(tmp_path: Path) -> None:
    for path in (tmp_path, "nul\0l", tmp_path / "x" / "y.json"):
        with pytest.raises(ReadError):
            PromptFile.load(path)


def test_file_error_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text("{}")
    with pytest.raises(PromptError, match=r"p\.json: not a prompt file"):
        PromptFile.load(path)


def test_saving_where_nothing_can_be_written_is_a_write_error(tmp_path: Path) -> None:
    with pytest.raises(WriteError):
        EVERYTHING.save(tmp_path / "missing" / "p.json")


@pytest.mark.parametrize(
    "name",
    ["", "  ", ".hidden", "a/b", "a\\b", "a\nb", "a\0", "\u2028", "n" * 151, "猫" * 51, None, 3],
)
def test_names_that_cannot_be_file_names_are_refused(name: Any) -> None:
    with pytest.raises(PromptError, match="object name") as error:
        FramePrompt(Prompt(), name)
    assert "\n" not in str(error.value)


def test_check_names_the_frame_that_does_not_exist() -> None:
    file = PromptFile((FramePrompt(Prompt(), "cat", 5),))
    with pytest.raises(PromptError, match="'cat' on frame 5: the input has 5 frames, 0 to 4"):
        file.check(8, 8, frame_count=5)
    with pytest.raises(PromptError, match="1 frame, only frame 0"):
        file.check(8, 8)
    file.check(8, 8, frame_count=6)


def test_check_names_the_prompt_among_several() -> None:
    box = FramePrompt(Prompt(box=Box(0, 0, 9, 9)), "dog", 1)
    file = PromptFile((FramePrompt(Prompt(), "cat"), box))
    with pytest.raises(PromptError, match=r"prompt for 'dog' on frame 1: box .* leaves the 8x8"):
        file.check(8, 8, frame_count=2)


def test_check_refuses_an_input_of_another_size() -> None:
    file = PromptFile((FramePrompt(Prompt(box=Box(0, 0, 3, 3))),), size=(1920, 1080))
    file.check(1920, 1080)
    with pytest.raises(PromptError, match="made for 1920x1080 pixels, the input has 640x360"):
        file.check(640, 360)
