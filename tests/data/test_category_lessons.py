"""Clips of the benchmark's categories to learn from."""

import numpy as np

from pullmatte.data.novm import CATEGORIES
from pullmatte.data.novm.lessons import CategoryClips

PICTURE = np.random.default_rng(0).integers(0, 255, (90, 120, 3)).astype(np.uint8)


def clips(**changes: object) -> CategoryClips:
    return CategoryClips([PICTURE], **{"size_px": 64, "frames": 3, **changes})


def test_each_category_is_drawn_and_said() -> None:
    for category in CATEGORIES:
        clip = clips(categories=(category,)).clip(1)
        assert clip.name.startswith(category)
        assert clip.images.shape == (3, 64, 64, 3)
        assert clip.alphas.shape == (3, 64, 64)
        assert 0 <= clip.images.min() <= clip.images.max() <= 1
        assert clip.alphas[0].max() > 0.1, category


def test_a_number_gives_the_same_each_time_and_others_something_else() -> None:
    source = clips()
    first, again, other = source.clip(5), source.clip(5), source.clip(6)
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.alphas, again.alphas)
    assert not np.array_equal(first.images, other.images)
    assert np.array_equal(source.sample(5).image, source.sample(5).image)
    assert not np.array_equal(source.clip(5).images, clips(seed=1).clip(5).images)


def test_the_picture_is_the_ground_where_alpha_is_0() -> None:
    black, white = np.zeros_like(PICTURE), np.full_like(PICTURE, 255)
    pair = [
        CategoryClips([ground], size_px=64, frames=1, seed=3, categories=("slime",))
        for ground in (black, white)
    ]
    shown = 0
    for number in range(8):
        dark, bright = (source.sample(number) for source in pair)
        assert np.array_equal(dark.alpha, bright.alpha)
        apart = np.abs(bright.image - dark.image).mean(-1)
        if apart.max() > 0.3:  # some grounds are made, and the same for both
            shown += 1
            assert apart[dark.alpha == 0].mean() > 3 * apart[dark.alpha > 0.97].mean()
    assert shown
