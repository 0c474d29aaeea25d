"""Looks in the jobs, and finished mattes laid over something else."""

import json
from dataclasses import replace

import av
import numpy as np
import pytest
from PIL import Image

from pullmatte.errors import PullmatteError, ReadError, UnsupportedFormat, WriteError
from pullmatte.io.exr import read_exr
from pullmatte.io.image import load_picture, read_alpha
from pullmatte.io.video import open_video
from pullmatte.jobs.composite import composite
from pullmatte.jobs.edge import feathered_alpha, shifted_alpha
from pullmatte.jobs.image import ImageOptions, matte_image
from pullmatte.jobs.look import Look, Text
from pullmatte.jobs.video import matte_video
from pullmatte.jobs.video_options import VideoOptions
from pullmatte.prompts import Box, FramePrompt, Prompt, PromptFile

ONE = PromptFile((FramePrompt(Prompt(box=Box(4, 8, 40, 24))),))
TWO = PromptFile((
    FramePrompt(Prompt(box=Box(0, 0, 20, 32)), "left"),
    FramePrompt(Prompt(box=Box(28, 0, 48, 32)), "right"),
))
EDGE = Look(shift_px=-1.5, feather_px=1)
LOOKS = [
    EDGE,
    Look("#3060c0", shift_px=1.25),
    Look("blur", blur_px=4, pop=0.5, text=Text("ab", size=0.6), feather_px=0.7),
    Look("original", pop=1, decontaminate=False),
    Look("checker"),
]


@pytest.fixture
def photo(tmp_path):
    """A light square on a dark ramp, 48x32."""
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[...] = (np.arange(48) * 2)[None, :, None] * np.array([1, 0.7, 0.4])
    pixels[8:24, 8:36] = (250, 240, 200)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def alpha(photo, fake, tmp_path):
    """The photo's matte, in 16 bits."""
    matte_image(
        fake, photo, tmp_path / "alpha.png", ONE, ImageOptions(only_alpha=True, bit_depth=16)
    )
    return tmp_path / "alpha.png"


def frames_of(path):
    with open_video(path) as clip:
        return [(frame.image, frame.alpha) for frame in clip.frames()]


@pytest.mark.parametrize("look", LOOKS)
def test_photo_with_a_look_equals_its_matte_composited(look, photo, alpha, fake, tmp_path):
    matte_image(fake, photo, tmp_path / "a.png", ONE, ImageOptions(look=look))
    composite(photo, alpha, tmp_path / "b.png", look)
    first, second = load_picture(tmp_path / "a.png"), load_picture(tmp_path / "b.png")
    assert np.abs(first.image - second.image).max() <= 1.01 / 255
    assert (first.alpha is None) == (look.background is not None)
    if first.alpha is not None:
        assert np.abs(first.alpha - second.alpha).max() <= 1.01 / 255


@pytest.mark.parametrize("only_alpha", [True, False])
def test_edits_reach_cutout_and_alpha_alike(only_alpha, photo, alpha, fake, tmp_path):
    options = ImageOptions(only_alpha=only_alpha, look=EDGE, sides=("alpha",), bit_depth=16)
    matte_image(fake, photo, tmp_path / "out.png", ONE, options)
    wanted = feathered_alpha(shifted_alpha(read_alpha(alpha), -1.5), 1)
    for name in ("out.png", "out_alpha.png"):
        assert np.abs(read_alpha(tmp_path / name) - wanted).max() < 1e-3


def test_alpha_alone_has_no_background(photo, fake, tmp_path):
    options = ImageOptions(only_alpha=True, look=Look("red", shift_px=2))
    matte_image(fake, photo, tmp_path / "out.png", ONE, options)
    with Image.open(tmp_path / "out.png") as made:
        assert made.mode == "L"


def test_objects_of_an_exr_are_edited(photo, fake, tmp_path):
    for name, look in (("a.exr", None), ("b.exr", EDGE)):
        matte_image(fake, photo, tmp_path / name, TWO, ImageOptions(look=look))
    plain, edited = (read_exr(tmp_path / name).mattes["left.A"] for name in ("a.exr", "b.exr"))
    wanted = feathered_alpha(shifted_alpha(plain, -1.5), 1)
    assert np.abs(edited - wanted).max() < 2e-3


def test_transparent_pixels_of_a_photo_stay_so(fake, tmp_path):
    pixels = np.full((32, 48, 4), 255, np.uint8)
    pixels[:, 24:, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "half.png")
    matte_image(
        fake, tmp_path / "half.png", tmp_path / "o.png", None, ImageOptions(look=Look(shift_px=5))
    )
    assert load_picture(tmp_path / "o.png").alpha[:, 24:].max() == 0
    composite(
        tmp_path / "half.png", tmp_path / "half.png", tmp_path / "p.png", Look("red", shift_px=5)
    )
    assert np.allclose(load_picture(tmp_path / "p.png").image[:, 24:], (1, 0, 0))


def test_cutout_serves_as_a_matte(photo, alpha, fake, tmp_path):
    matte_image(fake, photo, tmp_path / "cut.png", ONE, ImageOptions(bit_depth=16))
    for name in ("alpha.png", "cut.png"):
        composite(photo, tmp_path / name, tmp_path / f"over_{name}", Look("blue"))
    first, second = (load_picture(tmp_path / f"over_{n}.png").image for n in ("alpha", "cut"))
    assert np.abs(first - second).max() <= 1.01 / 255


def test_clip_with_a_look_keeps_frames_sound_and_alpha(fake, make_clip, tmp_path):
    source = make_clip(sound=True)
    plain = VideoOptions(foreground=False, segment_frames=5)
    matte_video(fake, source, tmp_path / "plain.mkv", ONE, plain)
    matte_video(fake, source, tmp_path / "out.mkv", ONE, replace(plain, look=EDGE))
    made, before = frames_of(tmp_path / "out.mkv"), frames_of(tmp_path / "plain.mkv")
    assert len(made) == 24
    for (_, alpha), (_, given) in zip(made, before, strict=True):
        assert np.abs(alpha - feathered_alpha(shifted_alpha(given, -1.5), 1)).max() < 2.5 / 255
    with av.open(str(tmp_path / "out.mkv")) as out:
        assert len(out.streams.audio) == 1


@pytest.mark.parametrize("look", LOOKS[:3])
def test_clip_with_a_look_equals_its_matte_composited(look, fake, make_clip, tmp_path):
    source = make_clip(frames=7, sound=True)
    matte_video(
        fake, source, tmp_path / "m.%03d.png", ONE, VideoOptions(only_alpha=True, bit_depth=16)
    )
    matte_video(fake, source, tmp_path / "a.mkv", ONE, VideoOptions(look=look))
    report = composite(source, tmp_path / "m.%03d.png", tmp_path / "b.mkv", look)
    assert (report.frames, report.size) == (7, (48, 32))
    for (image, alpha), (other, plane) in zip(
        frames_of(tmp_path / "a.mkv"), frames_of(tmp_path / "b.mkv"), strict=True
    ):
        assert np.abs(image - other).max() <= 2.01 / 255
        assert (alpha is None) == (look.background is not None)
        assert alpha is None or np.abs(alpha - plane).max() <= 1.01 / 255
    with av.open(str(tmp_path / "b.mkv")) as made:
        assert len(made.streams.audio) == 1
    assert not list(tmp_path.glob(".*"))


def test_moving_background_follows_the_clip(fake, make_clip, tmp_path):
    source, behind = make_clip(frames=6), make_clip("behind.mkv", frames=4)
    options = VideoOptions(look=Look(behind))
    matte_video(fake, source, tmp_path / "out.mkv", ONE, options)
    plates = [image for image, _ in frames_of(behind)]
    for number, (image, _) in enumerate(frames_of(tmp_path / "out.mkv")):
        assert np.abs(image[:6] - plates[number % 4][:6]).max() <= 2 / 255


def stop_at(count):
    def fail(done, total):
        if done == count:
            raise PullmatteError("stopped")

    return fail


@pytest.mark.parametrize(
    ("other", "key"),
    [(Look("blur", blur_px=3), "look"), (Look("original"), "background"), (None, "background")],
)
def test_stopped_run_goes_on_with_the_same_look_alone(other, key, fake, make_clip, tmp_path):
    source, look = make_clip(), Look("blur", blur_px=2)
    options = VideoOptions(look=look, segment_frames=5)
    call = (fake, source, tmp_path / "out.mkv", ONE)
    with pytest.raises(PullmatteError, match="stopped"):
        matte_video(*call, options, progress=stop_at(14))
    with pytest.raises(WriteError, match=f"can't resume: ({key}|content)") as caught:
        matte_video(*call, replace(options, look=other), resume=True)
    assert len(str(caught.value).splitlines()) == 1
    assert matte_video(*call, options, resume=True).resumed_at >= 5
    matte_video(fake, source, tmp_path / "whole.mkv", ONE, options)
    assert (tmp_path / "whole.mkv").read_bytes() == (tmp_path / "out.mkv").read_bytes()


def test_changed_clip_behind_is_refused(fake, make_clip, tmp_path):
    source, behind = make_clip(), make_clip("behind.mkv", frames=4)
    options = VideoOptions(look=Look(behind), segment_frames=5)
    call = (fake, source, tmp_path / "out.mkv", ONE, options)
    with pytest.raises(PullmatteError, match="stopped"):
        matte_video(*call, progress=stop_at(14))
    make_clip("behind.mkv", frames=5)
    with pytest.raises(WriteError, match="can't resume: background"):
        matte_video(*call, resume=True)


def test_steady_mattes_flicker_less(make_clip, tmp_path):
    source = make_clip(frames=8)
    rng = np.random.default_rng(0)
    for number in range(8):
        plane = np.full((32, 48), 128) + rng.integers(-30, 30, (32, 48))
        Image.fromarray(plane.astype(np.uint8)).save(tmp_path / f"m.{number:02d}.png")
    change = []
    for steady in (0, 0.7):
        composite(source, tmp_path / "m.%02d.png", tmp_path / "o.mkv", steady=steady)
        alphas = np.stack([alpha for _, alpha in frames_of(tmp_path / "o.mkv")])
        change.append(np.abs(np.diff(alphas, axis=0)).mean())
    assert change[1] < 0.8 * change[0]


def test_failed_clip_leaves_nothing(make_clip, tmp_path):
    source = make_clip(frames=125)
    with pytest.raises(PullmatteError, match="stopped"):
        composite(source, source, tmp_path / "o.mkv", progress=stop_at(120))
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mkv"]


def test_mattes_that_do_not_fit_are_refused(photo, make_clip, tmp_path):
    clip, short, small = (
        make_clip(),
        make_clip("short.mkv", 9),
        make_clip("small.mkv", 24, (32, 32)),
    )
    Image.new("L", (47, 32)).save(tmp_path / "narrow.png")
    out, wrong = tmp_path / "o.mkv", "narrow.png has 47x32 pixels"
    for source, matte, words in (
        (clip, short, "short.mkv has 9 frames, .*clip.mkv has 24"),
        (clip, small, "small.mkv has 32x32 pixels, .*clip.mkv has 48x32"),
        (clip, photo, "is one picture"),
    ):
        with pytest.raises(ReadError, match=words):
            composite(source, matte, out)
    with pytest.raises(ReadError, match=wrong):
        composite(photo, tmp_path / "narrow.png", tmp_path / "o.png")
    with pytest.raises(PullmatteError, match=r"steady 0.5 .*one picture"):
        composite(photo, photo, tmp_path / "o.png", steady=0.5)
    with pytest.raises(UnsupportedFormat, match="holds no alpha"):
        composite(photo, photo, tmp_path / "o.jpg")


def test_inputs_are_never_replaced(photo, alpha, make_clip, tmp_path):
    before = {path: path.read_bytes() for path in (photo, alpha)}
    look = tmp_path / "look.json"
    look.write_text(json.dumps({"background": "file:alpha.png"}))
    for place in (photo, alpha):
        with pytest.raises(WriteError, match="is the input"):
            composite(photo, alpha, place, Look("red"))
    with pytest.raises(WriteError, match="is the input"):
        composite(photo, photo, alpha, Look.load(look))
    with pytest.raises(WriteError, match="is the input"):
        matte_image(None, photo, alpha, ONE, ImageOptions(look=Look.load(look)))
    assert before == {path: path.read_bytes() for path in before}
