"""What a run is told: refused if it can't be, read back from JSON, explained field by field."""

import json
from dataclasses import fields, replace

import pytest

from pullmatte.errors import PullmatteError
from pullmatte.train.mam2_lessons import MAM2Settings
from pullmatte.train.schedule import rate_share
from pullmatte.train.settings import LoopSettings, helps


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("steps", 0, "steps is 0: give 1 or more"),
        ("steps", 1.5, "steps is 1.5: give a whole number"),
        ("learning_rate", float("nan"), "learning_rate is nan: give a number"),
        ("schedule", "up", "give 'constant' or 'cosine'"),
        ("average", 1.0, "average is 1.0: give a number from 0 to under 1"),
        ("drops_at", (0.5, "x"), "give several, each a number"),
    ],
)
def test_odd_values_are_refused(name, value, said) -> None:
    with pytest.raises(PullmatteError, match=said):
        LoopSettings(**{name: value})


def test_json_gives_them_back() -> None:
    settings = MAM2Settings(prompts=("box",), learning_rate=1)
    assert MAM2Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    with pytest.raises(PullmatteError, match="unknown setting 'epochs'"):
        MAM2Settings.from_dict({"epochs": 3})


@pytest.mark.parametrize("kind", [LoopSettings, MAM2Settings])
def test_each_field_is_explained(kind) -> None:
    explained = helps(kind)
    assert {field.name for field in fields(kind)} == explained.keys()
    assert all(text.endswith(".") for text in explained.values())
    assert helps(MAM2Settings)["corrections"].endswith("on pictures and first frames.")


SETTINGS = LoopSettings(steps=101, final_rate=0.01)


@pytest.mark.parametrize(
    ("schedule", "middle", "end"),
    [("constant", 1, 1), ("cosine", 0.505, 0.01), ("exponential", 0.1, 0.01), ("drops", 1, 0.01)],
)
def test_the_rate_goes_down_as_told(schedule, middle, end) -> None:
    settings = replace(SETTINGS, schedule=schedule)
    assert rate_share(0, settings) == pytest.approx(1)
    assert rate_share(50, settings) == pytest.approx(middle)
    assert rate_share(100, settings) == pytest.approx(end)


def test_the_rate_grows_first() -> None:
    settings = replace(SETTINGS, schedule="constant", warmup=10, warmup_from=0.001)
    assert rate_share(0, settings) == pytest.approx(0.001)
    assert rate_share(5, settings) == pytest.approx(0.5005)
    assert rate_share(10, settings) == 1
