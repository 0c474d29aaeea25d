"""SAM 2's mask losses, by hand where that can be done."""

import math

import pytest
import torch

from pullmatte.errors import PullmatteError
from pullmatte.train.mask_losses import dice_loss, focal_loss, mask_losses, overlap

TRUTH = torch.zeros(1, 1, 4, 4)
TRUTH[..., :2] = 1
SURE = (TRUTH * 2 - 1) * 30


def test_a_perfect_answer_costs_nothing() -> None:
    losses = mask_losses(SURE, torch.ones(1, 1), torch.full((1, 1), 30.0), TRUTH)
    assert all(float(value) < 1e-6 for value in losses.values())


def test_unsure_pixels_cost_what_the_formula_says() -> None:
    none = torch.zeros(1, 1, 4, 4)
    expected = (0.25 + 0.75) / 2 * 0.25 * math.log(2)
    assert float(focal_loss(none, TRUTH)) == pytest.approx(expected)
    assert float(dice_loss(none, TRUTH)) == pytest.approx(1 - (2 * 4 + 1) / (8 + 8 + 1))


def test_the_best_candidate_alone_is_made_better() -> None:
    candidates = torch.cat([SURE * 0.1, -SURE], dim=1).requires_grad_(True)
    mask_losses(candidates, torch.zeros(1, 2), torch.zeros(1, 1), TRUTH)["total"].backward()
    assert candidates.grad[0, 0].abs().sum() > 0
    assert candidates.grad[0, 1].abs().sum() == 0


def test_of_all_candidates_the_expected_quality_counts() -> None:
    candidates = torch.cat([SURE, -SURE], dim=1)
    losses = mask_losses(candidates, torch.tensor([[0.75, 0.5]]), torch.zeros(1, 1), TRUTH)
    assert float(losses["quality"]) == pytest.approx((0.25 + 0.5) / 2)
    assert overlap(candidates, TRUTH).tolist() == [[1, 0]]


def test_of_an_absent_object_its_absence_alone_counts() -> None:
    losses = mask_losses(SURE, torch.ones(1, 1), torch.zeros(1, 1), torch.zeros(1, 1, 4, 4))
    assert [float(losses[name]) for name in ("focal", "dice", "quality")] == [0, 0, 0]
    assert float(losses["total"]) == pytest.approx(math.log(2))


def test_terms_weigh_20_1_1_1() -> None:
    noise = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    losses = mask_losses(noise, torch.zeros(2, 3), torch.zeros(2, 1), TRUTH.expand(2, -1, -1, -1))
    parts = [float(losses[name]) for name in ("focal", "dice", "quality", "presence")]
    assert float(losses["total"]) == pytest.approx(20 * parts[0] + sum(parts[1:]))


def test_shapes_that_dont_pair_are_refused() -> None:
    with pytest.raises(PullmatteError, match="give K M h w"):
        mask_losses(SURE, torch.ones(1, 1), torch.zeros(1, 1), TRUTH[..., :2])
