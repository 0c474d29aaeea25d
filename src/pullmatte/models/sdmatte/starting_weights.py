"""From Stable Diffusion 2's weights to those that training of SDMatte starts with."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pullmatte.models.sdmatte.network import SDMatteNetwork
from pullmatte.models.weights import load_strictly

_TIME = "time_embedding."


def start_from_stable_diffusion(
    network: SDMatteNetwork,
    unet: Mapping[str, Tensor],
    vae: Mapping[str, Tensor],
    text_embedding: Tensor,
    generator: torch.Generator,
) -> None:
    """Give a network the weights that training starts with.

    The first convolution reads two latents with its weights halved, the visual prompt's starts as
    `visual_prompt_start` says, and opacity takes the time embedding's MLP. Coordinates start with
    a random first layer and a zero second one: the released code zeroes both, and then no
    gradient but the last bias's can ever leave zero.

    Args:
        network: Its weights are replaced.
        unet: Stable Diffusion 2's U-Net, or BK-SDM's, by diffusers' names.
        vae: The autoencoder, by diffusers' names.
        text_embedding: `1 77 context_width`, the text encoder's answer to "".
        generator: Makes the random layers.

    Raises:
        WeightsError: If a tensor is missing, unexpected or of another shape.

    Source: SDMatte, sections 3.1 to 3.3, and its released preparation of weights.
    """
    given = {f"unet.{k}": v for k, v in unet.items() if not k.startswith(_TIME)}
    first, bias = unet["conv_in.weight"], unet["conv_in.bias"]
    given["unet.conv_in.weight"] = torch.cat([first, first], dim=1) / 2
    given |= {f"codec.vae.{name}": tensor for name, tensor in vae.items()}
    given["text_embedding"] = text_embedding
    if network.opacity_embedding is not None:
        given |= _opacity(network.opacity_embedding, unet)
    if network.coordinate_embedding is not None:
        given |= _coordinates(network.coordinate_embedding, generator)
    if network.visual_prompt is not None:
        parts = network.visual_prompt.projection.state_dict()
        weight, shift = torch.zeros(parts["weight"].shape), torch.zeros(parts["bias"].shape)
        if network.config.visual_prompt_start == "copied":
            weight[: len(first)], shift[: len(bias)] = first, bias
        given |= {
            "visual_prompt.projection.weight": weight,
            "visual_prompt.projection.bias": shift,
        }
    copies = {name: tensor.detach().clone() for name, tensor in given.items()}
    load_strictly(network, copies, "Stable Diffusion's weights")


def _opacity(embedding: nn.Module, unet: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        f"opacity_embedding.mlp.{name}": unet[f"{_TIME}{name}"]
        for name in (key.removeprefix("mlp.") for key in embedding.state_dict())
    }


def _coordinates(embedding: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    made = {}
    for name, tensor in embedding.state_dict().items():
        value = torch.zeros(tensor.shape)
        if name.endswith("linear_1.weight"):
            bound = tensor.shape[1] ** -0.5
            value.uniform_(-bound, bound, generator=generator)
        made[f"coordinate_embedding.{name}"] = value
    return made
