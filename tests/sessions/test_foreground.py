"""Foreground colours: close to the truth, harmless where unseen, steady in time."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pullmatte.errors import PullmatteError
from pullmatte.sessions.foreground import StableForeground, estimate_foreground

COLOURS = {"white": (1, 1, 1), "black": (0, 0, 0), "green": (0, 1, 0)}


def read_cutout(path: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Premultiplied before it is resized: colours under transparent pixels are undefined."""
    rgba = np.asarray(Image.open(path).convert("RGBA"), np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    scale = min(1, size / max(rgba.shape[:2]))
    rgba = cv2.resize(rgba, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).clip(0, 1)
    alpha = rgba[..., 3]
    return (rgba[..., :3] / np.maximum(alpha, 1e-6)[..., None]).clip(0, 1), alpha


def read_plate(path: Path, width: int, height: int) -> np.ndarray:
    plate = Image.open(path).convert("RGB").resize((width, height))
    return np.asarray(plate, np.float32) / 255


def over(foreground: np.ndarray, alpha: np.ndarray, plate: np.ndarray) -> np.ndarray:
    return foreground * alpha[..., None] + plate * (1 - alpha[..., None])


def ramp_case(height: int = 48, width: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A red disc with a soft rim over blue."""
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(x - width / 2, y - height / 2)
    alpha = np.clip((16 - distance) / 6 + 0.5, 0, 1).astype(np.float32)
    red = np.broadcast_to(np.float32([0.9, 0.2, 0.1]), (height, width, 3))
    return over(red, alpha, np.float32([0.1, 0.2, 0.9])).astype(np.float32), alpha


@pytest.fixture(scope="module")
def errors(shared: Path) -> dict[str, tuple[float, float]]:
    """Soft-region MSE on new colours of 48 cut-outs: image as foreground, and estimate."""
    plates = sorted((shared / "data/train_bg/wallpapers").glob("*.jpg"))
    paths = sorted((shared / "data/train_fg").glob("*/*.webp"))[::6]
    found = {}
    for number, path in enumerate(paths):
        truth, alpha = read_cutout(path, 128)
        plate = read_plate(plates[number % len(plates)], *alpha.shape[::-1])
        image = np.round(over(truth, alpha, plate) * 255).astype(np.float32) / 255
        soft = (alpha > 0.02) & (alpha < 0.98)
        if soft.sum() < 50:
            continue
        estimate = estimate_foreground(image, alpha)
        for name, colour in COLOURS.items():
            want = over(truth, alpha, np.float32(colour))
            got = [over(f, alpha, np.float32(colour)) for f in (image, estimate)]
            found[f"{path.stem} {name}"] = tuple(((g - want)[soft] ** 2).mean() for g in got)
    return found


def test_composite_is_three_times_closer_than_with_the_image(errors):
    assert len(errors) >= 40 * len(COLOURS)
    plain, estimated = np.array(list(errors.values())).T
    assert plain.mean() / estimated.mean() >= 5
    assert np.median(plain / estimated) >= 5
    assert (plain / estimated >= 3).mean() >= 0.7


def test_opaque_pixels_keep_the_image_exactly_also_above_one():
    image, alpha = ramp_case()
    image = image * 3
    foreground = estimate_foreground(image, alpha)
    assert np.array_equal(foreground[alpha == 1], image[alpha == 1])
    assert foreground.max() <= image.max()
    rim = (alpha > 0.3) & (alpha < 1)
    assert np.abs(foreground[rim] - np.float32([2.7, 0.6, 0.3])).max() < 0.2


def test_transparent_pixels_extend_the_object():
    foreground = estimate_foreground(*ramp_case())
    _, alpha = ramp_case()
    assert np.abs(foreground[alpha == 0] - np.float32([0.9, 0.2, 0.1])).max() < 0.05


def test_scaling_a_straight_cutout_makes_no_halo():
    image, alpha = ramp_case()
    small = cv2.resize(estimate_foreground(image, alpha), (16, 12), interpolation=cv2.INTER_AREA)
    assert np.abs(small - np.float32([0.9, 0.2, 0.1])).max() < 0.05


def test_extension_has_no_dark_hole_without_any_opaque_pixel():
    image, alpha = ramp_case()
    smoke = alpha * np.float32(0.5)
    image = over(np.full_like(image, 0.8), smoke, np.float32([0.1, 0.4, 0.1])).astype(np.float32)
    foreground = estimate_foreground(image, smoke)
    assert foreground[smoke == 0].min() > 0.4


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (3, 700), (33, 5)])
@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_degenerate_input_stays_finite(size, level):
    image = np.full((*size, 3), 0.25, np.float32)
    alpha = np.full(size, level, np.float32)
    still, clip = estimate_foreground(image, alpha), StableForeground()
    for foreground in (still, clip.update(image, alpha), clip.update(image, alpha)):
        assert foreground.shape == (*size, 3)
        assert foreground.dtype == np.float32
        assert np.isfinite(foreground).all()
        assert 0 <= foreground.min() <= foreground.max() <= 0.3


def test_hard_edge_between_opaque_and_transparent_is_extended():
    image, alpha = ramp_case()
    alpha = (alpha > 0.9).astype(np.float32)
    foreground = estimate_foreground(image, alpha)
    assert np.array_equal(foreground[alpha == 1], image[alpha == 1])
    assert foreground[alpha == 0][:, 0].min() > 0.7


def test_unreadable_values_do_not_spread():
    image, alpha = ramp_case()
    image[2, 2], image[24, 16], alpha[0, 0] = np.nan, np.inf, np.nan
    foreground = estimate_foreground(image, alpha)
    assert np.isfinite(foreground).all()
    assert abs(foreground[24, 48, 0] - 0.9) < 0.05


def test_crop_equals_the_whole_frame_in_what_is_seen():
    image, alpha = ramp_case()
    wide = cv2.copyMakeBorder(image, 300, 300, 300, 300, cv2.BORDER_REPLICATE)
    wide_alpha = cv2.copyMakeBorder(alpha, 300, 300, 300, 300, cv2.BORDER_CONSTANT, value=0)
    inner = estimate_foreground(wide, wide_alpha)[300:-300, 300:-300]
    difference = np.abs(inner - estimate_foreground(image, alpha)) * alpha[..., None]
    assert difference.max() < 2 / 255


def test_nothing_of_the_caller_is_changed():
    image, alpha = ramp_case()
    kept = image.copy(), alpha.copy()
    estimate_foreground(image, alpha)
    clip = StableForeground()
    clip.update(image, alpha)[:] = 0
    clip.update(image, alpha)
    assert np.array_equal(image, kept[0])
    assert np.array_equal(alpha, kept[1])
    assert clip.state()["foreground"].max() > 0.8


def moving_smoke(shared: Path, count: int = 8) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield true foreground, alpha and noisy image of a cut-out that slides over a plate."""
    truth, alpha = read_cutout(shared / "data/train_fg/effects/fg_tyresmoke.webp", 128)
    plate = read_plate(shared / "data/train_bg/wallpapers/plasma_Autumn.jpg", 400, 300)
    noise = np.random.default_rng(0)
    premultiplied = np.dstack([truth * alpha[..., None], alpha])
    for time in range(count):
        shift = np.float32([[1, 0, 10 + 2.3 * time], [0, 1, 8 + 1.1 * time]])
        laid = cv2.warpAffine(premultiplied, shift, (192, 160)).clip(0, 1)
        moved_alpha = np.ascontiguousarray(laid[..., 3])
        moved = (laid[..., :3] / np.maximum(moved_alpha, 1e-6)[..., None]).clip(0, 1)
        behind = plate[60 + 2 * time :, 90 - 3 * time :][:160, :192]
        image = over(moved, moved_alpha, behind) + noise.normal(0, 0.01, moved.shape)
        yield moved, moved_alpha, image.clip(0, 1).astype(np.float32)


def flicker_and_error(frames, clip: StableForeground) -> tuple[float, float]:
    """Return mean absolute change of the error from frame to frame, and its mean square."""
    apart = [
        (clip.update(image, alpha) - truth) * alpha[..., None] for truth, alpha, image in frames
    ]
    soft = [(alpha > 0.02) & (alpha < 0.98) for _, alpha, _ in frames]
    steps = range(1, len(frames))
    change = [np.abs(apart[i] - apart[i - 1])[soft[i] & soft[i - 1]].mean() for i in steps]
    return float(np.mean(change)), float(
        np.mean([(a[s] ** 2).mean() for a, s in zip(apart, soft, strict=True)])
    )


def test_stable_foreground_flickers_less_and_is_no_less_true(shared):
    frames = list(moving_smoke(shared))
    alone, stable = [], []
    for order in (1, -1):
        alone.append(flicker_and_error(frames[::order], StableForeground(strength=0)))
        stable.append(flicker_and_error(frames[::order], StableForeground()))
        assert stable[-1][0] < 0.8 * alone[-1][0]
    # One direction alone depends on which frame, good or bad, comes first.
    assert sum(error for _, error in stable) <= sum(error for _, error in alone)


def test_restored_state_continues_bit_exactly(shared):
    frames = [(image, alpha) for _, alpha, image in moving_smoke(shared, 5)]
    whole, first, second = StableForeground(), StableForeground(), StableForeground()
    expected = [whole.update(*frame) for frame in frames]
    for frame in frames[:3]:
        first.update(*frame)
    sizes = {name: array.shape for name, array in first.state().items()}
    second.restore(first.state())
    assert all(np.array_equal(second.update(*frames[i]), expected[i]) for i in (3, 4))
    assert sizes == {name: array.shape for name, array in second.state().items()}


def test_cut_to_another_shot_leaves_no_ghost():
    image, alpha = ramp_case()
    clip = StableForeground()
    clip.update(image[..., ::-1].copy(), alpha)
    alone = StableForeground().update(image, alpha)
    ghost = np.abs(clip.update(image, alpha) - alone) * alpha[..., None]
    assert ghost.max() < 0.035


def test_given_flow_is_used(shared):
    (_, alpha, image), (_, next_alpha, next_image) = moving_smoke(shared, 2)
    astray = np.full((*alpha.shape, 2), np.nan, np.float32)
    clip = StableForeground()
    clip.update(image, alpha)
    alone = StableForeground().update(next_image, next_alpha)
    assert np.array_equal(clip.update(next_image, next_alpha, astray), alone)


def test_wrong_parts_are_refused_in_one_line():
    image, alpha = ramp_case()
    clip = StableForeground()
    clip.update(image, alpha)
    wrong = [
        lambda: estimate_foreground(image, alpha[1:]),
        lambda: clip.update(image[1:], alpha[1:]),
        lambda: clip.update(image, alpha, np.zeros((2, 2, 2), np.float32)),
        lambda: clip.restore({"alpha": alpha}),
        lambda: clip.restore({"alpha": alpha, "foreground": image[1:]}),
        lambda: StableForeground(shrink=0),
        lambda: StableForeground(strength=1),
    ]
    for call in wrong:
        with pytest.raises(PullmatteError, match=r"^[^\n]+$"):
            call()
    clip.restore({})
    assert clip.state() == {}


def test_a_fade_does_not_lag() -> None:
    rows, columns = np.mgrid[:120, :160]
    distance = np.hypot(rows - 60, columns - 80)
    alpha = np.clip((50 - distance) / 20, 0, 1).astype(np.float32)
    soft = (alpha > 0.3) & (alpha < 1)
    stable = StableForeground()
    for number in range(10):
        level = 0.1 + 0.08 * number
        image = np.full((120, 160, 3), level, np.float32)
        colour = stable.update(image, alpha)
        alone = estimate_foreground(image, alpha)
        assert np.abs(colour - alone)[soft].mean() < 0.01
