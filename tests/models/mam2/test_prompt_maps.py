"""Prompts drawn as pictures."""

import torch
from torch import Tensor

from pullmatte.models.mam2.prompt_maps import MAPS, colour_evidence, prompt_planes

BOX = (torch.tensor([[[16.0, 8], [48, 40]]]), torch.tensor([[2, 3]]))


def picture(size: int = 16) -> Tensor:
    """A red square on blue, `1 3 size size`."""
    image = torch.zeros(1, 3, size, size)
    image[:, 2] = 0.8
    image[:, :, 4:10, 5:11] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
    return image


def test_box_is_filled_and_its_rim_in_part() -> None:
    points = torch.tensor([[[14.0, 8], [48, 40]]])
    planes = prompt_planes(picture(), 64, points, BOX[1])
    assert planes.shape == (1, MAPS, 16, 16)
    assert planes[0, 0].sum() == 8 * 8.5
    assert planes[0, 0, 5, 3] == 0.5
    assert (planes[0, 1] == 1).all()


def test_nothing_said_draws_nothing_but_the_picture() -> None:
    planes = prompt_planes(picture(), 64)
    assert (planes[:, :8] == 0).all()
    assert torch.equal(planes[:, 8:11], picture() - 0.5)


def test_clicks_are_spots_at_their_place() -> None:
    points, labels = torch.tensor([[[30.0, 26.0], [6, 58]]]), torch.tensor([[1, 0]])
    planes = prompt_planes(picture(), 64, points, labels)
    assert divmod(int(planes[0, 2].argmax()), 16) == (6, 7)
    assert divmod(int(planes[0, 3].argmax()), 16) == (14, 1)


def test_colours_in_the_box_and_nowhere_else_are_the_objects() -> None:
    planes = prompt_planes(picture(), 64, *BOX)
    for evidence in planes[0, 6:8]:
        assert evidence[4:10, 5:11].min() > 0.5
        assert evidence[12:, 12:].max() < -0.3


def test_mask_counts_only_where_it_is_given() -> None:
    logits = torch.full((2, 1, 16, 16), 8.0)
    planes = prompt_planes(picture(), 64, mask_logits=logits, masked=torch.tensor([True, False]))
    assert planes[0, 4].min() > 0.99
    assert (planes[1, 4:6] == 0).all()


def test_padding_changes_nothing() -> None:
    points = torch.cat([BOX[0], torch.zeros(1, 3, 2)], dim=1)
    labels = torch.tensor([[2, 3, -1, -1, -1]])
    assert torch.equal(
        prompt_planes(picture(), 64, points, labels), prompt_planes(picture(), 64, *BOX)
    )


def test_evidence_is_none_without_samples_of_both() -> None:
    ones = torch.ones(1, 1, 16, 16)
    assert (colour_evidence(picture(), ones, 0 * ones) == 0).all()


def test_objects_of_a_picture_do_not_mix() -> None:
    points = torch.cat([BOX[0], BOX[0] + 8])
    both = prompt_planes(picture(), 64, points, BOX[1].expand(2, -1))
    assert torch.allclose(both[:1], prompt_planes(picture(), 64, *BOX), atol=1e-6)


def test_where_nothing_is_said_no_colour_is_known() -> None:
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    silent = prompt_planes(image, 64)
    padded = prompt_planes(image, 64, torch.zeros(1, 1, 2), torch.full((1, 1), -1))
    assert torch.equal(silent, padded)
    assert not silent[:, 6:8].any()
