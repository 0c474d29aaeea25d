"""An editable session: only what a change touches is computed, nothing that is kept gets lost."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pullmatte import PromptFile, load, open_project
from pullmatte.errors import PromptError, ReadError
from pullmatte.prompts import FramePrompt, Point, Prompt
from pullmatte.sessions.editing import EditOptions, EditSession, MemoryProject
from pullmatte.sessions.runs import Agreement
from pullmatte.testing import FakeMatter, FakeModel

COUNT, HEIGHT, WIDTH = 24, 20, 30
CLIP = np.random.default_rng(6).integers(40, 256, (COUNT, HEIGHT, WIDTH, 3), np.uint8)
LEFT, RIGHT = (0, 0, 10, 20), (20, 0, 30, 20)
MIDDLE = (12, 6, 18, 14)


class Counting(FakeModel):
    """The stand-in; it counts how often it is asked what."""

    def __init__(self):
        self.encoded, self.found, self.tracked = 0, 0, 0

    def encode(self, image):
        self.encoded += 1
        return super().encode(image)

    def predict(self, *args, **options):
        self.found += 1
        return super().predict(*args, **options)

    def track(self, *args, **options):
        self.tracked += 1
        return super().track(*args, **options)


def edit(project=None, clip=CLIP, model=None, **options):
    from pullmatte.sessions.clip import as_clip

    options = EditOptions(agreement=options.pop("agreement", Agreement()), **options)
    return EditSession(model or FakeModel(), as_clip(clip), project, options)


def finished(shot, direction="both"):
    """Compute everything; return which frames were computed, in order."""
    return [step.frame for step in shot.update(direction)]


def alphas(shot, name="object"):
    return [frame.mattes[name].alpha for frame in shot.frames()]


def files(folder: Path):
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*.zip"))}


CASES = {
    "later correction": [(4, LEFT, ()), (9, None, ((3, 9, 0),))],
    "correction before": [(9, LEFT, ()), (4, None, ((3, 9, 0),))],
    "two boxes": [(3, LEFT, ()), (12, RIGHT, ())],
    "clicks alone": [(5, None, ((4, 4, 1),)), (8, None, ((20, 9, 1),)), (2, None, ((2, 2, 0),))],
}


def say(shot, case, name="object"):
    for frame, box, points in CASES[case]:
        pairs = [(x, y) for x, y, _ in points]
        labels = [label for *_, label in points]
        shot.prompt(frame=frame, object=name, box=box, points=pairs or None, labels=labels or None)


@pytest.mark.parametrize("direction", ["both", "forward", "backward"])
@pytest.mark.parametrize("case", CASES)
def test_first_pass_equals_the_streaming_session(case, direction):
    streamed, edited = FakeMatter().open_video(CLIP), edit()
    for shot in (streamed, edited):
        say(shot, case)
        say(shot, "two boxes", "b")
    shown = edited.propagate(direction)
    for wanted, frame in zip(streamed.propagate(direction), shown, strict=True):
        assert frame.mattes.keys() == wanted.mattes.keys()
        for name, matte in frame.mattes.items():
            # What is kept has 16 bits.
            assert np.abs(matte.alpha - wanted.mattes[name].alpha).max() <= 0.51 / 65535
            np.testing.assert_array_equal(matte.mask, wanted.mattes[name].mask)
            np.testing.assert_array_equal(matte.trimap, wanted.mattes[name].trimap)


def test_first_pass_of_the_real_engine_equals_the_streaming_session():
    ys, xs = np.mgrid[0:48, 0:72]
    discs = [np.clip((12 - np.hypot(xs - 20 - 3 * i, ys - 24)) / 3, 0, 1) for i in range(8)]
    ground = np.random.default_rng(8).random((48, 72, 3)) * 0.2
    clip = [a[..., None] * [0.9, 0.7, 0.3] + (1 - a[..., None]) * ground for a in discs]
    streamed, edited = (open_(clip) for open_ in (load().open_video, load().edit_video))
    for shot in (streamed, edited):
        shot.prompt(frame=2, box=(13, 11, 39, 37))
        shot.prompt(frame=5, box=(22, 11, 48, 37))
        shot.prompt(frame=6, points=[(5, 5)], labels=[0])
    for wanted, frame in zip(streamed.propagate(), edited.propagate(), strict=True):
        matte, other = frame.mattes["object"], wanted.mattes["object"]
        assert np.abs(matte.alpha - other.alpha).max() <= 0.51 / 65535
        assert matte.alpha.mean() > 0.05


def test_nothing_is_computed_twice():
    model = Counting()
    shot = edit(model=model)
    shot.prompt(frame=5, box=LEFT)
    assert not shot.is_current()
    assert sorted(finished(shot)) == list(range(COUNT))
    assert (model.found, model.tracked) == (1, COUNT - 1)
    assert shot.is_current()
    assert finished(shot) == []
    list(shot.frames())
    assert (model.encoded, model.tracked) == (COUNT, COUNT - 1)


def test_objects_in_one_direction_share_each_encoded_frame():
    model = Counting()
    shot = edit(model=model)
    for name, box in (("a", LEFT), ("b", RIGHT), ("c", MIDDLE)):
        shot.prompt(object=name, box=box)
    assert len(finished(shot)) == 3 * COUNT
    assert model.encoded == COUNT


def test_correction_touches_only_frames_up_to_the_next_prompt():
    shot = edit()
    shot.prompt(box=LEFT)
    shot.prompt(frame=15, box=RIGHT)
    finished(shot)
    before = alphas(shot)
    shot.prompt(frame=8, points=[(3, 9)], labels=[0])
    touched = finished(shot)
    assert touched == [8, *range(9, 15), *range(7, 0, -1)]
    for frame, (old, new) in enumerate(zip(before, alphas(shot), strict=True)):
        assert (old != new).any() == (1 <= frame < 15)


def test_forward_alone_leaves_what_came_before():
    shot = edit()
    shot.prompt(box=LEFT)
    finished(shot)
    shot.prompt(frame=20, points=[(3, 9)], labels=[0])
    assert finished(shot, "forward") == [20, 21, 22, 23]


@pytest.mark.parametrize("dark_from", [11, 14])
def test_correction_ends_where_old_and_new_agree(dark_from):
    clip = CLIP.copy()
    clip[dark_from:, :, :14] = 0  # From here on it makes no difference what is left there.
    shot = edit(clip=clip)
    shot.prompt(box=(0, 0, 20, 20))
    finished(shot)
    shot.prompt(frame=8, points=[(5, 9)], labels=[0])
    assert finished(shot, "forward") == list(range(8, dark_from + 3))


def test_small_corrections_reach_further_than_their_own_frame():
    shot = edit(clip=np.full((COUNT, 400, 600, 3), 200, np.uint8))
    shot.prompt(box=(0, 0, 600, 400))
    finished(shot)
    shot.prompt(frame=8, points=[(5, 9)], labels=[0])
    assert finished(shot, "forward") == list(range(8, COUNT))
    hole = alphas(shot)[20]
    assert hole[9, 5] == 0
    assert (hole == 0).sum() == 17 * 14


def test_locked_frames_stay_and_end_a_run(tmp_path):
    shot = edit(open_project(tmp_path / "p"))
    shot.prompt(box=LEFT)
    finished(shot)
    before = files(tmp_path)
    shot.lock(range(14, 17))
    shot.prompt(frame=8, points=[(3, 9)], labels=[0])
    assert finished(shot, "forward") == list(range(8, 14))
    after = files(tmp_path)
    same = [int(name[:8]) for name in before if before[name] == after[name]]
    assert same == [*range(8), *range(14, COUNT)]
    with pytest.raises(PromptError, match="frame 15 of 'object' is locked"):
        shot.prompt(frame=15, box=RIGHT)
    shot.unlock(15)
    shot.prompt(frame=15, box=RIGHT)
    assert finished(shot) == [15]
    with pytest.raises(PromptError, match="no result on frame 3"):
        edit_with_prompt().lock(3)


def edit_with_prompt():
    shot = edit()
    shot.prompt(box=LEFT)
    return shot


def test_what_is_locked_or_given_while_a_run_is_on_its_way_stays():
    shot, given = edit(), np.full((HEIGHT, WIDTH), 0.25, np.float32)
    shot.prompt(box=LEFT)
    finished(shot)
    before = alphas(shot)
    shot.prompt(frame=4, points=[(3, 9)], labels=[0])
    running = shot.update("forward")
    next(running)
    shot.lock(12)
    assert [step.frame for step in running] == list(range(5, 12))
    np.testing.assert_array_equal(alphas(shot)[12], before[12])
    shot.prompt(frame=15, points=[(3, 9)], labels=[0])
    running = shot.update("forward")
    next(running)
    shot.give(given, frame=18)
    assert [step.frame for step in running] == [16, 17]
    finished(shot, "forward")
    assert np.abs(alphas(shot)[18] - given).max() <= 0.51 / 65535


def test_prompt_taken_back_leaves_what_would_have_been_without_it():
    plain, shot = edit(), edit()
    for each in (plain, shot):
        each.prompt(frame=2, box=LEFT)
        finished(each)
    shot.prompt(frame=8, points=[(3, 9)], labels=[0])
    assert len(finished(shot)) > 10
    shot.remove(8)
    touched = finished(shot)
    assert touched
    assert set(touched) <= set(range(3, COUNT))
    for one, other in zip(alphas(shot), alphas(plain), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(PromptError, match="nothing was said"):
        shot.remove(8)


def test_object_without_prompts_is_gone():
    shot = edit()
    shot.prompt(object="a", box=LEFT)
    shot.prompt(object="b", frame=3, box=RIGHT)
    finished(shot)
    shot.remove(0, "a")
    assert shot.objects == ("b",)
    assert finished(shot) == []
    assert shot.done("a") == set()


def test_prompts_put_in_place_of_others_compute_the_difference():
    first = (FramePrompt(Prompt.of(box=LEFT)), FramePrompt(Prompt.of(box=RIGHT), "b", 5))
    shot = edit()
    shot.set_prompts(PromptFile(first))
    finished(shot)
    more = FramePrompt(Prompt(points=(Point(3, 9, 0),)), frame=21)
    shot.set_prompts(PromptFile((*first, more)))
    touched = {(step.object, step.frame) for step in shot.update("forward")}
    assert touched == {("object", frame) for frame in (21, 22, 23)}


def test_given_alpha_stands_and_is_tracked():
    given = np.zeros((HEIGHT, WIDTH), np.float32)
    given[4:9, 4:9] = 0.25
    given[5:8, 5:8] = 1
    shot, streamed = edit(), FakeMatter().open_video(CLIP)
    for each in (shot, streamed):
        each.give(given, frame=6)
    list(shot.update())
    for frame in streamed.propagate():
        alpha = alphas(shot)[frame.index]
        assert np.abs(alpha - frame.mattes["object"].alpha).max() <= 0.51 / 65535
        if frame.index == 6:
            assert np.abs(alpha - given).max() <= 0.51 / 65535
        else:
            assert (alpha > 0).sum() == 9
    shot.prompt(frame=10, points=[(3, 9)], labels=[0])
    assert 6 not in finished(shot)
    shot.remove(6)
    assert np.abs(alphas(shot)[6] - given).max() > 0.1


@pytest.mark.parametrize(
    ("alpha", "says"),
    [
        (np.zeros((3, 3)), "alpha of 3x3, the clip has 30x20"),
        (np.full((HEIGHT, WIDTH), 2.0), r"outside of \[0, 1\]"),
        (np.full((HEIGHT, WIDTH), np.nan), r"outside of \[0, 1\]"),
        (np.zeros((HEIGHT, WIDTH, 3)), "give height x width"),
    ],
)
def test_alpha_that_does_not_fit_is_refused(alpha, says):
    for shot in (edit(), FakeMatter().open_video(CLIP)):
        with pytest.raises(PromptError, match=says):
            shot.give(alpha)


def test_interrupted_work_and_new_prompts_are_both_done():
    plain, shot = edit(), edit()
    for each in (plain, shot):
        each.prompt(box=LEFT)
    running = shot.update()
    for _ in range(10):
        next(running)
    shot.prompt(frame=4, points=[(3, 9)], labels=[0])
    shot.prompt(frame=20, points=[(3, 9)], labels=[1])
    finished(shot, "forward")
    finished(plain)
    plain.prompt(frame=4, points=[(3, 9)], labels=[0])
    plain.prompt(frame=20, points=[(3, 9)], labels=[1])
    finished(plain, "forward")
    assert shot.is_current()
    for one, other in zip(alphas(shot), alphas(plain), strict=True):
        np.testing.assert_array_equal(one, other)


def test_closed_session_goes_on_where_it_was(tmp_path):
    first = edit(open_project(tmp_path / "p"))
    say(first, "later correction")
    running = first.update()
    done = [next(running).frame for _ in range(6)]
    again = edit(open_project(tmp_path / "p"))
    assert again.prompts == first.prompts
    rest = finished(again)
    assert not set(done) & set(rest)
    assert sorted(done + rest) == list(range(COUNT))
    whole = edit()
    say(whole, "later correction")
    finished(whole)
    for one, other in zip(alphas(again), alphas(whole), strict=True):
        np.testing.assert_array_equal(one, other)


# A process that ends itself by kill -9 when a given count of results was kept.
RUN = """
import json, os, signal, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_editing import CLIP, open_project, make_matter, say_all, correct
folder, which, at, stage = json.loads(sys.argv[2])
shot = make_matter(which).edit_video(CLIP, open_project(folder))
if stage == "first":
    say_all(shot)
else:
    correct(shot)
for count, _ in enumerate(shot.update(), 1):
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def make_matter(which):
    return FakeMatter() if which == "fake" else load(which)


def say_all(shot):
    shot.prompt(frame=6, object="a", box=(2, 2, 16, 18))
    shot.prompt(frame=11, object="a", points=[(15, 3)], labels=[0])
    shot.prompt(frame=9, object="b", box=RIGHT)
    shot.give(np.pad(np.ones((6, 6)), ((2, 12), (2, 22))), frame=3, object="c")


def correct(shot):
    shot.prompt(frame=17, object="a", points=[(6, 6)], labels=[0])
    shot.prompt(frame=2, object="b", points=[(24, 9)], labels=[0])


@pytest.mark.parametrize(
    ("which", "at", "stage"),
    [
        *(("fake", at, "first") for at in (1, 5, 20, 51)),
        *(("fake", at, "second") for at in (1, 2, 9, 14)),
        ("classical", 25, "first"),
        ("classical", 8, "second"),
    ],
)
def test_killed_session_goes_on_to_the_same_bytes(which, at, stage, tmp_path):
    folders = [tmp_path / "whole", tmp_path / "killed"]
    for folder in folders if stage == "second" else folders[:1]:
        whole = make_matter(which).edit_video(CLIP, open_project(folder))
        say_all(whole)
        finished(whole)
        if stage == "second" and folder == folders[0]:
            correct(whole)
            finished(whole)
    said = json.dumps([str(folders[1]), which, at, stage])
    command = [sys.executable, "-c", RUN, str(Path(__file__).parent), said]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    shot = make_matter(which).edit_video(CLIP, open_project(folders[1]))
    assert finished(shot)
    for name in ("a", "b", "c"):
        assert files(folders[1] / "objects" / name) == files(folders[0] / "objects" / name)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"clip": CLIP[:9]}, "frame_count 24, not 9"),
        ({"clip": CLIP[:, :8]}, "size"),
        ({"label": "other"}, "label"),
        ({"opacity": "opaque"}, "opacity"),
    ],
)
def test_project_of_another_clip_or_model_is_refused(change, says, tmp_path):
    shot = edit(open_project(tmp_path))
    shot.prompt(box=LEFT)
    with pytest.raises(PromptError, match=says) as error:
        edit(open_project(tmp_path), **change)
    assert "\n" not in str(error.value)


def test_damaged_projects_are_one_line(tmp_path):
    shot = edit(open_project(tmp_path / "p"))
    shot.prompt(box=LEFT)
    finished(shot)
    record = tmp_path / "p/objects/object/00000004.zip"
    record.write_bytes(record.read_bytes()[:40])
    with pytest.raises(ReadError, match="delete it, and it is computed again"):
        list(edit(open_project(tmp_path / "p")).frames())
    record.unlink()
    again = edit(open_project(tmp_path / "p"))
    assert finished(again) == [4]
    (tmp_path / "p/project.json").write_text("{")
    with pytest.raises(ReadError, match="damaged file"):
        edit(open_project(tmp_path / "p"))
    (tmp_path / "p/project.json").write_text('{"pullmatte_project": 99}')
    with pytest.raises(ReadError, match="version"):
        edit(open_project(tmp_path / "p"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/photo.jpg").touch()
    with pytest.raises(ReadError, match="no project"):
        open_project(tmp_path / "full")


def test_overlaps_are_shared_when_asked():
    shot = FakeMatter().edit_video(CLIP, MemoryProject(), foreground=False, sum_to_one=True)
    bright = edit()
    for each in (shot, bright):
        each.prompt(object="a", box=(0, 0, 20, 20))
        each.prompt(object="b", box=(10, 0, 30, 20))
        finished(each)
    frame, plain = shot.frame(7), bright.frame(7)
    total = sum(matte.alpha for matte in frame.mattes.values())
    assert total.max() <= 1 + 1e-6
    before = sum(matte.alpha for matte in plain.mattes.values())
    assert before.max() > 1.5
    np.testing.assert_allclose(total, np.minimum(before, 1), atol=1e-6)
