"""SAM 2.1's released names; the recorded lists are those of the official code's state dicts.

They were made with the package sam2 1.1.0 and its four configs `sam2.1_hiera_*.yaml`: only names
and shapes, those that all sizes share apart from the rest.
"""

import json
from pathlib import Path

import pytest
import torch
from transformers import Sam2VideoModel

from pullmatte.models.mam2.config import MAM2, SIZES
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.transformers_config import transformers_config
from pullmatte.models.mam2.upstream import (
    find_origins,
    released_name,
    to_released,
    to_transformers,
)
from pullmatte.models.mematte.network import MEMatteNetwork

RECORDED = json.loads((Path(__file__).parent / "official_sam2.1_shapes.json").read_text())
FREQUENCIES = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
PARAMETERS = {"tiny": 38_962_498, "small": 46_060_354, "base_plus": 80_850_178,
              "large": 224_446_642}  # fmt: skip


def official(size: str) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape in (RECORDED["all sizes"] | RECORDED[size]).items()}


def joined(names: tuple[str, ...], shapes: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    first, *rest = (shapes[name] for name in names)
    return (first[0] * len(names), *first[1:]) if rest else first


@pytest.mark.parametrize("size", SIZES)
def test_released_tensors_are_exactly_those_of_transformers(size: str) -> None:
    with torch.device("meta"):
        model = Sam2VideoModel(transformers_config(SIZES[size]))
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    shapes = official(size)
    origins = {name: to_released(name) for name in expected}
    assert {name: joined(origin, shapes) for name, origin in origins.items()} == expected
    used = [name for origin in origins.values() for name in origin]
    # Each once, but for the frequencies, which are kept twice.
    assert sorted(used) == sorted([*shapes, FREQUENCIES])
    assert sum(value.numel() for value in model.parameters()) == PARAMETERS[size]


@pytest.mark.parametrize("size", SIZES)
def test_names_lead_back(size: str) -> None:
    shapes = official(size)
    for name in shapes:
        assert {name} <= {each for ours in to_transformers(name) for each in to_released(ours)}
    ours = [each for name in shapes for each in to_transformers(name)]
    assert len(set(ours)) == len(shapes) - 2
    assert len(ours) == len(shapes) + 1


def test_recorded_lists_have_the_published_sizes() -> None:
    for size, count in PARAMETERS.items():
        numbers = [torch.Size(shape).numel() for shape in official(size).values()]
        assert sum(numbers) == count + torch.Size(official(size)[FREQUENCIES]).numel()


def test_whole_mam2_is_sam2_large_and_mematte_and_a_trimap_branch(shared: Path) -> None:
    with torch.device("meta"):
        network, matter = MAM2Network(MAM2), MEMatteNetwork()
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    shapes = official("large")
    origins, unknown = find_origins(expected, shapes)
    assert unknown == []
    assert {n: joined(origin, shapes) for n, origin in origins.items()}.items() <= expected.items()
    own = [name for name in expected if name not in origins]
    assert all(name.startswith("sam2.mask_decoder.trimap_branch.") for name in own)
    record = json.loads((shared / "parity/mematte/mematte_vits_state_dict.json").read_text())
    listed = {name: tuple(entry["shape"]) for name, entry in record.items()}
    assert {name: tuple(value.shape) for name, value in matter.state_dict().items()} == listed
    counts = [sum(value.numel() for value in each.parameters()) for each in (network, matter)]
    # The trimap branch: tokens, MLPs and upscaler, mask augment and fusion.
    assert counts == [PARAMETERS["large"] + 494_144 + 37_248, 29_191_293]


def test_any_form_of_a_name_leads_to_the_released_one() -> None:
    released = "sam_mask_decoder.iou_prediction_head.layers.1.bias"
    ours = "sam2.mask_decoder.iou_prediction_head.layers.0.bias"
    assert {released_name(n) for n in (released, ours, ours.removeprefix("sam2."))} == {released}
    assert released_name("sam2.mask_decoder.trimap_branch.tokens.weight") is None
    assert released_name("matter.backbone.pos_embed") is None


@pytest.mark.parametrize(
    "name",
    ["backbone.blocks.0.norm1.weight", "image_encoder.trunk.blocks.0.gate.weight", "no_mem_embe",
     "image_encoder.trunk.blocks.0.norm3.weight", "sam_prompt_encoder.point_embeddings.4.weight",
     "image_encoder.trunk.blocks.x.norm1.weight", ""],
)  # fmt: skip
def test_strangers_have_no_name(name: str) -> None:
    assert to_transformers(name) == ()
    assert to_released(name) == ()
