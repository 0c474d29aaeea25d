"""Configs go to JSON and back, and refuse what can't be built."""

import json
import math

import pytest

from pullmatte.errors import PullmatteError
from pullmatte.models.sdmatte.config import LITESDMATTE, SDMATTE, SDMatteConfig


@pytest.mark.parametrize("config", [SDMATTE, LITESDMATTE, SDMatteConfig(mask_penalty=math.inf)])
def test_config_survives_json(config: SDMatteConfig) -> None:
    text = json.dumps(config.to_dict(), allow_nan=False)
    assert SDMatteConfig.from_dict(json.loads(text)) == config


def test_released_defaults_are_the_released_ones() -> None:
    assert tuple(SDMATTE.visual_prompt_cross_attention) == (False, True, False)
    assert tuple(SDMATTE.masked_self_attention) == (True, True, True)
    assert SDMATTE.unet.heads == (5, 10, 20, 20)
    assert SDMATTE.unet.condition_width == 1280
    assert (SDMATTE.mask_penalty, SDMATTE.minimum_points, SDMATTE.size_px) == (10000, 10, 1024)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("size_px", 1000, "multiple of 64"), ("mask_penalty", 0, "over 0")],
)
def test_impossible_values_are_refused(field: str, value: float, said: str) -> None:
    with pytest.raises(PullmatteError, match=said):
        SDMatteConfig(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("unet", "channels", 7),
        ("unet", "channels", [320, 640, 1280]),
        ("unet", "norm_groups", 0),
        ("unet", "heads", [0, 10, 20, 20]),
        ("unet", "heads", [3, 10, 20, 20]),
        ("unet", "layers_per_block", "2"),
        ("autoencoder", "kind", "foo"),
        ("autoencoder", "scale", "x"),
        ("masked_self_attention", "down", "no"),
        (None, "unet", ["channels"]),
        (None, "masked_self_attention", {"down": True}),
        (None, "embedding_layers", "foo"),
        (None, "minimum_points", -5),
        (None, "point_sigma_px", 0),
        (None, "mask_penalty", "much"),
        (None, "size_px", 128.0),
        (None, "size_px", 1_000_000),
    ],
)
def test_damaged_record_is_one_line_that_names_the_field(
    part: str | None, field: str, value: object
) -> None:
    record = SDMATTE.to_dict()
    (record if part is None else record[part])[field] = value
    with pytest.raises(PullmatteError, match=field.replace("size_px", "size")) as raised:
        SDMatteConfig.from_dict(json.loads(json.dumps(record)))
    assert "\n" not in str(raised.value)


def test_unknown_field_is_named() -> None:
    record = SDMATTE.to_dict()
    record["unet"]["depth"] = 3
    with pytest.raises(PullmatteError, match="unet: unknown field 'depth'"):
        SDMatteConfig.from_dict(record)
