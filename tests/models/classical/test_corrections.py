import numpy as np
import pytest

from pullmatte.models.classical.colour_classes import classify
from pullmatte.models.classical.corrections import Click, contradicted, correct, place_clicks
from pullmatte.models.classical.model import build
from pullmatte.models.classical.rejected import drop_rejected
from pullmatte.prompts import Prompt

COLOURS = {"ground": (0.1, 0.3, 0.6), "disc": (0.9, 0.5, 0.1), "square": (0.2, 0.7, 0.2)}


@pytest.fixture
def parts():
    """Image `H W 3` uint8, an orange disc and a green square beside it as masks."""
    ys, xs = np.mgrid[0:120, 0:160]
    disc = np.hypot(xs - 60, ys - 60) < 30
    square = (np.abs(xs - 105) < 18) & (np.abs(ys - 60) < 18) & ~disc
    image = np.empty((120, 160, 3))
    for where, name in ((np.ones_like(disc), "ground"), (disc, "disc"), (square, "square")):
        image[where] = COLOURS[name]
    image += np.random.default_rng(0).normal(0, 0.04, (120, 160, 1))
    return (np.clip(image, 0, 1) * 255).astype(np.uint8), disc, square


def iou(found, truth):
    return (found & truth).sum() / (found | truth).sum()


def nowhere(mask):
    return np.zeros_like(mask)


def test_click_inside_the_mask_changes_nothing(parts):
    image, disc, _ = parts
    clicks = [Click(50, 60, True), Click(150, 10, False)]
    assert not contradicted(disc, clicks)
    np.testing.assert_array_equal(correct(classify(image), disc, clicks, nowhere(disc)), disc)


def test_click_on_a_missed_part_adds_it(parts):
    image, disc, square = parts
    found = correct(classify(image), disc, [Click(105, 60, True)], nowhere(disc))
    assert iou(found, disc | square) > 0.95


def test_negative_click_removes_a_part(parts):
    image, disc, square = parts
    found = correct(classify(image), disc | square, [Click(105, 60, False)], nowhere(disc))
    assert iou(found, disc) > 0.95


def test_clicks_of_both_kinds_are_all_kept(parts):
    image, disc, _ = parts
    clicks = [Click(105, 60, True), Click(60, 60, True), Click(60, 100, False)]
    found = correct(classify(image), nowhere(disc), clicks, nowhere(disc))
    assert not contradicted(found, clicks)


def test_forbidden_place_gains_nothing(parts):
    image, disc, _ = parts
    forbidden = np.zeros_like(disc)
    forbidden[:, 110:] = True
    found = correct(classify(image), disc, [Click(100, 60, True)], forbidden)
    assert not found[:, 110:].any()
    assert found[60, 100]


def test_clicks_are_placed_inside_a_small_copy():
    said = Prompt.of(points=[(99.9, 10), (0, 0)], labels=[1, 0])
    assert place_clicks(said, 25, 25, 0.25) == [Click(24, 2, True), Click(0, 0, False)]


def test_piece_that_is_most_of_the_mask_isnt_dropped(parts):
    _, disc, _ = parts
    mask = disc.copy()
    mask[2:6, 2:6] = True
    said = Prompt.of(points=[(60, 60)], labels=[0])
    np.testing.assert_array_equal(drop_rejected(mask, said, 1.0), mask)


def predict(image, **said):
    model = build(search_side_px=160)
    return model.predict(model.encode(image.astype(np.float32) / 255), Prompt.of(**said))


def test_click_inside_the_found_object_leaves_its_mask_unchanged(parts):
    image, _, _ = parts
    box = (30, 30, 90, 90)
    alone = predict(image, box=box).mask
    clicked = predict(image, box=box, points=[(50, 60), (70, 50)]).mask
    assert iou(clicked, alone) > 0.99


def test_click_on_a_missed_part_adds_it_to_a_rough_mask(parts):
    image, disc, square = parts
    assert iou(predict(image, mask=disc).mask, disc) > 0.95
    added = predict(image, mask=disc, points=[(105, 60)]).mask
    assert iou(added, disc | square) > 0.9


def test_negative_click_removes_a_touching_part(parts):
    image, disc, _ = parts
    box = (30, 30, 124, 91)
    found = predict(image, box=box, points=[(60, 60), (105, 60)], labels=[1, 0]).mask
    assert found[60, 60]
    assert iou(found, disc) > 0.9
