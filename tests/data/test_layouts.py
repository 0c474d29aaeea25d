"""Every layout is built as small real files and read back."""

import json

import numpy as np
import pytest
from PIL import Image

from pullmatte.data import transparent_samples
from pullmatte.data.layouts import LAYOUTS, open_dataset, read_plane
from pullmatte.errors import DatasetError


def write(path, value=128, mode="L", size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (value,) * 3 if mode == "RGB" else value).save(path)


def build(root, images, alphas, trimaps="", stems=("b", "a")):
    for stem in stems:
        write(root / images / f"{stem}.jpg", mode="RGB")
        write(root / alphas / f"{stem}.png")
        if trimaps:
            write(root / trimaps / f"{stem}.png")


FORMS = [
    (name, folders)
    for name, layout in LAYOUTS.items()
    for folders in layout.folders
    if not layout.labels
]


@pytest.mark.parametrize(("name", "folders"), FORMS)
def test_layout_is_recognised(tmp_path, name, folders):
    build(tmp_path, *folders)
    dataset = open_dataset(tmp_path)
    assert dataset.layout.name == name
    assert [sample.name for sample in dataset.samples] == ["a", "b"]
    assert dataset.samples[0].image == tmp_path / folders[0] / "a.jpg"
    assert dataset.samples[0].alpha == tmp_path / folders[1] / "a.png"
    assert dataset.samples[0].trimap == tmp_path / folders[2] / "a.png"


@pytest.mark.parametrize("images", ["image", "image_all"])
def test_refmatte_reads_instances_from_its_labels(tmp_path, images):
    write(tmp_path / images / "p.jpg", mode="RGB")
    for instance in ("p_0", "p_1"):
        write(tmp_path / "mask" / f"{instance}.png")
    labels = {f"p_{i}": {"image_name": "p.jpg", "expressions": ["x"]} for i in (1, 0)}
    (tmp_path / "refmatte_rw100_label.json").write_text(json.dumps(labels))
    dataset = open_dataset(tmp_path)
    assert dataset.layout.name == "refmatte-rw100"
    assert [(s.name, s.image.name, s.alpha.name) for s in dataset.samples] == [
        ("p_0", "p.jpg", "p_0.png"),
        ("p_1", "p.jpg", "p_1.png"),
    ]


@pytest.mark.parametrize(
    ("expressions", "caption"),
    [(["cat", "the left cat"], "the left cat"), ([], None), (None, None)],
)
def test_refmatte_takes_the_last_expression_as_caption(tmp_path, expressions, caption):
    write(tmp_path / "image/p.jpg", mode="RGB")
    write(tmp_path / "mask/p_0.png")
    label = {"image_name": "p.jpg"}
    label |= {} if expressions is None else {"expressions": expressions}
    (tmp_path / "refmatte_rw100_label.json").write_text(json.dumps({"p_0": label}))
    assert [sample.caption for sample in open_dataset(tmp_path).samples] == [caption]


def test_plain_works_without_trimaps(tmp_path):
    build(tmp_path, "image", "alpha")
    (tmp_path / "image" / ".DS_Store").write_text("")
    (tmp_path / "image" / "notes.txt").write_text("")
    dataset = open_dataset(tmp_path)
    assert dataset.layout.name == "plain"
    assert [sample.trimap for sample in dataset.samples] == [None, None]
    assert dataset.name == tmp_path.name


def test_aim500_knows_its_transparent_images(tmp_path):
    build(tmp_path, "original", "mask", stems=("o_099cc48f", "o_00000000"))
    opacities = [sample.opacity for sample in open_dataset(tmp_path).samples]
    assert opacities == ["opaque", "transparent"]


def test_transparent_lists_equal_the_record(shared):
    record = json.loads((shared / "facts/transparent_samples.json").read_text())
    for title, listed in (
        ("AIM-500", transparent_samples.AIM500_TRANSPARENT),
        ("Composition-1k", transparent_samples.COMPOSITION_1K_TRANSPARENT),
        ("Distinctions-646", transparent_samples.DISTINCTIONS_646_TRANSPARENT),
    ):
        assert listed == {name.rpartition(".")[0] for name in record[title]}


def test_alphamatting_gives_its_other_trimaps_on_demand(shared):
    folder = shared / "data/eval/alphamatting"
    dataset = open_dataset(folder, trimaps="trimap2")
    assert dataset.layout.name == "alphamatting"
    assert len(dataset.samples) == 14
    assert dataset.samples[0].trimap == folder / "trimap2" / "GT01.png"
    assert set(np.unique(read_plane(dataset.samples[0].trimap))) == {0, 128, 255}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: (root / "alpha/a.png").unlink(), "alpha/a.png"),
        (lambda root: (root / "trimap/b.png").unlink(), "trimap/b.png"),
        (lambda root: write(root / "image/a.png"), "both a.jpg and a.png"),
        (lambda root: [p.unlink() for p in (root / "image").iterdir()], "No image in"),
        (lambda root: (root / "alpha").rename(root / "gt"), "image/ and alpha/"),
    ],
)
def test_spoilt_folders_are_refused_in_one_line(tmp_path, spoil, words):
    build(tmp_path, "image", "alpha", "trimap")
    spoil(tmp_path)
    with pytest.raises(DatasetError, match=words) as caught:
        open_dataset(tmp_path)
    assert "\n" not in str(caught.value)


def test_unknown_names_are_refused(tmp_path):
    build(tmp_path, "image", "alpha")
    with pytest.raises(DatasetError, match="Known: refmatte"):
        open_dataset(tmp_path, layout="aim")
    with pytest.raises(DatasetError, match="original/ and mask/"):
        open_dataset(tmp_path, layout="aim500")
    with pytest.raises(DatasetError, match="trimap9"):
        open_dataset(tmp_path, trimaps="trimap9")
    with pytest.raises(DatasetError, match="existing folder"):
        open_dataset(tmp_path / "nowhere")


def test_damaged_labels_are_refused(tmp_path):
    build(tmp_path, "image", "mask")
    (tmp_path / "refmatte_rw100_label.json").write_text('{"a": 3}')
    with pytest.raises(DatasetError, match="image_name"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [("L", 128, 128), ("RGB", 77, 77), ("I;16", 257 * 90 + 100, 90), ("1", 1, 255), ("LA", 9, 9)],
)
def test_planes_are_read_as_eight_bits(tmp_path, mode, value, expected):
    array = np.full((3, 2), value, np.uint16) if mode == "I;16" else None
    colour = {"RGB": (value,) * 3, "LA": (value, 255)}.get(mode, value)
    picture = Image.fromarray(array) if mode == "I;16" else Image.new(mode, (2, 3), colour)
    picture.save(tmp_path / "plane.png")
    plane = read_plane(tmp_path / "plane.png")
    assert plane.dtype == np.uint8
    assert np.array_equal(plane, np.full((3, 2), expected))


def test_bad_planes_are_refused(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "colour.png")
    with pytest.raises(DatasetError, match=r"text\.png"):
        read_plane(tmp_path / "text.png")
    with pytest.raises(DatasetError, match="colours"):
        read_plane(tmp_path / "colour.png")
