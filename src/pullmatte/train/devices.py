"""Where a run is: one process or many, by `accelerate`; DDP and FSDP as it was launched.

In one process on a CPU nothing is wrapped, and nothing here costs time.
"""

import atexit
import gc
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, distributed, nn

from pullmatte.errors import MissingDependency, PullmatteError
from pullmatte.train import shards
from pullmatte.train.averages import AverageWeights
from pullmatte.train.draws import seed_of
from pullmatte.train.settings import LoopSettings

_PREFIX = "network."
_TINY = 1e-6


class Devices:
    """The processes of a run, as one of them sees them.

    Attributes:
        count: How many processes there are.
        rank: This one's number.
        device: Where its network is.
        sharded: Whether each holds only a part of the weights: FSDP.
    """

    def __init__(self, *, cpu: bool = False) -> None:
        """Find out how this process was launched.

        Args:
            cpu: Stay on the CPU, whatever there is.

        Raises:
            MissingDependency: If accelerate isn't installed.
        """
        try:
            accelerate = import_module("accelerate")
        except ImportError as error:
            raise MissingDependency(
                "training needs accelerate: pip install 'pullmatte[train]'"
            ) from error
        # Not each step has a loss for each weight: a mask's, a trimap's, a kind of prompt's.
        spread = accelerate.DistributedDataParallelKwargs(find_unused_parameters=True)
        self._accelerator: Any = accelerate.Accelerator(
            cpu=cpu, mixed_precision="no", kwargs_handlers=[spread]
        )
        self.count: int = self._accelerator.num_processes
        self.rank: int = self._accelerator.process_index
        self.device: torch.device = self._accelerator.device
        self.sharded: bool = self.count > 1 and shards.is_asked()
        if self.count > 1:
            _part_at_exit()

    @property
    def is_main(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def spread(self, stepper: nn.Module) -> nn.Module:
        """Put a network where it belongs; the optimiser is made of its weights after that."""
        stepper = stepper.to(self.device)
        if self.sharded:
            return shards.shard(stepper)
        if self.count == 1:
            return stepper
        found: nn.Module = self._accelerator.prepare(stepper)
        return found

    def parts_of(self, step: int, settings: LoopSettings) -> list[range]:
        """Return the numbers of this process's items in a step, a range for each part.

        Raises:
            PullmatteError: If the batch can't be shared evenly.
        """
        parts = self.count * settings.accumulate
        if settings.batch % parts:
            raise PullmatteError(
                f"batch {settings.batch} over {self.count} processes in {settings.accumulate} "
                f"parts each: give a multiple of {parts}"
            )
        size, first = settings.batch // parts, step * settings.batch
        begins = [first + (at * self.count + self.rank) * size for at in range(settings.accumulate)]
        return [range(begin, begin + size) for begin in begins]

    def unsynchronised(self, stepper: nn.Module, *, last: bool) -> AbstractContextManager[None]:
        """Hold gradients back from other processes until a step's last part."""
        if self.sharded:
            shards.synchronise(stepper, last=last)
        if last or self.count == 1 or self.sharded:
            return nullcontext()
        held: AbstractContextManager[None] = self._accelerator.no_sync(stepper)
        return held

    @contextmanager
    def chance(self, *numbers: int) -> Iterator[None]:
        """Seed torch's own generators for the block, which dropout draws from.

        Each process drops other things. Before and after the block they are as they were.
        """
        cuda = self.device.type == "cuda"
        with torch.random.fork_rng(devices=[self.device] if cuda else []):
            torch.manual_seed(seed_of(*numbers, self.rank))
            yield

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a scalar over all processes."""
        if self.count == 1:
            return value
        found: Tensor = self._accelerator.reduce(value, "mean")
        return found

    def means(self, numbers: dict[str, float]) -> dict[str, float]:
        """Return means of named numbers over those processes that have them."""
        if self.count == 1:
            return numbers
        each = import_module("accelerate.utils").gather_object([numbers])
        names = dict.fromkeys(name for one in each for name in one)
        known = {name: [one[name] for one in each if name in one] for name in names}
        return {name: sum(values) / len(values) for name, values in known.items()}

    def shorten(self, stepper: nn.Module, longest: float) -> Tensor:
        """Shorten all gradients to a length, 0 for not at all, and return what it was before."""
        slopes = [value.grad for value in stepper.parameters() if value.grad is not None]
        length = shards.length_of(torch.nn.utils.get_total_norm(slopes))
        if longest > 0:
            shorter = (longest / (length + _TINY)).clamp(max=1)
            for slope in slopes:
                slope.mul_(shorter)
        return length

    def state(self, stepper: nn.Module) -> dict[str, Tensor]:
        """Return the network's whole state dict; all processes must ask, the main one gets it."""
        plain = stepper if self.sharded else self._accelerator.unwrap_model(stepper)
        state: Mapping[str, Tensor] = plain.state_dict()
        return {
            name.removeprefix(_PREFIX): shards.whole(value)
            for name, value in state.items()
            if name.startswith(_PREFIX)
        }

    def averaged(self, stepper: nn.Module, average: AverageWeights) -> dict[str, Tensor]:
        """Return the same with the average of what is trained."""
        with average.in_place():
            return {name: value.clone() for name, value in self.state(stepper).items()}

    def wait(self) -> None:
        """Wait for all processes."""
        self._accelerator.wait_for_everyone()


@cache
def _part_at_exit() -> None:
    """See to it that processes part before they end.

    Threads by which they talk would else be torn down with the interpreter, and now and then that
    aborts a process whose work is done.
    """
    atexit.register(_part)


def _part() -> None:
    # Networks that are done with lie about in circles, and hold what their processes talk by.
    gc.collect()
    if distributed.is_initialized():
        distributed.destroy_process_group()
