"""The job with a project: kept results, corrections, locks; given alphas, image models."""

from dataclasses import replace

import numpy as np
import pytest

from pullmatte.errors import PromptError, WriteError
from pullmatte.io.project_folder import ProjectFolder
from pullmatte.io.video import open_video
from pullmatte.jobs.video import matte_video
from pullmatte.jobs.video_options import GivenAlpha, Place, VideoOptions, VideoStart
from pullmatte.prompts import Box, FramePrompt, Point, Prompt, PromptFile
from pullmatte.sessions.editing import MemoryProject

PLAIN = VideoOptions(foreground=False, segment_frames=5)
ONE = PromptFile((FramePrompt(Prompt(box=Box(4, 8, 40, 24)), frame=2),))
CLICK = FramePrompt(Prompt(points=(Point(20, 16, 0),)), frame=15)


def alphas_of(path):
    with open_video(path) as clip:
        return [frame.alpha for frame in clip.frames()]


def changed(before, after):
    pairs = enumerate(zip(before, after, strict=True))
    return [index for index, (old, new) in pairs if (old != new).any()]


@pytest.fixture
def project(fake, make_clip, tmp_path):
    """Runs the job with a project; what it is told is added to what the project knows."""
    source = make_clip()

    def run(prompts=None, name="out.mkv", options=PLAIN, **start):
        start = VideoStart(project=tmp_path / "project", **start)
        return matte_video(fake, source, tmp_path / name, prompts, options, start=start)

    return run


def test_project_gives_what_a_single_run_gives(project, fake, make_clip, tmp_path):
    matte_video(fake, make_clip(), tmp_path / "plain.mkv", ONE, PLAIN)
    assert project(ONE).touched == 24
    assert (tmp_path / "out.mkv").read_bytes() == (tmp_path / "plain.mkv").read_bytes()
    assert project(ONE).touched == 0
    assert project(options=replace(PLAIN, only_alpha=True)).touched == 0


def test_correction_is_added_and_taken_back(project, tmp_path):
    project(ONE)
    before = alphas_of(tmp_path / "out.mkv")
    # 15 to the end, and back to just after the box.
    assert project(PromptFile((CLICK,))).touched == 21
    after = alphas_of(tmp_path / "out.mkv")
    changed = [
        i for i, pair in enumerate(zip(before, after, strict=True)) if (pair[0] != pair[1]).any()
    ]
    assert changed == list(range(3, 24))
    assert project(forget=[Place(None, 15, 15)]).touched == 21
    for old, new in zip(before, alphas_of(tmp_path / "out.mkv"), strict=True):
        np.testing.assert_array_equal(old, new)


def test_locked_frames_stay(project, tmp_path):
    project(ONE)
    before = alphas_of(tmp_path / "out.mkv")
    project(PromptFile((CLICK,)), lock=[Place("object", 18, 20), Place("object", 10, 10)])
    after = alphas_of(tmp_path / "out.mkv")
    changed = [
        i for i, pair in enumerate(zip(before, after, strict=True)) if (pair[0] != pair[1]).any()
    ]
    assert changed == [11, 12, 13, 14, 15, 16, 17]
    with pytest.raises(PromptError, match="frame 19 of 'object' is locked"):
        project(PromptFile((replace(CLICK, frame=19),)))
    with pytest.raises(PromptError, match="frames 3-99: the clip has frames 0 to 23"):
        project(lock=[Place(None, 3, 99)])


def test_project_refuses_resume_and_other_models(project, fake, make_clip, tmp_path):
    project(ONE)
    start = VideoStart(project=tmp_path / "project")
    with pytest.raises(WriteError, match="leave --resume out"):
        matte_video(fake, make_clip(), tmp_path / "o.mkv", ONE, PLAIN, start=start, resume=True)
    fake.options = {"size": 3}
    with pytest.raises(PromptError, match="made with label 'fake', not"):
        matte_video(fake, make_clip(), tmp_path / "o.mkv", ONE, PLAIN, start=start)


def test_given_alpha_is_in_the_result(fake, make_clip, tmp_path):
    given = np.zeros((32, 48), np.float32)
    given[4:20, 4:20] = np.linspace(0, 1, 16)[None, :]
    start = VideoStart(alphas=(GivenAlpha(given, "object", 0),))
    matte_video(fake, make_clip(), tmp_path / "out.mkv", None, PLAIN, start=start)
    alphas = alphas_of(tmp_path / "out.mkv")
    assert np.abs(alphas[0] - given).max() <= 1 / 255
    assert all(alpha[4:20, 13:20].min() > 0 and alpha[:, :12].max() == 0 for alpha in alphas[1:])
    late = VideoStart(alphas=(GivenAlpha(given, "object", 24),))
    with pytest.raises(PromptError, match="frames 0 to 23"):
        matte_video(fake, make_clip(), tmp_path / "out.mkv", None, PLAIN, start=late)


class Flat:
    """An image model that says 0.75 in the box."""

    label = "flat"

    def open_image(self, image, *, foreground):
        return self

    def predict_objects(self, prompts):
        from pullmatte.matte import Matte

        alpha = np.zeros((32, 48), np.float32)
        alpha[8:24, 4:40] = 0.75
        return {name: Matte(alpha, np.zeros((32, 48, 3), np.float32)) for name in prompts}


@pytest.mark.parametrize("kept", [False, True])
def test_first_frame_comes_from_the_image_model(kept, fake, make_clip, tmp_path):
    start = VideoStart(matter=Flat(), project=tmp_path / "p" if kept else None)
    for _ in range(2):
        report = matte_video(fake, make_clip(), tmp_path / "out.mkv", ONE, PLAIN, start=start)
    assert report.touched == (0 if kept else None)
    alphas = alphas_of(tmp_path / "out.mkv")
    assert np.abs(alphas[2][8:24, 4:40] - 0.75).max() <= 1 / 255
    assert alphas[5][8:24, 4:40].min() > 0
    assert alphas[5][:8].max() == 0


def test_results_on_disk_come_back_as_they_were(tmp_path):
    folder, memory = ProjectFolder(tmp_path / "p"), MemoryProject()
    rng = np.random.default_rng(3)
    planes = {
        "alpha": rng.integers(0, 65536, (9, 7), np.uint16),
        "mask": rng.integers(0, 2, (9, 7), np.uint8) * np.uint8(255),
    }
    entry = {"bits": rng.integers(-9, 9, (4, 64), np.int16), "half": np.ones(3, np.float16)}
    for store in (folder, memory):
        store.save({"said": []})
        store.put("a torch", 7, planes, entry, {"run": 3, "change": None})
    for store in (folder, memory, ProjectFolder(tmp_path / "p")):
        found = store.get("a torch", 7)
        assert found is not None
        for kept, given in zip(found[:2], (planes, entry), strict=True):
            assert kept.keys() == given.keys()
            for name, array in given.items():
                assert kept[name].dtype == array.dtype
                np.testing.assert_array_equal(kept[name], array)
        assert found[2] == {"run": 3, "change": None} == store.facts("a torch", 7)
        assert store.frames("a torch") == {7}
        assert store.get("a torch", 6) is None is store.facts("b", 7)
    folder.drop("a torch", [7])
    assert ProjectFolder(tmp_path / "p").frames("a torch") == set()
