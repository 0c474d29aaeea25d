"""Losses of the second stage, the trimap and the teacher, by hand."""

import math

import pytest
import torch

from pullmatte.errors import PullmatteError
from pullmatte.train.losses import gradient_penalty, laplacian_loss, matting_losses
from pullmatte.train.matter_losses import alpha_losses, teacher_losses, trimap_loss


def planes():
    generator = torch.Generator().manual_seed(0)
    alpha, truth = (torch.rand(2, 1, 64, 64, generator=generator) for _ in range(2))
    trimap = torch.randint(0, 3, (2, 1, 64, 64), generator=generator) / 2
    return alpha, truth, trimap


def test_alpha_loss_is_the_sum_of_its_terms():
    alpha, truth, trimap = planes()
    losses = alpha_losses(alpha, truth, trimap, size_px=64)
    total = losses.pop("total")
    separate = matting_losses(alpha, truth, trimap, size_px=64)
    unknown = (trimap == 0.5).float()
    assert losses["unknown_l1"] == separate["unknown_l1"]
    assert losses["known_l1"] == separate["known_l1"]
    assert losses["laplacian"] == laplacian_loss(alpha, truth)
    assert losses["gradient"] == gradient_penalty(alpha, truth, unknown, size_px=64)
    assert float(losses["l2"]) == pytest.approx(float((alpha - truth).square().mean()))
    assert float(total) == pytest.approx(sum(map(float, losses.values())), rel=1e-6)


def test_squares_by_hand():
    alpha, truth = torch.full((1, 1, 64, 64), 0.75), torch.full((1, 1, 64, 64), 0.25)
    losses = alpha_losses(alpha, truth, torch.full_like(alpha, 0.5), size_px=64)
    assert float(losses["l2"]) == 0.25
    assert float(losses["unknown_l1"]) == 0.5


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_an_empty_region_divides_by_nothing(level):
    alpha, truth, trimap = planes()
    alpha.requires_grad_()
    losses = alpha_losses(alpha, truth, torch.full_like(trimap, level))
    losses["total"].backward()
    assert all(bool(loss.isfinite()) for loss in losses.values())
    assert alpha.grad.isfinite().all()
    assert alpha.grad.abs().sum() > 0
    assert (losses["gradient"] == 0) == (level != 0.5)


def logits_of(*sure):
    """Logits of pixels whose true class, 1, has these probabilities."""
    others = [[(1 - p) / 2, p, (1 - p) / 2] for p in sure]
    return torch.tensor(others).log().T[None, :, None, :]


def test_trimap_loss_by_hand():
    logits, classes = logits_of(0.5, 0.8), torch.ones(1, 1, 2, dtype=torch.long)
    weights = (0.5**2, 0.2**2)
    expected = (weights[0] * math.log(2) - weights[1] * math.log(0.8)) / sum(weights)
    assert float(trimap_loss(logits, classes)) == pytest.approx(expected, rel=1e-5)
    plain = (math.log(2) - math.log(0.8)) / 2
    assert float(trimap_loss(logits, classes, gamma=0)) == pytest.approx(plain, rel=1e-5)


def test_each_image_counts_alike():
    first, second = logits_of(0.5, 0.8), logits_of(0.1, 0.2)
    classes = torch.ones(1, 1, 2, dtype=torch.long)
    both = trimap_loss(torch.cat([first, second]), classes.expand(2, 1, 2))
    alone = (trimap_loss(first, classes) + trimap_loss(second, classes)) / 2
    assert float(both) == pytest.approx(float(alone), rel=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1.0, 300.0, -300.0])
def test_trimap_loss_stays_finite(scale):
    logits = torch.tensor([0.0, 1.0, 0.0]).mul(scale)[None, :, None, None].repeat(1, 1, 3, 3)
    logits.requires_grad_()
    loss = trimap_loss(logits, torch.ones(1, 3, 3, dtype=torch.long))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()
    assert (loss == 0) == (scale == 300)


def test_trimap_loss_leads_to_the_true_classes():
    generator = torch.Generator().manual_seed(0)
    classes = torch.randint(0, 3, (2, 6, 6), generator=generator)
    logits = torch.zeros(2, 3, 6, 6, requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=20)
    for _ in range(50):
        optimizer.zero_grad()
        trimap_loss(logits, classes).backward()
        optimizer.step()
    assert torch.equal(logits.argmax(1), classes)


def test_teacher_losses_by_hand():
    student, teacher = torch.full((1, 2, 2, 2), 3.0), torch.ones(1, 2, 2, 2)
    student.requires_grad_()
    teacher.requires_grad_()
    policies = [torch.tensor([[[1.0], [0.0]]]), torch.tensor([[[1.0], [1.0]]])]
    losses = teacher_losses(student, teacher, policies)
    assert losses["features"] == 4
    assert losses["share"] == 0.25
    assert losses["total"] == 4.25
    losses["total"].backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


def test_misfits_are_refused():
    square = torch.zeros(1, 2, 2, 2)
    with pytest.raises(PullmatteError, match="must be routed"):
        teacher_losses(square, square, [])
    with pytest.raises(PullmatteError, match="give one shape"):
        teacher_losses(square, square[:, :1], [torch.ones(1, 4, 1)])
    with pytest.raises(PullmatteError, match="give B 3 H W and B H W"):
        trimap_loss(square, torch.ones(1, 2, 2, dtype=torch.long))
