"""Stray pieces of a mask, and that an object of one piece gets none while it is tracked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pullmatte.models.mam2.config import MINIATURE
from pullmatte.models.mam2.model import MAM2Model
from pullmatte.models.mam2.options import MAM2Options
from pullmatte.models.mam2.pieces import is_one_piece, stray_pieces, without_stray_pieces
from pullmatte.models.mam2.prompter import ONE_PIECE
from pullmatte.models.protocol import Memories
from pullmatte.prompts import Prompt


def plane(*boxes: tuple[int, int, int, int], size: int = 64) -> np.ndarray:
    """Return a mask of boxes, each (x0, y0, x1, y1)."""
    mask = np.zeros((size, size), bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


def logits(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.where(mask, 3.0, -6.0).astype(np.float32))[None, None]


BODY, FAR, NEAR, LARGE = (4, 4, 34, 34), (50, 50, 56, 56), (36, 10, 40, 14), (42, 36, 62, 56)


def test_small_far_pieces_are_stray_near_and_large_ones_are_not() -> None:
    assert np.array_equal(stray_pieces(plane(BODY, FAR, NEAR)), plane(FAR))
    assert not stray_pieces(plane(BODY, LARGE)).any()
    assert not stray_pieces(plane(BODY)).any()
    assert not stray_pieces(plane()).any()


def test_specks_do_not_make_an_object_several_pieces() -> None:
    assert is_one_piece(logits(plane(BODY, (50, 50, 52, 52))))
    assert not is_one_piece(logits(plane(BODY, FAR)))
    assert not is_one_piece(logits(plane()))


def test_what_is_taken_out_is_surely_outside_and_the_rest_stays() -> None:
    given = logits(plane(BODY, FAR))
    found = without_stray_pieces(given)
    assert (found[0, 0][torch.from_numpy(plane(FAR))] <= -4).all()
    kept = torch.from_numpy(~plane((46, 46, 60, 60)))
    assert torch.equal(found[0, 0][kept], given[0, 0][kept])
    assert torch.equal(without_stray_pieces(logits(plane(BODY))), logits(plane(BODY)))


class Halves:
    """A matter that leaves unknown pixels half."""

    def matte(self, image, trimap):
        return trimap.copy()


@pytest.mark.parametrize("second", ["mss", "off"])
@pytest.mark.parametrize("keep_whole", [True, False])
@pytest.mark.parametrize("pieces", [1, 2])
def test_a_piece_that_comes_up_while_tracking_goes(
    make_network, photo, monkeypatch, second, keep_whole, pieces
) -> None:
    network = make_network(replace(MINIATURE, second_pass=second))
    model = MAM2Model(network, Halves(), MAM2Options(keep_whole=keep_whole))
    side = network.config.sam2.mask_px
    two = torch.nn.functional.interpolate(logits(plane(BODY, FAR)), (side, side))
    height, width = photo.shape[:2]
    boxes = [(10, 10, 70, 60), (width - 16, height - 14, width - 4, height - 4)][:pieces]
    mask = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = True
    encoded = model.encode(photo)
    entry = model.remember(encoded, model.predict(encoded, Prompt.of(mask=mask)))
    assert (ONE_PIECE in entry) is keep_whole
    real = network.decoder.decode

    def decode(*args, **given):
        return replace(real(*args, **given), mask_logits=two, score=torch.ones(1, 1))

    monkeypatch.setattr(network.decoder, "decode", decode)
    # Through numpy, as a project keeps it.
    kept = {name: np.asarray(value) for name, value in entry.items()}
    found = model.track(encoded, Memories({0: kept}, {}), 1)
    rows, columns = (slice(round(0.8 * size), round(0.87 * size)) for size in (height, width))
    assert found.mask[: height // 2, : width // 2].any()
    assert bool(found.mask[rows, columns].any()) is not (keep_whole and pieces == 1)


def test_memories_keep_whether_it_was_one_piece(make_network) -> None:
    network = make_network(MINIATURE)
    assert MAM2Model(network, Halves(), MAM2Options(keep_whole=True)).memory_spans[ONE_PIECE] == 1
    assert ONE_PIECE not in MAM2Model(network, Halves()).memory_spans
