"""Released checkpoints into folders of ours, on tiny files in the released forms."""

import hashlib
import importlib.util
import json
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pullmatte.errors import WeightsError, WriteError
from pullmatte.models import MODELS
from pullmatte.models.sdmatte.checkpoint import load_network, read_config
from pullmatte.models.sdmatte.conversion import convert
from pullmatte.models.sdmatte.conversion_plan import ConvertOptions
from pullmatte.models.sdmatte.text_embedding import CaptionEncoder, embed_empty
from pullmatte.models.sdmatte.upstream import to_ours
from pullmatte.models.weights import read_manifest, read_shards

_spec = importlib.util.spec_from_file_location("released", Path(__file__).parent / "released.py")
released = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(released)

SDMATTE, LITE = MODELS["sdmatte"], MODELS["litesdmatte"]


@pytest.fixture(scope="module")
def tensors():
    return released.weights()


@pytest.fixture
def source(tmp_path, tensors):
    return released.write(tmp_path / "from" / "SDMatte.pth", tensors)


def test_every_tensor_arrives_under_our_name(source, tensors, tmp_path):
    report = convert(source, tmp_path / "out", SDMATTE, ConvertOptions(shard_bytes=3_000_000))
    found = read_shards(tmp_path / "out")
    embedding = found.pop("text_embedding")
    network = {k: v for k, v in tensors.items() if not k.startswith("text_encoder.")}
    assert found.keys() == {to_ours(name) for name in network}
    assert all(torch.equal(found[to_ours(name)], value) for name, value in network.items())
    text = {k.partition("model.")[2]: v for k, v in tensors.items() if k.startswith("text_")}
    assert torch.equal(embedding, embed_empty(text))
    assert (report.shards, report.tensors) == (len(list((tmp_path / "out").glob("*.safetensors"))),
                                               len(network) + 1)  # fmt: skip
    assert report.shards > 2
    assert report.parameters == sum(v.numel() for v in network.values())


def test_folder_says_what_it_is_and_holds_hashes(source, tmp_path):
    report = convert(source, tmp_path / "out", SDMATTE, ConvertOptions(shard_bytes=3_000_000))
    manifest = read_manifest(tmp_path / "out")
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    assert manifest["source"]["sha256"] == report.source_sha256 == sha256
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest
    assert manifest["model"] == "sdmatte"
    note = (tmp_path / "out" / "LICENSE.md").read_text()
    assert all(link in note for link in SDMATTE.links)
    assert read_config(tmp_path / "out") == replace(released.TINY, size_px=1024)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 4 * (report.parameters + 77 * 64)


def test_safetensors_reads_the_shards_that_we_write(source, tmp_path, tensors):
    convert(source, tmp_path / "out", SDMATTE)
    loaded = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(loaded["unet.conv_in.weight"], tensors["unet.conv_in.weight"])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_other_precisions_are_stored(source, tmp_path, tensors, dtype):
    report = convert(source, tmp_path / "out", SDMATTE, ConvertOptions(dtype))
    kind = getattr(torch, dtype)
    weight = read_shards(tmp_path / "out")["unet.conv_in.weight"]
    assert torch.equal(weight, tensors["unet.conv_in.weight"].to(kind))
    assert load_network(tmp_path / "out").dtype == kind
    assert load_network(tmp_path / "out", torch.float32).dtype == torch.float32
    assert report.size_bytes < 2.1 * report.parameters + 300_000


def test_lite_is_converted(tmp_path):
    source = released.write(tmp_path / "Lite.pth", released.weights(released.TINY_LITE))
    convert(source, tmp_path / "out", LITE)
    assert load_network(tmp_path / "out").config == released.TINY_LITE


def test_text_encoder_is_kept_when_asked(source, tmp_path, tensors):
    with pytest.raises(WeightsError, match=r"lacks vocab.json and merges.txt.*--tokenizer"):
        convert(source, tmp_path / "out", SDMATTE, ConvertOptions(keep_text_encoder=True))
    words = {"a</w>": 1, "<|startoftext|>": 62, "<|endoftext|>": 63}
    tokenizer = tmp_path / "words"
    tokenizer.mkdir()
    (tokenizer / "vocab.json").write_text(json.dumps(words))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    options = ConvertOptions(keep_text_encoder=True, tokenizer=tokenizer)
    report = convert(source, tmp_path / "out", SDMATTE, options)
    assert report.text_encoder
    captions = CaptionEncoder(tmp_path / "out")
    expected = load_network(tmp_path / "out").text_embedding
    torch.testing.assert_close(captions.embed(""), expected)
    assert not torch.equal(captions.embed("a"), expected)
    assert "text_encoder/model.safetensors" in read_manifest(tmp_path / "out")["sha256"]


def test_dead_coordinate_weights_are_reported(tmp_path, tensors):
    dead = dict(tensors)
    name = "unet.bbox_embedding.linear_1.weight"
    dead[name] = torch.zeros_like(dead[name])
    source = released.write(tmp_path / "SDMatte.pth", dead)
    assert convert(source, tmp_path / "out", SDMATTE).dead == ("box",)
    assert read_manifest(tmp_path / "out")["dead_coordinate_embedding"] == ["box"]


def test_live_coordinate_weights_are_not(source, tmp_path):
    assert convert(source, tmp_path / "out", SDMATTE).dead == ()


def test_other_library_s_names_and_prefixes_are_taken(tmp_path, tensors):
    renamed = {
        "module." + name.replace("text_encoder.text_model.", "text_encoder."): value
        for name, value in tensors.items()
    }
    renamed = {
        name.replace("attentions.0.to_q", "attentions.0.query") if "vae." in name else name: value
        for name, value in renamed.items()
    }
    source = released.write(tmp_path / "SDMatte.pth", renamed)
    convert(source, tmp_path / "out", SDMATTE)
    network = load_network(tmp_path / "out")
    assert torch.equal(network.unet.conv_in.bias, tensors["unet.conv_in.bias"])


def test_released_safetensors_are_converted_and_loaded(tmp_path, tensors):
    source = tmp_path / "SDMatte.safetensors"
    save_file(tensors, source)
    convert(source, tmp_path / "out", SDMATTE)
    ours, theirs = load_network(tmp_path / "out"), load_network(source)
    assert ours.config == theirs.config
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


Fault = namedtuple("Fault", "change says")


def _without(name):
    return lambda t: {k: v for k, v in t.items() if k != name}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(_without("unet.conv_out.bias"), r"1 missing \(unet.conv_out.bias\)"),
        Fault(
            lambda t: t | {"pixel_mean": torch.zeros(3), "unet.extra": torch.zeros(1)},
            r"2 unexpected \(unet.extra, pixel_mean\)",
        ),
        Fault(
            lambda t: t | {"unet.conv_out.bias": torch.zeros(5)},
            r"1 misshaped \(unet.conv_out.bias is 5, not 4\)",
        ),
        Fault(
            lambda t: {k: v for k, v in t.items() if not k.startswith("text_")}, "no text encoder"
        ),
        Fault(
            lambda t: t | {"unet.conv_in.bias": torch.full((32,), torch.nan)},
            "unet.conv_in.bias: holds numbers that aren't finite",
        ),
        Fault(
            lambda t: t | {"unet.conv_in.bias": torch.zeros(32, dtype=torch.int64)},
            "tensor unet.conv_in.bias is int64; expected dense float32",
        ),
        Fault(
            lambda t: t | {"unet.conv_in.bias": torch.zeros(32, device="meta")},
            "tensor unet.conv_in.bias has no values",
        ),
        Fault(
            lambda t: t | {"unet.conv_in.bias": torch.zeros(32).to_sparse()},
            "tensor unet.conv_in.bias is sparse_coo",
        ),
        Fault(lambda t: {"unet.conv_in.bias": torch.zeros(32)}, "weights of no model that we know"),
    ],
    ids=[
        "missing",
        "unexpected",
        "misshaped",
        "no text",
        "nan",
        "integer",
        "meta",
        "sparse",
        "stranger",
    ],
)
def test_weights_that_do_not_fit_are_refused_and_leave_nothing(tmp_path, tensors, fault):
    source = released.write(tmp_path / "from" / "SDMatte.pth", fault.change(dict(tensors)))
    with pytest.raises(WeightsError, match=fault.says) as error:
        convert(source, tmp_path / "out", SDMATTE)
    assert "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["from"]


def test_numbers_beyond_float16_are_refused(tmp_path, tensors):
    big = tensors | {"unet.conv_in.bias": torch.full((32,), 1e5)}
    source = released.write(tmp_path / "SDMatte.pth", big)
    with pytest.raises(WeightsError, match=r"too large for float16; give --dtype bfloat16"):
        convert(source, tmp_path / "out", SDMATTE, ConvertOptions("float16"))


def test_the_wrong_model_s_name_is_refused(source, tmp_path):
    with pytest.raises(WeightsError, match="holds sdmatte, not litesdmatte: give 'pullmatte"):
        convert(source, tmp_path / "out", LITE)
    with pytest.raises(WeightsError, match="dtype 'int4': give float32"):
        ConvertOptions("int4")


def test_nothing_is_overwritten(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(WriteError, match="exists already"):
        convert(source, tmp_path / "out", SDMATTE)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_full_disk_is_told_before_anything_is_written(source, tmp_path, monkeypatch):
    free = namedtuple("usage", "total used free")(10, 10, 1000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: free)
    with pytest.raises(WriteError, match=r"0\.0 GB are free; free some"):
        convert(source, tmp_path / "out", SDMATTE)
    assert [p.name for p in tmp_path.iterdir()] == ["from"]


def test_an_interruption_leaves_nothing(source, tmp_path):
    def stop(done, total):
        if done > 0.8 * total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "out", SDMATTE, progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["from"]


def test_progress_ends_at_the_total(source, tmp_path):
    calls = []
    convert(source, tmp_path / "out", SDMATTE, progress=lambda *call: calls.append(call))
    assert calls[-1][0] == calls[-1][1]
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_integers_that_no_network_has_do_not_hinder(tmp_path, tensors):
    idle = {"text_encoder.text_model.embeddings.position_ids": torch.arange(77)[None]}
    source = released.write(tmp_path / "SDMatte.pth", tensors | idle)
    convert(source, tmp_path / "out", SDMATTE)


def test_a_flipped_bit_is_found_and_leaves_nothing(source, tmp_path, tensors):
    content = bytearray(source.read_bytes())
    content[content.find(tensors["unet.conv_in.weight"].numpy().tobytes()) + 100] ^= 1
    source.write_bytes(content)
    with pytest.raises(WeightsError, match=r"damaged: the checksum of SDMatte/data/\d+ in it"):
        convert(source, tmp_path / "out", SDMATTE)
    assert [p.name for p in tmp_path.iterdir()] == ["from"]
