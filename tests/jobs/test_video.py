"""The whole job on small clips: contents, names, timestamps, sound, sides, failures."""

from dataclasses import replace
from threading import active_count

import av
import numpy as np
import pytest

from pullmatte.errors import PromptError, PullmatteError, ReadError, UnsupportedFormat, WriteError
from pullmatte.io.exr import read_exr
from pullmatte.io.image import load_picture
from pullmatte.io.video import open_video
from pullmatte.jobs.video import matte_video
from pullmatte.jobs.video_options import VideoOptions, default_output
from pullmatte.prompts import Box, FramePrompt, Point, Prompt, PromptFile
from pullmatte.sessions.load import load
from pullmatte.testing import FakeModel

PLAIN = VideoOptions(foreground=False, segment_frames=5)
ONE = PromptFile((FramePrompt(Prompt(box=Box(4, 8, 40, 24))),))
TWO = PromptFile((
    FramePrompt(Prompt(box=Box(0, 0, 20, 32)), "left"),
    FramePrompt(Prompt(box=Box(24, 0, 48, 32)), "right"),
))


def frames_of(path):
    with open_video(path) as clip:
        return [(frame.image, frame.alpha) for frame in clip.frames()]


def expected_alpha(image, box=(4, 8, 40, 24)):
    """What the stand-in says: brightness inside of the box."""
    alpha = np.zeros(image.shape[:2], np.float32)
    x0, y0, x1, y1 = box
    alpha[y0:y1, x0:x1] = image[y0:y1, x0:x1].mean(axis=2)
    return alpha


def files_of(folder):
    return sorted(path.name for path in folder.iterdir())


def test_lossless_output_holds_every_alpha(fake, make_clip, tmp_path):
    source = make_clip()
    report = matte_video(fake, source, tmp_path / "out.mkv", ONE, PLAIN)
    pairs = zip(frames_of(source), frames_of(tmp_path / "out.mkv"), strict=True)
    for (image, _), (colour, alpha) in pairs:
        assert np.abs(alpha - expected_alpha(image)).max() <= 1 / 255
        assert np.abs(colour - image).max() <= 1 / 255
    assert (report.frames, report.size, report.resumed_at) == (24, (48, 32), 0)
    assert files_of(tmp_path) == ["clip.mkv", "out.mkv"]


def test_report_says_mean_alpha(fake, make_clip, tmp_path):
    source = make_clip()
    report = matte_video(fake, source, tmp_path / "out.mkv", ONE, PLAIN)
    wanted = np.mean([expected_alpha(image).mean() for image, _ in frames_of(source)])
    assert report.coverage == {"object": pytest.approx(wanted, rel=1e-5)}
    assert report.as_dict()["outputs"] == (str(tmp_path / "out.mkv"),)


def test_no_prompt_takes_the_whole_frame(fake, make_clip, tmp_path):
    source = make_clip(frames=2)
    matte_video(fake, source, tmp_path / "out.mkv", None, PLAIN)
    image, alpha = frames_of(tmp_path / "out.mkv")[0]
    assert np.abs(alpha - image.mean(axis=2)).max() <= 1 / 255


def test_objects_get_a_file_each(fake, make_clip, tmp_path):
    report = matte_video(fake, make_clip(frames=3), tmp_path / "{object}.mkv", TWO, PLAIN)
    assert [path.rpartition("/")[2] for path in report.outputs] == ["left.mkv", "right.mkv"]
    (image, left), (_, right) = (
        frames_of(tmp_path / "left.mkv")[2],
        frames_of(tmp_path / "right.mkv")[2],
    )
    assert np.abs(left - expected_alpha(image, (0, 0, 20, 32))).max() <= 1 / 255
    assert right[:, :24].max() == 0
    assert right[:, 24:].min() > 0


def test_objects_are_joined_in_one_file(fake, make_clip, tmp_path):
    matte_video(fake, make_clip(frames=3), tmp_path / "out.mkv", TWO, PLAIN)
    image, alpha = frames_of(tmp_path / "out.mkv")[2]
    union = expected_alpha(image, (0, 0, 20, 32)) + expected_alpha(image, (24, 0, 48, 32))
    assert np.abs(alpha - union).max() <= 1 / 255


def test_exr_sequence_names_its_objects(fake, make_clip, tmp_path):
    options = replace(PLAIN, start_frame=1001)
    matte_video(fake, make_clip(frames=3), tmp_path / "o.%04d.exr", TWO, options)
    assert [name for name in files_of(tmp_path) if name != "clip.mkv"] == [
        f"o.{number}.exr" for number in (1001, 1002, 1003)
    ]
    picture = read_exr(tmp_path / "o.1002.exr")
    assert set(picture.mattes) == {"left.A", "right.A"}
    assert picture.mattes["left.A"][:, 21:].max() == 0
    assert picture.mattes["left.A"][:, :20].min() > 0


def test_sequence_in_keeps_its_numbers(fake, make_clip, tmp_path):
    matte_video(
        fake, make_clip(frames=3), tmp_path / "a.%04d.png", ONE, replace(PLAIN, start_frame=7)
    )
    matte_video(fake, tmp_path / "a.%04d.png", tmp_path / "b.####.png", ONE, PLAIN)
    assert [name for name in files_of(tmp_path) if name.startswith("b")] == [
        "b.0007.png",
        "b.0008.png",
        "b.0009.png",
    ]


def test_sides_stand_beside_the_result(fake, make_clip, tmp_path):
    options = replace(PLAIN, sides=("trimap", "mask", "alpha", "foreground"))
    matte_video(fake, make_clip("my.clip.mkv", 3), tmp_path / "o.v2.mkv", ONE, options)
    sides = {side: tmp_path / f"o.v2_{side}.mkv" for side in options.sides}
    image, alpha = frames_of(tmp_path / "o.v2.mkv")[1]
    read = {side: frames_of(path)[1][0] for side, path in sides.items()}
    inside = expected_alpha(image) > 0
    assert np.abs(read["trimap"][..., 0] - inside * 0.5).max() <= 1 / 255
    assert np.array_equal(read["mask"][..., 0] > 0.5, inside)
    assert np.abs(read["alpha"][..., 0] - alpha).max() <= 1 / 255
    assert np.abs(read["foreground"] - image).max() <= 1 / 255


def test_only_the_result_has_the_sound(fake, make_clip, tmp_path):
    options = replace(PLAIN, sides=("mask",))
    matte_video(fake, make_clip(sound=True), tmp_path / "out.mkv", ONE, options)
    with av.open(str(tmp_path / "out.mkv")) as out, av.open(str(tmp_path / "out_mask.mkv")) as side:
        assert (len(out.streams.audio), len(side.streams.audio)) == (1, 0)


def test_sound_is_left_out_when_asked(fake, make_clip, tmp_path):
    options = replace(PLAIN, audio=False)
    matte_video(fake, make_clip(sound=True), tmp_path / "out.mkv", ONE, options)
    with av.open(str(tmp_path / "out.mkv")) as out:
        assert not out.streams.audio


def test_background_is_put_behind(fake, make_clip, tmp_path):
    options = replace(PLAIN, background="#0000ff")
    matte_video(fake, make_clip(frames=2), tmp_path / "out.mkv", ONE, options)
    image, alpha = frames_of(tmp_path / "out.mkv")[1]
    assert alpha is None
    assert np.abs(image[0, 0] - (0, 0, 1)).max() <= 2 / 255


def test_only_alpha_is_grey(fake, make_clip, tmp_path):
    source = make_clip(frames=2)
    matte_video(fake, source, tmp_path / "out.mkv", ONE, replace(PLAIN, only_alpha=True))
    wanted = expected_alpha(frames_of(source)[1][0])
    image, alpha = frames_of(tmp_path / "out.mkv")[1]
    assert alpha is None
    assert np.abs(image - wanted[..., None]).max() <= 1 / 255


@pytest.mark.parametrize(
    ("direction", "filled"),
    [("forward", range(6, 10)), ("backward", range(7)), ("both", range(10))],
)
def test_direction_says_which_frames_are_filled(direction, filled, fake, make_clip, tmp_path):
    late = PromptFile((FramePrompt(ONE.prompts[0].prompt, frame=6),))
    options = replace(PLAIN, direction=direction, segment_frames=3)
    matte_video(fake, make_clip(frames=10), tmp_path / "out.mkv", late, options)
    alphas = [alpha.max() > 0 for _, alpha in frames_of(tmp_path / "out.mkv")]
    assert [number for number, there in enumerate(alphas) if there] == list(filled)


def test_classical_follows_a_square(make_clip, tmp_path):
    prompts = PromptFile((FramePrompt(Prompt(box=Box(3, 6, 18, 26), points=(Point(9, 16),))),))
    matte_video(load("classical"), make_clip(frames=4), tmp_path / "out.mov", prompts)
    for number, (_, alpha) in enumerate(frames_of(tmp_path / "out.mov")):
        assert alpha[10:22, 6 + number : 14 + number].mean() > 0.8
        assert alpha[:, 26:].mean() < 0.1


def test_progress_rises_to_the_end(fake, make_clip, tmp_path):
    seen = []
    late = PromptFile((FramePrompt(ONE.prompts[0].prompt, frame=3),))
    matte_video(
        *(fake, make_clip(frames=6), tmp_path / "out.mkv", late, PLAIN),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(number, 10) for number in range(11)]


def test_truncated_middle_ends_in_one_error(fake, make_clip, tmp_path):
    threads = active_count()
    source = make_clip("long.mkv", 60, (96, 64))
    data = bytearray(source.read_bytes())
    middle = slice(len(data) // 2, len(data) * 3 // 4)
    data[middle] = b"\xaa" * len(data[middle])
    source.write_bytes(data)
    with pytest.raises(ReadError) as caught:
        matte_video(fake, source, tmp_path / "out.mkv", ONE, PLAIN)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "out.mkv").exists()
    assert active_count() == threads


class Failing:
    """The stand-in, with a model that fails on a frame."""

    def __init__(self, fake, error, after):
        self.spec, self.error, self.left, self.inner = fake.spec, error, after, fake.model

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def track(self, *args, **options):
        self.left -= 1
        if self.left == 0:
            raise self.error
        return self.inner.track(*args, **options)


@pytest.mark.parametrize("after", [1, 3, 12])
def test_failing_model_ends_all_threads(after, fake, make_clip, tmp_path):
    fake.model = Failing(fake, PullmatteError("no memory"), after)
    threads = active_count()
    with pytest.raises(PullmatteError, match="no memory"):
        matte_video(fake, make_clip(), tmp_path / "out.mkv", ONE, PLAIN)
    assert active_count() == threads
    kept = [".out.mkv.pullmatte"] if after > PLAIN.segment_frames else []
    assert files_of(tmp_path) == [*kept, "clip.mkv"]


class Sparse(FakeModel):
    """The stand-in without trimaps."""

    def predict(self, *args, **options):
        return replace(super().predict(*args, **options), trimap=None)

    def track(self, *args, **options):
        return replace(super().track(*args, **options), trimap=None)


def test_failing_writer_ends_all_threads(fake, make_clip, tmp_path):
    threads = active_count()
    fake.model = Sparse()
    options = replace(PLAIN, sides=("trimap",))
    with pytest.raises(WriteError, match="no trimap"):
        matte_video(fake, make_clip(), tmp_path / "out.mkv", ONE, options)
    assert active_count() == threads
    assert files_of(tmp_path) == ["clip.mkv"]


def test_prompts_are_checked_before_anything_is_made(fake, make_clip, tmp_path):
    late = PromptFile((FramePrompt(Prompt(box=Box(0, 0, 9, 9)), frame=24),))
    with pytest.raises(PromptError, match="0 to 23"):
        matte_video(fake, make_clip(), tmp_path / "out.mkv", late, PLAIN)
    assert files_of(tmp_path) == ["clip.mkv"]


def test_late_refusal_leaves_no_folder(fake, make_clip, tmp_path):
    options = replace(PLAIN, codec="h264", sides=("foreground",), background="red")
    with pytest.raises(UnsupportedFormat):
        matte_video(fake, make_clip(), tmp_path / "out.webm", ONE, options)
    assert files_of(tmp_path) == ["clip.mkv"]


@pytest.mark.parametrize(
    ("source", "options", "name"),
    [
        ("a.b.mp4", VideoOptions(), "a.b_cutout.mov"),
        ("a.mp4", VideoOptions(only_alpha=True), "a_alpha.mov"),
        ("a.mp4", VideoOptions(background="red"), "a_composite.mov"),
        ("a.%04d.exr", VideoOptions(), "cutout_a.%04d.exr"),
        ("a.####.jpg", VideoOptions(), "cutout_a.####.png"),
    ],
)
def test_default_output_stands_beside_the_clip(source, options, name, tmp_path):
    assert default_output(tmp_path / source, options) == tmp_path / name


def test_plate_fills_the_frame(fake, make_clip, tmp_path):
    from PIL import Image

    Image.new("RGB", (9, 90), (0, 128, 0)).save(tmp_path / "plate.png")
    options = replace(PLAIN, background=tmp_path / "plate.png")
    matte_video(fake, make_clip(frames=1), tmp_path / "o.%02d.png", ONE, options)
    assert np.abs(load_picture(tmp_path / "o.00.png").image[0, 0] - (0, 128 / 255, 0)).max() < 1e-3
