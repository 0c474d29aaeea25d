"""Where a model runs, and in what precision."""

from pullmatte.errors import MissingDependency, PullmatteError
from pullmatte.models import ModelSpec


def choose_device(spec: ModelSpec, device: str) -> str:
    """Turn what a user asked for into a device that is here.

    Args:
        spec: The model's.
        device: ``"auto"`` for the first of the model's devices that is here; or one by name, such
            as ``"cpu"`` or ``"cuda:1"``.

    Raises:
        PullmatteError: If the model can't run there, or there is no such device here.
        MissingDependency: If the model needs torch, and it isn't installed.
    """
    kind, _, number = device.partition(":")
    if device != "auto" and (kind not in spec.devices or not (number or "0").isdigit()):
        known = " or ".join(("auto", *spec.devices))
        raise PullmatteError(f"model {spec.name!r} has no device {device!r}: give {known}")
    if spec.devices == ("cpu",):
        # Such models may do without torch, which takes seconds to load.
        return "cpu"
    here = _devices_here(spec)
    if device == "auto":
        return next(name for name in (*spec.devices, "cpu") if here.get(name, 0))
    if here.get(kind, 0) <= int(number or 0):
        there = ", ".join(name for name, count in here.items() if count)
        raise PullmatteError(f"device {device!r} isn't here, only {there}: give one, or auto")
    return device


def _devices_here(spec: ModelSpec) -> dict[str, int]:
    """Count the devices of each kind."""
    try:
        import torch
    except (ImportError, OSError) as error:
        raise MissingDependency(f"model {spec.name!r} needs torch: pip install torch") from error
    return {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }


def choose_dtype(spec: ModelSpec, dtype: str | None) -> str:
    """Turn what a user asked for into a precision; None takes the model's own.

    Raises:
        PullmatteError: If the model can't run in it.
    """
    if dtype is None:
        return spec.dtypes[0]
    if dtype not in spec.dtypes:
        raise PullmatteError(
            f"model {spec.name!r} has no dtype {dtype!r}: give {' or '.join(spec.dtypes)}"
        )
    return dtype
