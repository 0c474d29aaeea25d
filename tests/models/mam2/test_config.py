"""Configs: the four rows of table 5, JSON and back, and what can't be."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pullmatte.errors import PullmatteError
from pullmatte.models.mam2.config import LARGE, MAM2, MINIATURE, SIZES, MAM2Config, SAM2Config


@pytest.mark.parametrize("config", [MAM2, MINIATURE, *[MAM2Config(sam2=s) for s in SIZES.values()]])
def test_config_survives_json(config: MAM2Config) -> None:
    assert MAM2Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_paper_is_the_default() -> None:
    assert (MAM2.sam2, MAM2.trimap, MAM2.second_pass, MAM2.lora_rank) == (LARGE, "pdd", "mss", 16)


@pytest.mark.parametrize(
    ("trimap", "second_pass"),
    [("parallel", "off"), ("pdd", "off"), ("pdd", "mcs"), ("pdd", "mss")],
)
def test_rows_of_table_5_are_configs(trimap: Any, second_pass: Any) -> None:
    assert replace(MAM2, trimap=trimap, second_pass=second_pass).has_trimap_branch


@pytest.mark.parametrize(
    "wrong",
    [
        {"trimap": "both"},
        {"second_pass": True},
        {"trimap": "mask_band"},
        {"fusion_layers": 0},
        {"fusion_residual": 1},
        {"lora_rank": -1},
        {"lora_dropout": 1.0},
        {"clamp": 0},
        {"clamp": float("nan")},
        {"width": 256},
        {"sam2": 3},
        {"sam2": {"width": 64}},
        {"sam2": {"width": 200}},
        {"sam2": {"image_px": 1000}},
        {"sam2": {"blocks": [1, 2, 7]}},
        {"sam2": {"heads": [1, 2, 5, 8]}},
        {"sam2": {"global_blocks": [12]}},
        {"sam2": {"most_pointers": 1}},
        {"judge_width": 8},
        {"prompted_pool": 0},
        {"sam2": {"spatial_span": 0}},
        {"sam2": {"spatial_span": 7}},
        {"sam2": {"sides": 3}},
    ],
    ids=str,
)
def test_impossible_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(PullmatteError) as caught:
        MAM2Config.from_dict(wrong)
    assert "\n" not in str(caught.value)


def test_unknown_field_is_named() -> None:
    with pytest.raises(PullmatteError, match="unknown field 'trimaps'; known are sam2"):
        MAM2Config.from_dict({"trimaps": "pdd"})


def test_no_object_is_refused() -> None:
    with pytest.raises(PullmatteError, match="give an object"):
        MAM2Config.from_dict([1])  # type: ignore[arg-type]


def test_sizes_follow_the_square() -> None:
    assert (SAM2Config().top_px, SAM2Config().mask_px) == (64, 256)
