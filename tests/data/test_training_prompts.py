"""Prompts drawn while training."""

import numpy as np
import pytest

from pullmatte.data.training_prompts import (
    PromptMixture,
    draw_clicks,
    draw_prompt,
    jittered_box,
    rough_mask,
)

ONLY = {
    "box": 0.0,
    "box_and_points": 0.0,
    "points": 0.0,
    "mask": 0.0,
    "mask_and_points": 0.0,
    "box_by_points": 0.0,
}


def alpha() -> np.ndarray:
    plane = np.zeros((96, 96), np.float32)
    plane[20:60, 30:80] = 1
    return plane


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_box_without_jitter_is_tight() -> None:
    assert jittered_box(alpha(), rng(), 0.0).tolist() == [30, 20, 80, 60]


def test_jitter_stays_within_its_share() -> None:
    boxes = np.stack([jittered_box(alpha(), rng(seed), 0.1) for seed in range(50)])
    off = np.abs(boxes - [30, 20, 80, 60])
    assert 1 < off.max() <= 5 + 1e-4
    assert (off[:, 0] == 0).mean() > 0.2


def test_clicks_lie_where_their_labels_say() -> None:
    points, labels = draw_clicks(alpha(), rng(), 40, outside=0.5)
    inside = [alpha()[int(y), int(x)] > 0.5 for x, y in points]
    assert inside == [label == 1 for label in labels]
    assert labels[0] == 1
    assert 5 < (labels == 0).sum() < 35


def test_rough_masks_are_wrong_but_mean_the_object() -> None:
    truth = alpha()[::4, ::4] > 0.5
    overlaps = []
    for seed in range(40):
        mask = rough_mask(alpha(), rng(seed), 24) > 0.5
        overlaps.append((mask & truth).sum() / (mask | truth).sum())
    assert min(overlaps) > 0.2
    assert np.mean(overlaps) < 0.99


@pytest.mark.parametrize("kind", list(ONLY))
def test_each_kind_has_what_it_is_made_of(kind: str) -> None:
    prompt = draw_prompt(alpha(), rng(), PromptMixture(**{**ONLY, kind: 1.0}), mask_px=24)
    assert (prompt.mask is not None) == kind.startswith("mask")
    assert (2 in prompt.labels) == kind.startswith("box")
    assert bool(set(prompt.labels) & {0, 1}) == ("points" in kind)
    assert len(prompt.points) == len(prompt.labels)


def test_prompt_for_nothing_lies_in_the_picture() -> None:
    for seed in range(20):
        prompt = draw_prompt(np.zeros((96, 96), np.float32), rng(seed), PromptMixture(), mask_px=24)
        assert prompt.mask is None
        assert len(prompt.points)
        assert 0 <= prompt.points.min() <= prompt.points.max() <= 96
