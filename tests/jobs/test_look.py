"""Looks: their JSON, and what is refused."""

import json

import pytest

from pullmatte.errors import PullmatteError, ReadError, WriteError
from pullmatte.jobs.image_options import ImageOptions
from pullmatte.jobs.look import Look, Text, look_with
from pullmatte.jobs.video_options import VideoOptions

FULL = {
    "background": "blur",
    "blur": 7.5,
    "pop": 0.25,
    "text": {"words": "Grüße\n!", "x": 0.1, "y": 0.9, "size": 0.3, "colour": "#ff8000"},
    "shift": -1.5,
    "feather": 2,
    "decontaminate": False,
}


def test_json_reads_back_exactly(tmp_path):
    look = Look.from_json(json.dumps(FULL), tmp_path)
    assert look == Look(
        "blur", 7.5, 0.25, Text("Grüße\n!", 0.1, 0.9, 0.3, "#ff8000"), -1.5, 2, False
    )
    assert json.loads(look.to_json()) == FULL
    assert Look.from_json(look.to_json(), tmp_path) == look
    look.save(tmp_path / "look.json")
    assert Look.load(tmp_path / "look.json") == look


def test_every_key_is_optional(tmp_path):
    assert Look.from_json("{}", tmp_path) == Look()
    assert Look.from_json('{"background": null, "text": null}', tmp_path) == Look()


@pytest.mark.parametrize("background", [None, "checker", "original", "blur", "#12ab9f"])
def test_backgrounds_read_back(background, tmp_path):
    assert Look.from_json(Look(background).to_json(), tmp_path).background == background


def test_colours_are_written_as_hex():
    assert json.loads(Look("red").to_json())["background"] == "#ff0000"


def test_file_is_found_beside_the_look(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("beach.jpg", "sub/beach.jpg"):
        (tmp_path / name).write_bytes(b"x")
        look = Look.from_json(json.dumps({"background": f"file:{name}"}), tmp_path)
        assert look.path == tmp_path / name
        assert json.loads(look.to_json(tmp_path))["background"] == f"file:{name}"
        assert json.loads(look.to_json())["background"] == "file:beach.jpg"


@pytest.mark.parametrize("name", ["../secret.png", "sub/../../secret.png", "link.png", "ABSOLUTE"])
def test_file_that_leaves_the_folder_is_refused(name, tmp_path):
    folder, secret = tmp_path / "project", tmp_path / "secret.png"
    (folder / "sub").mkdir(parents=True)
    secret.write_bytes(b"x")
    (folder / "link.png").symlink_to(secret)
    name = str(secret) if name == "ABSOLUTE" else name
    with pytest.raises(PullmatteError, match="leaves the folder"):
        Look.from_json(json.dumps({"background": f"file:{name}"}), folder)


@pytest.mark.parametrize("name", ["no.png", "", "sub"])
def test_file_that_is_not_there_is_refused(name, tmp_path):
    (tmp_path / "sub").mkdir()
    with pytest.raises(ReadError, match="no such file beside the look"):
        Look.from_json(json.dumps({"background": f"file:{name}"}), tmp_path)


def test_look_with_a_file_elsewhere_cannot_be_saved(tmp_path):
    (tmp_path / "sub").mkdir()
    with pytest.raises(WriteError, match="copy the background there"):
        Look(tmp_path / "beach.jpg").save(tmp_path / "sub/look.json")
    assert not list((tmp_path / "sub").iterdir())


BAD = {
    "no JSON": ("{", "not a look"),
    "a list": ("[]", "not a look: expected a JSON object"),
    "unknown key": ('{"blurr": 3}', "'blurr': known are background, blur"),
    "unknown text key": ('{"text": {"words": "a", "font": 1}}', "'font': known are words"),
    "text without words": ('{"text": {"x": 0.1}}', 'without "words"'),
    "text of a word": ('{"text": "hello"}', "not a text of a look"),
    "empty words": ('{"background": "blur", "text": {"words": " "}}', "give 1 to"),
    "text colour": ('{"text": {"words": "a", "colour": "rot"}}', "unknown colour 'rot'"),
    "text place": ('{"text": {"words": "a", "x": 1.5}}', "text x 1.5: give a number from 0 to 1"),
    "text size": ('{"text": {"words": "a", "size": 0}}', "text size 0"),
    "text without background": ('{"text": {"words": "a"}}', "without a background"),
    "colour": ('{"background": "rot"}', "unknown colour 'rot'"),
    "background of a number": ('{"background": 3}', "background 3: give a colour"),
    "null in a name": ('{"background": "file:a\\u0000b"}', "bad file name"),
    "blur of text": ('{"blur": "3"}', "blur '3': give a number from 0 to 1000"),
    "blur of nothing": ('{"blur": null}', "blur None: give a number"),
    "blur of truth": ('{"blur": true}', "blur True: give a number"),
    "blur below zero": ('{"blur": -1}', "blur -1"),
    "blur NaN": ('{"blur": NaN}', "blur nan"),
    "shift huge": ('{"shift": 1e9}', "shift 1e"),
    "shift of many digits": (f'{{"shift": {"9" * 400}}}', "shift 999"),
    "feather": ('{"feather": -0.1}', "feather -0.1"),
    "pop": ('{"background": "blur", "pop": 2}', "pop 2: give a number from 0 to 1"),
    "pop of a colour": ('{"background": "red", "pop": 0.5}', "choose 'original' or 'blur'"),
    "pop of nothing": ('{"pop": 0.5}', "choose 'original' or 'blur'"),
    "decontaminate": ('{"decontaminate": 1}', "decontaminate 1: give true or false"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_looks_are_refused_in_one_line(name, tmp_path):
    text, words = BAD[name]
    path = tmp_path / "look.json"
    path.write_text(text)
    with pytest.raises(PullmatteError) as caught:
        Look.load(path)
    said = str(caught.value)
    assert words in said
    assert said.startswith(str(path))
    assert len(said.splitlines()) == 1
    assert len(said) < 400


@pytest.mark.parametrize("options", [ImageOptions, VideoOptions])
def test_two_backgrounds_exclude_each_other(options):
    with pytest.raises(PullmatteError, match="exclude each other"):
        options(background="red", look=Look("blur"))
    assert options(background="red", look=Look(shift_px=1)).whole_look == Look("red", shift_px=1)
    assert options(look=Look("blur")).is_composite
    assert not options(look=Look("blur"), only_alpha=True).is_composite


def test_look_without_anything_is_the_background():
    assert look_with(None, "red") == Look("red")
