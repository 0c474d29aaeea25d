"""Checkpoints: a folder for each, which appears whole by a rename.

::

    RUN/settings.json                  what the run was told, and by which recipe
    RUN/checkpoints/step-00001000/
        state.json                     the step, from which every generator and item follows
        weights.safetensors            weights that are trained, and buffers
        average.safetensors            their moving average, if there is one
        optimiser.pt                   what the optimiser remembers
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pullmatte.errors import PullmatteError, WriteError
from pullmatte.train.settings import FREE_ON_RESUME, LoopSettings

SETTINGS = "settings.json"
FOLDER = "checkpoints"
_STATE, _WEIGHTS, _AVERAGE, _OPTIMISER = (
    "state.json",
    "weights.safetensors",
    "average.safetensors",
    "optimiser.pt",
)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Where a run stands.

    Attributes:
        step: Steps that are done.
        weights: By name: those that are trained, and buffers.
        average: Their moving average, by name; empty without one.
        optimiser: What the optimiser's `state_dict` gave.
    """

    step: int
    weights: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    optimiser: Mapping[str, Any]


def save_checkpoint(run: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint, then remove old ones.

    Args:
        run: The run's folder.
        checkpoint: What to write.
        keep: How many stay, this one included.

    Returns:
        The checkpoint's folder.

    Raises:
        WriteError: If it can't be written; the older ones are as they were.
    """
    from safetensors.torch import save_file

    final = run / FOLDER / f"step-{checkpoint.step:08d}"
    partial = final.with_name(f".{final.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, tensors in ((_WEIGHTS, checkpoint.weights), (_AVERAGE, checkpoint.average)):
            if tensors:
                save_file(
                    {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, partial / name
                )
        torch.save(dict(checkpoint.optimiser), partial / _OPTIMISER)
        write_json(partial / _STATE, {"step": checkpoint.step})
        for path in partial.iterdir():
            _sync(path)
        # One of the same step is left from a run that was stopped between rename and return.
        shutil.rmtree(final, ignore_errors=True)
        os.rename(partial, final)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        reason = error.strerror or str(error)
        raise WriteError(
            f"can't write checkpoint {final}: {reason}; free space, then resume"
        ) from error
    for old in list_checkpoints(run)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def list_checkpoints(run: Path) -> list[Path]:
    """Return the folders of a run's whole checkpoints, the newest last."""
    found = (run / FOLDER).glob("step-*")
    return sorted(path for path in found if (path / _STATE).is_file())


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    Args:
        folder: One of `list_checkpoints`.

    Raises:
        PullmatteError: If it can't be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        step = json.loads((folder / _STATE).read_text(encoding="utf-8"))["step"]
        average = folder / _AVERAGE
        return Checkpoint(
            step=int(step),
            weights=load_file(folder / _WEIGHTS),
            average=load_file(average) if average.is_file() else {},
            optimiser=torch.load(folder / _OPTIMISER, map_location="cpu", weights_only=True),
        )
    except (OSError, SafetensorError, ValueError, LookupError, RuntimeError) as error:
        said = " ".join(str(error).split())[:160]
        raise PullmatteError(
            f"{folder}: can't be read: {said}; remove it to go on from the one before"
        ) from error


def claim_folder(run: Path, recipe: str, settings: LoopSettings, *, resume: bool) -> Path | None:
    """Make a run's folder, or find what to go on with.

    Args:
        run: The folder.
        recipe: The recipe's name.
        settings: What the run is told.
        resume: Whether to go on with what is there.

    Returns:
        The newest checkpoint; None to begin.

    Raises:
        PullmatteError: If the folder holds a run and `resume` is false, or if it was told
            something else.
        WriteError: If it can't be made.
    """
    told = {"recipe": recipe, "settings": settings.to_dict()}
    path = run / SETTINGS
    if path.is_file():
        if not resume:
            raise PullmatteError(
                f"{run}: holds a run already; give --resume to go on, or another folder"
            )
        _require_same(run, json.loads(path.read_text(encoding="utf-8")), told)
    try:
        (run / FOLDER).mkdir(parents=True, exist_ok=True)
        write_json(path, told)
    except OSError as error:
        raise WriteError(f"can't write {run}: {error.strerror}; choose another folder") from error
    found = list_checkpoints(run)
    return found[-1] if found else None


def write_json(path: Path, record: Any) -> None:
    """Write a JSON file by a rename."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)


def _require_same(run: Path, known: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    if known.get("recipe") != told["recipe"]:
        raise PullmatteError(
            f"{run}: holds a run of {known.get('recipe')!r}, not {told['recipe']!r}; give another "
            "folder"
        )
    before = known.get("settings", {})
    for name, value in told["settings"].items():
        if name not in FREE_ON_RESUME and before.get(name) != value:
            raise PullmatteError(
                f"{run}: was begun with {name} {before.get(name)!r}, not {value!r}; give the same "
                "to go on, or another folder"
            )


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
