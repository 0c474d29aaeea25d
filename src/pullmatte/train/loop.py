"""The one loop that every recipe is trained by.

A step takes the next `batch` numbers, has the recipe make items of them and losses of the items,
and moves the weights. All chance hangs on the seed, the step and the number, so a run that goes on
from a checkpoint, which holds weights, optimiser, average and the step, gives the same bits as one
that was never stopped, and two processes the same losses as one.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pullmatte.train.averages import AverageWeights
from pullmatte.train.checkpoints import (
    Checkpoint,
    claim_folder,
    load_checkpoint,
    save_checkpoint,
)
from pullmatte.train.devices import Devices
from pullmatte.train.logs import Logs, Means
from pullmatte.train.recipe import Recipe, Stepper, moved
from pullmatte.train.schedule import rate_share
from pullmatte.train.settings import LoopSettings
from pullmatte.train.shards import load_optimiser, load_weights, whole
from pullmatte.train.stops import stop

MODEL = "model"
_WARM_STEPS, _TIMED_STEPS = 1, 3
Tell = Callable[[int, dict[str, float]], None]
"""Is told the step and what was logged."""


@dataclass(eq=False)
class Run:
    """What a step changes.

    Attributes:
        recipe: The recipe.
        devices: Where it is.
        stepper: Its network, wrapped for the devices.
        optimiser: AdamW.
        average: The moving average, if there is one.
        step: Steps that are done.
    """

    recipe: Recipe
    devices: Devices
    stepper: nn.Module
    optimiser: torch.optim.Optimizer
    average: AverageWeights | None
    step: int = 0


@dataclass(frozen=True)
class Estimate:
    """What a dry run says.

    Attributes:
        weights: Numbers in the network.
        trained: Those of them that are trained.
        memory_bytes: The most that a process held: on the GPU, or else in all.
        seconds: Of one step, items included.
        item_seconds: Of making its items, in the training process.
        steps: Of the whole run.
    """

    weights: int
    trained: int
    memory_bytes: int
    seconds: float
    item_seconds: float
    steps: int


def train(
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    cpu: bool = False,
    tell: Tell | None = None,
) -> Path:
    """Train a recipe to its last step, and export its model.

    Args:
        recipe: What to train.
        folder: The run's: settings, checkpoints, log, and in the end the model.
        resume: Go on with a run that is in the folder.
        cpu: Stay on the CPU, whatever there is.
        tell: Is told what is logged, in the main process.

    Returns:
        The model's folder.

    Raises:
        PullmatteError: If the folder or the batch won't do.
        NotANumber: If a loss or gradient is none; the batch is saved.
    """
    settings: LoopSettings = recipe.settings
    run = begin(recipe, cpu=cpu)
    newest = (
        claim_folder(folder, recipe.name, settings, resume=resume) if run.devices.is_main else None
    )
    run.devices.wait()
    if not run.devices.is_main:
        newest = claim_folder(folder, recipe.name, settings, resume=True)
    if newest is not None:
        restore(run, newest)
    logs = Logs(folder, run.step) if run.devices.is_main else None
    means, items = Means(), ahead(run)
    while run.step < settings.steps:
        means.add(take_step(run, [next(items) for _ in range(settings.accumulate)], folder))
        last = run.step == settings.steps
        if run.step % settings.log_every == 0 or last:
            numbers = run.devices.means(means.take())
            if logs is not None:
                logs.write(run.step, numbers)
            if tell is not None and run.devices.is_main:
                tell(run.step, numbers)
        if settings.panel_every and (run.step % settings.panel_every == 0 or last):
            panels = look(run)
            if logs is not None:
                logs.show(run.step, panels)
        if run.step % settings.checkpoint_every == 0 or last:
            keep(run, folder)
    if logs is not None:
        logs.close()
    return export(run, folder / MODEL)


def begin(recipe: Recipe, *, cpu: bool = False) -> Run:
    """Set a recipe up on its devices, at step 0."""
    settings: LoopSettings = recipe.settings
    devices = Devices(cpu=cpu)
    devices.parts_of(0, settings)
    for helper in recipe.helpers:
        helper.to(devices.device).eval().requires_grad_(False)
    stepper = devices.spread(Stepper(recipe))
    groups = [{"lr": settings.learning_rate, **group} for group in recipe.parameter_groups()]
    optimiser: torch.optim.Optimizer = torch.optim.AdamW(
        groups, betas=(settings.beta1, settings.beta2)
    )
    for group in optimiser.param_groups:
        group["largest_rate"] = group["lr"]
    average = AverageWeights(recipe.network, settings.average) if settings.average else None
    return Run(recipe, devices, stepper, optimiser, average)


def ahead(run: Run) -> Iterator[tuple[range, Sequence[Any]]]:
    """Yield numbers and items of this process's parts, from the run's step on, without end."""
    recipe, settings, first = run.recipe, run.recipe.settings, run.step

    def numbers() -> Iterator[range]:
        step = first
        while True:
            yield from run.devices.parts_of(step, settings)
            step += 1

    if not settings.workers:
        yield from ((part, [recipe.item(number) for number in part]) for part in numbers())
        return
    loader = torch.utils.data.DataLoader(
        _Numbered(recipe),
        batch_sampler=_Parts(numbers),  # type: ignore[arg-type]
        num_workers=settings.workers,
        collate_fn=list,
    )
    yield from zip(numbers(), loader, strict=False)


class _Numbered(torch.utils.data.Dataset[Any]):
    """Items by number, for the processes that prepare them."""

    def __init__(self, recipe: Recipe) -> None:
        self._item = recipe.item

    def __getitem__(self, number: int) -> Any:
        return self._item(number)


class _Parts:
    """Lists of numbers, as a loader asks for them."""

    def __init__(self, numbers: Callable[[], Iterator[range]]) -> None:
        self._numbers = numbers

    def __iter__(self) -> Iterator[range]:
        return self._numbers()


def take_step(
    run: Run, parts: Sequence[tuple[range, Sequence[Any]]], folder: Path
) -> dict[str, Tensor]:
    """Move the weights once.

    Args:
        run: It is changed.
        parts: Numbers and items, of each accumulated part.
        folder: Where the batch is saved if it leads to no number.

    Returns:
        The losses' terms, the means over the parts of this process; with the gradients' length
        and the learning rate.

    Raises:
        NotANumber: If a loss or gradient is none.
    """
    settings, devices, stepper = run.recipe.settings, run.devices, run.stepper
    share = rate_share(run.step, settings)
    for group in run.optimiser.param_groups:
        group["lr"] = group["largest_rate"] * share
    stepper.train()
    means = Means()
    for at, (_, items) in enumerate(parts):
        inputs = moved(items, devices.device)
        last = at == len(parts) - 1
        with (
            devices.unsynchronised(stepper, last=last),
            devices.chance(settings.seed, run.step, at),
        ):
            losses = stepper(inputs)
            (losses["total"] / len(parts)).backward()
        means.add(losses)
    length = devices.shorten(stepper, settings.clip)
    terms = means.tensors()
    if not bool(torch.isfinite(devices.mean(terms["total"]) + length)):
        again = None if devices.sharded else run.recipe.losses
        raise stop(folder, run.step, run.recipe.network, parts, again)
    run.optimiser.step()
    run.optimiser.zero_grad(set_to_none=True)
    run.step += 1
    if run.average is not None:
        run.average.update(run.step)
    rate = torch.tensor(settings.learning_rate * share)
    return {**terms, "gradient_length": length.detach(), "learning_rate": rate}


@torch.no_grad()
def look(run: Run) -> dict[str, Tensor]:
    """Return the recipe's panels, by the average if there is one."""
    run.stepper.eval()
    with run.devices.chance(run.recipe.settings.seed, run.step):
        if run.average is None:
            found: dict[str, Tensor] = run.stepper(None)
            return found
        with run.average.in_place():
            averaged: dict[str, Tensor] = run.stepper(None)
            return averaged


def keep(run: Run, folder: Path) -> None:
    """Write a checkpoint; all processes must come here."""
    changing = _changing(run.recipe.network)
    weights = {k: v for k, v in run.devices.state(run.stepper).items() if k in changing}
    average = {}
    if run.average is not None:
        averaged = run.devices.averaged(run.stepper, run.average)
        average = {k: v for k, v in averaged.items() if k in changing}
    optimiser = whole(run.optimiser.state_dict())
    if run.devices.is_main:
        save_checkpoint(
            folder, Checkpoint(run.step, weights, average, optimiser), run.recipe.settings.keep
        )
    run.devices.wait()


def restore(run: Run, checkpoint: Path) -> None:
    """Go back to a checkpoint, in each process."""
    known = load_checkpoint(checkpoint)
    network = run.recipe.network
    missing = _changing(network) - set(known.weights)
    assert not missing, f"checkpoint without {sorted(missing)[:3]}: the network has changed"
    load_weights(network, known.weights)
    load_optimiser(run.optimiser, known.optimiser)
    if run.average is not None:
        run.average.load(known.average)
    run.step = known.step


def export(run: Run, folder: Path) -> Path:
    """Write the model, by the average if there is one."""
    if run.average is None:
        weights = run.devices.state(run.stepper)
    else:
        weights = run.devices.averaged(run.stepper, run.average)
    if run.devices.is_main:
        run.recipe.export(weights, folder)
    run.devices.wait()
    return folder


def dry_run(recipe: Recipe, *, cpu: bool = False) -> Estimate:
    """Take a few steps, write nothing, and say what a run would take."""
    run = begin(recipe, cpu=cpu)
    items, cuda = ahead(run), run.devices.device.type == "cuda"
    folder = Path(f"dry-run-{recipe.name}")
    making, started = 0.0, 0.0
    for at in range(_WARM_STEPS + _TIMED_STEPS):
        if at == _WARM_STEPS:
            making, started = 0.0, time.perf_counter()
        begun = time.perf_counter()
        parts = [next(items) for _ in range(recipe.settings.accumulate)]
        making += time.perf_counter() - begun
        take_step(run, parts, folder)
        if cuda:
            torch.cuda.synchronize(run.devices.device)
    weights = list(recipe.network.parameters())
    return Estimate(
        weights=sum(value.numel() for value in weights),
        trained=sum(value.numel() for value in weights if value.requires_grad),
        memory_bytes=torch.cuda.max_memory_allocated() if cuda else _most_memory_bytes(),
        seconds=(time.perf_counter() - started) / _TIMED_STEPS,
        item_seconds=making / _TIMED_STEPS,
        steps=recipe.settings.steps,
    )


def _changing(network: nn.Module) -> set[str]:
    """Name what a checkpoint must hold: trained weights, and all buffers."""
    frozen = {name for name, value in network.named_parameters() if not value.requires_grad}
    return set(network.state_dict()) - frozen


def _most_memory_bytes() -> int:
    try:
        import resource
    except ImportError:  # Windows has none.
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
