"""The true trimap: exact where nothing shrinks, wider with larger ellipses, unknown in glass."""

import numpy as np
import pytest

from pullmatte.data.trimap_truth import draw_trimap_truth, trimap_truth
from pullmatte.errors import PullmatteError


def disc(side: int = 100, soft: float = 10.0) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    far = np.hypot(rows - side / 2, columns - side / 2)
    return np.float32(np.clip((side / 4 - far) / soft + 0.5, 0, 1))


def test_without_shrinking_what_is_between_is_unknown() -> None:
    alpha = disc()
    classes = trimap_truth(alpha, 1, 1)
    assert (classes[alpha == 1] == 2).all()
    assert (classes[alpha == 0] == 0).all()
    assert (classes[(alpha > 0.01) & (alpha < 0.99)] == 1).all()


def test_each_side_shrinks_by_its_own_ellipse() -> None:
    plain, inner, outer = (trimap_truth(disc(), *sizes) for sizes in ((1, 1), (9, 1), (1, 9)))
    assert (inner == 2).sum() < (plain == 2).sum()
    assert (inner == 0).sum() == (plain == 0).sum()
    assert (outer == 0).sum() < (plain == 0).sum()
    assert (outer == 2).sum() == (plain == 2).sum()


def test_a_transparent_object_is_all_unknown() -> None:
    classes = trimap_truth(disc(), 5, 5, "transparent")
    assert set(np.unique(classes)) == {0, 1}
    assert (classes[disc() > 0.01] == 1).all()


def test_the_object_may_reach_the_pictures_edge() -> None:
    assert (trimap_truth(np.ones((20, 20), np.float32), 9, 9) == 2).all()


def test_sizes_are_drawn_and_scale_with_the_picture() -> None:
    draw = np.random.default_rng(0)
    bands = [(draw_trimap_truth(disc(), draw) == 1).mean() for _ in range(8)]
    assert len(set(bands)) > 4
    large = draw_trimap_truth(disc(400, 40.0), np.random.default_rng(1))
    small = draw_trimap_truth(disc(100, 10.0), np.random.default_rng(1))
    assert (large == 1).mean() == pytest.approx((small == 1).mean(), rel=0.2)


def test_an_ellipse_of_nothing_is_refused() -> None:
    with pytest.raises(PullmatteError, match="0 and 3 pixels"):
        trimap_truth(disc(), 0, 3)
