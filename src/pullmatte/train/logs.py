"""A run's log: one JSON line at a time, and the same for TensorBoard, with pictures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pullmatte.errors import MissingDependency

LINES = "log.jsonl"


class Means:
    """Means of named numbers over the steps since the last line.

    A name counts in the steps in which it was seen alone: not each step has every loss.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Take a step's numbers in, without waiting for the device."""
        for name, value in terms.items():
            value = value.detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Return the means and begin anew."""
        found = {name: float(value) for name, value in self.tensors().items()}
        self._sums, self._counts = {}, {}
        return found

    def tensors(self) -> dict[str, Tensor]:
        """Return the means so far."""
        return {name: value / self._counts[name] for name, value in self._sums.items()}


class Logs:
    """Writes a run's numbers and pictures; what was written after `step` is dropped.

    Attributes:
        folder: The run's.
    """

    def __init__(self, folder: Path, step: int) -> None:
        """Open a run's log to go on after a step.

        Raises:
            MissingDependency: If tensorboard isn't installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingDependency(
                "training's log needs tensorboard: pip install 'pullmatte[train]'"
            ) from error
        self.folder = folder
        self._keep_until(step)
        self._board: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write numbers of a step."""
        with (self.folder / LINES).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **numbers}) + "\n")
        for name, value in numbers.items():
            self._board.add_scalar(name, value, step)

    def show(self, step: int, panels: Mapping[str, Tensor]) -> None:
        """Write pictures, `3 H W` or `1 H W` in [0, 1], and numbers, of a step."""
        numbers = {k: float(v) for k, v in panels.items() if v.ndim == 0}
        if numbers:
            self.write(step, numbers)
        for name, panel in panels.items():
            if panel.ndim == 3:
                self._board.add_image(name, panel.float().clamp(0, 1).cpu(), step)

    def close(self) -> None:
        """Write what is left."""
        self._board.close()

    def _keep_until(self, step: int) -> None:
        path = self.folder / LINES
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [each for each in lines if json.loads(each)["step"] <= step]
            path.write_text("".join(kept), encoding="utf-8")


def side_by_side(*pictures: Tensor) -> Tensor:
    """Put pictures `B C H W` in [0, 1], C 1 or 3, beside each other, one row for each of `B`.

    Returns:
        `3 BH nW`.
    """
    rows = torch.cat([each.detach().float().cpu().expand(-1, 3, -1, -1) for each in pictures], 3)
    return torch.cat(list(rows), dim=1)
