"""Where weights are looked for, what they are taken for, and strict loading."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pullmatte.errors import UnknownModel, WeightsError
from pullmatte.models import MODELS, ModelSpec
from pullmatte.models.weights import (
    find,
    home,
    identify,
    load_strictly,
    model_folder,
    read_shards,
    resolve,
)

NAMES = {"unet.aux_conv_in.weight": torch.zeros(1), "vae.quant_conv.weight": torch.zeros(1)}


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path):
    monkeypatch.setenv("PULLMATTE_HOME", str(tmp_path / "home"))


def put_converted(folder, model="sdmatte"):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "manifest.json").write_text(json.dumps({"model": model}))
    codec = "encoder.layers.0.weight" if model == "litesdmatte" else "quant_conv.weight"
    names = ("visual_prompt.projection.weight", f"codec.vae.{codec}")
    save_file({name: torch.zeros(1) for name in names}, folder / "model.safetensors")
    return folder


def test_home_is_the_variable_s_or_the_platform_s(monkeypatch, tmp_path):
    assert home() == tmp_path / "home"
    monkeypatch.delenv("PULLMATTE_HOME")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert home() == tmp_path / "pullmatte"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert home() == Path("~/.local/share/pullmatte").expanduser()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert home().parts[-3:] == ("Library", "Application Support", "pullmatte")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "app"))
    assert home() == tmp_path / "app" / "pullmatte"


def test_missing_weights_name_the_commands(tmp_path):
    with pytest.raises(WeightsError) as error:
        resolve("sdmatte")
    assert "pullmatte models pull sdmatte" in str(error.value)
    assert "pullmatte models convert sdmatte SDMatte.pth" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "home").exists()


def test_names_are_resolved():
    assert resolve("classical") == (MODELS["classical"], None)
    folder = put_converted(model_folder(MODELS["litesdmatte"]), "litesdmatte")
    assert resolve("litesdmatte") == (MODELS["litesdmatte"], folder)
    assert find(MODELS["litesdmatte"]) == folder
    with pytest.raises(UnknownModel, match="unknown model 'sdmat'"):
        resolve("sdmat")


def test_folders_are_resolved_by_their_manifest(tmp_path):
    folder = put_converted(tmp_path / "my weights", "sdmatte-plus")
    assert resolve(str(folder)) == (MODELS["sdmatte-plus"], folder)
    with pytest.raises(WeightsError, match="for model 'x'"):
        resolve(str(put_converted(tmp_path / "other", "x")))
    with pytest.raises(WeightsError, match=r"lacks manifest.json"):
        resolve(str(tmp_path))


@pytest.mark.parametrize(
    ("filename", "names", "model"),
    [
        ("any.safetensors", NAMES, "sdmatte"),
        ("SDMatte_plus.safetensors", NAMES, "sdmatte-plus"),
        (
            "x.safetensors",
            {
                "unet.aux_conv_in.weight": torch.zeros(1),
                "vae.encoder.layers.0.weight": torch.ones(1),
            },
            "litesdmatte",
        ),
        ("SDMatte.safetensors", {f"module.{k}": v for k, v in NAMES.items()}, "sdmatte"),
    ],
)
def test_released_safetensors_are_told_by_their_tensors(tmp_path, filename, names, model):
    save_file(names, tmp_path / filename)
    assert resolve(str(tmp_path / filename)) == (MODELS[model], tmp_path / filename)


def test_what_cannot_be_weights_says_so(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    (tmp_path / "b.pth").touch()
    for path, says in (
        (tmp_path / "a.safetensors", "no model that we know; known are nano, sdmatte"),
        (tmp_path / "b.pth", "pullmatte models convert"),
        (tmp_path / "c.safetensors", "no such folder or file"),
        (tmp_path / "gone" / "folder", "no such folder or file"),
    ):
        with pytest.raises(WeightsError, match=says):
            resolve(str(path))
        with pytest.raises(WeightsError, match=says):
            identify(path)


def test_resolving_loads_no_torch(tmp_path):
    save_file(NAMES, tmp_path / "x.safetensors")
    code = (
        "import sys; from pullmatte.models.weights import resolve; resolve(sys.argv[1]); "
        "sys.exit(len({'torch', 'safetensors', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.safetensors")], check=False
    )
    assert done.returncode == 0


def small():
    with torch.device("meta"):
        return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.BatchNorm1d(2))


def test_tensors_become_the_parameters_themselves():
    module, state = small(), nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.BatchNorm1d(2))
    tensors = state.state_dict()
    load_strictly(module, tensors)
    assert module[0].weight.data_ptr() == tensors["0.weight"].data_ptr()
    assert not any(value.is_meta for value in module.state_dict().values())


def test_floats_are_cast_and_counters_are_not():
    module, state = small(), nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.BatchNorm1d(2))
    load_strictly(module, state.state_dict(), dtype=torch.bfloat16)
    assert module[0].weight.dtype == torch.bfloat16
    assert module[2].num_batches_tracked.dtype == torch.int64


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (torch.zeros(2, dtype=torch.int32), "1.bias is int32"),
        (torch.zeros(2, dtype=torch.complex64), "1.bias is complex64"),
        (torch.zeros(2, device="meta"), "1.bias has no values, as it is on the meta device"),
        (torch.zeros(2).to_sparse(), "1.bias is sparse_coo"),
    ],
)
def test_what_is_no_weight_is_refused(values, says):
    state = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.BatchNorm1d(2)).state_dict()
    with pytest.raises(WeightsError, match=f"toy: tensor {says}; expected dense float32"):
        load_strictly(small(), state | {"1.bias": values}, "toy")


def test_a_network_of_ours_without_a_released_part_keeps_its_name(tmp_path):
    folder = put_converted(tmp_path / "ablation")
    save_file({"codec.vae.quant_conv.weight": torch.zeros(1)}, folder / "model.safetensors")
    assert identify(folder) == MODELS["sdmatte"]
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(WeightsError, match="says sdmatte, the tensors are of no model that we"):
        identify(folder)


def test_one_line_says_what_does_not_fit():
    tensors = {f"x{i}": torch.zeros(1) for i in range(5)}
    tensors |= {"0.weight": torch.zeros(2, 2), "1.bias": torch.zeros(2)}
    with pytest.raises(WeightsError) as error:
        load_strictly(small(), tensors, "toy.pth")
    said = str(error.value)
    assert said.startswith("toy.pth: 7 tensors don't fit the network's 9: 7 missing (0.bias, ")
    assert "5 unexpected (x0, x1, x2, ...)" in said
    assert "1 misshaped (0.weight is 2x2, not 4x3)" in said
    assert "\n" not in said


def test_a_state_without_values_is_a_bug_of_ours():
    module = small()
    module.register_buffer("cache", torch.zeros(1, device="meta"), persistent=False)
    tensors = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.BatchNorm1d(2)).state_dict()
    with pytest.raises(AssertionError, match="cache isn't in the state dict"):
        load_strictly(module, tensors)


def test_single_file_needs_no_index(tmp_path):
    save_file(NAMES, tmp_path / "model.safetensors")
    assert read_shards(tmp_path).keys() == NAMES.keys()
    with pytest.raises(WeightsError, match="holds neither"):
        read_shards(tmp_path / "nowhere")


def test_every_spec_with_weights_is_complete():
    for spec in MODELS.values():
        assert isinstance(spec, ModelSpec)
        assert spec.has_weights == bool(spec.converter)
        assert bool(spec.fingerprint) == (spec.has_weights or bool(spec.files))
        assert spec.has_weights == (bool(spec.hub) or bool(spec.elsewhere))
        if spec.has_weights:
            assert spec.links
            assert spec.size_bytes
            assert spec.restrictions
            assert spec.restrictions in spec.terms
        if spec.hub:
            assert spec.hub.sha256 == ""  # nobody here has seen the files


def test_weights_in_the_package_are_those_of_the_table():
    (spec,) = [each for each in MODELS.values() if each.files]
    found, folder = resolve(spec.name)
    assert found is spec
    for name, digest in spec.files.items():
        content = (folder / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
        assert abs(len(content) - spec.size_bytes) < 100_000
        assert len(content) <= 20_000_000


def test_weights_that_no_hub_has_name_the_place_and_the_command():
    with pytest.raises(WeightsError) as error:
        resolve("mematte")
    said = str(error.value)
    assert "from Google Drive (linked from https://github.com/linyiheng123/MEMatte)" in said
    assert "'pullmatte models convert mematte FILE'" in said
    assert "pull mematte" not in said
    assert "\n" not in said


HEAD = "decoder.matting_head.matting_convs.0.weight"


@pytest.mark.parametrize(
    ("names", "model"),
    [
        ([HEAD, "backbone.blocks.2.attn.rel_pos_h"], "vitmatte"),
        ([HEAD, "backbone.encoder.layer.2.attention.rel_pos_h"], "vitmatte"),
        ([HEAD, "backbone.routers.0.in_conv.1.weight"], "mematte"),
        (
            [
                f"module.{HEAD}",
                "module.backbone.routers.0.in_conv.1.weight",
                "module.teacher_backbone.blocks.2.attn.rel_pos_h",
            ],
            "mematte",
        ),
    ],
)
def test_matters_are_told_apart_in_every_form(tmp_path, names, model):
    save_file({name: torch.zeros(1) for name in names}, tmp_path / "model.safetensors")
    assert identify(tmp_path / "model.safetensors") == MODELS[model]


def test_a_file_of_a_converted_folder_is_not_taken_for_a_released_one(tmp_path):
    folder = put_converted(tmp_path / "mine")
    with pytest.raises(WeightsError, match="part of a converted folder; give "):
        identify(folder / "model.safetensors")
