"""What every recipe can be told: one frozen dataclass, from which flags and JSON come."""

import inspect
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from pullmatte.errors import PullmatteError

ScheduleName = Literal["constant", "cosine", "exponential", "drops"]
Precision = Literal["float32", "bfloat16"]
FREE_ON_RESUME = ("workers", "log_every", "panel_every", "checkpoint_every", "keep")
"""What may differ when a run goes on: none of it changes a number."""


@dataclass(frozen=True)
class LoopSettings:
    """What the loop itself is told. A recipe's settings add their own fields.

    Attributes:
        seed: All that is random comes from it, the step and the item's number.
        steps: Steps of the optimiser in all.
        batch: Items in a step, over all processes and accumulated parts.
        accumulate: In so many parts each process takes its share of a step, to save memory.
        learning_rate: The largest one, from which the schedule goes down.
        schedule: How it goes down: "constant" doesn't; "cosine" and "exponential" reach
            `final_rate` at the end; "drops" multiplies by `drop` at each of `drops_at`.
        warmup: In so many first steps the rate grows from `warmup_from` of what it would be.
        warmup_from: Share of the rate in the first step.
        final_rate: Share of the rate in the last step.
        drops_at: Shares of the run at which the rate drops.
        drop: What it is multiplied by at a drop.
        weight_decay: AdamW's, on weights of two axes and more, so not on norms and biases.
        beta1: AdamW's first.
        beta2: AdamW's second.
        clip: Gradients longer than this, over all weights together, are shortened to it; 0 for
            never.
        average: Decay of the weights' moving average, which is what is exported; 0 for none.
        precision: "bfloat16" runs the forward pass in autocast; weights stay float32.
        workers: Processes that prepare items ahead; 0 prepares them in the training process.
        log_every: Steps between two lines of the log.
        panel_every: Steps between two pictures in the log; 0 for none.
        checkpoint_every: Steps between two checkpoints; the last step has one anyway.
        keep: So many checkpoints, the newest, are kept.
    """

    seed: int = 0
    steps: int = 1000
    batch: int = 1
    accumulate: int = 1
    learning_rate: float = 1e-4
    schedule: ScheduleName = "cosine"
    warmup: int = 0
    warmup_from: float = 0.001
    final_rate: float = 0.01
    drops_at: tuple[float, ...] = (0.6, 0.8)
    drop: float = 0.1
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    clip: float = 0.0
    average: float = 0.0
    precision: Precision = "float32"
    workers: int = 0
    log_every: int = 50
    panel_every: int = 500
    checkpoint_every: int = 1000
    keep: int = 2

    def __post_init__(self) -> None:
        """Refuse what no run can be told."""
        kinds = get_type_hints(type(self))
        for field in fields(self):
            check_kind(type(self).__name__, field.name, getattr(self, field.name), kinds)
        for name in ("steps", "batch", "accumulate", "log_every", "checkpoint_every", "keep"):
            self._require(name, getattr(self, name) >= 1, "1 or more")
        for name in ("seed", "warmup", "workers", "panel_every", "weight_decay", "clip"):
            self._require(name, getattr(self, name) >= 0, "0 or more")
        self._require("learning_rate", self.learning_rate > 0, "a number over 0")
        for name in ("warmup_from", "final_rate"):
            self._require(name, 0 <= getattr(self, name) <= 1, "a number from 0 to 1")
        for name in ("average", "beta1", "beta2"):
            self._require(name, 0 <= getattr(self, name) < 1, "a number from 0 to under 1")
        if self.schedule == "exponential":
            self._require("final_rate", self.final_rate > 0, "a number over 0 for 'exponential'")

    def _require(self, name: str, fine: bool, expected: str) -> None:
        if not fine:
            raise PullmatteError(
                f"{type(self).__name__}.{name} is {getattr(self, name)!r}: give {expected}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote, or what JSON made of it.

        Raises:
            PullmatteError: If it holds a field that isn't known, or a value that can't be.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(record) - set(known))
        if unknown:
            raise PullmatteError(f"unknown setting {unknown[0]!r}; known are {', '.join(known)}")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in record.items()
        }
        return cls(**values)


def check_kind(where: str, name: str, value: Any, kinds: Mapping[str, Any]) -> None:
    """Hold a field's value against its annotation: numbers, texts, literals, tuples, or None.

    Raises:
        PullmatteError: If it is anything else; the message says what it may be.
    """
    if not _fits(value, kinds[name]):
        raise PullmatteError(f"{where}.{name} is {value!r}: give {describe_kind(kinds[name])}")


def _fits(value: Any, kind: Any) -> bool:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in inner
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in inner)
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(each, inner[0]) for each in value)
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and abs(value) < float("inf")
    return type(value) is kind


def describe_kind(kind: Any) -> str:
    """Say in words what a field may be."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(repr(each) for each in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(describe_kind(each) for each in inner)
    if origin is tuple:
        return f"several, each {describe_kind(inner[0])}"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return words.get(kind, "nothing")


def helps(kind: type[LoopSettings]) -> dict[str, str]:
    """Return what the docstrings of settings say of each field, on one line each."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if not issubclass(each, LoopSettings):
            continue
        name = ""
        _, _, section = inspect.cleandoc(each.__doc__ or "").partition("Attributes:\n")
        for line in section.splitlines():
            if not line.strip():
                break
            if line.startswith("    ") and line[4] != " ":
                name, _, line = line.strip().partition(": ")
                found[name] = line
            elif name:
                found[name] += f" {line.strip()}"
    return found
