"""A video session: prompts on any frame, for any object; frames in order; stop and go on."""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pullmatte import Box, PromptFile, load
from pullmatte.errors import PromptError, ReadError
from pullmatte.io.project import FolderStore, load_arrays, save_arrays
from pullmatte.prompts import FramePrompt, Prompt
from pullmatte.sessions.clip import ArrayClip, ArrayFrame
from pullmatte.sessions.load import Matter
from pullmatte.sessions.store import AlphaStore, MemoryStore
from pullmatte.sessions.video import FrameMattes, VideoSession
from pullmatte.testing import FakeMatter

COUNT, HEIGHT, WIDTH = 7, 20, 30
CLIP = np.random.default_rng(6).integers(40, 256, (COUNT, HEIGHT, WIDTH, 3), np.uint8)
LEFT, RIGHT = (0, 0, 10, 20), (20, 0, 30, 20)


def open_fake(store: AlphaStore | None = None) -> VideoSession:
    return FakeMatter().open_video(CLIP, foreground=False, store=store)


def expected(frame: int, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    """What `FakeModel` makes of boxes by its rule."""
    alpha = (CLIP[frame] / np.float32(255)).mean(axis=2, dtype=np.float32)
    region = np.zeros((HEIGHT, WIDTH), bool)
    for x0, y0, x1, y1 in boxes:
        region[y0:y1, x0:x1] = True
    return np.where(region, alpha, 0)


def alphas(frames: Iterable[FrameMattes], name: str = "object") -> list[np.ndarray]:
    return [frame.mattes[name].alpha for frame in frames]


def is_close(alpha: np.ndarray, wanted: np.ndarray) -> bool:
    # What was stored on the way has 16 bits.
    return bool(np.abs(alpha - wanted).max() <= 0.51 / 65535)


def test_first_frame_prompt_tracks_the_whole_clip() -> None:
    shot = open_fake()
    shot.prompt(box=LEFT)
    frames = list(shot.propagate())
    assert [frame.index for frame in frames] == list(range(COUNT))
    assert [frame.time_s for frame in frames] == [i / 25 for i in range(COUNT)]
    for frame in frames:
        np.testing.assert_array_equal(frame.mattes["object"].alpha, expected(frame.index, LEFT))
        np.testing.assert_allclose(frame.image, CLIP[frame.index] / 255, atol=1e-6)


@pytest.mark.parametrize("at", range(COUNT))
def test_prompt_on_any_frame_reaches_both_ends(at: int) -> None:
    shot = open_fake()
    shot.prompt(frame=at, box=LEFT)
    assert shot.frames_behind() == (at + 1 if at else 0)
    for i, alpha in enumerate(alphas(shot.propagate())):
        assert is_close(alpha, expected(i, LEFT))


def test_forward_leaves_frames_before_the_prompt_empty() -> None:
    shot = open_fake()
    shot.prompt(frame=3, box=LEFT)
    assert shot.frames_behind("forward") == 0
    for i, alpha in enumerate(alphas(shot.propagate("forward"))):
        np.testing.assert_array_equal(alpha, expected(i, LEFT) if i >= 3 else 0)


def test_backward_leaves_frames_after_the_last_prompt_empty() -> None:
    shot = open_fake()
    shot.prompt(frame=5, box=LEFT)
    shot.prompt(frame=2, box=RIGHT)
    for i, alpha in enumerate(alphas(shot.propagate("backward"))):
        boxes = [] if i > 5 else [LEFT] if i > 2 else [RIGHT]
        assert is_close(alpha, expected(i, *boxes))


def test_later_prompt_corrects_from_its_frame_on() -> None:
    shot = open_fake()
    shot.prompt(frame=2, box=LEFT)
    shot.prompt(frame=5, points=[(5, 10)], labels=[0])
    for i, frame in enumerate(shot.propagate()):
        mask = frame.mattes["object"].mask
        assert mask is not None
        kept = np.ones((HEIGHT, WIDTH), bool)
        if i >= 5:
            kept[2:19, 0:14] = False
        np.testing.assert_array_equal(mask, (expected(i, LEFT) > 0) & kept)


def test_objects_enter_when_they_are_prompted_and_keep_apart() -> None:
    shot = open_fake()
    shot.prompt(frame=0, object="a torch", box=LEFT)
    shot.prompt(frame=4, object="猫", box=RIGHT)
    for i, frame in enumerate(shot.propagate("forward")):
        assert list(frame.mattes) == ["a torch", "猫"]
        np.testing.assert_array_equal(frame.mattes["a torch"].alpha, expected(i, LEFT))
        late = expected(i, RIGHT) if i >= 4 else 0
        np.testing.assert_array_equal(frame.mattes["猫"].alpha, late)


def test_object_alone_or_among_others_is_the_same() -> None:
    alone, among = open_fake(), open_fake()
    for shot in (alone, among):
        shot.prompt(frame=3, object="b", box=RIGHT)
    among.prompt(frame=6, object="c", points=[(4, 4)])
    for first, second in zip(
        alphas(alone.propagate(), "b"), alphas(among.propagate(), "b"), strict=True
    ):
        np.testing.assert_array_equal(first, second)


def test_no_part_at_all_means_the_whole_frame() -> None:
    by_call, by_file = open_fake(), open_fake()
    by_call.prompt(frame=1)
    by_file.add(PromptFile((FramePrompt(Prompt(), frame=1),)))
    for shot in (by_call, by_file):
        assert is_close(alphas(shot.propagate())[4], expected(4, (0, 0, WIDTH, HEIGHT)))


def test_prompts_may_come_between_two_passes() -> None:
    shot = open_fake()
    shot.prompt(frame=4, box=LEFT)
    before = alphas(shot.propagate())
    shot.prompt(frame=2, box=RIGHT)
    after = alphas(shot.propagate())
    for i in range(COUNT):
        assert is_close(before[i], expected(i, LEFT))
        assert is_close(after[i], expected(i, LEFT if i >= 4 else RIGHT))


def test_prompt_given_while_a_pass_runs_counts_from_the_next() -> None:
    shot = open_fake()
    shot.prompt(frame=4, box=LEFT)
    running = shot.propagate()
    next(running)
    shot.prompt(frame=2, box=RIGHT)
    shot.prompt(frame=5, object="new", box=RIGHT)
    for i, alpha in enumerate(alphas(running), start=1):
        assert is_close(alpha, expected(i, LEFT))
    assert is_close(alphas(shot.propagate())[3], expected(3, RIGHT))


def test_passes_that_interleave_do_not_mix() -> None:
    shot = open_fake()
    shot.prompt(box=LEFT)
    first, second = shot.propagate(), shot.propagate("forward")
    for i, pair in enumerate(zip(first, second, strict=True)):
        for frame in pair:
            np.testing.assert_array_equal(frame.mattes["object"].alpha, expected(i, LEFT))


def test_abandoned_pass_leaves_nothing_behind() -> None:
    shot = open_fake()
    shot.prompt(frame=5, box=LEFT)
    next(shot.prepare())
    next(shot.propagate())
    for i, alpha in enumerate(alphas(shot.propagate())):
        assert is_close(alpha, expected(i, LEFT))


def test_prepare_counts_down_and_propagate_uses_it() -> None:
    store = MemoryStore()
    shot = open_fake(store)
    shot.prompt(frame=3, box=LEFT)
    assert list(shot.prepare()) == [3, 2, 1, 0]
    marked = {"alpha": np.full((HEIGHT, WIDTH), 65535, np.uint16)}
    store.put("object", 1, marked)
    assert alphas(shot.propagate())[1].min() == 1
    # Another kind of object is another backward pass.
    assert is_close(alphas(shot.propagate(opacity="opaque"))[1], expected(1, LEFT))


def test_prompts_are_kept_as_they_would_be_saved() -> None:
    shot = open_fake()
    shot.prompt(frame=2, object="a", box=LEFT)
    shot.prompt(frame=np.int64(4), object="b", points=[(3, 3)], labels=[1])  # type: ignore[arg-type]
    saved = PromptFile.from_json(shot.prompts.to_json())
    assert saved == shot.prompts
    again = open_fake()
    again.add(saved)
    for first, second in zip(
        alphas(shot.propagate(), "b"), alphas(again.propagate(), "b"), strict=True
    ):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"frame": COUNT, "box": LEFT}, "the input has 7 frames, 0 to 6"),
        ({"frame": -1, "box": LEFT}, "count from 0"),
        ({"frame": 1.5, "box": LEFT}, "whole number"),
        ({"box": (0, 0, 31, 20)}, "leaves the 30x20 image"),
        ({"points": [(3, 20)]}, "outside the 30x20 image"),
        ({"mask": np.zeros((HEIGHT, WIDTH))}, "mask is empty"),
        ({"trimap": np.full((9, 9), 0.5)}, "trimap of 9x9"),
        ({"object": "a/b"}, "object name"),
    ],
)
def test_prompts_that_do_not_fit_are_refused_and_not_kept(
    said: dict[str, object], says: str
) -> None:
    shot = open_fake()
    with pytest.raises(PromptError, match=says) as error:
        shot.prompt(**said)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert shot.prompts.prompts == ()


def test_file_with_one_bad_prompt_is_not_taken_at_all() -> None:
    shot = open_fake()
    good = FramePrompt(Prompt(box=Box(*LEFT)))
    with pytest.raises(PromptError, match="prompt for 'b' on frame 9"):
        shot.add(PromptFile((good, FramePrompt(Prompt(), "b", 9))))
    assert shot.prompts.prompts == ()


def test_pass_without_prompt_or_with_unknown_settings_is_refused() -> None:
    shot = open_fake()
    with pytest.raises(PromptError, match="no prompt yet"):
        next(shot.propagate())
    shot.prompt()
    with pytest.raises(PromptError, match="use both, forward, backward"):
        next(shot.propagate("sideways"))  # type: ignore[arg-type]
    with pytest.raises(PromptError, match="use auto, opaque, transparent"):
        next(shot.prepare(opacity="glass"))  # type: ignore[arg-type]


def test_caller_may_change_what_is_handed_out() -> None:
    shot = open_fake()
    shot.prompt(box=LEFT)
    for i, frame in enumerate(shot.propagate()):
        matte = frame.mattes["object"]
        np.testing.assert_array_equal(matte.alpha, expected(i, LEFT))
        assert matte.mask is not None
        matte.alpha[:] = 1
        matte.mask[:] = True


# Stop and go on: with a model that remembers nothing but a place, and with the real engine.


def moving_disc() -> np.ndarray:
    """A soft bright disc that goes right over a textured ground, 8 frames of 72 x 48."""
    rng = np.random.default_rng(8)
    ground = rng.random((48, 72, 3)) * 0.2 + np.linspace(0, 0.2, 72)[None, :, None]
    ys, xs = np.mgrid[0:48, 0:72]
    frames = []
    for i in range(8):
        alpha = np.clip((12 - np.hypot(xs - 20 - 3 * i, ys - 24)) / 3, 0, 1)[..., None]
        frames.append(alpha * np.array([0.9, 0.7, 0.3]) + (1 - alpha) * ground)
    return np.rint(np.stack(frames) * 255).astype(np.uint8)


CASES = {
    "fake": (FakeMatter, CLIP, LEFT, RIGHT),
    "classical": (lambda: load("classical"), moving_disc(), (14, 9, 51, 39), (0, 0, 20, 48)),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Matter, np.ndarray, list[FrameMattes]]:
    make, clip, *_ = CASES[request.param]
    matter = make()
    shot = matter.open_video(clip)
    say(shot, request.param)
    return matter, clip, list(shot.propagate())


def say(shot: VideoSession, which: str) -> None:
    _, _, box, other = CASES[which]
    shot.prompt(frame=4, object="a disc", box=box)
    shot.prompt(frame=6, object="a disc", points=[(box[2] + 1, 3)], labels=[0])
    shot.prompt(frame=2, object="the ground", box=other)


def which_case(matter: Matter) -> str:
    return matter.spec.name


def make_store(kind: str, folder: Path) -> AlphaStore:
    return MemoryStore() if kind == "memory" else FolderStore(folder / "store")


def assert_same(frames: list[FrameMattes], whole: list[FrameMattes]) -> None:
    assert frames
    for frame in frames:
        for name, matte in frame.mattes.items():
            other = whole[frame.index].mattes[name]
            for part in ("alpha", "mask", "trimap", "foreground"):
                np.testing.assert_array_equal(getattr(matte, part), getattr(other, part))


@pytest.mark.parametrize("kind", ["memory", "folder"])
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_propagate_goes_on_bit_for_bit(
    case: tuple[Matter, np.ndarray, list[FrameMattes]], kind: str, stop: int, tmp_path: Path
) -> None:
    matter, clip, whole = case
    store = make_store(kind, tmp_path)
    stopped = matter.open_video(clip, store=store)
    say(stopped, which_case(matter))
    running = stopped.propagate()
    first = [next(running) for _ in range(stop)]
    save_arrays(tmp_path / "state.npz", stopped.state(stop))
    running.close()
    shot = matter.open_video(clip, store=store)
    say(shot, which_case(matter))
    rest = list(shot.propagate(resume=load_arrays(tmp_path / "state.npz")))
    assert [frame.index for frame in rest] == list(range(stop, len(clip)))
    assert_same(first + rest, whole)


@pytest.mark.parametrize("kind", ["memory", "folder"])
@pytest.mark.parametrize("done", [1, 3])
def test_prepare_goes_on_bit_for_bit(
    case: tuple[Matter, np.ndarray, list[FrameMattes]], kind: str, done: int, tmp_path: Path
) -> None:
    matter, clip, whole = case
    store = make_store(kind, tmp_path)
    stopped = matter.open_video(clip, store=store)
    say(stopped, which_case(matter))
    running = stopped.prepare()
    left = [next(running) for _ in range(done)][-1]
    save_arrays(tmp_path / "state.npz", stopped.state(left))
    running.close()
    shot = matter.open_video(clip, store=store)
    say(shot, which_case(matter))
    behind = list(shot.prepare(resume=load_arrays(tmp_path / "state.npz")))
    assert behind == list(range(left - 1, -1, -1))
    assert_same(list(shot.propagate()), whole)


def test_the_engine_follows_the_disc(
    case: tuple[Matter, np.ndarray, list[FrameMattes]],
) -> None:
    matter, clip, whole = case
    for frame in whole:
        alpha = frame.mattes["a disc"].alpha
        assert 0 <= alpha.min() <= alpha.max() <= 1
        if which_case(matter) == "classical":
            ys, xs = np.mgrid[0:48, 0:72]
            truth = np.clip((12 - np.hypot(xs - 20 - 3 * frame.index, ys - 24)) / 3, 0, 1)
            assert np.abs(alpha - truth).mean() < 0.03, frame.index
            assert len(clip) == 8


def test_state_of_another_run_is_refused() -> None:
    shot = open_fake()
    shot.prompt(object="a", box=LEFT)
    next(shot.propagate())
    state = shot.state(1)
    other = open_fake()
    other.prompt(object="b", box=LEFT)
    with pytest.raises(PromptError, match="state knows of 'a', the prompts don't"):
        next(other.propagate(resume=state))
    with pytest.raises(PromptError, match="next_frame"):
        next(other.propagate(resume={}))


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_store_that_lacks_the_backward_part_is_a_read_error(kind: str, tmp_path: Path) -> None:
    shot = open_fake()
    shot.prompt(frame=5, box=LEFT)
    next(shot.propagate())
    other = open_fake(make_store(kind, tmp_path))
    other.prompt(frame=5, box=LEFT)
    with pytest.raises(ReadError) as error:
        next(other.propagate(resume=shot.state(1)))
    assert "\n" not in str(error.value)


def test_what_the_clip_makes_transparent_stays_so() -> None:
    class Holed(ArrayClip):
        def frames(self, *span: int, reverse: bool = False) -> Iterator[ArrayFrame]:
            for frame in super().frames(*span, reverse=reverse):
                alpha = np.ones(frame.image.shape[:2], np.float32)
                alpha[:, :5] = 0.25
                yield dataclasses.replace(frame, alpha=alpha)

    shot = FakeMatter().open_video(Holed([np.ones((8, 10, 3), np.float32)] * 2))
    shot.prompt(box=(0, 0, 10, 8))
    for frame in shot.propagate():
        alpha = frame.mattes["object"].alpha
        assert (alpha[:, :5] == 0.25).all()
        assert (alpha[:, 5:] == 1).all()
