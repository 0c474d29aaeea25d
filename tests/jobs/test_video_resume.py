"""A killed run leaves no half file, and goes on to the same bytes."""

import json
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pullmatte.errors import PullmatteError, ReadError, WriteError
from pullmatte.jobs.video import matte_video
from pullmatte.jobs.video_options import VideoOptions
from pullmatte.prompts import Box, FramePrompt, Point, Prompt, PromptFile
from pullmatte.sessions.load import load

OPTIONS = VideoOptions(segment_frames=5)
LATE = PromptFile((
    FramePrompt(Prompt(box=Box(4, 6, 30, 26)), "a", 13),
    FramePrompt(Prompt(box=Box(24, 0, 48, 32)), "b", 3),
))
# A process that ends itself by kill -9 at a given count of frames, or before the parts are joined.
RUN = """
import json, os, signal, sys
from pathlib import Path
import pullmatte.io.video_write as video_write
from pullmatte.jobs.video import matte_video
from pullmatte.jobs.video_options import VideoOptions
from pullmatte.prompts import PromptFile
from pullmatte.sessions.load import load
from pullmatte.testing import FakeMatter

source, destination, prompts, options, model, at = json.loads(sys.argv[1])
options["sides"] = tuple(options["sides"])
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if at < 0:
    video_write.join = die
matter = FakeMatter() if model == "fake" else load(model)
matte_video(
    matter, source, destination, PromptFile.from_json(prompts), VideoOptions(**options),
    progress=lambda done, total: done == at and die(),
)
"""


def kill_at(count, source, destination, prompts=LATE, options=OPTIONS, model="fake"):
    """Run the job in a process of its own until it is killed."""
    said = [str(source), str(destination), prompts.to_json(), asdict(options), model, count]
    command = [sys.executable, "-c", RUN, json.dumps(said)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def results(folder: Path, pattern="out*"):
    """All results' bytes by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob(pattern))}


def hidden(folder: Path):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


# 14 frames are made backward first, then all 24 forward.
@pytest.mark.parametrize("count", [2, 9, 14, 15, 26, 33, 38, -1])
def test_killed_run_goes_on_to_the_same_bytes(count, fake, make_clip, tmp_path):
    source, apart = make_clip(), tmp_path / "apart"
    apart.mkdir()
    matte_video(fake, source, apart / "out.mkv", LATE, OPTIONS)
    kill_at(count, source, tmp_path / "out.mkv")
    assert results(tmp_path) == {}
    report = matte_video(fake, source, tmp_path / "out.mkv", LATE, OPTIONS, resume=True)
    assert results(tmp_path) == results(apart)
    assert hidden(tmp_path) == []
    expected = {2: 0, 9: 0, 14: 0, 15: 0, -1: 24}
    assert report.resumed_at == expected.get(count, report.resumed_at)
    assert report.resumed_at % 5 == 0 or report.resumed_at == 24
    assert count != 38 or report.resumed_at >= 15


@pytest.mark.parametrize("name", ["out.mov", "out.%03d.png", "out_{object}.webm"])
def test_every_kind_of_output_goes_on(name, fake, make_clip, tmp_path):
    source, apart = make_clip(sound=True), tmp_path / "apart"
    apart.mkdir()
    options = replace(OPTIONS, sides=("mask",), audio=name.endswith("mov"))
    matte_video(fake, source, apart / name, LATE, options)
    kill_at(31, source, tmp_path / name, options=options)
    report = matte_video(fake, source, tmp_path / name, LATE, options, resume=True)
    assert report.resumed_at >= 10
    assert results(tmp_path) == results(apart)
    assert hidden(tmp_path) == []


def test_classical_goes_on_to_the_same_bytes(make_clip, tmp_path):
    source, apart, matter = make_clip(frames=9), tmp_path / "apart", load("classical")
    apart.mkdir()
    prompts = PromptFile((
        FramePrompt(Prompt(box=Box(3, 6, 22, 26), points=(Point(12, 16),)), frame=3),
    ))
    options = replace(OPTIONS, segment_frames=3)
    matte_video(matter, source, apart / "out.mkv", prompts, options)
    kill_at(11, source, tmp_path / "out.mkv", prompts, options, "classical")
    report = matte_video(matter, source, tmp_path / "out.mkv", prompts, options, resume=True)
    assert report.resumed_at in (3, 6)
    assert results(tmp_path) == results(apart)


@pytest.fixture
def stopped(make_clip, fake, tmp_path):
    """A run that failed after its second segment; what makes it go on."""
    source, seen = make_clip(), []

    def fail(done, total):
        seen.append(done)
        if done == 32:
            raise PullmatteError("stopped")

    with pytest.raises(PullmatteError, match="stopped"):
        matte_video(fake, source, tmp_path / "out.mkv", LATE, OPTIONS, progress=fail)
    return lambda prompts=LATE, options=OPTIONS, resume=True: matte_video(
        fake, source, tmp_path / "out.mkv", prompts, options, resume=resume
    )


def test_stopped_run_keeps_its_segments(stopped, tmp_path):
    assert hidden(tmp_path) == [".out.mkv.pullmatte"]
    assert stopped().resumed_at == 15
    assert hidden(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"direction": "forward"}, "direction"),
        ({"opacity": "opaque"}, "opacity"),
        ({"foreground": False}, "foreground"),
        ({"background": "red"}, "background|content"),
        ({"segment_frames": 6}, "segment_frames"),
        ({"premultiplied": True}, "premultiplied"),
        ({"codec": "vp9"}, "codec"),
    ],
)
def test_other_settings_are_refused(change, key, stopped, tmp_path):
    with pytest.raises(WriteError, match=f"can't resume: ({key})"):
        stopped(options=replace(OPTIONS, **change))
    assert hidden(tmp_path) == [".out.mkv.pullmatte"]
    assert stopped().resumed_at == 15


def test_other_prompts_are_refused(stopped):
    with pytest.raises(WriteError, match="prompts"):
        stopped(prompts=PromptFile(LATE.prompts[:1]))


def test_other_clip_is_refused(stopped, make_clip):
    make_clip(frames=25)
    with pytest.raises(WriteError, match="can't resume"):
        stopped()


def test_changed_background_is_refused(make_clip, fake, tmp_path):
    from PIL import Image

    plate = tmp_path / "plate.png"
    Image.new("RGB", (48, 32)).save(plate)
    options = replace(OPTIONS, background=plate)
    source = make_clip()

    def fail(done, total):
        if done == 32:
            raise PullmatteError("stopped")

    with pytest.raises(PullmatteError, match="stopped"):
        matte_video(fake, source, tmp_path / "out.mkv", LATE, options, progress=fail)
    Image.new("RGB", (48, 33)).save(plate)
    with pytest.raises(WriteError, match="background"):
        matte_video(fake, source, tmp_path / "out.mkv", LATE, options, resume=True)


@pytest.mark.parametrize("name", ["state_00000015", "backward/00000000/a.alpha.png"])
@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", None])
def test_damaged_work_folder_is_one_line(name, damage, stopped, tmp_path):
    folder = tmp_path / ".out.mkv.pullmatte"
    if name.startswith("backward"):
        name = "backward/00000012/a.alpha.png"
        for segment in folder.glob("segment_*"):
            segment.unlink()
    path = folder / name
    assert path.is_file(), sorted(folder.rglob("*"))
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(ReadError, match=r"without --resume|nothing is stored") as caught:
        stopped()
    assert len(str(caught.value).splitlines()) == 1
    assert stopped(resume=False).resumed_at == 0
