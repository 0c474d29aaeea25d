"""SAM 2.1's released names; the recorded lists are those of the official code's state dicts.

They were made with the package sam2 1.1.0 and its four configs `sam2.1_hiera_*.yaml`: only names
and shapes, those that all sizes share apart from the rest.
"""

import json
from pathlib import Path

import pytest
import torch
from transformers import Sam2VideoModel

from pullmatte.models.mam2.config import SIZES
from pullmatte.models.mam2.sam2 import transformers_config
from pullmatte.models.mam2.upstream import to_released, to_transformers

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


@pytest.mark.parametrize(
    "name",
    ["backbone.blocks.0.norm1.weight", "image_encoder.trunk.blocks.0.gate.weight", "no_mem_embe",
     "image_encoder.trunk.blocks.0.norm3.weight", "sam_prompt_encoder.point_embeddings.4.weight",
     "image_encoder.trunk.blocks.x.norm1.weight", ""],
)  # fmt: skip
def test_strangers_have_no_name(name: str) -> None:
    assert to_transformers(name) == ()
    assert to_released(name) == ()
