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


def test_unknown_field_is_named() -> None:
    record = SDMATTE.to_dict()
    record["unet"]["depth"] = 3
    with pytest.raises(PullmatteError, match="unet: unknown field 'depth'"):
        SDMatteConfig.from_dict(record)
