"""The models: one folder each, one explicit table of them all."""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from pullmatte.errors import UnknownModel
from pullmatte.models.protocol import Model


@dataclass(frozen=True)
class ModelSpec:
    """What is known of a model before it is loaded.

    Attributes:
        name: As given to `load` and ``--model``.
        summary: One line on what it does.
        builder: ``module:function``; called with the options, returns the model.
        licence: SPDX name of the weights' licence, or of the algorithm's code without weights.
        commercial_use: Whether that licence allows use in paid work.
        prompts: Kinds of prompt that it takes.
        video: Whether it tracks through a clip.
        opacity: Whether it makes a difference between opaque and transparent objects.
        devices: Where it can run, the preferred first.
        dtypes: Precisions it can run in, its own first.
        files: Weight files with their sha256; empty when there are no weights.
        size_bytes: What the weight files weigh together.
        defaults: Options the builder gets unless others are given.
    """

    name: str
    summary: str
    builder: str
    licence: str
    commercial_use: bool
    prompts: tuple[str, ...] = ("point", "box", "mask", "trimap")
    video: bool = True
    opacity: bool = False
    devices: tuple[str, ...] = ("cpu",)
    dtypes: tuple[str, ...] = ("float32",)
    files: dict[str, str] = field(default_factory=dict)
    size_bytes: int = 0
    defaults: dict[str, Any] = field(default_factory=dict)

    def build(self, **options: Any) -> Model:
        """Make the model; heavy imports happen here."""
        module, _, function = self.builder.partition(":")
        model: Model = getattr(import_module(module), function)(**{**self.defaults, **options})
        return model


MODELS: dict[str, ModelSpec] = {
    "classical": ModelSpec(
        name="classical",
        summary="GrabCut, adaptive trimap, closed-form matting; optical flow for video",
        builder="pullmatte.models.classical.model:build",
        licence="Apache-2.0",
        commercial_use=True,
    ),
}
DEFAULT_MODEL = "classical"


def find_spec(name: str) -> ModelSpec:
    """Look a model up by name.

    Raises:
        UnknownModel: If there is none of that name; the message lists those there are.
    """
    try:
        return MODELS[name]
    except KeyError:
        raise UnknownModel(f"unknown model {name!r}: known are {', '.join(MODELS)}") from None
