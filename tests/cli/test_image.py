"""``pullmatte image``: files, folders, streams, prompts, formats; the stand-in does the matting."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pullmatte.io.exr import read_exr
from pullmatte.io.image import load_picture
from pullmatte.prompts import PromptFile

from .conftest import HEIGHT, WIDTH, picture

BOX = ("--box", "4,5,20,25")


def expected(box=(4, 5, 20, 25)):
    """Brightness inside of the box, as the stand-in says."""
    x0, y0, x1, y1 = box
    alpha = np.zeros((HEIGHT, WIDTH), np.float32)
    alpha[y0:y1, x0:x1] = (picture() / 255)[y0:y1, x0:x1].mean(axis=2)
    return alpha


def test_cutout_holds_alpha_and_colour(image, photo, tmp_path):
    assert image(photo, tmp_path / "out.png", *BOX, "--no-foreground", "-q") == 0
    result = load_picture(tmp_path / "out.png")
    assert np.abs(result.alpha - expected()).max() <= 0.5 / 255 + 1e-6
    assert np.abs(result.image - picture() / 255).max() < 1e-6


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ((), "photo_cutout.png"),
        (("--only-alpha",), "photo_alpha.png"),
        (("--bg", "red"), "photo_composite.png"),
    ],
)
def test_default_name_stands_beside_the_photo(words, name, image, photo, tmp_path):
    assert image(photo, *BOX, *words) == 0
    assert (tmp_path / name).is_file()


def test_start_line_names_model_place_and_licence(image, photo, tmp_path, capsys):
    image(photo, tmp_path / "o.exr", *BOX)
    first, last = capsys.readouterr().err.splitlines()
    assert first == (
        "pullmatte: fake · cpu · float32 · Apache-2.0, commercial use allowed · alpha premultiplied"
    )
    assert last == f"pullmatte: wrote {tmp_path / 'o.exr'}"


def test_quiet_says_nothing(image, photo, tmp_path, capsys):
    assert image(photo, tmp_path / "o.png", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_json_reports_on_stdout(image, photo, tmp_path, capsys):
    assert image(photo, tmp_path / "o.png", *BOX, "--json", "-q") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["outputs"] == [str(tmp_path / "o.png")]
    assert report["size"] == [WIDTH, HEIGHT]
    assert report["coverage"]["object"] == pytest.approx(float(expected().mean()), abs=1e-5)


def test_only_alpha_is_grey(image, photo, tmp_path):
    assert image(photo, tmp_path / "o.png", *BOX, "--only-alpha", "--bits", "16") == 0
    with Image.open(tmp_path / "o.png") as result:
        values = np.asarray(result, np.float64) / 65535
    assert np.abs(values - expected()).max() <= 0.5 / 65535 + 1e-6


def test_background_colour_shows_through(image, photo, tmp_path):
    assert image(photo, tmp_path / "o.png", *BOX, "--bg", "#00ff00", "--no-foreground") == 0
    result = load_picture(tmp_path / "o.png")
    assert result.alpha is None
    alpha = expected()[..., None]
    wanted = picture() / 255 * alpha + np.array([0, 1, 0]) * (1 - alpha)
    assert np.abs(result.image - wanted).max() <= 0.5 / 255 + 1e-6


def test_background_picture_fills_the_frame(image, photo, tmp_path):
    Image.new("RGB", (7, 90), (0, 0, 255)).save(tmp_path / "plate.png")
    assert image(photo, tmp_path / "o.jpg", *BOX, "--bg", tmp_path / "plate.png") == 0
    assert np.abs(load_picture(tmp_path / "o.jpg").image[-1, -1] - (0, 0, 1)).max() < 0.05


def test_sides_stand_beside_the_result(image, photo, tmp_path):
    assert image(photo, tmp_path / "o.png", *BOX, "--side", "trimap,mask,alpha,foreground") == 0
    inside = expected() > 0
    assert np.array_equal(load_picture(tmp_path / "o_mask.png").image[..., 0] > 0.5, inside)
    assert np.abs(load_picture(tmp_path / "o_alpha.png").image[..., 0] - expected()).max() < 3e-3
    assert np.abs(load_picture(tmp_path / "o_trimap.png").image[..., 0] - inside / 2).max() < 3e-3
    assert load_picture(tmp_path / "o_foreground.png").alpha is None


def test_alpha_mode_premultiplies(image, photo, tmp_path):
    words = (*BOX, "--alpha-mode", "premultiplied", "--no-foreground", "-q")
    assert image(photo, tmp_path / "o.png", *words) == 0
    with Image.open(tmp_path / "o.png") as result:
        assert np.abs(np.asarray(result)[0, 0]).max() == 0
        assert result.info["Alpha"] == "premultiplied"


OBJECTS = ("--box", "left=0,0,20,30", "--point", "right=30,15")


def test_objects_get_a_file_each(image, photo, tmp_path):
    assert image(photo, tmp_path / "o_{object}.png", *OBJECTS) == 0
    left = load_picture(tmp_path / "o_left.png").alpha
    right = load_picture(tmp_path / "o_right.png").alpha
    assert (left[:, 20:].max(), right[:, :20].max()) == (0, 0)
    assert right[15, 30] == pytest.approx(picture()[15, 30].mean() / 255, abs=3e-3)


def test_exr_names_its_objects(image, photo, tmp_path):
    assert image(photo, tmp_path / "o.exr", *OBJECTS) == 0
    named = read_exr(tmp_path / "o.exr").mattes
    assert set(named) == {"left.A", "right.A"}
    assert named["left.A"][:, 20:].max() == 0


def test_objects_are_joined_in_one_png(image, photo, tmp_path):
    assert image(photo, tmp_path / "o.png", *OBJECTS) == 0
    alpha = load_picture(tmp_path / "o.png").alpha
    assert alpha[15, 30] > 0
    assert alpha[15, 10] > 0


def test_mask_and_trimap_files_are_prompts(image, photo, tmp_path):
    plane = np.zeros((HEIGHT, WIDTH), np.uint8)
    plane[5:25, 4:20] = 255
    Image.fromarray(plane).save(tmp_path / "m=1@2.png")
    Image.fromarray(np.where(plane, 128, 0).astype(np.uint8)).save(tmp_path / "t.png")
    for flag, name in (("--mask", "m=1@2.png"), ("--trimap", "t.png")):
        assert image(photo, tmp_path / "o.png", flag, tmp_path / name) == 0
        assert np.abs(load_picture(tmp_path / "o.png").alpha - expected()).max() < 3e-3


def test_saved_prompts_read_back_the_same(image, photo, tmp_path):
    saved = tmp_path / "p.json"
    assert image(photo, tmp_path / "a.png", *OBJECTS, "--save-prompts", saved) == 0
    assert image(photo, tmp_path / "b.png", "--prompts", saved) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    prompts = PromptFile.load(saved)
    assert (prompts.source, prompts.size) == ("photo.png", (WIDTH, HEIGHT))
    assert set(prompts.objects) == {"left", "right"}


def test_negative_point_takes_away(image, photo, tmp_path):
    assert image(photo, tmp_path / "o.png", *BOX, "--point", "8,12,-") == 0
    assert load_picture(tmp_path / "o.png").alpha[12, 8] == 0


@pytest.fixture
def folder(tmp_path, photo):
    """Three photos in a tree, one of them damaged, and something that is no photo."""
    root = tmp_path / "shop"
    (root / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.png", "deep/b.jpg"):
        Image.open(photo).save(root / name)
    (root / "c.webp").write_bytes(b"RIFF")
    (root / "notes.txt").write_text("no photo")
    return root


def test_folder_keeps_its_tree_and_lists_what_failed(image, folder, tmp_path, capsys):
    assert image(folder, tmp_path / "out", *BOX) == 1
    made = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png")}
    assert made == {"a_cutout.png", "deep/b_png_cutout.png", "deep/b_jpg_cutout.png"}
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2].startswith(f"pullmatte: failed: {folder / 'c.webp'}: ")
    assert lines[-1] == "pullmatte: 1 photo failed, listed above"


def test_folder_in_json_has_a_line_for_each(image, folder, tmp_path, capsys):
    assert image(folder, tmp_path / "out", "--json", "-q") == 1
    out, err = capsys.readouterr()
    records = [json.loads(line) for line in out.splitlines()]
    assert len(records) == 4
    assert [bool(record.get("error")) for record in records] == [False, True, False, False]
    assert len(err.splitlines()) == 2


def test_results_inside_the_folder_are_no_photos(image, folder, monkeypatch):
    (folder / "c.webp").unlink()
    monkeypatch.chdir(folder)
    assert image(folder, "results", "-q") == 0
    assert image(folder, folder / "results", "-q") == 0
    assert len(list((folder / "results").rglob("*"))) == 4


def test_bug_on_one_photo_stops_no_other(image, folder, tmp_path, monkeypatch, capsys):
    from pullmatte.testing import FakeModel

    def burst(self, array):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(FakeModel, "encode", burst)
    assert image(folder, tmp_path / "out") == 1
    assert "4 photos failed" in capsys.readouterr().err


@pytest.mark.parametrize("beyond", ["torch", "opencv"])
def test_memory_that_ran_out_is_one_line(
    image, photo, folder, tmp_path, monkeypatch, capsys, beyond
):
    import cv2
    import torch

    from pullmatte.testing import FakeModel

    def encode(self, array):
        if beyond == "torch":
            return torch.empty(1 << 50, dtype=torch.uint8)
        return cv2.resize(array, (2**30, 2**20))

    monkeypatch.setattr(FakeModel, "encode", encode)
    assert image(photo, tmp_path / "o.png", "-q") == 2
    assert capsys.readouterr().err.startswith("pullmatte: out of memory: give a smaller image")
    assert image(folder, tmp_path / "out", "-q") == 1
    said = capsys.readouterr().err
    assert said.count("out of memory") == 3
    assert "a bug" not in said


def test_stdin_to_stdout_is_a_png(photo):
    command = [sys.executable, "-c", "from pullmatte.cli.app import main; main()"]
    done = subprocess.run(
        [*command, "image", "-", "-", "--box", "4,4,36,26", "--json"],
        input=photo.read_bytes(),
        capture_output=True,
        check=True,
    )
    with Image.open(io.BytesIO(done.stdout)) as result:
        assert (result.format, result.mode, result.size) == ("PNG", "RGBA", (WIDTH, HEIGHT))
    lines = done.stderr.decode().splitlines()
    assert json.loads(lines[-1])["outputs"] == ["-"]
    assert len(lines) == 2
