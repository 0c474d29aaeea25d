"""Alpha from the colours nearby."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pullmatte.models.nano.colour_hints import HINTS, Hints, colour_hints, spread_colours
from pullmatte.models.nano.local_fit import applied

ALPHA, MISFIT = 6, 7
KNOWN_LITTLE = (6, 9)


def full(hints: Hints) -> Tensor:
    """Alpha at the picture's size, as the network begins with it."""
    grown: Tensor = F.interpolate(hints.coefficients, scale_factor=2.0, mode="bilinear")
    return grown


def ramp(size: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """A red thing that fades into blue between known regions: image, trimap, alpha."""
    alpha = ((torch.arange(size).float() - 16) / 32).clamp(0, 1).expand(1, 1, size, size)
    front, back = torch.tensor([0.9, 0.2, 0.1]), torch.tensor([0.1, 0.2, 0.8])
    image = alpha * front[:, None, None] + (1 - alpha) * back[:, None, None]
    trimap = torch.where(alpha <= 0, 0.0, torch.where(alpha >= 1, 1.0, 0.5))
    return image, trimap, alpha


def test_flat_colours_are_solved_nearly() -> None:
    image, trimap, alpha = ramp()
    hints = colour_hints(image, trimap)
    assert hints.planes.shape == (1, HINTS, 32, 32)
    small = F.avg_pool2d(alpha, 2)
    assert (hints.planes[:, ALPHA : ALPHA + 1] - small).abs().max() < 0.03
    assert hints.planes[:, MISFIT].max() < 0.02
    assert (applied(full(hints), image) - alpha).abs().max() < 0.04


def test_a_colour_off_the_line_is_a_misfit() -> None:
    image, trimap, _ = ramp()
    image[:, 1, 30:34, 30:34] += 0.6
    assert colour_hints(image, trimap).planes[0, MISFIT, 16, 16] > 0.4


def test_nothing_known_gives_no_opinion() -> None:
    image, trimap, _ = ramp()
    planes = colour_hints(image, torch.full_like(trimap, 0.5)).planes
    assert (planes[:, [ALPHA, ALPHA + 3]] == 0.5).all()
    assert (planes[:, [7, 8, 10, 11]] == 0).all()
    assert planes.isfinite().all()


def test_pictures_of_a_batch_do_not_mix() -> None:
    image, trimap, _ = ramp()
    both = colour_hints(torch.cat([image, 1 - image]), torch.cat([trimap, 1 - trimap]))
    alone = colour_hints(image, trimap)
    assert torch.allclose(both.planes[:1], alone.planes, atol=1e-5)
    assert torch.allclose(both.coefficients[:1], alone.coefficients, atol=1e-4)


def test_a_part_is_cut_from_all_planes() -> None:
    image, trimap, _ = ramp()
    hints = colour_hints(image, trimap)
    part = hints.part(slice(16, 48), slice(32, 64))
    assert torch.equal(part.planes, hints.planes[..., 8:24, 16:32])
    assert torch.equal(part.coefficients, hints.coefficients[..., 8:24, 16:32])
    assert torch.equal(part.coarse, hints.coarse[..., 8:24, 16:32])


def test_spread_keeps_a_regions_own_colours() -> None:
    image, trimap, _ = ramp()
    near, far = spread_colours(image, (trimap == 1).float())
    assert near.shape == far.shape == image.shape
    assert (near - image)[..., 50:].abs().max() < 0.02
    assert (near[..., 0] - torch.tensor([0.9, 0.2, 0.1])[:, None]).abs().max() < 0.01
