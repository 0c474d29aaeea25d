"""Data as a person names it: own frames, the papers' sets, and mixtures of them."""

import importlib.util
from pathlib import Path

import pytest

from pullmatte.errors import PullmatteError
from pullmatte.train.data_sources import Wanted, open_sources, read_text
from pullmatte.train.sources import MixedSource

_spec = importlib.util.spec_from_file_location(
    "tiny_sets", Path(__file__).parents[1] / "data" / "tiny_sets.py"
)
tiny_sets = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny_sets)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("my frames", ("image_matting", Path("my frames"), None)),
        ("video_matting=clips:2.5", ("video_matting", Path("clips"), 2.5)),
        ("am2k=C:\\sets\\am2k", ("am2k", Path("C:\\sets\\am2k"), None)),
        ("mam2-sets=sets:1", ("mam2-sets", Path("sets"), 1.0)),
    ],
)
def test_a_text_is_taken_apart(text, expected) -> None:
    assert read_text(text) == expected


def test_an_unknown_set_is_refused_with_those_known() -> None:
    with pytest.raises(PullmatteError, match=r"give one of image_segmentation, .*sdmatte-set-1"):
        read_text("am3k=x")


def test_a_papers_whole_set_opens_as_one_source(tmp_path) -> None:
    for name in ("composition-1k", "distinctions-646", "am2k", "uhrsd", "refmatte"):
        tiny_sets.build_stills(name, tmp_path / name)
    tiny_sets.build_stills("am2k-foregrounds", tmp_path / "am2k")
    grounds = tiny_sets.save_backgrounds(tmp_path / "bg")
    wanted = Wanted(size_px=32, backgrounds=grounds, duplicated=True)
    found = open_sources([f"sdmatte-set-1={tmp_path}"], wanted)
    assert found.keys() == {"image_matting"}
    samples = [found["image_matting"].sample(number) for number in range(8)]
    assert all(each.image.shape == (32, 32, 3) for each in samples)
    assert len({each.name for each in samples}) > 2


def test_masks_and_mattes_come_as_two_kinds(tmp_path) -> None:
    for name in ("duts", "am2k"):
        tiny_sets.build_stills(name, tmp_path / name)
    texts = [f"{name}={tmp_path / name}" for name in ("duts", "am2k")]
    found = open_sources(texts, Wanted(size_px=32))
    assert found.keys() == {"image_matting", "image_segmentation"}
    assert found["image_segmentation"].sample(0).kind == "segmentation"


def test_sources_are_mixed_by_weight_and_repeatable(tiny) -> None:
    sources = [(tiny.Discs(opacity="opaque"), 3.0), (tiny.Discs(opacity="transparent"), 1.0)]
    mixed = MixedSource(sources)
    kinds = [mixed.sample(number).opacity for number in range(200)]
    assert kinds == [mixed.sample(number).opacity for number in range(200)]
    assert 0.15 < kinds.count("transparent") / 200 < 0.35


def test_without_weight_nothing_is_mixed(tiny) -> None:
    with pytest.raises(PullmatteError, match="with weights over 0"):
        MixedSource([(tiny.Discs(), 0.0)])
