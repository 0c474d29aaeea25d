"""The machinery that every model's conversion shares, on a model that is none."""

import hashlib
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from pullmatte.errors import WeightsError, WriteError
from pullmatte.models import MODELS
from pullmatte.models.conversion import Content, Read, check_fits, open_released, write_folder
from pullmatte.models.conversion_report import ConvertOptions
from pullmatte.models.released_file import ReleasedFile

SPEC = replace(MODELS["mematte"], name="toy", restrictions="for play only")


@pytest.fixture
def files(tmp_path):
    torch.save({"model": {"a": torch.arange(6.0).reshape(2, 3)}}, tmp_path / "one.pth")
    save_file({"b": torch.ones(4)}, tmp_path / "two.safetensors")
    return [ReleasedFile(tmp_path / name) for name in ("one.pth", "two.safetensors")]


@pytest.fixture
def tensors(files):
    one, two = files
    return {"x.a": Read(one, "a"), "x.b": Read(two, "b"), "x.made": torch.full((2,), 3.0)}


def test_several_files_and_made_tensors_come_together(files, tensors, tmp_path):
    content = Content(config={"width": 3}, tensors=tensors, parameters=12)
    report = write_folder(tmp_path / "out", SPEC, files, content)
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == tensors.keys()
    assert torch.equal(found["x.a"], torch.arange(6.0).reshape(2, 3))
    assert torch.equal(found["x.b"], torch.ones(4))
    assert torch.equal(found["x.made"], torch.full((2,), 3.0))
    assert (report.tensors, report.parameters, report.shards) == (3, 12, 1)
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == {"width": 3}


def test_tensors_of_one_shard_may_come_from_several_files(files, tensors, tmp_path):
    mixed = {name: tensors[name] for name in ("x.b", "x.a", "x.made")}
    content = Content(config={}, tensors=mixed, parameters=12)
    report = write_folder(tmp_path / "out", SPEC, files, content, ConvertOptions(shard_bytes=40))
    assert report.shards == 2
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["weight_map"].keys() == mixed.keys()


def test_manifest_names_every_source_and_fact(files, tensors, tmp_path):
    content = Content(
        config={}, tensors=tensors, parameters=12, facts={"trained": False}, notes=("look",)
    )
    report = write_folder(tmp_path / "out", SPEC, files, content)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    stated = [manifest["source"], *manifest["further_sources"]]
    assert [each["file"] for each in stated] == ["one.pth", "two.safetensors"]
    for each, file in zip(stated, files, strict=True):
        assert each["sha256"] == hashlib.sha256(file.path.read_bytes()).hexdigest()
    assert manifest["trained"] is False
    assert report.notes == ("look",)


def test_licence_note_says_what_was_changed(files, tensors, tmp_path):
    content = Content(config={}, tensors=tensors, parameters=12, changes="with a new head")
    write_folder(tmp_path / "out", SPEC, files, content)
    note = (tmp_path / "out" / "LICENSE.md").read_text()
    assert "for play only" in note
    assert "Converted by pullmatte, with a new head." in note


def test_further_folders_and_files_are_written(files, tensors, tmp_path):
    (tmp_path / "words.txt").write_text("a b")
    content = Content(
        config={},
        tensors={"x.made": torch.zeros(1)},
        parameters=1,
        folders={"more": {"x.b": tensors["x.b"]}},
        copies={"more/words/words.txt": tmp_path / "words.txt"},
    )
    report = write_folder(tmp_path / "out", SPEC, files, content)
    assert load_file(tmp_path / "out" / "more" / "model.safetensors").keys() == {"x.b"}
    assert (tmp_path / "out" / "more" / "words" / "words.txt").read_text() == "a b"
    assert report.shards == 1
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["sha256"].keys() == {"model.safetensors", "more/model.safetensors"}


def test_progress_reaches_the_total_and_a_known_hash_saves_work(files, tensors, tmp_path):
    content = Content(config={}, tensors=tensors, parameters=12)
    calls: list[tuple[int, int]] = []
    known = ConvertOptions(source_sha256="0" * 64)
    write_folder(tmp_path / "out", SPEC, files, content, known, lambda *c: calls.append(c))
    size = files[1].path.stat().st_size + 4 * 12
    assert calls[-1] == (size, size)


def test_what_does_not_fit_is_told_before_anything_is_written(files, tensors):
    expected = {"x.a": (2, 3), "x.b": (4,), "x.made": (2,)}
    check_fits(expected, tensors, "toy.pth")
    with pytest.raises(WeightsError, match=r"toy.pth: .*1 misshaped \(x.made is 2, not 3\)"):
        check_fits(expected | {"x.made": (3,)}, tensors, "toy.pth")
    with pytest.raises(WeightsError, match=r"1 unexpected \(strange\)"):
        check_fits(expected, tensors, "toy.pth", unknown=["strange"])


def test_integers_are_told_by_the_name_in_the_file(tmp_path):
    save_file({"theirs": torch.zeros(2, dtype=torch.int32)}, tmp_path / "f.safetensors")
    read = Read(ReleasedFile(tmp_path / "f.safetensors"), "theirs")
    with pytest.raises(WeightsError, match="tensor theirs is I32; expected dense float32"):
        check_fits({"ours": (2,)}, {"ours": read}, "f.safetensors")


def test_strangers_are_refused(files, tmp_path):
    with pytest.raises(WeightsError, match="weights of no model that we know"):
        open_released(files[0].path, MODELS["mematte"])


def test_an_existing_folder_stays(files, tensors, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(WriteError, match="exists already"):
        write_folder(tmp_path / "out", SPEC, files, Content({}, tensors, 12))
