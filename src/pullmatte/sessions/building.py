"""From a model's name and settings to the model itself."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from pullmatte.errors import MissingDependency, PullmatteError
from pullmatte.models import ModelSpec
from pullmatte.models.protocol import Model

_OURS = frozenset({"weights", "device", "dtype", "matter"})
"""Arguments of a builder that are no settings of the model."""


def find_model(name: str) -> tuple[ModelSpec, Path | None]:
    """Find a model and its weights by name or path, without loading either.

    Raises:
        UnknownModel: If it is neither.
        WeightsError: If the weights aren't here; the message names the command that gets them.
    """
    from pullmatte.models.weights import resolve

    return resolve(name)


def build_model(
    spec: ModelSpec,
    weights: Path | None,
    device: str,
    dtype: str | None,
    options: Mapping[str, Any],
    matter: Any = None,
) -> Model:
    """Make a model; it hears of weights, device and precision where it has a choice of them.

    Args:
        spec: The model's.
        weights: Folder or file of its weights, if it has any.
        device: Where it shall run.
        dtype: In what precision; None for that of the weights.
        options: Its settings, by name.
        matter: What mattes its trimaps, for a model that makes some and has none with it.

    Raises:
        PullmatteError: If it has no such setting, or can't run so.
        MissingDependency: If it needs a package that isn't installed.
    """
    open_ended = _check_options(spec, options)
    given: dict[str, Any] = {}
    if weights is not None:
        given["weights"] = weights
    if matter is not None:
        given["matter"] = matter
    if len(spec.devices) > 1:
        given["device"] = device
    if len(spec.dtypes) > 1 and dtype is not None:
        given["dtype"] = dtype
    try:
        return spec.build(**given, **options)
    except TypeError as error:
        if not open_ended:
            raise
        raise PullmatteError(f"model {spec.name!r}: {error}") from error


def _check_options(spec: ModelSpec, options: Mapping[str, Any]) -> bool:
    """Refuse settings that the builder doesn't name; return whether it checks them itself."""
    module, _, function = spec.builder.partition(":")
    try:
        builder = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("pullmatte"):
            raise
        raise MissingDependency(
            f"model {spec.name!r} needs {error.name}: pip install 'pullmatte[models]'"
        ) from error
    parameters = inspect.signature(builder).parameters
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return True
    known = [name for name in parameters if name not in _OURS]
    unknown = sorted(set(options) - set(known))
    if unknown:
        has = f"it has {', '.join(known)}" if known else "it has none; leave it out"
        raise PullmatteError(f"model {spec.name!r} has no setting {unknown[0]!r}: {has}")
    return False
