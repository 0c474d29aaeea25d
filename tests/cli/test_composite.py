"""``pullmatte composite`` and ``--look``: flags, what they save, and bad input."""

import json

import numpy as np
import pytest
from PIL import Image

from pullmatte.cli.app import run
from pullmatte.io.image import load_picture
from pullmatte.io.video import open_video

from .conftest import HEIGHT, WIDTH

BOX = ("--box", "4,5,20,25")
LOOK = {
    "background": "blur",
    "blur": 3.0,
    "pop": 0.5,
    "text": {"words": "a\nb", "x": 0.5, "y": 0.25, "size": 0.4, "colour": "#ff0000"},
    "shift": -0.5,
    "feather": 1.0,
    "decontaminate": False,
}
SAME = (
    *("--blur", "3", "--pop", "0.5", "--text", "a\\nb", "--text-at", "0.5,0.25"),
    *("--text-size", "0.4", "--text-colour", "red", "--shift", "-0.5", "--feather", "1"),
    "--no-decontaminate",
)


def composite(*words):
    return run(["composite", *map(str, words)])


@pytest.fixture
def matte(photo, image, tmp_path):
    """The photo's matte."""
    assert image(photo, tmp_path / "matte.png", *BOX, "--only-alpha", "-q") == 0
    return tmp_path / "matte.png"


def test_flags_are_saved_as_a_look_that_gives_the_same(photo, matte, tmp_path, capfd):
    saved = tmp_path / "look.json"
    assert composite(photo, matte, tmp_path / "a.png", *SAME, "--save-look", saved, "-q") == 0
    assert json.loads(saved.read_text()) == LOOK
    assert composite(photo, matte, tmp_path / "b.png", "--look", saved, "-q") == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert capfd.readouterr() == ("", "")


def test_image_and_composite_agree_on_a_look(photo, matte, image, tmp_path):
    saved = tmp_path / "look.json"
    saved.write_text(json.dumps(LOOK))
    assert image(photo, tmp_path / "a.png", *BOX, "--look", saved, "-q") == 0
    assert composite(photo, matte, tmp_path / "b.png", "--look", saved, "-q") == 0
    first, second = (load_picture(tmp_path / name).image for name in ("a.png", "b.png"))
    assert np.abs(first - second).max() <= 2.01 / 255


def test_nothing_behind_is_a_cutout(photo, matte, tmp_path, capsys):
    assert composite(photo, matte, tmp_path / "o.png") == 0
    assert load_picture(tmp_path / "o.png").alpha is not None
    assert capsys.readouterr().err.splitlines()[-1] == f"pullmatte: wrote {tmp_path / 'o.png'}"


@pytest.mark.parametrize("words", [("--pop", "1"), ("--text", "x")])
def test_pop_and_text_alone_lie_over_the_original(words, photo, matte, tmp_path):
    saved = tmp_path / "l.json"
    assert composite(photo, matte, tmp_path / "o.png", *words, "--save-look", saved, "-q") == 0
    assert json.loads(saved.read_text())["background"] == "original"


def test_look_names_its_kind_and_default_name(photo, image, tmp_path, capsys):
    (tmp_path / "l.json").write_text('{"background": "checker"}')
    assert image(photo, *BOX, "--look", tmp_path / "l.json") == 0
    assert (tmp_path / "photo_composite.png").is_file()
    assert "composite, no alpha" in capsys.readouterr().err


def test_clip_with_a_look_and_its_matte_agree(clip, video, tmp_path, capfd):
    saved = tmp_path / "l.json"
    saved.write_text(json.dumps({"background": "#204080", "shift": 1}))
    box = ("--box", "4,4,40,28", "-q")
    assert video(clip, tmp_path / "a.mkv", *box, "--look", saved) == 0
    assert video(clip, tmp_path / "m.mkv", *box, "--only-alpha") == 0
    capfd.readouterr()
    words = (clip, tmp_path / "m.mkv", tmp_path / "b.mkv", "--look", saved, "--json")
    assert composite(*words) == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert (events[0]["event"], events[-1]["frames"]) == ("progress", 12)
    with open_video(tmp_path / "a.mkv") as first, open_video(tmp_path / "b.mkv") as second:
        assert second.info.has_audio
        assert second.info.pts == first.info.pts
        for one, other in zip(first, second, strict=True):
            assert np.abs(one.image - other.image).max() < 0.03


def test_clip_lies_behind_a_clip(clip, video, tmp_path):
    assert video(clip, tmp_path / "m.mkv", "--only-alpha", "-q") == 0
    assert composite(clip, tmp_path / "m.mkv", tmp_path / "o.mp4", "--bg", clip, "-q") == 0
    with open_video(tmp_path / "o.mp4") as made:
        assert len(made) == 12


BAD = {
    "bg and blur": (("--bg", "red", "--blur", "3"), "--bg and --blur exclude"),
    "look and flag": (("--look", "l.json", "--shift", "1"), "--look and --shift exclude"),
    "pop on a colour": (("--bg", "red", "--pop", "1"), "choose 'original' or 'blur'"),
    "pop too much": (("--pop", "3"), "pop 3: give a number from 0 to 1"),
    "blur below zero": (("--blur", "-3"), "blur -3"),
    "blur of letters": (("--blur", "much"), "--blur"),
    "shift endless": (("--shift", "inf"), "shift inf"),
    "feather NaN": (("--feather", "nan"), "feather nan"),
    "unknown colour": (("--bg", "rot"), "no file and no colour"),
    "text colour": (("--text", "a", "--text-colour", "rot"), "unknown colour"),
    "text without words": (("--text", " "), "give 1 to"),
    "text place": (("--text", "a", "--text-at", "left"), "--text-at 'left'"),
    "text place outside": (("--text", "a", "--text-at", "0.5,7"), "text y 7"),
    "text size alone": (("--text-size", "0.3"), "--text-size without --text"),
    "steady photo": (("--steady", "0.5"), "one picture"),
    "look missing": (("--look", "no.json"), "can't read a look from no.json"),
    "look foreign": (("--look", "bad.json"), "bad.json: look with key 'nix'"),
    "look leaves its folder": (("--look", "out.json"), "leaves the folder"),
    "saved look onto the photo": (("--save-look", "photo.png"), "is the input"),
    "saved look nowhere": (("--save-look", "no/l.json"), "create it first"),
    "saved look far from its file": (
        ("--bg", "photo.png", "--save-look", "sub/l.json"),
        "copy the background there",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(name, photo, matte, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "l.json").write_text("{}")
    (tmp_path / "bad.json").write_text('{"nix": 1}')
    (tmp_path / "sub").mkdir()
    (tmp_path / "out.json").write_text('{"background": "file:../x.png"}')
    words, said = BAD[name]
    before = sorted(tmp_path.rglob("*"))
    assert composite("photo.png", "matte.png", "o.png", *words) == 2
    err = capfd.readouterr().err
    assert len(err.splitlines()) == 1
    assert said in err
    assert sorted(tmp_path.rglob("*")) == before


INPUTS = {
    "source missing": (("no.png", "matte.png", "o.png"), "no such file"),
    "clip missing": (("no.mp4", "matte.png", "o.mov"), "doesn't exist"),
    "matte missing": (("photo.png", "no.png", "o.png"), "no such file"),
    "matte of another size": (("photo.png", "other.png", "o.png"), "same size"),
    "matte for a clip": (("clip.mp4", "matte.png", "o.mov"), "is one picture"),
    "clip for a photo": (("photo.png", "clip.mp4", "o.png"), "clip.mp4"),
    "onto the photo": (("photo.png", "matte.png", "photo.png"), "is the input"),
    "onto the matte": (("photo.png", "matte.png", "matte.png"), "is the input"),
    "onto the look": (("photo.png", "matte.png", "l.json", "--look", "l.json"), "is the input"),
    "no alpha in it": (("photo.png", "matte.png", "o.jpg"), "holds no alpha"),
    "unknown suffix": (("photo.png", "matte.png", "o.xyz"), "xyz"),
    "clip into a picture": (("clip.mp4", "clip.mp4", "o.png"), "o.png"),
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_that_do_not_fit_are_one_line(
    name, photo, matte, clip, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "l.json").write_text("{}")
    Image.new("L", (WIDTH + 1, HEIGHT)).save("other.png")
    words, said = INPUTS[name]
    assert composite(*words, "-q") == 2
    err = capfd.readouterr().err
    assert len(err.splitlines()) == 1
    assert said in err


@pytest.mark.parametrize("verb", ["image", "video"])
def test_bad_looks_of_other_verbs_are_one_line(verb, photo, clip, image, video, tmp_path, capfd):
    call, source = {"image": (image, photo), "video": (video, clip)}[verb]
    (tmp_path / "l.json").write_text('{"background": "blur"}')
    look = ("--look", tmp_path / "l.json")
    for words, said in (
        ((tmp_path / "o.mkv", *look, "--bg", "red"), "exclude each other"),
        ((tmp_path / "l.json", *look), "is the input" if verb == "image" else "l.json"),
        ((tmp_path / "o.mkv", "--look", tmp_path / "no.json"), "can't read a look"),
    ):
        assert call(source, *words, "-q") == 2
        err = capfd.readouterr().err
        assert (len(err.splitlines()), said in err) == (1, True), err
