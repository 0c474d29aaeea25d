"""The dual-mode decoder: its start, its switches, and what the mask tells the trimap."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from pullmatte.models.mam2.config import MINIATURE
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.pdd import Decoded, held
from pullmatte.models.mam2.sam2 import without_memory

POINTS = torch.tensor([[[100.0, 80.0]]])
LABELS = torch.tensor([[1]], dtype=torch.int32)


def decode(network: MAM2Network, **options: Any) -> Decoded:
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    frame = network.encode(image.to(network.dtype))
    top = without_memory(network.sam2, frame.top)
    options = {"points": POINTS, "labels": LABELS, **options}
    return network.decode(frame, top, **options)


def test_shapes_are_the_papers(network) -> None:
    found = decode(network)
    assert found.mask_logits.shape == (1, 1, 64, 64)
    assert found.candidates.shape == (1, 3, 64, 64)
    assert found.trimap_logits.shape == (1, 3, 64, 64)
    assert (found.token.shape, found.score.shape) == ((1, 128), (1, 1))
    assert set(found.trimap_logits.argmax(1).unique().tolist()) == {0, 1, 2}


def test_best_mask_is_the_one_of_highest_quality(network) -> None:
    found = decode(network)
    best = int(found.quality.argmax())
    assert torch.equal(found.mask_logits[:, 0], found.candidates[:, best])


def test_tokens_alone_give_the_same_mask_without_a_trimap(network) -> None:
    whole, tokens = decode(network), decode(network, branch="tokens")
    assert torch.equal(whole.mask_logits, tokens.mask_logits)
    assert tokens.trimap_logits is None
    assert not torch.equal(whole.mask_logits, decode(network, branch="off").mask_logits)


@pytest.mark.parametrize("choose", ["best", "stable", "single"])
def test_objects_together_are_as_each_alone(make_network, choose) -> None:
    network = make_network().double()  # random weights enlarge float32's rounding
    points = torch.tensor([[[100.0, 80.0]], [[30.0, 200.0]], [[220.0, 9.0]]])
    labels = torch.ones(3, 1, dtype=torch.int32)
    together = decode(network, points=points, labels=labels, choose=choose)
    for at in range(3):
        alone = decode(network, points=points[at, None], labels=labels[at, None], choose=choose)
        for name in ("mask_logits", "token", "score", "quality", "trimap_logits"):
            pair = getattr(together, name)[at], getattr(alone, name)[0]
            assert torch.allclose(*pair, atol=1e-9), name


def test_mask_moves_the_trimap_unless_parallel(make_network) -> None:
    for kind, moves in (("pdd", True), ("parallel", False)):
        network = make_network(replace(MINIATURE, trimap=kind))
        before = decode(network, choose="single").trimap_logits
        network.decoder.output_hypernetworks_mlps[0].proj_out.bias += 1
        after = decode(network, choose="single").trimap_logits
        assert bool((before != after).any()) is moves


def test_start_is_a_copy_of_the_mask_branch(make_network) -> None:
    network = make_network()
    network.start_trimap_branch()
    # In float64, as rounding depends on where in a product a token stands.
    found = decode(network.double(), choose="single").trimap_logits
    # Three equal tokens with equal weights; a fusion that changes nothing yet.
    assert torch.allclose(found[:, 0], found[:, 1], atol=1e-5)
    assert torch.allclose(found[:, 0], found[:, 2], atol=1e-5)
    branch, decoder = network.decoder.trimap_branch, network.decoder
    assert torch.equal(branch.upscaler.conv1.weight, decoder.upscale_conv1.weight)
    assert torch.allclose(branch.tokens.weight[1], decoder.mask_tokens.weight.mean(0))


@pytest.mark.parametrize("detach", [True, False])
def test_trimaps_loss_trains_the_masks_mlp_unless_detached(make_network, detach) -> None:
    network = make_network(replace(MINIATURE, detach_mask=detach)).requires_grad_(True)
    decode(network, choose="single").trimap_logits.square().mean().backward()
    gradient = network.decoder.output_hypernetworks_mlps[0].proj_out.weight.grad
    assert (gradient is None) is detach


@pytest.mark.parametrize(("layers", "residual"), [(1, False), (3, True)])
def test_fusion_has_the_configs_depth(make_network, layers, residual) -> None:
    network = make_network(
        replace(MINIATURE, fusion_layers=layers, fusion_width=8, fusion_residual=residual)
    )
    assert len(network.decoder.trimap_branch.fusion.convs) == layers
    assert decode(network).trimap_logits.std() > 0


def test_shown_masks_are_clamped(network) -> None:
    wild = torch.full((1, 1, 64, 64), -1024.0)
    wild[..., :30] = 500.0
    tame = wild.clamp(-32, 32)
    found = [decode(network, mask_logits=each).mask_logits for each in (wild, tame)]
    assert torch.equal(*found)


def test_absent_objects_are_held_far_below_zero() -> None:
    logits = torch.ones(2, 1, 3, 3)
    found = held(logits, torch.tensor([[True], [False]]))
    assert found[0].eq(1).all()
    assert found[1].eq(-1024).all()
