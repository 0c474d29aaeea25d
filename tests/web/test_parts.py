"""The studio's parts by themselves."""

import asyncio
import json

import numpy as np
import pytest

from pullmatte.errors import PullmatteError
from pullmatte.io.image import encode_image, load_picture
from pullmatte.prompts import Box, FramePrompt, Prompt, PromptFile
from pullmatte.web.compatible import Wish, _finished, _margins
from pullmatte.web.events import Events
from pullmatte.web.ledger import ranges
from pullmatte.web.media import as_grey_png, as_jpeg, kind_of, suffix_of
from pullmatte.web.projects import NoProject, Project, Projects, display_name


def test_frames_become_stretches():
    assert ranges([3, 1, 2, 7, 9, 8]) == [[1, 3], [7, 9]]
    assert ranges([]) == []


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "image"),
        (b"\xff\xd8\xff\xe0", "image"),
        (b"RIFF\0\0\0\0WEBP", "image"),
        (b"RIFF\0\0\0\0AVI ", "video"),
        (b"\0\0\0\x18ftypheic", "image"),
        (b"\0\0\0\x18ftypavif", "image"),
        (b"\0\0\0\x18ftypisom", "video"),
        (b"\x1a\x45\xdf\xa3", "video"),
        (b"G" + b"\0" * 187 + b"G", "video"),
        (b"GIF89a", "image"),
        (b"<svg", None),
        (b"", None),
    ],
)
def test_files_are_told_by_what_they_begin_with(head, kind):
    assert kind_of(head + b"\0" * 100) == kind if head else kind_of(head) is None


def test_suffixes_are_known_ones():
    assert suffix_of("a.JPG", "image") == ".jpg"
    assert suffix_of("a.exe", "image") == ".png"
    assert suffix_of("a.png", "video") == ".mp4"
    assert suffix_of("a.mkv", "video") == ".mkv"


@pytest.mark.parametrize("name", ["../../a.png", "a\0b", "", "\n", "x" * 500])
def test_names_are_fit_to_be_shown(name):
    shown = display_name(name)
    assert shown
    assert len(shown) <= 120
    assert shown.isprintable()
    assert "/" not in shown


def test_pictures_for_the_page_hold_what_they_should():
    rng = np.random.default_rng(0)
    alpha = rng.random((30, 40)).astype(np.float32)
    assert np.abs(load_picture(as_grey_png(alpha)).image[..., 0] - alpha).max() <= 0.51 / 255
    image = np.repeat(np.linspace(0, 1, 40, dtype=np.float32)[None, :, None], 30, 0).repeat(3, 2)
    assert np.abs(load_picture(as_jpeg(image)).image - image).max() < 0.03
    assert load_picture(as_jpeg(image, height=10)).size == (13, 10)


@pytest.fixture
def projects(tmp_path):
    found = Projects(tmp_path)
    project_id, folder = found.new_folder()
    (folder / "input.png").write_bytes(b"")
    found.save(Project(project_id, "a.png", "image", ".png", 40, 30))
    return found


def test_projects_are_read_as_they_were_written(projects):
    [project] = projects.list()
    said = PromptFile((FramePrompt(Prompt(box=Box(1, 2, 30, 20)), "cup"),))
    projects.save_prompts(project, said)
    changes = {
        "name": "b",
        "settings": {"opacity": "transparent"},
        "objects": [{"name": "cup", "colour": "#ff0000"}],
    }
    projects.change(project.id, changes)
    again = Projects(projects.root)
    [found] = again.list()
    assert (found.name, found.settings.opacity, found.objects) == (
        "b",
        "transparent",
        (("cup", "#ff0000"),),
    )
    assert again.prompts(found).prompts == said.prompts
    assert again.prompts(found).size == (40, 30)
    assert found.updated > project.updated
    again.delete(found.id)
    assert again.list() == []
    assert list(projects.root.iterdir()) == []


def test_damaged_projects_are_left_out_and_named(projects):
    [project] = projects.list()
    (projects.root / project.id / "project.json").write_text("{")
    assert projects.list() == []
    with pytest.raises(PullmatteError, match="damaged"):
        projects.get(project.id)
    with pytest.raises(NoProject):
        projects.get("../..")


@pytest.mark.parametrize(
    ("text", "margins"), [("0", (0, 0)), ("10px", (10, 10)), ("10% 50%", (20, 50)), ("", (0, 0))]
)
def test_margins_are_read_as_remove_bg_has_them(text, margins):
    assert _margins(text, 200, 100) == margins


def test_a_crop_keeps_the_object_and_says_where_it_was():
    image = np.zeros((40, 60, 3), np.float32)
    alpha = np.zeros((40, 60), np.float32)
    alpha[10:20, 30:50] = 1
    image[alpha > 0] = (1, 0.5, 0)
    cutout = encode_image(".png", image=image, alpha=alpha)
    data, facts = _finished(cutout, Wish(b"", crop=True, margin="5px"))
    picture = load_picture(data)
    assert picture.size == (30, 20)
    places = {name: facts[f"x-foreground-{name}"] for name in ("top", "left", "width", "height")}
    assert places == {"top": "5", "left": "5", "width": "20", "height": "10"}
    assert picture.alpha[5:15, 5:25].min() == 1
    assert np.abs(picture.image[10, 10] - (1, 0.5, 0)).max() < 0.01


def test_listeners_hear_what_comes_and_slow_ones_are_sent_away():
    async def heard():
        events = Events()
        events.start()
        stream = events.stream()
        assert (await anext(stream)).startswith("retry")
        events.tell("job", {"id": "a"})
        text = await anext(stream)
        for number in range(1200):
            events.tell("frame", {"frame": number})
        await asyncio.sleep(0)
        left = [line async for line in stream]
        return text, left, events.listeners

    text, left, listeners = asyncio.run(heard())
    assert json.loads(text.partition("data: ")[2]) == {"id": "a"}
    assert len(left) == 1000
    assert listeners == 0
