"""The temporal filter on alpha: less flicker, nothing known changed, no lag, no ghosts."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pullmatte.errors import PullmatteError
from pullmatte.eval.metrics import dtssd, mad
from pullmatte.sessions.steady_alpha import LONG_SIDE_PX, SteadyAlpha

HEIGHT, WIDTH = 120, 160


def texture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Smooth coloured noise, `H W 3` in [0, 1]."""
    noise = np.random.default_rng(seed).random((height // 6, width // 6, 3)).astype(np.float32)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)


def soft_disc(x: float = 80, y: float = 60, rim: float = 16) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.clip((40 - np.hypot(rows - y, columns - x)) / rim, 0, 1).astype(np.float32)


def over(colour: np.ndarray, alpha: np.ndarray, plate: np.ndarray) -> np.ndarray:
    return (colour * alpha[..., None] + plate * (1 - alpha[..., None])).astype(np.float32)


def trimap_of(alpha: np.ndarray) -> np.ndarray:
    """A band of some pixels around everything soft."""
    square = np.ones((9, 9), np.uint8)
    inner, outer = cv2.erode(alpha, square), cv2.dilate(alpha, square)
    return np.where(outer == 0, 0, np.where(inner == 1, 1, 0.5)).astype(np.float32)


def flickering(alpha: np.ndarray, random: np.random.Generator) -> np.ndarray:
    field = cv2.resize(random.normal(0, 0.07, (5, 6)), alpha.shape[::-1])
    error = field + random.normal(0, 0.03, alpha.shape)
    inside = trimap_of(alpha) == 0.5
    return np.where(inside, alpha + error, alpha).clip(0, 1).astype(np.float32)


def still_clip(count: int = 8) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield image, flickering alpha, trimap and true alpha of a still scene with grain."""
    alpha, random = soft_disc(), np.random.default_rng(0)
    clean = over(texture(1), alpha, texture(2))
    for _ in range(count):
        image = (clean + random.normal(0, 0.01, clean.shape)).clip(0, 1).astype(np.float32)
        yield image, flickering(alpha, random), trimap_of(alpha), alpha


def moving_clip(shared: Path, count: int = 8) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the same of a plant that slides over a plate."""
    path = shared / "data/train_fg/stk_plants/BlackEyedSusan.webp"
    rgba = np.asarray(Image.open(path).convert("RGBA").resize((256, 256)), np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    plate, random = texture(2, 240, 320), np.random.default_rng(0)
    for time in range(count):
        place = np.float32([[1, 0, 10 + 1.7 * time], [0, 1, -6 + 0.8 * time]])
        laid = cv2.warpAffine(rgba, place, (320, 240)).clip(0, 1)
        alpha = np.ascontiguousarray(laid[..., 3])
        image = laid[..., :3] + plate * (1 - alpha[..., None])
        image = (image + random.normal(0, 0.01, image.shape)).clip(0, 1).astype(np.float32)
        yield image, flickering(alpha, random), trimap_of(alpha), alpha


def flicker_and_error(alphas: list[np.ndarray], truths: list[np.ndarray]) -> tuple[float, float]:
    steps = [
        dtssd(alphas[i], alphas[i - 1], truths[i], truths[i - 1]) for i in range(1, len(truths))
    ]
    errors = [mad(alpha, truth) for alpha, truth in zip(alphas, truths, strict=True)]
    return float(np.mean(steps)), float(np.mean(errors))


def off_and_on(frames: list[tuple[np.ndarray, ...]]) -> tuple[tuple[float, float], ...]:
    clip, truths = SteadyAlpha(), [frame[3] for frame in frames]
    steady = [clip.update(*frame[:3]) for frame in frames]
    return flicker_and_error([frame[1] for frame in frames], truths), flicker_and_error(
        steady, truths
    )


def test_flicker_of_a_still_scene_is_halved() -> None:
    off, on = off_and_on(list(still_clip()))
    assert on[0] < 0.5 * off[0]
    assert on[1] < 0.9 * off[1]


def test_flicker_of_a_moving_object_is_less_in_both_directions(shared: Path) -> None:
    frames = list(moving_clip(shared))
    for order in (1, -1):
        off, on = off_and_on(frames[::order])
        assert on[0] < 0.9 * off[0]
        assert on[1] < off[1]


@pytest.mark.parametrize("with_trimap", [True, False])
def test_only_uncertain_pixels_change_and_stay_in_range(with_trimap: bool) -> None:
    clip = SteadyAlpha()
    for number, (image, alpha, trimap, _) in enumerate(still_clip(3)):
        steady = clip.update(image, alpha, trimap if with_trimap else None)
        soft = ((alpha > 0) & (alpha < 1)).astype(np.uint8)
        known = trimap != 0.5 if with_trimap else cv2.dilate(soft, np.ones((5, 5))) == 0
        assert np.array_equal(steady[known], alpha[known])
        assert steady.min() >= 0
        assert steady.max() <= 1
        assert np.array_equal(steady, alpha) == (number == 0)


def test_strength_zero_and_held_frames_change_nothing() -> None:
    frames = list(still_clip(3))
    off, held = SteadyAlpha(strength=0), SteadyAlpha()
    for image, alpha, trimap, _ in frames:
        assert np.array_equal(off.update(image, alpha, trimap), alpha)
        assert np.array_equal(held.update(image, alpha, trimap, hold=True), alpha)


def test_a_held_frame_leads_those_after_it() -> None:
    (image, _, trimap, truth), (next_image, next_alpha, *_) = list(still_clip(2))
    clip = SteadyAlpha()
    clip.update(image, truth, trimap, hold=True)
    steady = clip.update(next_image, next_alpha, trimap)
    assert mad(steady, truth) < 0.5 * mad(next_alpha, truth)


def test_a_change_that_the_image_shows_comes_through_at_once() -> None:
    first, second = soft_disc(60), soft_disc(100)
    plates = texture(1), texture(2)
    clip = SteadyAlpha()
    clip.update(over(plates[0], first, plates[1]), first)
    steady = clip.update(over(plates[0], second, plates[1]), second)
    assert mad(steady, second) < 0.001


def test_a_cut_leaves_no_ghost() -> None:
    alpha, other = soft_disc(), soft_disc(90, 50)
    clip = SteadyAlpha()
    clip.update(over(texture(1), alpha, texture(2)), alpha)
    steady = clip.update(over(texture(3), other, texture(4)), other)
    assert np.abs(steady - other).max() < 0.02


def test_a_fade_lags_far_less_than_its_own_step() -> None:
    full, clip, late = soft_disc(rim=4), SteadyAlpha(), []
    white, grey = np.float32([0.9, 0.8, 0.7]), np.float32([0.3, 0.3, 0.3])
    for number in range(8):
        alpha = (full * (1 - 0.06 * number)).astype(np.float32)
        steady = clip.update(over(white, alpha, grey), alpha)
        late.append(np.abs(steady - alpha)[full > 0].mean())
    assert max(late) < 0.25 * 0.06


def test_changing_light_does_not_stop_it() -> None:
    clip, offs, ons = SteadyAlpha(), [], []
    for number, (image, alpha, trimap, truth) in enumerate(still_clip()):
        lit = image * np.float32(0.7 + 0.15 * (number % 3))
        ons.append(mad(clip.update(lit, alpha, trimap), truth))
        offs.append(mad(alpha, truth))
    assert np.mean(ons[1:]) < 0.8 * np.mean(offs[1:])


def test_restored_state_continues_bit_exactly_and_is_of_constant_size(shared: Path) -> None:
    frames = [frame[:3] for frame in moving_clip(shared, 5)]
    whole, first, second = SteadyAlpha(), SteadyAlpha(), SteadyAlpha()
    expected = [whole.update(*frame) for frame in frames]
    for frame in frames[:3]:
        first.update(*frame)
    second.restore(first.state())
    assert all(np.array_equal(second.update(*frames[i]), expected[i]) for i in (3, 4))
    sizes = [{name: a.nbytes for name, a in clip.state().items()} for clip in (first, second)]
    assert sizes[0] == sizes[1]


def test_large_frames_are_followed_on_a_reduced_copy() -> None:
    rows, columns = np.mgrid[:480, :1500]
    alpha = np.clip((200 - np.hypot(rows - 240, columns - 750)) / 60, 0, 1).astype(np.float32)
    image = over(texture(1, 480, 1500), alpha, texture(2, 480, 1500))
    noisy = flickering(alpha, np.random.default_rng(0))
    clip = SteadyAlpha()
    clip.update(image, alpha)
    assert mad(clip.update(image, noisy), alpha) < 0.6 * mad(noisy, alpha)
    assert max(clip.state()["image"].shape) == LONG_SIDE_PX


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (17, 300), (2, 2000)])
def test_odd_sizes_and_harm_free_input(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    image, alpha = random.random((*size, 3), np.float32), random.random(size, np.float32)
    image[0, 0], kept = np.nan, alpha.copy()
    clip = SteadyAlpha()
    clip.update(image, alpha)[:] = 9
    assert np.allclose(clip.update(image, alpha), kept, atol=1e-6)
    assert np.array_equal(alpha, kept)


def test_wrong_parts_are_refused_in_one_line() -> None:
    image, alpha, clip = texture(1), soft_disc(), SteadyAlpha()
    clip.update(image, alpha)
    wrong = [
        lambda: clip.update(image[1:], alpha),
        lambda: clip.update(image[1:], alpha[1:]),
        lambda: clip.update(image, alpha, alpha[1:]),
        lambda: clip.restore({"alpha": alpha}),
        lambda: clip.restore({"alpha": alpha, "image": np.zeros((3, 3, 3), np.uint8)}),
        lambda: SteadyAlpha(strength=1),
        lambda: SteadyAlpha(strength=float("nan")),
    ]
    for call in wrong:
        with pytest.raises(PullmatteError, match=r"^[^\n]+$"):
            call()
    clip.restore({})
    assert clip.state() == {}
