"""A moving average of weights: steadier than the last ones, and what is exported."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pullmatte.train.shards import own_part

_GROWTH = 10


class AverageWeights:
    """Keeps a moving average of the weights that are trained.

    Attributes:
        decay: How much of the average stays at a step, once it has run for a while.
        values: The average, by name.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        """Begin with a module's weights as they are."""
        self.decay = decay
        self._weights = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.values = {name: value.detach().clone() for name, value in self._weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights in after a step, counted from 1.

        Early on the average is shorter, or it would hold the random start for long.
        """
        share = 1 - min(self.decay, (1 + step) / (_GROWTH + step))
        for name, value in self.values.items():
            value.lerp_(self._weights[name].detach().to(value.dtype), share)

    @torch.no_grad()
    def load(self, values: Mapping[str, Tensor]) -> None:
        """Take over a saved average."""
        for name, value in self.values.items():
            value.copy_(own_part(values[name], value))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the module the average for the block, then its own weights back."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, value in self.values.items():
            weight = self._weights[name]
            kept = weight.detach().clone()
            weight.copy_(value)
            value.copy_(kept)
