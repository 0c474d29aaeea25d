"""When a run must stop: a loss or a gradient that is no number, with what it was made of."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pullmatte.errors import PullmatteError
from pullmatte.train.checkpoints import write_json
from pullmatte.train.recipe import moved


class NotANumber(PullmatteError):
    """A loss or gradient that is infinite or no number; what it was made of is saved."""


def stop(
    run: Path,
    step: int,
    network: nn.Module,
    parts: Sequence[tuple[range, Sequence[Any]]],
    losses: Callable[[Sequence[Any]], Mapping[str, Tensor]] | None,
) -> NotANumber:
    """Find out where it went wrong, save the batch, and make the error.

    Args:
        run: The run's folder.
        step: Steps that were done before this one.
        network: With gradients as the step left them.
        parts: Numbers and items of this process.
        losses: Gives an item's losses anew; None where weights are spread and it can't.

    Returns:
        The error, with one line that says where.
    """
    device = next(network.parameters()).device
    for numbers, items in parts if losses is not None else ():
        for number, item in zip(numbers, items, strict=True):
            assert losses is not None
            with torch.no_grad(), _watching(network) as odd:
                found = losses(moved([item], device))
            terms = {name: float(value) for name, value in found.items()}
            wrong = [name for name, value in terms.items() if not _is_number(value)]
            if wrong:
                where = f"loss {wrong[0]!r} of item {number} is {terms[wrong[0]]}"
                first = f"; first so after layer {odd[0]!r}" if odd else ""
                return _report(run, step, where + first, parts, {"item": number, "terms": terms})
    slopes = {n: v.grad for n, v in network.named_parameters() if v.grad is not None}
    bad = [name for name, slope in slopes.items() if not _all_numbers(slope)]
    where = f"the gradient of {bad[0]!r} and {len(bad) - 1} more" if bad else "a loss"
    return _report(run, step, f"{where} is no number", parts, {"gradients": bad})


def _report(
    run: Path, step: int, where: str, parts: Sequence[tuple[range, Sequence[Any]]], known: Any
) -> NotANumber:
    numbers = [number for part, _ in parts for number in part]
    folder = run / f"stopped-at-step-{step + 1:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(
        {"numbers": numbers, "items": [x for _, part in parts for x in part]}, folder / "batch.pt"
    )
    write_json(
        folder / "report.json",
        {
            "step": step + 1,
            "where": where,
            "numbers": numbers,
            **{k: str(v) for k, v in known.items()},
        },
    )
    return NotANumber(
        f"step {step + 1}: {where}; the batch is in {folder}. Go on from the last checkpoint with "
        "a lower learning_rate, with clip, or in float32"
    )


@contextmanager
def _watching(network: nn.Module) -> Iterator[list[str]]:
    """Note the names of layers that make of numbers what is none, the first one first."""
    odd: list[str] = []
    handles = [
        layer.register_forward_hook(_watcher(name, odd))
        for name, layer in network.named_modules()
        if not list(layer.children())
    ]
    try:
        yield odd
    finally:
        for handle in handles:
            handle.remove()


def _watcher(name: str, odd: list[str]) -> Callable[[nn.Module, Any, Any], None]:
    def watch(_layer: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and not bool(torch.isfinite(output).all()):
            odd.append(name)

    return watch


def _all_numbers(slope: Tensor) -> bool:
    own = slope.to_local() if hasattr(slope, "to_local") else slope
    return bool(torch.isfinite(own).all())


def _is_number(value: float) -> bool:
    return abs(value) < float("inf")
