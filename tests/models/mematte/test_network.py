"""MEMatte's parts: routing, tiles, and the network without routing."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pullmatte.errors import PullmatteError
from pullmatte.models.mematte.config import MEMatteConfig
from pullmatte.models.mematte.network import MEMatteNetwork, fill_up, run_softly
from pullmatte.models.mematte.router import Router
from pullmatte.train.losses import gradient_penalty
from pullmatte.train.matter_losses import teacher_losses

TINY = MEMatteConfig(width=32, heads=2, blocks=4, window=4, global_blocks=(1, 3), pretrained_px=64)


@pytest.fixture
def network() -> MEMatteNetwork:
    torch.manual_seed(0)
    return MEMatteNetwork(TINY).eval().requires_grad_(False)


def inputs(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, 3, rows, columns, generator=generator)
    return image, torch.randint(0, 3, (1, 1, rows, columns), generator=generator) / 2


@pytest.mark.parametrize("size", [(64, 96), (70, 33), (1, 200)])
def test_alpha_has_the_images_size(network: MEMatteNetwork, size: tuple[int, int]) -> None:
    alpha = network(*inputs(*size)).alpha
    assert alpha.shape == (1, 1, *size)
    assert 0 <= float(alpha.min()) <= float(alpha.max()) <= 1


def test_both_sides_are_filled_up_if_one_has_to_be() -> None:
    assert fill_up(torch.ones(1, 4, 64, 96)).shape == (1, 4, 64, 96)
    assert fill_up(torch.ones(1, 4, 60, 96)).shape == (1, 4, 64, 128)


@pytest.mark.parametrize("tile_px", [64, 96])
def test_tiles_give_the_whole_pictures_alpha(network: MEMatteNetwork, tile_px: int) -> None:
    image, trimap = inputs(200, 330)
    whole = network(image, trimap).alpha
    tiled = network(image, trimap, tile_px=tile_px).alpha
    assert float((whole - tiled).abs().max()) < 1e-5


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_cap_keeps_the_tokens_that_lead_most(most: int) -> None:
    torch.manual_seed(0)
    router = Router(32).eval().requires_grad_(False)
    route = router(torch.randn(1, 8, 9, 32), most)
    lead = (route.scores[..., 0] - route.scores[..., 1]).flatten()
    count = min(most, int((lead > 0).sum()))
    expected = set(lead.topk(count).indices.tolist())
    assert set(route.kept.flatten().nonzero().flatten().tolist()) == expected


def test_keeping_all_tokens_is_plain_attention(network: MEMatteNetwork) -> None:
    block = network.backbone.blocks[1]
    tokens = torch.randn(2, 5, 6, 32, generator=torch.Generator().manual_seed(2))
    plain = block(tokens)
    assert torch.allclose(block(tokens, torch.ones(2, 5, 6, dtype=torch.bool)), plain, atol=1e-5)
    assert torch.allclose(block.softly(tokens, torch.ones(2, 30, 1)), plain, atol=1e-5)


def test_without_routing_there_is_no_router() -> None:
    network = MEMatteNetwork(replace(TINY, routed=False)).eval()
    names = network.state_dict()
    assert not [name for name in names if "routers" in name or "efficient_block" in name]
    assert network(*inputs(64, 64)).routes == []


def test_policy_gets_a_gradient(network: MEMatteNetwork) -> None:
    policy = torch.full((1, 30, 1), 0.5, requires_grad=True)
    tokens = torch.randn(1, 5, 6, 32, generator=torch.Generator().manual_seed(2))
    network.backbone.blocks[1].softly(tokens, policy).square().sum().backward()
    assert policy.grad is not None
    assert policy.grad.abs().min() > 0


def test_samples_are_hard_seeded_and_as_likely_as_their_scores() -> None:
    torch.manual_seed(0)
    router = Router(32).eval().requires_grad_(False)
    tokens = torch.randn(1, 60, 60, 32, generator=torch.Generator().manual_seed(2))
    drawn = [router.sample(tokens, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert drawn[0].shape == (1, 3600, 1)
    assert torch.allclose(drawn[0], drawn[0].round(), atol=1e-6)
    expected = router.scores(tokens)[..., 0].exp().mean()
    assert abs(float(drawn[0].mean() - expected)) < 0.03


def test_training_reaches_routers_and_both_ways() -> None:
    torch.manual_seed(0)
    network = MEMatteNetwork(TINY).train()
    generator = torch.Generator().manual_seed(0)
    alpha, features, policies = run_softly(network, *inputs(70, 60), generator)
    assert alpha.shape == (1, 1, 70, 60)
    assert [policy.shape for policy in policies] == [(1, 24, 1)] * 2
    losses = teacher_losses(features, torch.zeros_like(features), policies)
    (alpha.mean() + losses["total"]).backward()
    named = dict(network.named_parameters())
    for name in ("routers.0.in_conv.1.weight", "blocks.1.efficient_block.fc1.weight"):
        gradient = named[f"backbone.{name}"].grad
        assert gradient is not None
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0


def test_strips_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = MEMatteNetwork(replace(TINY, routed=False)).eval().requires_grad_(False)
    for name, values in network.named_parameters():
        if "rel_pos" in name:
            values.normal_()
    whole = network(*inputs(96, 128)).features
    monkeypatch.setattr("pullmatte.models.mematte.backbone._MOST_QUERIES", 20)
    strips = network(*inputs(96, 128)).features
    assert float((strips - whole).abs().max()) < 1e-5


def test_gradient_penalty_of_an_empty_region_is_zero() -> None:
    plane = torch.rand(1, 1, 8, 8)
    assert float(gradient_penalty(plane, plane * 0, torch.zeros(1, 1, 8, 8))) == 0


@pytest.mark.parametrize(
    "changed", [{"heads": 5}, {"global_blocks": (9,)}, {"most_tokens": 0}], ids=str
)
def test_impossible_sizes_are_refused(changed: dict[str, object]) -> None:
    with pytest.raises(PullmatteError):
        replace(TINY, **changed)  # type: ignore[arg-type]
