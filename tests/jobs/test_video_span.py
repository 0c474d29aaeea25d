"""A span of a clip: its frames, its sound, from its own beginning."""

from dataclasses import replace

import av
import numpy as np
import pytest

from pullmatte.errors import PromptError, WriteError
from pullmatte.io.video import open_video
from pullmatte.jobs.video import matte_video
from pullmatte.jobs.video_options import VideoOptions, VideoStart
from pullmatte.prompts import Box, FramePrompt, Prompt, PromptFile

SPAN = VideoOptions(foreground=False, segment_frames=5, span=(3, 9))
ONE = PromptFile((FramePrompt(Prompt(box=Box(4, 8, 40, 24))),))
TWO = PromptFile((
    FramePrompt(Prompt(box=Box(0, 0, 20, 32)), "left"),
    FramePrompt(Prompt(box=Box(24, 0, 48, 32)), "right", 12),
))


def alphas(path):
    with open_video(path) as clip:
        return [frame.alpha for frame in clip.frames()]


def written(fake, clip, out, options, prompts=ONE, **more):
    report = matte_video(fake, clip, out, prompts, options, **more)
    return report, alphas(out)


@pytest.mark.parametrize("project", [False, True])
def test_a_span_is_that_part_of_the_whole(project, fake, make_clip, tmp_path):
    clip = make_clip(sound=True)
    _, whole = written(fake, clip, tmp_path / "whole.mkv", replace(SPAN, span=None))
    start = VideoStart(project=tmp_path / "project") if project else None
    report, found = written(fake, clip, tmp_path / "out.mkv", SPAN, start=start)
    assert report.frames == len(found) == 7
    assert all(np.array_equal(a, b) for a, b in zip(found, whole[3:10], strict=True))
    assert report.coverage["object"] == pytest.approx(np.mean(whole[3:10]), abs=0.003)
    with open_video(tmp_path / "out.mkv") as again:
        assert [again.info.time_of(at) for at in (0, 6)] == pytest.approx([0, 0.24], abs=1e-3)


def test_a_span_has_its_own_sound(fake, make_clip, tmp_path):
    clip = make_clip(sound=True)
    written(fake, clip, tmp_path / "out.mkv", replace(SPAN, span=(1, 2)))

    def sound(path):
        with av.open(str(path)) as container:
            blocks = [b.to_ndarray() for b in container.decode(audio=0)]
            return np.concatenate(blocks, axis=1)[0] if blocks else np.zeros(0)

    whole, part = sound(clip), sound(tmp_path / "out.mkv")
    # Frames 1 and 2 are shown from 0.04 to 0.12 s; the sound ends at 0.096 s. Packets stay whole.
    assert 0 < part.size < whole.size
    starts = [at for at in range(whole.size) if np.array_equal(whole[at : at + part.size], part)]
    assert min(abs(at / 48000 - 0.04) for at in starts) < 0.03


def test_objects_can_be_chosen_and_all_are_tracked(fake, make_clip, tmp_path):
    clip = make_clip()
    options = replace(SPAN, span=None, objects=("right",))
    alone = PromptFile(TWO.prompts[1:])
    _, found = written(fake, clip, tmp_path / "out.mkv", options, TWO)
    _, wanted = written(fake, clip, tmp_path / "alone.mkv", replace(SPAN, span=None), alone)
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
    with pytest.raises(PromptError, match=r"nobody.*left, right"):
        written(fake, clip, tmp_path / "no.mkv", replace(options, objects=("nobody",)), TWO)


def test_a_sequence_keeps_its_numbers_in_a_span(fake, make_clip, tmp_path):
    clip, folder = make_clip(), tmp_path / "frames"
    folder.mkdir()
    matte_video(fake, clip, folder / "f.%04d.png", ONE, replace(SPAN, start_frame=1001))
    assert sorted(path.name for path in folder.iterdir())[0::6] == ["f.1001.png", "f.1007.png"]
    again = tmp_path / "again"
    again.mkdir()
    options = replace(SPAN, span=(2, 3))
    matte_video(fake, folder / "f.%04d.png", again / "g.%04d.png", ONE, options)
    assert sorted(path.name for path in again.iterdir()) == ["g.1003.png", "g.1004.png"]


@pytest.mark.parametrize("span", [(5, 4), (-1, 3), (0, 24)])
def test_spans_outside_are_refused(span, fake, make_clip, tmp_path):
    with pytest.raises(PromptError, match="frames 0 to 23"):
        written(fake, make_clip(), tmp_path / "out.mkv", replace(SPAN, span=span))


def test_a_span_cant_be_resumed(fake, make_clip, tmp_path):
    with pytest.raises(WriteError, match="leave --resume out"):
        written(fake, make_clip(), tmp_path / "out.mkv", SPAN, resume=True)
