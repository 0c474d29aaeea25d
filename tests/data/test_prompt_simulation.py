"""Simulated prompts against the object they are made from."""

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file

from pullmatte.data.prompt_simulation import (
    KINDS,
    prompt_generator,
    simulate_box,
    simulate_mask,
    simulate_points,
    simulate_prompt,
    simulate_trimap,
    trimap_levels,
)
from pullmatte.errors import PromptError


@pytest.fixture
def alpha():
    """A disc with a soft rim of 8 pixels, 300 columns by 200 rows."""
    y, x = np.mgrid[:200, :300]
    distance = np.hypot(x - 140.0, y - 90.0)
    return (np.clip((60 - distance) / 8 + 0.5, 0, 1) * 255).astype(np.uint8)


def generator(seed=0):
    return prompt_generator(seed, "disc", "mask")


def test_box_is_tight_to_half_a_pixel(alpha):
    rows, columns = np.nonzero(alpha)
    box = simulate_box(alpha)
    expected = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx(expected, abs=1.0)
    box.check(300, 200)


def test_box_drops_specks_and_keeps_equals():
    alpha = np.zeros((256, 256), np.uint8)
    alpha[10:60, 10:60] = 255
    alpha[200:203, 200:203] = 255
    assert simulate_box(alpha).x1 == pytest.approx(60, abs=0.5)
    alpha[200:220, 200:220] = 255
    assert simulate_box(alpha).x1 == pytest.approx(220, abs=0.5)


def test_points_lie_on_opaque_pixels(alpha):
    points = simulate_points(alpha, generator())
    assert len(points) == 10
    assert all(point.label == 1 for point in points)
    assert min(alpha[int(point.y), int(point.x)] for point in points) > 0.75 * 255


def test_points_fall_back_to_the_most_opaque():
    smoke = np.zeros((64, 64), np.uint8)
    smoke[20:40, 20:40] = 90
    for point in simulate_points(smoke, generator(), 30):
        assert 19.5 <= point.x <= 40.5
        assert 19.5 <= point.y <= 40.5


def test_points_repeat_on_a_single_pixel_of_a_large_image():
    speck = np.zeros((3000, 2500), np.uint8)
    speck[7, 2401] = 255
    box = simulate_box(speck)
    assert len(simulate_points(speck, generator())) == 10
    assert box.x0 <= 2401.5 <= box.x1
    assert simulate_mask(speck, generator()).array.any()


def test_masks_vary_around_the_object(alpha):
    areas = [int(simulate_mask(alpha, generator(seed)).array.sum()) for seed in range(12)]
    assert len(set(areas)) > 8
    assert min(areas) > 0.5 * (alpha > 127).sum()
    assert max(areas) < 1.6 * (alpha > 127).sum()


def test_thin_objects_survive_every_degradation():
    thin = np.zeros((200, 200), np.uint8)
    thin[:, 100] = 255
    for seed in range(12):
        assert simulate_mask(thin, generator(seed)).array[:, 98:103].any()


def test_trimap_holds_the_truth(alpha):
    trimap = simulate_trimap(alpha, generator()).array
    assert set(np.unique(trimap)) == {0, 0.5, 1}
    assert (alpha[trimap == 1] >= 0.94 * 255).all()
    assert (alpha[trimap == 0] <= 0.06 * 255).all()


@pytest.mark.parametrize("case", ["prompt0", "prompt1", "prompt2"])
def test_trimap_rule_equals_the_record(shared, case):
    arrays = load_file(shared / "parity/sdmatte/prompts_metrics_losses.safetensors")
    alpha = arrays[f"{case}.alpha_u8"] / np.float32(255)
    draw = np.random.RandomState(5)
    made = trimap_levels(alpha, draw.randint(15, 30), draw.randint(15, 30))
    assert np.array_equal(made, arrays[f"{case}.trimap_seed5_x2"])


def test_given_trimap_is_taken_as_it_is(alpha):
    given = np.where(alpha > 0, 128, 0).astype(np.uint8)
    prompt = simulate_prompt("trimap", alpha, generator(), trimap=given)
    assert np.array_equal(prompt.trimap.array, given / 256)


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_repeat_with_their_seed_and_fit_their_image(alpha, kind):
    first, again = (
        simulate_prompt(kind, alpha, prompt_generator(3, "disc", kind)) for _ in range(2)
    )
    other = simulate_prompt(kind, alpha, prompt_generator(4, "disc", kind))
    assert first == again
    assert (first == other) == (kind == "box")
    first.check(300, 200)


def test_generators_differ_by_name_and_kind():
    draws = {
        prompt_generator(seed, name, kind).integers(1 << 60)
        for seed in (0, 1)
        for name in ("a", "b")
        for kind in KINDS
    }
    assert len(draws) == 16


def test_alpha_stays_as_it_was(alpha):
    copy = alpha.copy()
    for kind in KINDS:
        simulate_prompt(kind, alpha, generator())
    assert np.array_equal(alpha, copy)


def test_impossible_prompts_are_refused(alpha):
    with pytest.raises(PromptError, match="Known: box"):
        simulate_prompt("scribble", alpha, generator())
    with pytest.raises(PromptError, match="no object"):
        simulate_prompt("box", np.zeros_like(alpha), generator())
    with pytest.raises(PromptError, match="1 or more"):
        simulate_prompt("point", alpha, generator(), point_count=0)
    with pytest.raises(PromptError, match="unknown"):
        simulate_prompt("trimap", np.full_like(alpha, 255), generator())


def test_mask_threshold_never_passes_the_alpha():
    faint = cv2.GaussianBlur(np.eye(90, dtype=np.uint8) * 60, (0, 0), 9)
    assert all(simulate_mask(faint, generator(seed)).array.any() for seed in range(12))
