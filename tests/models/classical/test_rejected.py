"""Pieces that a moving object leaves behind go; parts that were apart stay."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.models.classical.rejected import drop_fragments


def discs(*places: tuple[int, int, int]) -> NDArray[np.bool_]:
    plane = np.zeros((120, 200), np.uint8)
    for x, y, radius in places:
        cv2.circle(plane, (x, y), radius, 1, -1)
    return plane > 0


BODY = (60, 60, 40)


def test_a_small_piece_that_came_off_is_dropped() -> None:
    before = discs(BODY, (103, 60, 6))
    assert (
        drop_fragments(discs(BODY, (120, 60, 6)) | discs((112, 60, 2)), before) == discs(BODY)
    ).all()


def test_a_small_piece_out_of_nowhere_is_dropped() -> None:
    assert (drop_fragments(discs(BODY, (180, 20, 6)), discs(BODY)) == discs(BODY)).all()


def test_a_part_that_was_apart_before_stays() -> None:
    now = discs(BODY, (180, 20, 6))
    assert (drop_fragments(now, now) == now).all()


def test_a_large_part_that_comes_off_stays() -> None:
    now = discs((50, 60, 35), (140, 60, 30))
    before = now | discs((95, 60, 14))
    assert (drop_fragments(now, before) == now).all()


def test_a_single_piece_stays_however_small() -> None:
    now = discs((10, 10, 1))
    assert (drop_fragments(now, discs(BODY)) == now).all()
