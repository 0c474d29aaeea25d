"""Alpha from the colours nearby."""

import torch
from torch import Tensor

from pullmatte.models.nano.colour_hints import HINTS, colour_hints, spread_colours


def ramp(size: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """A red thing that fades into blue between known regions: image, trimap, alpha."""
    alpha = ((torch.arange(size).float() - 16) / 32).clamp(0, 1).expand(1, 1, size, size)
    front, back = torch.tensor([0.9, 0.2, 0.1]), torch.tensor([0.1, 0.2, 0.8])
    image = alpha * front[:, None, None] + (1 - alpha) * back[:, None, None]
    trimap = torch.where(alpha <= 0, 0.0, torch.where(alpha >= 1, 1.0, 0.5))
    return image, trimap, alpha


def test_flat_colours_are_solved_exactly() -> None:
    image, trimap, alpha = ramp()
    hints = colour_hints(image, trimap)
    assert hints.shape == (1, HINTS, 64, 64)
    assert (hints[:, :1] - alpha).abs().max() < 0.01
    assert hints[:, 1].max() < 0.01


def test_a_colour_off_the_line_is_a_misfit() -> None:
    image, trimap, _ = ramp()
    image[:, 1, 30:34, 30:34] += 0.6
    hints = colour_hints(image, trimap)
    assert hints[0, 1, 32, 32] > 0.4


def test_nothing_known_gives_no_opinion() -> None:
    image, trimap, _ = ramp()
    hints = colour_hints(image, torch.full_like(trimap, 0.5))
    assert (hints[:, 0] == 0.5).all()
    assert (hints[:, [1, 2, 4, 5]] == 0).all()


def test_pictures_of_a_batch_do_not_mix() -> None:
    image, trimap, _ = ramp()
    both = colour_hints(torch.cat([image, 1 - image]), torch.cat([trimap, 1 - trimap]))
    assert torch.allclose(both[:1], colour_hints(image, trimap), atol=1e-6)


def test_spread_keeps_a_regions_own_colours() -> None:
    image, trimap, _ = ramp()
    near, far = spread_colours(image, (trimap == 1).float())
    assert near.shape == far.shape == image.shape
    assert (near - image)[..., 50:].abs().max() < 0.02
    assert (near[..., 0] - torch.tensor([0.9, 0.2, 0.1])[:, None]).abs().max() < 0.01


def test_odd_sizes_are_fine() -> None:
    image, trimap, _ = ramp(61)
    assert colour_hints(image[..., :37, :], trimap[..., :37, :]).shape[-2:] == (37, 61)
