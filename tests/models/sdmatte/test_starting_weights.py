"""Training starts from Stable Diffusion, with every part able to learn."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from pullmatte.errors import WeightsError
from pullmatte.models.sdmatte.config import SDMatteConfig
from pullmatte.models.sdmatte.network import PromptBatch, SDMatteNetwork
from pullmatte.models.sdmatte.prompt_maps import box_map
from pullmatte.models.sdmatte.starting_weights import start_from_stable_diffusion

Make = Callable[..., SDMatteNetwork]


@pytest.fixture
def unet(tiny: SDMatteConfig) -> UNet2DConditionModel:
    torch.manual_seed(1)
    return UNet2DConditionModel(
        in_channels=4,
        out_channels=4,
        block_out_channels=tiny.unet.channels,
        attention_head_dim=tiny.unet.heads,
        cross_attention_dim=tiny.unet.context_width,
        norm_num_groups=tiny.unet.norm_groups,
        use_linear_projection=True,
    )


def start(network: SDMatteNetwork, unet: UNet2DConditionModel, **changed: Any) -> SDMatteNetwork:
    vae = network.codec.vae.state_dict()
    weights = unet.state_dict() | changed
    text = torch.ones_like(network.text_embedding)
    start_from_stable_diffusion(network, weights, vae, text, torch.Generator().manual_seed(0))
    return network


def test_first_convolution_sees_both_latents_at_half(
    build: Make, unet: UNet2DConditionModel
) -> None:
    network = start(build(), unet)
    latent = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    both = network.unet.conv_in(torch.cat([latent, latent], 1))
    assert torch.allclose(both, unet.conv_in(latent), atol=1e-5)
    assert torch.equal(
        network.opacity_embedding.mlp.linear_1.weight,  # type: ignore[union-attr]
        unet.time_embedding.linear_1.weight,
    )


@pytest.mark.parametrize("how", ["copied", "zero"])
def test_visual_prompt_starts_as_configured(
    build: Make, tiny: SDMatteConfig, unet: UNet2DConditionModel, how: Any
) -> None:
    network = start(build(replace(tiny, visual_prompt_start=how)), unet)
    assert network.visual_prompt is not None
    weight = network.visual_prompt.projection.weight
    expected = unet.conv_in.weight if how == "copied" else torch.zeros_like(weight[:32])
    assert torch.equal(weight[:32], expected)
    assert not weight[32:].any()


def test_coordinates_can_learn(
    build: Make, unet: UNet2DConditionModel, batch: Callable[..., PromptBatch]
) -> None:
    network = start(build(), unet).requires_grad_(True)
    optimiser = torch.optim.AdamW(network.coordinate_embedding.parameters(), 1e-2)  # type: ignore[union-attr]
    prompts = batch(box_map((128, 128), (20, 30, 90, 100)))
    for _ in range(2):
        network.zero_grad()
        network.condition(prompts).square().sum().backward()
        optimiser.step()
    box = network.coordinate_embedding.box  # type: ignore[union-attr]
    assert box.linear_1.weight.grad.abs().sum() > 0
    assert box.linear_2.weight.abs().sum() > 0


def test_incomplete_weights_are_refused(build: Make, unet: UNet2DConditionModel) -> None:
    weights = {k: v for k, v in unet.state_dict().items() if k != "conv_out.bias"}
    network = build()
    with pytest.raises(WeightsError, match=r"1 missing \(unet.conv_out.bias\)"):
        start_from_stable_diffusion(
            network,
            weights,
            network.codec.vae.state_dict(),
            network.text_embedding,
            torch.Generator(),
        )
