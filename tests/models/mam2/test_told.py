"""What a prompter tells a matter."""

import torch

from pullmatte.models.mam2.features import Features
from pullmatte.models.mam2.settling import moved_places
from pullmatte.models.mam2.told import SAID, Told


def told(side: int = 32) -> Told:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    frame = Features(draw(1, 8, side // 4, side // 4), draw(1, 2, 4, 4), draw(1, 3, side, side))
    return Told.of(frame, draw(1, 1, side, side), draw(1, 3, side, side), seen_through=True)


def test_it_holds_chances_and_the_frames_maps() -> None:
    found = told()
    said, seen = found.fine[:, :SAID], found.fine[:, SAID:]
    assert found.fine.shape == (1, SAID + 3, 32, 32)
    assert found.top.shape == (1, 8, 8, 8)
    assert 0 <= said.min() < said.max() <= 1
    assert (said[:, 3] == 1).all()
    assert (said[:, 1] + said[:, 2] <= 1).all()
    assert seen.min() < 0
    assert found.given.flatten().tolist() == [1]


def test_a_finer_mask_is_told_by_its_means() -> None:
    logits = torch.full((1, 1, 64, 64), -20.0)
    logits[..., :32] = 20
    frame = Features(torch.zeros(1, 8, 4, 4), torch.zeros(1, 4, 8, 8), torch.zeros(1, 2, 16, 16))
    found = Told.of(frame, logits, torch.zeros(1, 3, 16, 16), seen_through=False)
    assert (found.fine[0, 0, :, :8] > 0.99).all()
    assert (found.fine[0, 0, :, 8:] < 0.01).all()


def test_the_whole_as_a_window_is_the_same() -> None:
    whole = told()
    same = whole.window((0, 1), (0, 1), (128, 256))
    assert same.fine.shape[-2:] == (32, 64)
    assert same.top.shape[-2:] == (4, 8)
    square = whole.window((0, 1), (0, 1), (128, 128))
    assert torch.allclose(square.fine, whole.fine, atol=1e-5)


def test_a_window_shows_what_lies_there() -> None:
    whole = told()
    # A quarter of the square at its own scale.
    window = whole.window((0.25, 0.75), (0.5, 1), (64, 64))
    assert torch.allclose(window.fine, whole.fine[..., 16:, 8:24], atol=1e-5)
    part = whole.window((0, 1), (0, 1), (128, 128)).part(slice(64, 128), slice(32, 96))
    assert torch.allclose(part.fine, window.fine, atol=1e-5)
    assert part.top.shape[-2:] == (2, 2)


def test_whatever_a_window_shows_is_among_its_cells() -> None:
    whole = told()
    x, y = (0.3, 0.7), (0.1, 0.45)
    window, cells = whole.window(x, y, (32, 64)), whole.cells(x, y)
    # Elsewhere nothing changes what it shows.
    blank = whole.fine.clone()
    blank[:, :SAID] = 9
    blank[:, :SAID, 2:16, 8:24] = whole.fine[:, :SAID, 2:16, 8:24]
    assert torch.equal(cells, whole.fine[:, :SAID, 2:16, 8:24])
    again = Told(blank, whole.top, whole.given).window(x, y, (32, 64))
    assert torch.equal(again.fine, window.fine)


def test_beyond_the_picture_its_edge_repeats() -> None:
    whole = told()
    window = whole.window((0, 1.25), (0, 1), (128, 160))
    assert torch.allclose(window.fine[..., 32:], whole.fine[..., -1:].expand(-1, -1, -1, 8))


def test_batches_are_joined_in_order() -> None:
    one = told()
    none = one.mapped(torch.zeros_like)
    both = Told.joined([one, none])
    assert torch.equal(both.fine[:1], one.fine)
    assert both.given.flatten().tolist() == [1, 0]


def test_only_what_moves_is_taken_anew() -> None:
    before = torch.zeros(1, 3, 40, 40)
    before[:, 0] = 8
    after = before.clone()
    after[..., 30] += 0.3  # a contour that trembles
    after[:, :, 8:14, 8:14] = torch.tensor([0.0, 0.0, 8.0])[:, None, None]
    moved = moved_places(after, before, 0.15)
    assert moved[0, 0, 8:14, 8:14].all()
    assert not moved[0, 0, 20:].any()
