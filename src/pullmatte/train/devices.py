"""Where a run is: one process or many, by `accelerate`; DDP and FSDP as it was launched.

In one process on a CPU nothing is wrapped, and nothing here costs time.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from pullmatte.errors import MissingDependency, PullmatteError
from pullmatte.train.averages import AverageWeights
from pullmatte.train.draws import seed_of
from pullmatte.train.settings import LoopSettings

_PREFIX = "network."


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
        self.sharded: bool = getattr(self._accelerator.state, "fsdp_plugin", None) is not None

    @property
    def is_main(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def spread(
        self, stepper: nn.Module, optimiser: torch.optim.Optimizer
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Put a network and its optimiser where they belong."""
        if self.count == 1 and not self.sharded:
            return stepper.to(self.device), optimiser
        found: tuple[nn.Module, Any] = self._accelerator.prepare(stepper, optimiser)
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
        if last or self.count == 1:
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
        weights = [value for value in stepper.parameters() if value.grad is not None]
        limit = longest if longest > 0 else float("inf")
        if self.sharded:
            norm = self._accelerator.clip_grad_norm_(stepper.parameters(), limit)
            return torch.as_tensor(getattr(norm, "full_tensor", lambda: norm)())
        if not longest:
            return torch.nn.utils.get_total_norm([v.grad for v in weights if v.grad is not None])
        return torch.nn.utils.clip_grad_norm_(weights, limit)

    def state(self, stepper: nn.Module) -> dict[str, Tensor]:
        """Return the network's whole state dict; all processes must ask, the main one gets it."""
        if not self.sharded:
            whole: Mapping[str, Tensor] = self._accelerator.unwrap_model(stepper).state_dict()
        else:
            whole = self._accelerator.get_state_dict(stepper)
        return {
            name.removeprefix(_PREFIX): value
            for name, value in whole.items()
            if name.startswith(_PREFIX)
        }

    def averaged(self, stepper: nn.Module, average: AverageWeights) -> dict[str, Tensor]:
        """Return the same with the average of what is trained."""
        with average.in_place():
            return {name: value.clone() for name, value in self.state(stepper).items()}

    def wait(self) -> None:
        """Wait for all processes."""
        self._accelerator.wait_for_everyone()
