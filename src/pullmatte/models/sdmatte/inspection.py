"""What a prompt does inside the network: where attention may look, and where it does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from pullmatte.errors import PullmatteError
from pullmatte.models.protocol import KnownOpacity, Plane, Prediction
from pullmatte.models.sdmatte.masked_self_attention import attention_bias, fit_bias
from pullmatte.models.sdmatte.model import Encoded, SDMatteModel
from pullmatte.prompts import Prompt

_QUERIES_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class CrossAttention:
    """What one cross-attention layer does, its heads averaged. All planes are of the image's size.

    Attributes:
        layer: Where in the network it stands.
        reads: "visual prompt" or "text".
        weight: Of each place of the picture: how much it attends to tokens that say something.
            Of a visual prompt those are the tokens where the prompt is; of a text all but the
            first, on which attention rests where nothing else draws it.
        received: Of each place of the prompt map: the share of all attention that its token
            gets, its largest one as 1; None where a text is read.
    """

    layer: str
    reads: str
    weight: Plane
    received: Plane | None


@dataclass(frozen=True, eq=False)
class Inspection:
    """What a prompt does, for one object.

    Attributes:
        prediction: The matte.
        prompt_map: `H W` in [0, 1], what the network is shown of the prompt.
        self_attention: Side of a layer in tokens → `H W` in [0, 1]: the weight that the bias
            leaves to each place if all looked alike, over the largest. Empty if nothing is masked.
        cross_attention: The mid block's layer, which reads the visual prompt, and the last one.
    """

    prediction: Prediction
    prompt_map: Plane
    self_attention: dict[int, Plane]
    cross_attention: tuple[CrossAttention, ...]


class _Recorder:
    """Cross-attention that lays its weights out, some queries at a time, and sums them up."""

    def __init__(self, telling: Tensor) -> None:
        """Take which tokens say something, `n` bool."""
        self._telling = telling
        self.weight = torch.zeros(0)
        self.received = torch.zeros(0)

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        query, key, value = (
            layer(x).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for layer, x in (
                (attn.to_q, hidden_states),
                (attn.to_k, encoder_hidden_states),
                (attn.to_v, encoder_hidden_states),
            )
        )
        mixed, told, received = [], [], torch.zeros(key.shape[-2])
        for part in query.split(_QUERIES_AT_ONCE, dim=-2):
            scores = part.float() @ key.float().transpose(-1, -2) * part.shape[-1] ** -0.5
            weights = scores.softmax(-1)
            mixed.append((weights @ value.float()).to(value.dtype))
            mean = weights[0].mean(0).cpu()
            told.append(mean[:, self._telling].sum(-1))
            received += mean.sum(0)
        self.weight, self.received = torch.cat(told), received
        projected: Tensor = attn.to_out[0](torch.cat(mixed, -2).transpose(1, 2).flatten(2))
        return projected


@torch.inference_mode()
def inspect(
    model: SDMatteModel, encoded: Encoded, prompt: Prompt, *, opacity: KnownOpacity = "opaque"
) -> Inspection:
    """Matte an object and look at what happens on the way.

    Args:
        model: SDMatte or LiteSDMatte.
        encoded: What its `encode` gave.
        prompt: What was said.
        opacity: What the object is.

    Raises:
        PromptError: If the prompt doesn't fit the image.

    Source: SDMatte, figures 2b and 3.
    """
    network, fit = model.network, encoded.fit
    shown = model.prompt_map(encoded, prompt)
    values = torch.from_numpy(shown.values)[None, None]
    switch = network.config.visual_prompt_cross_attention
    layers = network.unet.cross_attention_layers()
    mid = next(m for m in network.unet.mid_block.modules() if m in set(layers))
    looked_at = {
        "mid block": (mid, switch.mid),
        "last layer": (layers[-1], switch.up),
    }
    recorders = {
        name: _Recorder(_telling(values, sees_prompt=sees, text=network.text_embedding))
        for name, (_, sees) in looked_at.items()
    }
    layers_of = [(looked_at[name][0], recorder) for name, recorder in recorders.items()]
    with _recording(layers_of):
        prediction = model.predict(encoded, prompt, opacity=opacity)

    def restored(flat: Tensor) -> Plane:
        side = int(len(flat) ** 0.5)
        square: Plane = flat.reshape(side, side).float().numpy()
        size = (fit.size, fit.size)
        large = cv2.resize(square, size, interpolation=cv2.INTER_NEAREST_EXACT)
        return fit.restore(np.asarray(large, np.float32))

    bias = None
    if shown.masks_attention and any(network.config.masked_self_attention):
        bias = attention_bias(values, network.config.mask_penalty)
    cross = tuple(
        CrossAttention(
            layer=name,
            reads="visual prompt" if sees else "text",
            weight=restored(recorders[name].weight),
            received=restored(_unit(recorders[name].received)) if sees else None,
        )
        for name, (_, sees) in looked_at.items()
    )
    return Inspection(
        prediction,
        fit.restore(shown.values),
        {} if bias is None else _visible(bias, network.config.latent_px, restored),
        cross,
    )


def _telling(values: Tensor, *, sees_prompt: bool, text: Tensor) -> Tensor:
    """Mark the tokens that say something."""
    if not sees_prompt:
        return torch.arange(text.shape[1]) > 0
    places = nn.functional.interpolate(values, scale_factor=1 / 8, mode="nearest")
    return places.flatten() > 0.5


def _visible(bias: Tensor, latent_px: int, restored: Any) -> dict[int, Plane]:
    found = {}
    for side in (latent_px >> level for level in range(4)):
        layer = fit_bias(bias, side * side)[0, 0]
        largest = layer.max()
        weight = (layer - largest).exp() if largest.isfinite() else torch.ones_like(layer)
        found[side] = restored(weight)
    return found


def _unit(plane: Tensor) -> Tensor:
    return plane / plane.max().clamp(min=torch.finfo(torch.float32).tiny)


@contextmanager
def _recording(layers: list[tuple[Any, _Recorder]]) -> Iterator[None]:
    """Let layers record for a while."""
    before: list[Any] = [layer.processor for layer, _ in layers]
    for layer, recorder in layers:
        layer.set_processor(recorder)
    try:
        yield
    finally:
        for (layer, _), processor in zip(layers, before, strict=True):
            layer.set_processor(processor)


def require_inspectable(model: object) -> SDMatteModel:
    """Return the model if it can be looked into.

    Raises:
        PullmatteError: If it is another kind.
    """
    if not isinstance(model, SDMatteModel):
        raise PullmatteError("only sdmatte and litesdmatte can be looked into: choose one of them")
    return model
