"""One step: every part counts, and every switch of the config does what it says."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pullmatte.models.sdmatte.config import BlockSwitch, SDMatteConfig
from pullmatte.models.sdmatte.network import PromptBatch, SDMatteNetwork
from pullmatte.models.sdmatte.prompt_maps import auto_map, box_map, points_map

BOX = box_map((128, 128), (20, 30, 90, 100))
OTHER = box_map((128, 128), (60, 10, 120, 120))
POINTS = points_map((128, 128), [(30, 40), (70, 80)], 4.375)

Make = Callable[..., SDMatteNetwork]
Batch = Callable[..., PromptBatch]


@torch.inference_mode()
def alpha_of(network: SDMatteNetwork, image: Tensor, prompts: PromptBatch) -> Tensor:
    return network(network.encode_image(image), prompts).alpha


def test_alpha_is_in_range_and_not_flat(
    network: SDMatteNetwork, image: Tensor, batch: Batch
) -> None:
    alpha = alpha_of(network, image, batch(BOX))
    assert alpha.shape == (1, 1, 128, 128)
    assert alpha.dtype == torch.float32
    assert float(alpha.min()) >= 0
    assert float(alpha.max()) <= 1
    assert float(alpha.std()) > 0.01


def test_same_input_gives_the_same_bits(
    network: SDMatteNetwork, image: Tensor, batch: Batch
) -> None:
    first, second = (alpha_of(network, image, batch(BOX)) for _ in range(2))
    assert torch.equal(first, second)


def test_prompt_and_opacity_change_the_answer(
    network: SDMatteNetwork, image: Tensor, batch: Batch
) -> None:
    alpha = alpha_of(network, image, batch(BOX))
    for prompts in (batch(OTHER), batch(POINTS), batch(BOX, transparent=True)):
        assert float((alpha_of(network, image, prompts) - alpha).abs().max()) > 1e-3


def test_batch_of_kinds_equals_one_by_one(
    network: SDMatteNetwork, image: Tensor, batch: Batch
) -> None:
    maps = (BOX, POINTS, auto_map((128, 128)), OTHER)
    together = alpha_of(network, image, batch(*maps))
    apart = torch.cat([alpha_of(network, image, batch(each)) for each in maps])
    assert float((together - apart).abs().max()) < 1e-5


def test_known_prompt_latent_isnt_computed_again(
    network: SDMatteNetwork, image: Tensor, batch: Batch
) -> None:
    prompts = batch(BOX)
    with torch.inference_mode():
        latent, known = network.encode_image(image), network.encode_prompts(prompts.maps)
        given = network(latent, prompts, prompt_latent=known)
    assert torch.equal(given.alpha, alpha_of(network, image, prompts))


@pytest.mark.parametrize(
    "changed",
    [
        {"visual_prompt_cross_attention": BlockSwitch(down=True, mid=True, up=True)},
        {"visual_prompt_cross_attention": BlockSwitch(down=False, mid=False, up=True)},
        {"masked_self_attention": BlockSwitch(down=False, mid=False, up=False)},
        {"masked_self_attention": BlockSwitch(down=True, mid=False, up=False)},
        {"mask_penalty": 1.0},
    ],
    ids=str,
)
def test_switches_work_on_the_same_weights(
    network: SDMatteNetwork,
    build: Make,
    tiny: SDMatteConfig,
    image: Tensor,
    batch: Batch,
    changed: dict[str, object],
) -> None:
    other = build(replace(tiny, **changed))  # type: ignore[arg-type]
    other.load_state_dict(network.state_dict())
    difference = alpha_of(other, image, batch(BOX)) - alpha_of(network, image, batch(BOX))
    assert float(difference.abs().max()) > 1e-3


@pytest.mark.parametrize("part", ["coordinate_embedding", "opacity_embedding"])
def test_ablated_embedding_has_no_weights_and_no_say(
    build: Make, tiny: SDMatteConfig, image: Tensor, batch: Batch, part: str
) -> None:
    network = build(replace(tiny, **{part: False}))  # type: ignore[arg-type]
    assert not [name for name in network.state_dict() if name.startswith(part)]
    condition = network.condition(batch(BOX))
    if part == "opacity_embedding":
        assert torch.equal(condition, network.condition(batch(BOX, transparent=True)))
    else:
        assert torch.equal(condition, network.condition(batch(OTHER)))


def test_without_visual_prompt_all_blocks_read_the_text(
    build: Make, tiny: SDMatteConfig, image: Tensor, batch: Batch
) -> None:
    none = BlockSwitch(down=False, mid=False, up=False)
    network = build(replace(tiny, visual_prompt_cross_attention=none))
    assert network.visual_prompt is None
    assert torch.isfinite(alpha_of(network, image, batch(BOX))).all()


def test_paper_variant_has_linear_embeddings(build: Make, tiny: SDMatteConfig) -> None:
    network = build(replace(tiny, embedding_layers="linear"))
    names = [name for name in network.state_dict() if "_embedding." in name and "unet" not in name]
    assert names
    assert not [name for name in names if "linear_2" in name]


def test_caption_reaches_down_and_up_blocks(
    network: SDMatteNetwork, image: Tensor, batch: Batch
) -> None:
    text = torch.randn(1, 77, 64, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        told = network(network.encode_image(image), batch(BOX), text=text).alpha
    assert float((told - alpha_of(network, image, batch(BOX))).abs().max()) > 1e-3


def test_lite_shows_the_encoder_the_upper_half(
    build: Make, tiny_lite: SDMatteConfig, image: Tensor
) -> None:
    codec = build(tiny_lite).codec
    seen: list[Tensor] = []
    handle = codec.vae.encoder.layers[0].register_forward_pre_hook(
        lambda _, given: seen.append(given[0])
    )
    with torch.inference_mode():
        codec.encode(image)
    handle.remove()
    assert torch.allclose(seen[0], (image + 1) / 2, atol=1e-6)


def test_gradients_reach_every_weight_of_the_unet(
    build: Make, tiny: SDMatteConfig, image: Tensor, batch: Batch
) -> None:
    network = build(tiny).requires_grad_(True)
    output = network(network.encode_image(image), batch(BOX, POINTS))
    output.alpha.square().mean().backward()
    silent = [
        name
        for name, parameter in network.named_parameters()
        if not name.startswith("codec.") and (parameter.grad is None or not parameter.grad.any())
    ]
    assert silent == []
