import pytest
import torch
from torch import Tensor, nn

from pullmatte.models.sdmatte import group_moments
from pullmatte.models.sdmatte.group_moments import group_affine


def norm_of(channels: int, groups: int) -> nn.GroupNorm:
    norm = nn.GroupNorm(groups, channels, eps=1e-6)
    generator = torch.Generator().manual_seed(3)
    nn.init.uniform_(norm.weight, -1, 1, generator=generator)
    nn.init.uniform_(norm.bias, -1, 1, generator=generator)
    return norm


def oracle(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    result: Tensor = norm.double()(x.double().permute(2, 0, 1)[None])
    return result[0].permute(1, 2, 0)


@pytest.mark.parametrize("size", [(1, 2), (7, 5), (3, 40), (130, 517)])
@pytest.mark.parametrize("groups", [1, 8, 16])
@torch.no_grad()
def test_affine_equals_group_norm(size: tuple[int, int], groups: int) -> None:
    x = torch.randn(*size, 16, generator=torch.Generator().manual_seed(4)) * 3 + 1
    norm = norm_of(16, groups)
    scale, shift = group_affine(x, norm)
    torch.testing.assert_close((x * scale + shift).double(), oracle(norm, x), atol=3e-6, rtol=0)


@torch.no_grad()
def test_mean_far_from_zero_keeps_the_spread() -> None:
    x = torch.randn(64, 256, 8, generator=torch.Generator().manual_seed(4)) + 1000
    norm = norm_of(8, 4)
    scale, shift = group_affine(x, norm)
    error = (x.double() * scale.double() + shift.double() - oracle(norm, x)).abs().max()
    assert error < 2e-4  # float32 holds `shift` itself, about 1000, to 6e-5


@torch.no_grad()
def test_flat_map_gives_the_bias() -> None:
    # A long sum of equal float32 numbers drifts; 0.1 has no finite binary form.
    x = torch.full((512, 512, 4), 0.1)
    norm = norm_of(4, 2)
    scale, shift = group_affine(x, norm)
    torch.testing.assert_close(x[0, 0] * scale + shift, norm.bias.detach(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision_is_summed_in_float32(dtype: torch.dtype) -> None:
    x = (torch.randn(96, 96, 8, generator=torch.Generator().manual_seed(4)) + 5).to(dtype)
    for got, wanted in zip(
        group_affine(x, norm_of(8, 4)), group_affine(x.float(), norm_of(8, 4)), strict=True
    ):
        torch.testing.assert_close(got, wanted)


@torch.no_grad()
def test_channel_slice_equals_its_copy() -> None:
    x = torch.randn(20, 24, 16)[..., 8:]
    norm = norm_of(8, 4)
    torch.testing.assert_close(group_affine(x, norm), group_affine(x.contiguous(), norm))


@pytest.mark.parametrize("values_per_strip", [1, 70, 1 << 16])
@torch.no_grad()
def test_counts_stand_for_repeated_lines(
    monkeypatch: pytest.MonkeyPatch, values_per_strip: int
) -> None:
    monkeypatch.setattr(group_moments, "_COUNTED_STRIP_VALUES", values_per_strip)
    x, rows, columns = torch.randn(3, 4, 8), torch.tensor([1, 50, 2]), torch.tensor([7, 1, 1, 90])
    full = x.repeat_interleave(rows, 0).repeat_interleave(columns, 1)
    counted = group_affine(x, norm_of(8, 4), (rows.double(), columns.double()))
    torch.testing.assert_close(counted, group_affine(full, norm_of(8, 4)), atol=2e-6, rtol=1e-5)
