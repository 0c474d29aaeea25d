"""``pullmatte video``: what the command adds to the job."""

import json

import av
import numpy as np
import pytest

from pullmatte.io.exr import read_exr
from pullmatte.io.video import open_video
from pullmatte.prompts import PromptFile

BOX = ("--box", "4,4,40,28")


def test_clip_keeps_frames_and_sound(video, clip, tmp_path, capsys):
    assert video(clip, tmp_path / "out.mov", *BOX) == 0
    with av.open(str(tmp_path / "out.mov")) as made, av.open(str(clip)) as given:
        assert made.streams.video[0].codec_context.pix_fmt.startswith("yuva444p1")
        sound = [bytes(p) for p in made.demux(audio=0) if p.size]
        assert sound == [bytes(p) for p in given.demux(audio=0) if p.size]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("alpha straight")
    assert lines[-2] == "clip.mp4: 12/12 frames"
    assert lines[-1] == f"pullmatte: wrote {tmp_path / 'out.mov'} (12 frames)"


def test_quiet_says_nothing(video, clip, tmp_path, capfd):
    assert video(clip, tmp_path / "out.mkv", "--quiet") == 0
    assert capfd.readouterr() == ("", "")


def test_json_is_events_and_a_report(video, clip, tmp_path, capfd):
    assert video(clip, tmp_path / "out.mkv", *BOX, "--json", "-q") == 0
    out, err = capfd.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert events[0] == {"event": "progress", "done": 0, "total": 12}
    assert (events[-1]["event"], events[-1]["frames"]) == ("done", 12)
    assert err == ""


@pytest.mark.parametrize(
    ("words", "name"), [((), "clip_cutout.mov"), (("--only-alpha",), "clip_alpha.mov")]
)
def test_default_name_stands_beside_the_clip(words, name, video, clip, tmp_path):
    assert video(clip, *words, "-q") == 0
    assert (tmp_path / name).is_file()


def test_exr_pictures_start_where_told_and_name_objects(video, clip, tmp_path, capsys):
    words = ("--box", "a=0,0,20,32", "--box", "b=24,0,48,32@3", "--start-frame", "1001")
    assert video(clip, tmp_path / "o.%04d.exr", *words, "--no-foreground") == 0
    names = sorted(path.name for path in tmp_path.glob("o.*.exr"))
    assert (names[0], names[-1], len(names)) == ("o.1001.exr", "o.1012.exr", 12)
    assert set(read_exr(tmp_path / "o.1005.exr").mattes) == {"a.A", "b.A"}
    err = capsys.readouterr().err
    assert "alpha premultiplied" in err
    assert "pullmatte: an image sequence can't hold sound: it is left out" in err


def test_objects_get_a_file_each_with_their_sides(video, clip, tmp_path):
    words = ("--box", "a=0,0,20,32", "--box", "b=24,0,48,32", "--side", "mask")
    assert video(clip, tmp_path / "{object}.mkv", *words, "-q") == 0
    made = {path.name for path in tmp_path.glob("*.mkv")}
    assert made == {"a.mkv", "b.mkv", "a_mask.mkv", "b_mask.mkv"}


def test_background_allows_h264(video, clip, tmp_path):
    assert video(clip, tmp_path / "out.mp4", *BOX, "--bg", "white", "-q") == 0
    with open_video(tmp_path / "out.mp4") as made:
        assert (len(made), made.info.codec) == (12, "h264")
        assert np.abs(made.frame(0).image[0, 0] - 1).max() < 0.02


def test_saved_prompts_hold_frames_and_size(video, clip, tmp_path):
    saved = tmp_path / "p.json"
    words = ("--point", "cat=10,10@2", "--point", "cat=3,3,-@4", "--save-prompts", saved)
    assert video(clip, tmp_path / "a.mkv", *words, "-q") == 0
    assert video(clip, tmp_path / "b.mkv", "--prompts", saved, "-q") == 0
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()
    prompts = PromptFile.load(saved)
    assert [(entry.object, entry.frame) for entry in prompts.prompts] == [("cat", 2), ("cat", 4)]
    assert (prompts.source, prompts.size) == ("clip.mp4", (48, 32))


def test_resume_without_an_earlier_run_begins_anew(video, clip, tmp_path):
    assert video(clip, tmp_path / "out.mkv", "--resume", "-q") == 0
    assert (tmp_path / "out.mkv").is_file()


def test_frames_flag_writes_a_span(video, clip, tmp_path):
    out = tmp_path / "out.mkv"
    assert video(clip, out, "--box", "2,2,30,20", "--frames", "1-2", "--quiet") == 0
    with open_video(out) as made:
        assert len(made) == 2
    assert video(clip, out, "--frames", "2") == 2
    assert video(clip, out, "--frames", "5-99") == 2
