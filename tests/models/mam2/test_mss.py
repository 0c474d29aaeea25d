"""The second pass: what it looks at, on whom it is saved, and that it leaves memory alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from pullmatte.models.mam2.config import MINIATURE
from pullmatte.models.mam2.features import Features
from pullmatte.models.mam2.mss import decode_tracked
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.pdd import Decoded
from pullmatte.models.mam2.sam2 import without_memory


def frame_of(network: MAM2Network) -> tuple[Features, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    frame = network.encode(torch.rand(1, 3, 256, 256, generator=generator))
    noise = torch.randn(3, *frame.top.shape[1:], generator=generator)
    return frame, frame.top + noise


def tracked(network: MAM2Network, **options: Any) -> Decoded:
    frame, conditioned = frame_of(network)
    return decode_tracked(network, frame, conditioned, **options)


def expected_trimap(network: MAM2Network, top: torch.Tensor, frame: Features) -> torch.Tensor:
    first = network.decode(frame, frame_of(network)[1])
    found = network.decode(
        frame, top, mask_logits=first.mask_logits.clamp(-32, 32), choose="single"
    )
    assert found.trimap_logits is not None
    return found.trimap_logits


def test_trimap_is_decoded_by_the_mask_from_memory_free_features(network) -> None:
    frame, conditioned = frame_of(network)
    top = without_memory(network.sam2, frame.top).expand_as(conditioned)
    assert torch.allclose(tracked(network).trimap_logits, expected_trimap(network, top, frame))


def test_mcs_decodes_it_from_memory_conditioned_features(make_network) -> None:
    network = make_network(replace(MINIATURE, second_pass="mcs"))
    frame, conditioned = frame_of(network)
    expected = expected_trimap(network, conditioned, frame)
    assert torch.allclose(tracked(network).trimap_logits, expected)


def test_off_takes_the_first_passs_trimap(make_network) -> None:
    network = make_network(replace(MINIATURE, second_pass="off"))
    frame, conditioned = frame_of(network)
    expected = network.decode(frame, conditioned).trimap_logits
    assert torch.equal(tracked(network).trimap_logits, expected)


def test_mask_and_pointer_are_the_first_passs_whatever_follows(make_network) -> None:
    found = [tracked(make_network(replace(MINIATURE, second_pass=k))) for k in ("off", "mss")]
    for name in ("mask_logits", "token", "score"):
        assert torch.equal(*(getattr(each, name) for each in found))


def absent(network: MAM2Network, rows: list[int]) -> Decoded:
    """Decode with a score head that denies some objects."""
    scores = torch.ones(3, 1)
    scores[rows] = -1
    handle = network.decoder.pred_obj_score_head.register_forward_hook(
        lambda _, __, out: scores if len(out) == 3 else out
    )
    try:
        return tracked(network)
    finally:
        handle.remove()


@pytest.mark.parametrize("rows", [[1], [0, 1, 2]])
def test_absent_objects_are_background_and_the_others_as_before(make_network, rows) -> None:
    network = make_network()
    whole, found = tracked(network).trimap_logits, absent(network, rows).trimap_logits
    assert found[rows].argmax(1).eq(0).all()
    others = [at for at in range(3) if at not in rows]
    assert torch.allclose(found[others], whole[others], atol=1e-4)


def test_nothing_is_decoded_when_nobody_is_there(make_network, monkeypatch) -> None:
    network = make_network()
    calls = []
    decode = network.decode
    monkeypatch.setattr(network, "decode", lambda *a, **k: calls.append(k) or decode(*a, **k))
    absent(network, [0, 1, 2])
    assert len(calls) == 1


def test_clicks_are_shown_in_both_passes(network) -> None:
    points = torch.tensor([[[100.0, 80.0]]]).expand(3, -1, -1)
    labels = torch.ones(3, 1, dtype=torch.int32)
    clicked = tracked(network, points=points, labels=labels)
    assert not torch.equal(clicked.trimap_logits, tracked(network).trimap_logits)


def test_training_decodes_all(make_network) -> None:
    network = make_network().train()
    network.sam2.memory_attention.eval()
    found = absent(network, [1]).trimap_logits
    assert found[1].std() > 0
    assert not found[1].argmax(1).eq(0).all()
