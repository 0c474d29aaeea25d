"""Procedural mattes as training uses them: stills and clips of every kind."""

import numpy as np
import pytest

from pullmatte.data.procedural import KINDS, make, make_clip
from pullmatte.errors import PullmatteError

SIZE = 64
SOFT = {"smoke", "wisps", "fire", "sparks", "bubbles", "vessel", "veil", "hair", "unfocused"}
SOLID = {"toy", "pottery", "cushion", "doll", "bust"}


def rng(*seed):
    return np.random.default_rng(seed)


def soft_share(alpha):
    return ((alpha > 0.02) & (alpha < 0.98)).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_still_has_its_form_and_range(kind):
    for seed in range(2):
        cutout = make(kind, SIZE, rng(seed))
        assert cutout.colour.shape == (SIZE, SIZE, 3)
        assert cutout.alpha.shape == (SIZE, SIZE)
        for plane in (cutout.colour, cutout.alpha):
            assert plane.dtype == np.float32
            assert plane.min() >= 0
            assert plane.max() <= 1
        assert (cutout.kind, cutout.opacity) == (kind, KINDS[kind].opacity)


@pytest.mark.parametrize("kind", KINDS)
def test_object_can_be_seen(kind):
    for seed in range(4):
        alpha = make(kind, SIZE, rng(seed, 1)).alpha
        assert alpha.mean() > 0.01
        assert alpha.max() > 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_gives_the_same_and_another_seed_another(kind):
    first, again, other = (make(kind, SIZE, rng(seed)) for seed in (4, 4, 5))
    assert np.array_equal(first.colour, again.colour)
    assert np.array_equal(first.alpha, again.alpha)
    assert not np.array_equal(first.alpha, other.alpha)


@pytest.mark.parametrize("kind", KINDS)
def test_clip_begins_with_the_still_and_moves_on_smoothly(kind):
    near, far = [], []
    for seed in range(3):
        clip = make_clip(kind, SIZE, 3, rng(seed, 2))
        still, other = make(kind, SIZE, rng(seed, 2)), make(kind, SIZE, rng(seed, 3))
        assert clip.colour.shape == (3, SIZE, SIZE, 3)
        assert np.array_equal(clip.alpha[0], still.alpha)
        assert np.array_equal(clip.colour[0], still.colour)
        near.append(np.abs(np.diff(clip.alpha, axis=0)).mean((1, 2)))
        far.append(np.abs(other.alpha - still.alpha).mean())
    assert min(each.min() for each in near) > 0
    assert np.mean(near) < 0.5 * np.mean(far)


@pytest.mark.parametrize("kind", KINDS)
def test_colour_goes_on_where_there_is_no_object(kind):
    """No black or white holes: what is bare looks like what is near it."""
    seen = 0
    for seed in range(4):
        cutout = make(kind, SIZE, rng(seed, 4))
        bare, solid = cutout.alpha < 0.004, cutout.alpha > 0.2
        if not bare.any() or not solid.any():
            continue
        seen += 1
        low, high = (np.quantile(cutout.colour[solid], q, axis=0) for q in (0.01, 0.99))
        centre = cutout.colour[bare].mean(0)
        assert (centre > low - 0.2).all()
        assert (centre < high + 0.2).all()
    assert seen


@pytest.mark.parametrize("kind", sorted(SOFT))
def test_soft_kinds_are_soft(kind):
    shares = [soft_share(make(kind, SIZE, rng(seed, 5)).alpha) for seed in range(8)]
    assert np.mean(shares) > 0.05


@pytest.mark.parametrize("kind", sorted(SOLID))
def test_solid_kinds_are_solid_within(kind):
    for seed in range(4):
        alpha = make(kind, SIZE, rng(seed, 6)).alpha
        assert (alpha == 1).mean() > 0.05
        assert soft_share(alpha) < 0.35


def test_some_objects_are_cut_by_the_edge_and_some_are_not():
    alphas = [make("pottery", SIZE, rng(seed, 7)).alpha for seed in range(30)]
    rims = [max(a[0].max(), a[-1].max(), a[:, 0].max(), a[:, -1].max()) for a in alphas]
    assert 3 <= sum(rim > 0.5 for rim in rims) <= 27


def test_families_and_opacities_cover_what_training_needs():
    families = {kind.family for kind in KINDS.values()}
    assert families == {"hair", "smoke", "fire", "glass", "net", "cloth", "plant", "blur", "solid"}
    assert {kind.opacity for kind in KINDS.values()} == {"opaque", "transparent"}


@pytest.mark.parametrize("call", [make, lambda kind, size, g: make_clip(kind, size, 2, g)])
def test_unknown_kind_is_named_with_the_known_ones(call):
    with pytest.raises(PullmatteError, match=r"'hairr'.*Known: hair, ") as error:
        call("hairr", SIZE, rng(0))
    assert "\n" not in str(error.value)


def test_impossible_sizes_and_lengths_are_refused():
    with pytest.raises(PullmatteError, match="8 pixels"):
        make("hair", 8, rng(0))
    with pytest.raises(PullmatteError, match="0 frames"):
        make_clip("hair", SIZE, 0, rng(0))


def test_strands_of_a_clip_are_moved_and_not_drawn_anew():
    """Blurring away a few pixels leaves what is the same from frame to frame."""
    clip = make_clip("hair", SIZE, 8, rng(1, 8))
    mean = clip.alpha.mean((1, 2))
    assert np.abs(np.diff(mean)).max() < 0.1 * mean.mean()


@pytest.mark.parametrize("size_px", [32, 75])
def test_any_size_works(size_px):
    for kind in KINDS:
        assert make(kind, size_px, rng(size_px)).alpha.shape == (size_px, size_px)
