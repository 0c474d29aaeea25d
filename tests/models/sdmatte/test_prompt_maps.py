"""Prompt maps against scipy's filter and the numbers that the official data code gave."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.ndimage import gaussian_filter, label

from pullmatte.data import prompt_simulation
from pullmatte.data.prompt_simulation import simulate_box, simulate_mask, simulate_points
from pullmatte.errors import PromptError
from pullmatte.models.sdmatte.fit import Fit
from pullmatte.models.sdmatte.prompt_maps import (
    auto_map,
    box_map,
    make_prompt_map,
    mask_map,
    points_map,
    trimap_map,
)
from pullmatte.prompts import Box, Point, Prompt

CASES = ["prompt0", "prompt1", "prompt2"]


@pytest.fixture(scope="module")
def record(shared):
    folder = shared / "parity/sdmatte"
    numbers = json.loads((folder / "prompts_metrics_losses.json").read_text())["prompts"]
    return load_file(folder / "prompts_metrics_losses.safetensors"), numbers


@pytest.fixture(scope="module")
def tiny(shared):
    return load_file(shared / "parity/sdmatte/tiny_sdmatte.safetensors")


def filtered(shape, points, sigma_px):
    """Make a point map the slow way: one full filter for each point."""
    values = np.zeros(shape, np.float32)
    for column, row in points:
        spot = np.zeros(shape, np.float32)
        spot[row, column] = 1
        spot = gaussian_filter(spot, sigma_px)
        values = np.maximum(values, spot / spot.max())
    return values


def indices(coordinates, columns, rows):
    pairs = np.reshape(coordinates, (-1, 2)) * (columns, rows)
    return [(round(float(x)), round(float(y))) for x, y in pairs]


@pytest.mark.parametrize("case", CASES)
def test_box_equals_the_record(record, case):
    arrays, numbers = record
    alpha = arrays[f"{case}.alpha_u8"] / np.float32(255)
    made = box_map(alpha.shape, prompt_simulation.object_extent(alpha))
    assert np.array_equal(made.values, arrays[f"{case}.bbox_mask"])
    assert list(made.coordinates) == numbers[case]["bbox_coords"]


@pytest.mark.parametrize("case", CASES)
def test_points_equal_the_record(record, case):
    arrays, numbers = record
    rows, columns = numbers[case]["hw"]
    points = indices(numbers[case]["point_coords"], columns, rows)
    made = points_map((rows, columns), points, 35)
    assert list(made.coordinates) == numbers[case]["point_coords"]
    expected = arrays.get(f"{case}.point_mask", filtered((rows, columns), points, 35))
    assert np.abs(made.values - expected).max() <= 1e-6


@pytest.mark.parametrize("case", CASES)
def test_points_are_drawn_by_the_recorded_rule(record, case):
    arrays, numbers = record
    alpha = arrays[f"{case}.alpha_u8"] / 255
    rows, columns = np.nonzero(alpha > prompt_simulation.OPAQUE_ENOUGH)
    draw = np.random.RandomState(100 + int(case[-1]))
    chosen = draw.choice(len(rows), 10, replace=False)
    drawn = [(int(columns[at]), int(rows[at])) for at in chosen]
    assert drawn == indices(numbers[case]["point_coords"], alpha.shape[1], alpha.shape[0])


@pytest.mark.parametrize("kind", ["bbox", "mask", "auto"])
@pytest.mark.parametrize("item", [0, 1])
def test_tiny_models_inputs_are_made_again(tiny, kind, item):
    name = "auto_mask" if kind == "auto" else "mask" if kind == "mask" else "bbox_mask"
    values, numbers = tiny[f"in.{name}"][item, 0], tiny[f"in.{kind}_coords"][item]
    (x_min, y_min), (x_max, y_max) = indices(numbers, 128, 128)
    made = {
        "bbox": lambda: box_map((128, 128), (x_min, y_min, x_max, y_max)),
        "mask": lambda: mask_map(values > 0),
        "auto": lambda: auto_map((128, 128)),
    }[kind]()
    assert np.array_equal(made.values * 2 - 1, values)
    assert np.array_equal(np.float32(made.coordinates), numbers)


@pytest.mark.parametrize(("case", "minimum"), [("point10", 10), ("point11", 10), ("point3", 0)])
def test_tiny_models_points_are_made_again(tiny, case, minimum):
    numbers = tiny[f"in.{case}.point_coords"][0]
    made = points_map((128, 128), indices(numbers, 128, 128), 4, minimum_points=minimum)
    # Stored in half precision.
    assert np.abs(made.values * 2 - 1 - tiny[f"in.{case}.point_mask"][0, 0]).max() <= 5e-4
    assert np.array_equal(np.float32(made.coordinates), numbers)


@pytest.mark.parametrize(
    ("shape", "sigma_px", "points"),
    [
        ((256, 256), 8.75, [(0, 0), (255, 128), (3, 254)]),
        ((128, 128), 35, [(0, 127), (64, 64), (1, 2)]),
        ((96, 160), 10, [(159, 95), (159, 95), (80, 0)]),
        ((64, 64), 0.4, [(10, 20), (11, 20)]),
    ],
)
def test_spots_equal_the_full_filter(shape, sigma_px, points):
    made = points_map(shape, points, sigma_px)
    assert made.values.dtype == np.float32
    assert np.abs(made.values - filtered(shape, points, sigma_px)).max() <= 1e-7


def test_full_size_spot_equals_the_full_filter_at_the_border():
    made = make_prompt_map(Prompt.of(points=[(2.5, 1020.0)]), Fit(1024, 1024))
    assert np.abs(made.values - filtered((1024, 1024), [(2, 1020)], 35)).max() <= 1e-7


@pytest.mark.parametrize(
    ("count", "minimum", "numbers"),
    [(1, 10, 20), (3, 10, 20), (3, 0, 6), (10, 10, 20), (11, 10, 22)],
)
def test_few_points_are_filled_up_with_zeros(count, minimum, numbers):
    made = points_map((64, 64), [(n + 1, n + 2) for n in range(count)], minimum_points=minimum)
    assert len(made.coordinates) == numbers
    assert made.coordinates[:2] == (1 / 64, 2 / 64)
    assert all(made.coordinates[: 2 * count])
    assert not any(made.coordinates[2 * count :])


def test_no_points_are_an_empty_map_of_twenty_zeros():
    made = points_map((64, 64), [])
    assert not made.values.any()
    assert made.coordinates == (0.0,) * 20


def test_too_many_points_are_refused():
    points = [Point(n % 32, n // 32) for n in range(421)]
    assert len(make_prompt_map(Prompt(points[:420]), Fit(32, 32, 64)).coordinates) == 840
    with pytest.raises(PromptError, match="421 points: give at most 420") as caught:
        make_prompt_map(Prompt(points), Fit(32, 32, 64))
    assert "\n" not in str(caught.value)


def test_empty_box_and_mask_lie_everywhere():
    for made in (box_map((32, 32), None), mask_map(np.zeros((32, 32), bool))):
        assert made.coordinates == (0, 0, 1, 1)
        assert not made.values.any()


def test_trimap_and_auto_leave_attention_free():
    trimap = np.full((32, 32), 0.5, np.float32)
    free = trimap_map(trimap), auto_map((32, 32))
    assert [made.masks_attention for made in free] == [False, False]
    assert [made.coordinates for made in free] == [(0, 0, 1, 1)] * 2
    assert not np.shares_memory(free[0].values, trimap)
    bound = box_map((32, 32), None), mask_map(trimap > 0), points_map((32, 32), [])
    assert all(made.masks_attention for made in bound)


# Boxes as the evaluation simulates them.


def blob(width, height, seed):
    """A soft object with holes, away from the border or over it."""
    generator = np.random.default_rng(seed)
    field = gaussian_filter(generator.standard_normal((height, width)), min(width, height) / 8)
    return (np.clip(field / np.abs(field).max() * 4 - 1, 0, 1) * 255).astype(np.uint8)


def official_extent(alpha):
    """Bound the stretched alpha by the published rule, without OpenCV's components."""
    parts, count = label(alpha > 0, np.ones((3, 3)))
    areas = sorted(((parts == n + 1).sum(), n + 1) for n in range(count))
    inside = parts > 0
    if count > 1 and areas[-1][0] >= 10 * areas[-2][0]:
        inside = parts == areas[-1][1]
    rows, columns = np.nonzero(inside)
    return columns.min(), rows.min(), columns.max(), rows.max()


@pytest.mark.parametrize("size", [(1024, 1024), (700, 1300), (333, 217), (2000, 1500)])
def test_simulated_box_lands_on_the_official_indices(size):
    alpha = blob(*size, seed=size[0])
    expected = official_extent(prompt_simulation._stretched(alpha))
    made = make_prompt_map(Prompt(box=simulate_box(alpha)), Fit(*size))
    assert made.coordinates == tuple(index / 1024 for index in expected)
    x_min, y_min, x_max, y_max = expected
    assert made.values.sum() == (x_max - x_min) * (y_max - y_min)
    assert made.values[y_min, x_min] == made.values[y_max - 1, x_max - 1] == 1


@pytest.mark.parametrize("size", [(1024, 1024), (700, 1300), (2000, 1500)])
def test_simulated_points_land_on_the_official_indices(size):
    alpha = blob(*size, seed=3)
    points = simulate_points(alpha, np.random.default_rng(0))
    candidates = np.argwhere(prompt_simulation._stretched(alpha) > 0.8)
    chosen = candidates[np.random.default_rng(0).choice(len(candidates), 10, replace=False)]
    made = make_prompt_map(Prompt(points=points), Fit(*size))
    assert made.coordinates == tuple(chosen[:, ::-1].ravel() / 1024)


@pytest.mark.parametrize("size", [(1024, 1024), (1500, 1300)])
def test_simulated_mask_comes_back_as_it_was_drawn(size):
    alpha = blob(*size, seed=4)
    mask = simulate_mask(alpha, np.random.default_rng(5))
    stretched = prompt_simulation._stretched(alpha)
    drawn, _ = prompt_simulation.degraded_object(stretched, np.random.default_rng(5))
    assert np.array_equal(make_prompt_map(Prompt(mask=mask), Fit(*size)).values, drawn)


# Whole prompts.


def test_part_that_says_most_speaks_alone():
    mask = np.zeros((40, 60), bool)
    mask[5:10, 20:30] = True
    parts = {
        "trimap": mask * np.float32(0.5),
        "mask": mask,
        "box": (1, 2, 30, 30),
        "points": [(3, 4)],
    }
    for kind in ("mask", "mask", "box", "points"):
        assert make_prompt_map(Prompt.of(**parts), Fit(60, 40, 64)).kind == kind
        parts.pop(next(iter(parts)))


@pytest.mark.parametrize("points", [[], [Point(3, 4, 0)]])
@pytest.mark.parametrize(("kind", "content"), [("squash", (0, 64)), ("pad", (16, 48))])
def test_nothing_included_is_the_whole_image(points, kind, content):
    made = make_prompt_map(Prompt(points), Fit(60, 30, 64, kind))
    assert made.kind == "box"
    assert made.coordinates == (0, content[0] / 64, 63 / 64, (content[1] - 1) / 64)
    assert made.values.sum() == 63 * (content[1] - content[0] - 1)


def test_points_to_exclude_are_left_out():
    points = Prompt([Point(10, 20), Point(40, 20, 0), Point(59.9, 39.9)])
    made = make_prompt_map(points, Fit(60, 40, 64), minimum_points=0)
    assert made.coordinates == (10 / 64, 32 / 64, 63 / 64, 63 / 64)
    assert np.array_equal(made.values, points_map((64, 64), [(10, 32), (63, 63)], 35 / 16).values)


def test_trimap_is_a_mask_of_all_that_may_be_object():
    trimap = np.zeros((64, 64), np.float32)
    trimap[10:30, 5:25] = 0.5
    trimap[15:20, 10:15] = 1
    prompt = Prompt.of(trimap=trimap)
    made = make_prompt_map(prompt, Fit(64, 64, 64))
    assert np.array_equal(made.values, trimap > 0)
    assert made.coordinates == (5 / 64, 10 / 64, 24 / 64, 29 / 64)
    as_trimap = make_prompt_map(prompt, Fit(64, 64, 64), trimap_as="trimap")
    assert as_trimap.kind == "trimap"
    assert np.array_equal(as_trimap.values, trimap)


@pytest.mark.parametrize("kind", ["squash", "pad"])
@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((1, 300), (0, 0, 1, 300)),
        ((300, 1), (299, 0, 300, 1)),
        ((5000, 3000), (4999, 2999, 5000, 3000)),
        ((5000, 3000), (0, 0, 0.001, 0.001)),
        ((40, 40), (39.5, 0, 40, 40)),
    ],
)
def test_thin_boxes_still_show_something(kind, size, box):
    made = make_prompt_map(Prompt(box=Box(*box)), Fit(*size, 64, kind))
    x_min, y_min, x_max, y_max = made.coordinates
    assert 0 <= x_min < x_max < 1
    assert 0 <= y_min < y_max < 1
    assert made.values.any()
