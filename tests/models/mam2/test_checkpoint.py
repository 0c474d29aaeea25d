"""SAM 2.1 and MAM2 into folders of ours, on tiny networks in the released forms."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pullmatte.errors import WeightsError
from pullmatte.models import MODELS
from pullmatte.models.conversion_report import ConvertOptions
from pullmatte.models.mam2.checkpoint import build, convert, load_network
from pullmatte.models.mam2.config import SMALL, MAM2Config, SAM2Config
from pullmatte.models.mam2.conversion import MASK_BAND, choose_config
from pullmatte.models.mam2.kept_matter import join_terms, kept_spec, load_matter
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.upstream import to_released
from pullmatte.models.mematte.config import MEMatteConfig
from pullmatte.models.mematte.network import MEMatteNetwork
from pullmatte.models.weights import read_manifest, resolve
from pullmatte.prompts import Box, Prompt

TINY = MODELS["mam2-tiny"]
# As many blocks as Hiera-T has: they tell the sizes from each other.
SIZE = SAM2Config(
    image_px=256,
    channels=(16, 32, 64, 128),
    heads=(1, 1, 2, 4),
    blocks=(1, 2, 7, 2),
    windows=(8, 4, 7, 4),
    global_blocks=(5,),
    width=128,
    decoder_mlp=128,
    memory_layers=1,
    memory_mlp=128,
)
PLAIN = replace(MASK_BAND, sam2=SIZE)
WHOLE = MAM2Config(sam2=SIZE, fusion_width=16)
MATTER = MEMatteConfig(
    width=32, heads=2, blocks=3, window=4, global_blocks=(2,), pretrained_px=64,
    stream=(8, 8, 8), fusion=(8, 8, 8, 8),
)  # fmt: skip


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    """All of a whole network, by our names."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    state = {
        name: value + 0.05 * torch.randn(value.shape, generator=generator)
        for name, value in MAM2Network(WHOLE).state_dict().items()
    }
    again, once = (f"sam2.{part}.positional_embedding" for part in
                   ("prompt_encoder.shared_embedding", "shared_image_embedding"))  # fmt: skip
    return {**state, again: state[once]}


@pytest.fixture(scope="module")
def matter() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return MEMatteNetwork(MATTER).state_dict()


def plain(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those that SAM 2 has, by transformers' names."""
    return {n.removeprefix("sam2."): v for n, v in tensors.items() if "trimap_branch" not in n}


def released(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those that SAM 2 has, by their released names."""
    found = {}
    for name, value in plain(tensors).items():
        origin = to_released(name)
        rows = value.split(1) if len(origin) > 1 else [value]
        found |= dict(zip(origin, rows, strict=True))
    return found


def write(path: Path, tensors: dict[str, torch.Tensor], config: MAM2Config | None = PLAIN) -> Path:
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".pt":
        torch.save({"model": tensors}, path)
    else:
        save_file({name: value.clone() for name, value in tensors.items()}, path)
    if config is not None:
        (path.parent / "config.json").write_text(json.dumps(config.to_dict()))
    return path


def same(network: MAM2Network, tensors: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, tensors[name]) for name, value in network.state_dict().items())


def test_official_pickle_arrives_tensor_by_tensor(tmp_path, tensors):
    source = write(tmp_path / "from" / "sam2.1_hiera_tiny.pt", released(tensors))
    report = convert(source, tmp_path / "out", TINY)
    network = load_network(tmp_path / "out")
    assert network.config == PLAIN
    assert same(network, tensors)
    assert report.parameters == sum(value.numel() for value in network.parameters())
    assert "a band round the mask" in report.notes[0]
    assert read_manifest(tmp_path / "out")["trained"] == {"sam2": True, "trimap_branch": False}
    assert resolve(str(tmp_path / "out"))[0] is TINY


def test_transformers_file_is_converted_and_loaded_as_it_is(tmp_path, tensors):
    given = plain(tensors)
    del given["prompt_encoder.shared_embedding.positional_embedding"]
    source = write(tmp_path / "from" / "model.safetensors", given)
    convert(source, tmp_path / "out", TINY)
    assert same(load_network(tmp_path / "out"), tensors)
    assert same(load_network(source), tensors)


def test_complete_checkpoint_keeps_its_matter(tmp_path, tensors, matter):
    inside = {f"matter.{name}": value for name, value in matter.items()}
    source = write(tmp_path / "from" / "mam2.safetensors", {**tensors, **inside}, WHOLE)
    convert(source, tmp_path / "out", TINY)
    assert load_network(tmp_path / "out").config == WHOLE
    assert same(load_network(tmp_path / "out"), tensors)
    kept = load_matter(tmp_path / "out", None, "cpu").network
    assert kept.config == MATTER
    assert all(torch.equal(value, kept.state_dict()[name]) for name, value in matter.items())
    assert read_manifest(tmp_path / "out")["trained"]["trimap_branch"] is True


def test_matter_of_another_file_brings_its_terms(tmp_path, tensors, matter):
    source = write(tmp_path / "from" / "sam2.1_hiera_tiny.pt", released(tensors))
    other = write(tmp_path / "from" / "MEMatte.pt", matter)
    report = convert(source, tmp_path / "out", TINY, ConvertOptions(also=(other,)))
    manifest = read_manifest(tmp_path / "out")
    assert manifest["matter"]["model"] == "mematte"
    assert manifest["licence"] == join_terms(TINY, kept_spec(tmp_path / "out")).terms
    assert "NO commercial use" in manifest["licence"]
    assert "NO commercial use" in (tmp_path / "out" / "LICENSE.md").read_text()
    assert any("mematte is kept with it" in note for note in report.notes)
    assert [each["file"] for each in manifest["further_sources"]] == ["MEMatte.pt"]


def test_built_model_mattes_with_the_kept_matter(tmp_path, tensors, matter):
    source = write(tmp_path / "from" / "sam2.1_hiera_tiny.pt", released(tensors))
    other = write(tmp_path / "from" / "MEMatte.pt", matter)
    convert(source, tmp_path / "out", TINY, ConvertOptions(also=(other,)))
    model = build(weights=tmp_path / "out", feed_previous=False)
    image = np.random.default_rng(0).random((96, 128, 3), np.float32)
    found = model.predict(model.encode(image), Prompt(box=Box(20, 20, 90, 80)))
    assert found.alpha.shape == (96, 128)
    assert np.isfinite(found.alpha).all()
    assert not model.options.feed_previous


def test_matter_handed_in_counts_and_one_is_needed(tmp_path, tensors):
    source = write(tmp_path / "from" / "model.safetensors", plain(tensors))
    convert(source, tmp_path / "out", TINY)
    with pytest.raises(WeightsError, match=r"no matter is kept with it.*--also"):
        build(weights=tmp_path / "out")

    class Half:
        def matte(self, image, trimap):
            return np.full(trimap.shape, 0.5, np.float32)

    mine = Half()
    assert build(weights=tmp_path / "out", matter=mine).matter is mine


@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
def test_low_precision_leaves_prompts_and_positions_exact(tmp_path, tensors, stored):
    source = write(tmp_path / "from" / "model.safetensors", plain(tensors))
    convert(source, tmp_path / "out", TINY, ConvertOptions(stored))
    asked = torch.bfloat16 if stored == "float32" else None
    network = load_network(tmp_path / "out", asked)
    exact = load_network(tmp_path / "out", torch.float32)
    assert (network.dtype, exact.dtype) == (torch.bfloat16, torch.float32)
    assert network.decoder.conv_s0.weight.dtype == torch.float32
    ours, theirs = (each.sam2.memory_attention for each in (network, exact))
    assert torch.equal(ours.rotary_emb.inv_freq, theirs.rotary_emb.inv_freq)
    assert torch.equal(ours.position_ids, theirs.position_ids)


def without(name):
    return lambda t: {n: v for n, v in t.items() if n != name}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("mask_downsample.bias"), r"1 missing \(sam2.mask_downsample.bias\)"),
        (lambda t: t | {"decoder.extra": torch.zeros(1)}, r"1 unexpected \(decoder.extra\)"),
        (lambda t: t | {"mask_downsample.bias": torch.zeros(2)},
         r"1 misshaped \(sam2.mask_downsample.bias is 2, not 1\)"),
        (lambda t: t | {"sam_prompt_encoder.point_embeddings.2.weight": torch.zeros(1, 9)},
         "point_embeddings.0.weight and its like differ in shape"),
        (lambda t: t | {"mask_downsample.bias": torch.full((1,), torch.nan)}, "aren't finite"),
        (without("no_obj_embed_spatial"), "weights of SAM 2.0; get those of SAM 2.1 from https"),
        (lambda t: t | {f"image_encoder.trunk.blocks.{n}.attn.qkv.weight": torch.zeros(1)
                        for n in range(12, 16)},
         "holds mam2-small, not mam2-tiny: give 'pullmatte models convert mam2-small"),
        (lambda t: {"bias": torch.zeros(1)}, "weights of no model that we know"),
    ],
    ids=["missing", "unexpected", "misshaped", "rows", "nan", "SAM 2.0", "size", "stranger"],
)  # fmt: skip
def test_what_does_not_fit_is_refused_on_one_line(tmp_path, tensors, change, says):
    source = write(tmp_path / "from" / "sam2.1_hiera_tiny.pt", change(released(tensors)))
    with pytest.raises(WeightsError, match=says) as error:
        convert(source, tmp_path / "out", TINY)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["from"]


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_truncated_file_is_refused_on_one_line(tmp_path, tensors, suffix):
    source = write(tmp_path / "from" / f"model{suffix}", released(tensors))
    source.write_bytes(source.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=r"cut short|fetch it again") as error:
        convert(source, tmp_path / "out", TINY)
    assert "\n" not in str(error.value)


def test_a_trimap_branch_without_config_is_refused(tmp_path, tensors):
    source = write(tmp_path / "from" / "mam2.safetensors", tensors, None)
    with pytest.raises(WeightsError, match=r"put the config.json that it was trained with beside"):
        convert(source, tmp_path / "out", TINY)
    (tmp_path / "from" / "config.json").write_text('{"sam2": {"breadth": 3}}')
    with pytest.raises(WeightsError, match=r"config.json: can't be read.*mend or remove it"):
        convert(source, tmp_path / "out", TINY)


def test_published_size_is_taken_without_a_config_of_ours(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "sam2_video"}')
    config, told_by = choose_config(MODELS["mam2-small"], tmp_path / "model.safetensors", [])
    assert (config.sam2, config.trimap, told_by) == (SMALL, "mask_band", "the published sizes")


def test_only_one_matter_is_kept_and_only_a_matter(tmp_path, tensors, matter):
    inside = {f"matter.{name}": value for name, value in matter.items()}
    both = write(tmp_path / "from" / "mam2.safetensors", {**tensors, **inside}, WHOLE)
    other = write(tmp_path / "more" / "MEMatte.pt", matter, None)
    with pytest.raises(WeightsError, match="2 matters for it: give one"):
        convert(both, tmp_path / "out", TINY, ConvertOptions(also=(other,)))
    sam2 = write(tmp_path / "plain" / "sam2.1_hiera_tiny.pt", released(tensors))
    with pytest.raises(WeightsError, match="holds mam2-tiny, which can't be kept as a matter"):
        convert(sam2, tmp_path / "out", TINY, ConvertOptions(also=(sam2,)))
