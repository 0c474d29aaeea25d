"""Losses against the values that the official code gave, and their gradients."""

import json

import pytest
import torch
from safetensors.torch import load_file

from pullmatte.errors import PullmatteError
from pullmatte.train.losses import distillation_loss, laplacian_loss, matting_losses


@pytest.fixture(scope="module")
def record(shared):
    folder = shared / "parity/sdmatte"
    expected = json.loads((folder / "prompts_metrics_losses.json").read_text())["losses"]
    return load_file(folder / "prompts_metrics_losses.safetensors"), expected


def inputs(record):
    arrays, _ = record
    trimap = (arrays["loss.trimap_pm1"] + 1) / 2
    return arrays["loss.pred"], arrays["loss.label"], trimap


def test_matting_losses_equal_the_record(record):
    losses = matting_losses(*inputs(record), size_px=64)
    expected = {
        f"{region}_{ours}": record[1][f"{region}_{theirs}_loss"]
        for region in ("unknown", "known")
        for ours, theirs in (("l1", "l1"), ("laplacian", "lap"))
    }
    total = losses.pop("total")
    assert {name: float(loss) for name, loss in losses.items()} == pytest.approx(expected, rel=1e-6)
    assert float(total) == pytest.approx(sum(expected.values()), rel=1e-6)


def test_laplacian_loss_equals_the_record(record):
    alpha, truth, _ = inputs(record)
    expected = record[1]["plain_laplacian_5_levels"]
    assert float(laplacian_loss(alpha, truth)) == pytest.approx(expected, rel=1e-6)


def test_distillation_loss_equals_the_record(record):
    arrays, expected = record
    features = [[arrays[f"distill.{who}{n}"] for n in range(3)] for who in ("student", "teacher")]
    losses = distillation_loss(*features)
    assert list(losses) == ["feature_0", "feature_1", "feature_2", "total"]
    assert float(losses["total"]) == pytest.approx(expected["distill_mse_3_features"], rel=1e-6)


@pytest.mark.parametrize(("level", "empty"), [(0.5, "known"), (0.0, "unknown"), (1.0, "unknown")])
def test_empty_region_gives_nothing(record, level, empty):
    alpha, truth, trimap = inputs(record)
    losses = matting_losses(alpha, truth, torch.full_like(trimap, level), size_px=64)
    full = "unknown" if empty == "known" else "known"
    assert losses[f"{empty}_l1"] == losses[f"{empty}_laplacian"] == 0
    assert losses[f"{full}_l1"] == pytest.approx(float((alpha - truth).abs().mean()), rel=1e-5)
    assert losses[f"{full}_laplacian"] == pytest.approx(float(laplacian_loss(alpha, truth)))


def test_size_scales_the_terms(record):
    small = matting_losses(*inputs(record), size_px=64)
    large = matting_losses(*inputs(record))
    assert float(large["total"]) == pytest.approx(64 * float(small["total"]), rel=1e-5)


def test_every_loss_has_a_finite_gradient(record):
    alpha, truth, trimap = inputs(record)
    for region in (trimap, torch.zeros_like(trimap)):
        leaf = alpha.clone().requires_grad_()
        matting_losses(leaf, truth, region, size_px=64)["total"].backward()
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
        assert leaf.grad.abs().sum() > 0


def test_laplacian_gradient_is_the_numerical_one():
    generator = torch.Generator().manual_seed(0)
    alpha, truth = (torch.rand(1, 1, 8, 8, generator=generator).double() for _ in range(2))
    alpha.requires_grad_()
    assert torch.autograd.gradcheck(lambda a: laplacian_loss(a, truth, levels=2), alpha)


def test_teacher_gets_no_gradient():
    student, teacher = (torch.ones(1, 2, 2, 2) * n for n in (1.0, 3.0))
    student.requires_grad_()
    teacher.requires_grad_()
    losses = distillation_loss([student], [teacher], weight=0.5)
    losses["total"].backward()
    assert losses["total"] == 2.0
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


def test_unfit_tensors_are_refused():
    square = torch.zeros(1, 1, 64, 64)
    with pytest.raises(PullmatteError, match="48x64 pixels"):
        laplacian_loss(square[..., :48], square[..., :48])
    with pytest.raises(PullmatteError, match="32x32 pixels"):
        laplacian_loss(square[..., :32, :32], square[..., :32, :32])
    with pytest.raises(PullmatteError, match="give one shape"):
        matting_losses(square, square[..., :32], square)
    with pytest.raises(PullmatteError, match="1 features of the student and 2"):
        distillation_loss([square], [square, square])
    with pytest.raises(PullmatteError, match="feature 0"):
        distillation_loss([square], [square[..., :2]])
