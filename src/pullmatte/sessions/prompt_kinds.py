"""Which parts of a prompt a model takes; the others don't reach it.

A network that was trained for boxes alone gives some answer to a mask as well, but not a good one.
So what was said in a kind that it doesn't take is left out where there is something else to go by,
so that one prompt file serves several models; a prompt of nothing else is refused.
"""

from collections.abc import Iterable
from dataclasses import replace

from pullmatte.errors import PromptError
from pullmatte.models import ModelSpec
from pullmatte.prompts import Prompt

_EXCLUDE = 0
"""Label of a point that takes something away."""


def check_kinds(spec: ModelSpec | None, prompt: Prompt) -> None:
    """Refuse a prompt of which the model takes no part.

    Raises:
        PromptError: If so; the message lists the kinds that it takes.
    """
    given = _given(prompt)
    if spec is None or not given or any(kind in spec.prompts for kind in given):
        return
    raise PromptError(
        f"model {spec.name!r} takes {' or '.join(spec.prompts)}, not {' and '.join(given)} alone: "
        f"give a {spec.prompts[0]}"
    )


def taken(spec: ModelSpec | None, prompt: Prompt) -> Prompt:
    """Leave of a prompt what the model takes.

    Points to exclude stay, whatever it takes: they only take pieces of its answer away.

    Args:
        spec: The model's; None takes everything.
        prompt: What was said.

    Returns:
        The prompt without the other parts; the same object if there are none.

    Raises:
        PromptError: If the model takes no part of it.
    """
    check_kinds(spec, prompt)
    kinds = left_out(spec, [prompt])
    if not kinds:
        return prompt
    points = tuple(point for point in prompt.points if point.label == _EXCLUDE)
    return replace(
        prompt,
        points=points if "point" in kinds else prompt.points,
        box=None if "box" in kinds else prompt.box,
        mask=None if "mask" in kinds else prompt.mask,
        trimap=None if "trimap" in kinds else prompt.trimap,
    )


def left_out(spec: ModelSpec | None, prompts: Iterable[Prompt]) -> tuple[str, ...]:
    """Name the kinds of which `taken` leaves something out, each once."""
    if spec is None:
        return ()
    kinds = [
        kind
        for prompt in prompts
        for kind in _given(prompt)
        if kind not in spec.prompts
        and (kind != "point" or any(point.label != _EXCLUDE for point in prompt.points))
    ]
    return tuple(dict.fromkeys(kinds))


def left_out_note(spec: ModelSpec | None, prompts: Iterable[Prompt]) -> str:
    """Say what is left out, and why; nothing if nothing is."""
    kinds = left_out(spec, prompts)
    if spec is None or not kinds:
        return ""
    return f"{' and '.join(kinds)} left out: {spec.name} takes {' and '.join(spec.prompts)} alone"


def _given(prompt: Prompt) -> tuple[str, ...]:
    said = {
        "trimap": prompt.trimap is not None,
        "mask": prompt.mask is not None,
        "box": prompt.box is not None,
        "point": bool(prompt.points),
    }
    return tuple(kind for kind, there in said.items() if there)
