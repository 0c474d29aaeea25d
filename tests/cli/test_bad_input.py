"""Bad input of every kind ends with one clear line and exit 2, and harms nothing."""

import hashlib
import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pullmatte.cli.app import run

from .conftest import HEIGHT, WIDTH, make_clip, picture

OpenEXR = pytest.importorskip("OpenEXR")


def _save(path, array=None, **options):
    Image.fromarray(picture() if array is None else array).save(path, **options)
    return path


def _cut(path, share=0.5):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def _put(path, data):
    path.write_bytes(data)
    return path


def _noise(path, **options):
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    return _save(path, noise, **options)


def _huge_png(path):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return _put(path, b"\x89PNG\r\n\x1a\n" + header + data)


def _exr(path, **channels):
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(str(path))
    return path


def _plane():
    return np.full((HEIGHT, WIDTH), 0.5, np.float32)


def _nan_exr(path):
    plane = _plane()
    bad = plane.copy()
    bad[3, 3] = np.nan
    return _exr(path, R=bad, G=plane, B=plane)


def _sequence(folder, numbers=range(1, 4), sizes=None):
    for number in numbers:
        width = (sizes or {}).get(number, WIDTH)
        _save(folder / f"s.{number:04d}.png", picture()[:, :width])
    return folder / "s.%04d.png"


def _mask(path, width=WIDTH, level=255):
    plane = np.zeros((HEIGHT, width), np.uint8)
    plane[5:20, 5:20] = level
    return _save(path, plane)


def _prompts(path, **entry):
    document = {"pullmatte_prompts": 1, "prompts": [{"object": "a", "frame": 0, **entry}]}
    return _put(path, json.dumps(document).encode())


def _link(path, target):
    path.symlink_to(target)
    return path


def _stale_resume(t, name, data):
    """A work folder of a stopped run with a damaged file in it."""
    folder = t.dir / ".out.mkv.pullmatte"
    folder.mkdir()
    _put(folder / name, data)
    return ["video", t.clip, t.dir / "out.mkv", "--resume"]


def image(*words):
    """A case on the photo: options alone."""
    return lambda t: ["image", t.photo, t.out, *words]


def image_of(make):
    """A case whose input is made in the folder."""
    return lambda t: ["image", make(t.dir), t.out]


def video(*words, out="out.mkv"):
    return lambda t: ["video", t.clip, t.dir / out, *words]


def video_of(make):
    return lambda t: ["video", make(t.dir), t.dir / "out.mkv"]


def mask_of(make, flag="--mask"):
    return lambda t: ["image", t.photo, t.out, flag, make(t.dir)]


# Name → what makes the command, and words that its one line must hold.
CASES = {
    # Pictures that can't be read.
    "image missing": (image_of(lambda d: d / "no.png"), "no such file"),
    "image in missing folder": (image_of(lambda d: d / "no/no.png"), "no such file"),
    "image empty": (image_of(lambda d: _put(d / "e.png", b"")), "e.png"),
    "image is text": (image_of(lambda d: _put(d / "t.png", b"hello there\n" * 9)), "t.png"),
    "png cut off": (image_of(lambda d: _cut(_noise(d / "c.png"))), "c.png"),
    "png cut in its header": (image_of(lambda d: _cut(_noise(d / "c.png"), 0.0005)), "c.png"),
    "jpeg cut off": (image_of(lambda d: _cut(_noise(d / "c.jpg"))), "c.jpg"),
    "webp cut off": (image_of(lambda d: _cut(_noise(d / "c.webp"))), "c.webp"),
    "tiff cut off": (image_of(lambda d: _cut(_noise(d / "c.tif"))), "c.tif"),
    "gif cut off": (image_of(lambda d: _cut(_save(d / "c.gif"), 0.02)), "c.gif"),
    "bmp cut off": (image_of(lambda d: _cut(_noise(d / "c.bmp"))), "c.bmp"),
    "avif cut off": (image_of(lambda d: _cut(_noise(d / "c.avif"))), "c.avif"),
    "png of huge size": (image_of(lambda d: _huge_png(d / "h.png")), "100000"),
    "exr with NaN": (image_of(lambda d: _nan_exr(d / "n.exr")), "NaN"),
    "exr cut off": (image_of(lambda d: _cut(_nan_exr(d / "n.exr"))), "n.exr"),
    "exr of unknown channels": (
        image_of(
            lambda d: _exr(d / "u.exr", **dict.fromkeys(("id", "uv"), np.zeros((8, 8), "f4")))
        ),
        "u.exr",
    ),
    "video as image": (lambda t: ["image", t.clip, t.out], "clip.mp4"),
    "stdin empty": (lambda t: ["image", "-", t.out], "stdin"),
    "empty folder": (lambda t: ["image", t.empty, t.dir / "results"], "no photo"),
    "folder without OUT": (lambda t: ["image", t.dir], "name a folder"),
    "folder onto itself": (lambda t: ["image", t.dir, t.dir], "give another one"),
    "folder into a file": (lambda t: ["image", t.dir, t.old], "name a folder"),
    "device as image": (image_of(lambda d: Path("/dev/null")), "/dev/null"),
    # Outputs that can't be written.
    "output folder missing": (lambda t: ["image", t.photo, t.dir / "no/out.png"], "create it"),
    "output is a folder": (lambda t: ["image", t.photo, t.empty], "add a file name"),
    "output below a file": (lambda t: ["image", t.photo, t.old / "x.png"], "doesn't exist"),
    "output suffix unknown": (lambda t: ["image", t.photo, t.dir / "out.xyz"], "xyz"),
    "output without suffix": (lambda t: ["image", t.photo, t.dir / "out"], "no suffix"),
    "output name too long": (lambda t: ["image", t.photo, t.dir / f"{'x' * 300}.png"], "too long"),
    "output is the input": (lambda t: ["image", t.photo, t.photo], "is the input"),
    "output links to the input": (
        lambda t: ["image", t.photo, _link(t.dir / "link.png", t.photo)],
        "is the input",
    ),
    "output is the input, other words": (
        lambda t: ["image", t.photo, t.empty / ".." / t.photo.name],
        "is the input",
    ),
    "side is the input": (
        lambda t: ["image", _save(t.dir / "a_alpha.png"), t.dir / "a.png", "--side", "alpha"],
        "is the input",
    ),
    "output is the mask": (
        lambda t: ["image", t.photo, _mask(t.dir / "m.png"), "--mask", t.dir / "m.png"],
        "is the input",
    ),
    "output is the background": (
        lambda t: ["image", t.photo, t.old, "--bg", t.old],
        "is the input",
    ),
    "saved prompts onto the input": (image("--save-prompts", "photo.png"), "is the input"),
    "saved prompts nowhere": (image("--save-prompts", "no/p.json"), "create it"),
    "two results of one name": (
        lambda t: [
            *("image", t.photo, t.dir / "{object}.png", "--side", "mask"),
            *("--box", "a=1,1,9,9", "--box", "a_mask=1,1,9,9"),
        ],
        "two results",
    ),
    "jpeg with alpha": (lambda t: ["image", t.photo, t.dir / "out.jpg"], ".png"),
    "jpeg with 16 bits": (
        lambda t: ["image", t.photo, t.dir / "out.jpg", "--bg", "red", "--bits", "16"],
        "8 bits",
    ),
    "side on stdout": (lambda t: ["image", t.photo, "-", "--side", "mask"], "--side"),
    # Prompts that don't fit.
    "point outside": (image("--point", "400,10"), "outside"),
    "point negative": (image("--point=-4,10"), "outside"),
    "point NaN": (image("--point", "nan,10"), "finite"),
    "point infinite": (image("--point", "inf,10"), "finite"),
    "point of letters": (image("--point", "a,b"), "X,Y"),
    "point of one number": (image("--point", "10"), "X,Y"),
    "point of label 2": (image("--point", "10,10,2"), "X,Y,-"),
    "box leaves the image": (image("--box", "10,10,80,20"), "leaves"),
    "box empty": (image("--box", "10,10,10,20"), "empty"),
    "box upside down": (image("--box", "30,20,10,10"), "empty"),
    "box of three numbers": (image("--box", "1,2,3"), "X0,Y0,X1,Y1"),
    "object name hidden": (image("--box", ".a=1,1,9,9"), "object name"),
    "frame of a photo": (image("--box", "1,1,9,9@3"), "frame 3"),
    "frame of letters": (image("--box", "1,1,9,9@x"), "@FRAME"),
    "mask missing": (image("--mask", "no.png"), "no.png"),
    "mask black": (mask_of(lambda d: _mask(d / "m.png", level=0)), "mask is empty"),
    "mask of other size": (mask_of(lambda d: _mask(d / "m.png", width=39)), "39x30"),
    "mask cut off": (mask_of(lambda d: _cut(_mask(d / "m.png"), 0.6)), "m.png"),
    "trimap without unknown": (mask_of(lambda d: _mask(d / "m.png"), "--trimap"), "no unknown"),
    "trimap of other size": (
        mask_of(lambda d: _mask(d / "m.png", width=39, level=128), "--trimap"),
        "39x30",
    ),
    "trimap of labels": (mask_of(lambda d: _mask(d / "m.png", level=2), "--trimap"), "labels"),
    "prompt file missing": (image("--prompts", "no.json"), "no.json"),
    "prompt file foreign": (mask_of(lambda d: _put(d / "p.json", b"[1]"), "--prompts"), "p.json"),
    "prompt file no text": (
        mask_of(lambda d: _put(d / "p.json", b"\xff\xfe\x00"), "--prompts"),
        "p.json",
    ),
    "prompt file later": (
        mask_of(lambda d: _put(d / "p.json", b'{"pullmatte_prompts": 99}'), "--prompts"),
        "update",
    ),
    "prompt file damaged": (
        mask_of(lambda d: _prompts(d / "p.json", box=[1, 2]), "--prompts"),
        "damaged",
    ),
    "prompt file with a bad mask": (
        mask_of(lambda d: _prompts(d / "p.json", mask_png="iVBORw0K"), "--prompts"),
        "damaged",
    ),
    "prompt file of another photo": (
        mask_of(lambda d: _prompts(d / "p.json", box=[1, 2, 900, 900]), "--prompts"),
        "leaves",
    ),
    # Options.
    "model unknown": (image("--model", "sdmat"), "known are"),
    "device unknown": (image("--device", "cuda:7"), "auto or cpu"),
    "opacity unknown": (image("--opacity", "half"), "opaque"),
    "side unknown": (image("--side", "depth"), "trimap"),
    "bits unknown": (image("--bits", "12"), "8 or 16"),
    "bits of letters": (image("--bits", "deep"), "--bits"),
    "alpha mode unknown": (image("--alpha-mode", "inverse"), "straight"),
    "colour unknown": (image("--bg", "blurple"), "colour"),
    "colour endless": (image("--bg", "x" * 5000), "colour"),
    "background damaged": (mask_of(lambda d: _put(d / "b.png", b"x"), "--bg"), "b.png"),
    "background beside alpha": (image("--bg", "red", "--only-alpha"), "exclude"),
    "option unknown": (image("--blur", "3"), "--blur"),
    "value missing": (image("--box"), "--box"),
    "argument missing": (lambda t: ["image"], "IN"),
    "argument too many": (lambda t: ["image", t.photo, t.out, "third"], "third"),
    "verb unknown": (lambda t: ["pull", t.photo], "pull"),
    # Clips.
    "clip missing": (video_of(lambda d: d / "no.mp4"), "doesn't exist"),
    "clip empty": (video_of(lambda d: _put(d / "e.mp4", b"")), "empty"),
    "clip is text": (video_of(lambda d: _put(d / "t.mp4", b"hello there\n" * 99)), "t.mp4"),
    "clip is a photo's bytes cut": (video_of(lambda d: _cut(_noise(d / "p.mp4.png"))), "p.mp4"),
    "mp4 cut off": (video_of(lambda d: _cut(make_clip(d / "c.mp4"))), "c.mp4"),
    "mov cut off": (video_of(lambda d: _cut(make_clip(d / "c.mov"), 0.8)), "c.mov"),
    "mkv cut off": (video_of(lambda d: _cut(make_clip(d / "c.mkv"), 0.6)), "c.mkv"),
    "only sound": (
        video_of(lambda d: make_clip(d / "s.m4a", sound=True, only_sound=True)),
        "no video stream",
    ),
    "clip is an empty folder": (lambda t: ["video", t.empty, t.dir / "out.mkv"], "folder"),
    "sequence without files": (video_of(lambda d: d / "q.%04d.png"), "no file matches"),
    "sequence with a gap": (video_of(lambda d: _sequence(d, (1, 2, 4))), "frame 3 is missing"),
    "sequence of mixed sizes": (video_of(lambda d: _sequence(d, sizes={3: 38})), "38x30"),
    "sequence with a damaged file": (
        video_of(lambda d: _put(d / "s.0002.png", b"x") and _sequence(d, (1, 3))),
        "s.0002.png",
    ),
    "two number marks": (video_of(lambda d: d / "a%02d.%04d.png"), "number marks"),
    "prompted frame that isn't": (video("--box", "1,1,9,9@12"), "0 to 11"),
    "h264 with alpha": (video(out="out.mp4"), "ProRes 4444"),
    "h264 by name": (video("--codec", "h264"), "H.264"),
    "codec unknown": (video("--codec", "cinepak"), "prores, vp9"),
    "codec of another file type": (video("--codec", "prores", out="out.webm"), "vp9"),
    "codec for pictures": (video("--codec", "vp9", out="o.%04d.png"), "leave --codec out"),
    "bits of a video file": (video("--bits", "16"), "leave --bits out"),
    "start frame of a video file": (video("--start-frame", "9"), "--start-frame"),
    "start frame negative": (video("--start-frame=-1", out="o.%04d.png"), "0 or more"),
    "direction unknown": (video("--direction", "up"), "backward"),
    "video suffix unknown": (video(out="out.avi"), "avi"),
    "jpeg pictures with alpha": (video(out="o.%04d.jpg"), "alpha"),
    "clip onto itself": (lambda t: ["video", t.clip, t.clip, "--bg", "red"], "is the input"),
    "clip onto itself by link": (
        lambda t: ["video", t.clip, _link(t.dir / "l.mp4", t.clip), "--bg", "red"],
        "is the input",
    ),
    "pictures onto themselves": (
        lambda t: ["video", _sequence(t.dir), t.dir / "s.%04d.png"],
        "is the input",
    ),
    "lock without a project": (video("--lock", "3"), "give --project DIR"),
    "lock that isn't frames": (
        lambda t: [*video("--lock", "a-b")(t), "--project", t.dir / "p"],
        "FIRST-LAST",
    ),
    "lock before there is a result": (
        lambda t: [*video("--lock", "2-4", "--box", "1,1,9,9")(t), "--project", t.dir / "empty"],
        "nothing was said yet",
    ),
    "project in a folder of other things": (
        lambda t: [*video()(t), "--project", t.clip.parent],
        "no project",
    ),
    "project and resume": (
        lambda t: [*video("--resume")(t), "--project", t.dir / "empty"],
        "leave --resume out",
    ),
    "alpha missing": (video("--alpha", "no.png"), "no.png"),
    "alpha of another size": (
        lambda t: [*video()(t), "--alpha", _noise(t.dir / "a.png")],
        "alpha of 120x90",
    ),
    "alpha for a frame that isn't": (
        lambda t: [*video()(t), "--alpha", f"{_save(t.dir / 'a.png')}@12"],
        "0 to 11",
    ),
    "steady too strong": (video("--steady", "2"), "from 0 to less than 1"),
    "first model unknown": (video("--first", "sam9"), "unknown model 'sam9'"),
    "click that only excludes": (video("--point", "9,9,-"), "exclude"),
    "clip into a missing folder": (video(out="no/out.mkv"), "create it"),
    "clip onto a folder": (video(out="empty"), "add a file name"),
    "resume of damaged facts": (lambda t: _stale_resume(t, "manifest.json", b"{"), "--resume"),
    "resume of other facts": (lambda t: _stale_resume(t, "manifest.json", b"{}"), "can't resume"),
}


def _snapshot(folder):
    """Every file's name and bytes, but for what the case itself has put there."""
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def things(tmp_path, photo, clip, monkeypatch):
    """What the cases need: a photo, a clip, an output that is there already, an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    (tmp_path / "empty").mkdir()
    old = _put(tmp_path / "old.png", b"what an earlier run has made")
    return SimpleNamespace(
        dir=tmp_path, photo=photo, old=old, out=old, empty=tmp_path / "empty", clip=clip
    )


def _fake_run(words):
    fake = ["--model", "fake"] if words[0] in ("image", "video") else []
    return run([words[0], *fake, *words[1:]])


def test_there_are_at_least_forty_kinds():
    assert len(CASES) >= 40


# The work had begun when these came to light, and was announced.
FOUND_ON_THE_WAY = {"sequence of mixed sizes", "sequence with a damaged file"}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("quiet", [False, True])
def test_bad_input_ends_with_one_line(name, quiet, things, fake, capfd):
    make, words = CASES[name]
    command = [str(word) for word in make(things)] + ["--quiet"] * quiet
    before = _snapshot(things.dir)
    assert _fake_run(command) == 2
    out, err = capfd.readouterr()
    lines = err.splitlines()
    if name in FOUND_ON_THE_WAY and not quiet:
        assert " · " in lines[0]
        lines = [line for line in lines[1:] if not line.endswith(" frames")]
    assert len(lines) == 1, err
    assert lines[0].startswith("pullmatte: ")
    assert words in lines[0]
    assert out == ""
    assert _snapshot(things.dir) == before


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 KiB."""
    yield from _mounted(tmp_path / "small", "size=64k")


@pytest.fixture
def read_only_disk(tmp_path):
    """A disk that can't be written to."""
    yield from _mounted(tmp_path / "fixed", "size=64k,ro")


def _mounted(folder, options):
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount command here: a small disk can't be made")
    if done.returncode:
        pytest.skip(f"a small disk can't be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _one_line(err):
    """The complaint, after the start line and plain progress lines."""
    lines = [line for line in err.splitlines() if " · " not in line and "frames" not in line]
    assert len(lines) == 1, err
    assert lines[0].startswith("pullmatte: ")
    return lines[0]


def test_read_only_target_is_refused_before_any_work(image, photo, read_only_disk, capfd):
    assert image(photo, read_only_disk / "out.png") == 2
    assert "read-only" in _one_line(capfd.readouterr().err)


def test_read_only_target_of_a_clip_is_refused(video, clip, read_only_disk, capfd):
    assert video(clip, read_only_disk / "out.mkv") == 2
    assert "read-only" in _one_line(capfd.readouterr().err)


def test_full_disk_leaves_the_old_picture(image, tmp_path, small_disk, capfd):
    old = _put(small_disk / "out.png", b"old")
    assert image(_noise(tmp_path / "n.png"), old) == 0
    old.write_bytes(b"old")
    large = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    assert image(_save(tmp_path / "large.png", large), old) == 2
    assert "no space left" in _one_line(capfd.readouterr().err.splitlines()[-1])
    assert [path.name for path in small_disk.iterdir()] == ["out.png"]
    assert old.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["out.mkv", "out.mov", "o.%04d.png"])
def test_full_disk_ends_a_clip_with_one_line(name, video, tmp_path, small_disk, capfd):
    noise = np.random.default_rng(0).integers(0, 256, (160, 240, 3), np.uint8)
    for number in range(4):
        _save(tmp_path / f"n.{number}.png", noise)
    assert video(tmp_path / "n.%d.png", small_disk / name) == 2
    assert "no space left" in _one_line(capfd.readouterr().err)
    left = [path.name for path in small_disk.iterdir()]
    assert all(path.endswith(".png") and not path.startswith(".") for path in left), left


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 7), (3, 1), (17, 13)])
def test_odd_sizes_work(width, height, image, tmp_path):
    photo = _save(tmp_path / "tiny.png", np.full((height, width, 3), 99, np.uint8))
    assert image(photo, tmp_path / "out.png", "--quiet") == 0
    with Image.open(tmp_path / "out.png") as result:
        assert (result.size, result.mode) == ((width, height), "RGBA")


@pytest.mark.parametrize("model", ["classical"])
def test_one_pixel_works_with_the_default_model(model, tmp_path, capfd):
    photo = _save(tmp_path / "tiny.png", np.full((1, 1, 3), 99, np.uint8))
    assert run(["image", str(photo), str(tmp_path / "out.png"), "--quiet", "-m", model]) == 0
    assert capfd.readouterr().err == ""


PROCESS = [sys.executable, "-c", "from pullmatte.cli.app import main; main()"]
REAL = ["png cut off", "tiff cut off", "exr cut off", "mp4 cut off", "mov cut off", "box empty"]


@pytest.mark.parametrize("name", REAL)
def test_real_process_says_one_line(name, things):
    command = [str(word) for word in CASES[name][0](things)]
    before = _snapshot(things.dir)
    done = subprocess.run(
        [*PROCESS, *command, "--quiet"],
        capture_output=True,
        text=True,
        cwd=things.dir,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert CASES[name][1] in done.stderr
    assert _snapshot(things.dir) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_stdout_is_one_line(photo):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PROCESS, "image", str(photo), "-", "-q"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert "No space left" in _one_line(done.stderr)
