"""FSDP 2: weights, gradients and the optimiser's memory spread over processes, and gathered again.

What is saved is whole, so a run may go on with another number of processes, or with one.

Only layers that each process runs equally often may be spread for themselves: blocks of a trunk or
of a U-Net, but nothing that a prompt may need or not. Weights without a part in a step get a
gradient of 0 here, where elsewhere they get none: they decay, and what the optimiser remembers of
them fades.
"""

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

_WRAPPED = "FSDP_TRANSFORMER_CLS_TO_WRAP"
_ASKED = "ACCELERATE_USE_FSDP"


def is_asked() -> bool:
    """Whether ``accelerate launch`` was told to spread weights, by a config as `fsdp.yaml`."""
    return os.environ.get(_ASKED, "").lower() in ("1", "true", "yes")


def shard(stepper: nn.Module) -> nn.Module:
    """Spread a module over all processes: layers of the classes asked for, and what is left.

    Args:
        stepper: On its device. Its weights become `DTensor`.
    """
    from torch.distributed.fsdp import fully_shard

    classes = {name.strip() for name in os.environ.get(_WRAPPED, "").split(",")}
    for layer in list(stepper.modules()):
        if type(layer).__name__ in classes:
            fully_shard(layer)
    fully_shard(stepper)
    stepper.touches_all = True  # type: ignore[assignment]
    return stepper


def synchronise(stepper: nn.Module, *, last: bool) -> None:
    """Exchange gradients in the step's last part alone."""
    stepper.set_requires_gradient_sync(last)  # type: ignore[operator]


def whole(value: Any) -> Any:
    """Gather what is spread, in dicts and lists too; all processes must ask."""
    if isinstance(value, DTensor):
        return value.full_tensor()
    if isinstance(value, Mapping):
        return {name: whole(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(whole(part) for part in value)
    return value


def own_part(value: Tensor, like: Tensor) -> Tensor:
    """Return a process's part of a whole tensor, if `like` is spread; else the tensor."""
    if not isinstance(like, DTensor):
        return value
    placed = value.to(like.device)
    found: Tensor = distribute_tensor(placed, like.device_mesh, like.placements)
    return found


@torch.no_grad()
def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put whole tensors into a network that may be spread."""
    own = network.state_dict()
    for name, value in weights.items():
        own[name].copy_(own_part(value, own[name]))


def load_optimiser(optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Give an optimiser a whole state; it takes its parts of it."""
    known = [value for group in optimiser.param_groups for value in group["params"]]
    parts = {
        at: {
            name: own_part(value, known[at])
            if isinstance(value, Tensor) and value.shape == known[at].shape and value.ndim
            else value
            for name, value in each.items()
        }
        for at, each in state["state"].items()
    }
    optimiser.load_state_dict({**state, "state": parts})


def length_of(norm: Tensor) -> Tensor:
    """Return a gradient's length as a plain scalar."""
    found: Tensor = whole(norm)
    return found
