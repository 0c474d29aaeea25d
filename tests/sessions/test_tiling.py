"""Tiles: no seams, no gaps, nothing changed away from edges, nothing computed for nothing."""

import tracemalloc
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from pullmatte.models.protocol import Prediction
from pullmatte.prompts import Box, Mask, Prompt, Trimap
from pullmatte.sessions.tiling import Tiled, edge_weight, refine_in_tiles, spans

TILE = 256


class Square:
    """Sees at most TILE pixels of a side, as models with a fixed input do; alpha is red."""

    def __init__(self):
        self.shapes, self.prompts, self.opacities = [], [], []

    def encode(self, image):
        self.shapes.append(image.shape[:2])
        height, width = image.shape[:2]
        if max(height, width) <= TILE:
            return image
        scale = TILE / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return np.clip(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)

    def predict(self, encoded, prompt, *, opacity="auto"):
        self.prompts.append(prompt)
        self.opacities.append(opacity)
        alpha = np.ascontiguousarray(encoded[..., 0])
        return Prediction(alpha, opacity="opaque")


def disc(height, width, radius):
    """A hard disc with a fringe of fine hair, as an image whose red is the true alpha."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = np.arctan2(y - height / 2, x - width / 2)
    edge = radius + radius / 8 * np.sin(angle * 40)
    alpha = np.clip(edge - np.hypot(y - height / 2, x - width / 2), 0, 1)
    return np.repeat(alpha[..., None], 3, axis=2).astype(np.float32)


def whole(image):
    height, width = image.shape[:2]
    return Prompt(box=Box(0, 0, width, height))


@pytest.mark.parametrize("shape", [(600, 600), (377, 531), (257, 256), (190, 1500), (2200, 80)])
def test_exact_model_gives_the_full_size_answer_round_edges(shape):
    image = disc(*shape, min(shape) * 0.35)
    coarse = Square().predict(Square().encode(image), whole(image))
    result = refine_in_tiles(Square(), image, coarse, tile_px=TILE)
    change = edge_weight(coarse.alpha, max(shape) / TILE)
    np.testing.assert_allclose(result.alpha[change == 1], image[..., 0][change == 1], atol=1e-6)
    np.testing.assert_array_equal(result.alpha[change == 0], coarse.alpha[change == 0])
    assert np.abs(result.alpha - image[..., 0]).mean() < np.abs(coarse.alpha - image[..., 0]).mean()


def test_tiles_that_disagree_leave_no_step():
    class Wavering(Square):
        """Answers alternately too much and too little."""

        def predict(self, encoded, prompt, *, opacity="auto"):
            sign = 1 if len(self.prompts) % 2 else -1
            self.prompts.append(prompt)
            return Prediction(encoded[..., 0] + np.float32(0.1 * sign))

    image = np.full((600, 630, 3), 0.5, np.float32)
    coarse = Prediction(image[..., 0].copy())
    alpha = refine_in_tiles(Wavering(), image, coarse, tile_px=TILE, overlap_px=50).alpha
    steps = [np.abs(np.diff(alpha, axis=axis)).max() for axis in (0, 1)]
    assert max(steps) <= 0.2 / 50 + 1e-6
    assert max(steps) > 0.2 / 50 / 3, "the fake does disagree"


@pytest.mark.parametrize("overlap", [None, 0, 1, 7, 64, 85, 86, 999])
def test_weights_cover_every_pixel_and_sum_to_one(overlap):
    for length in (1, 2, 255, 256, 257, 258, 400, 512, 513, 3000):
        total = np.zeros(length)
        for span in spans(length, TILE, overlap):
            total[span.pixels] += span.weight
            assert span.weight.min() >= 0
            assert len(span.weight) == min(length, TILE)
        np.testing.assert_allclose(total, 1, atol=1e-6)


def test_weights_change_by_one_over_the_overlap_at_most():
    for length in (257, 400, 700, 4000):
        for span in spans(length, TILE, 16):
            assert np.abs(np.diff(span.weight)).max(initial=0) <= 1 / 16 + 1e-6
    ends = [span.start + TILE - after.start for span, after in pairwise(spans(4000, TILE, 16))]
    assert min(ends) >= 16


def test_only_tiles_with_an_edge_are_computed():
    image = np.zeros((1500, 1500, 3), np.float32)
    image[:300, :300] = 1
    model = Square()
    coarse = model.predict(image, whole(image))
    result = refine_in_tiles(model, image, coarse, tile_px=TILE)
    assert 0 < len(model.shapes) <= 9
    assert set(model.shapes) == {(TILE, TILE)}
    assert set(model.opacities[1:]) == {"opaque"}, "what the coarse pass found out holds"
    assert result.trimap[0, 0] == 1
    assert result.trimap[300, 300] == 0.5
    assert result.trimap[-1, -1] == 0


@pytest.mark.parametrize(
    "image",
    [disc(256, 256, 80), disc(80, 256, 20), np.ones((700, 700, 3), np.float32)],
    ids=["small", "narrow", "no edge"],
)
def test_nothing_to_gain_costs_nothing(image):
    model = Square()
    coarse = Prediction(np.ascontiguousarray(image[..., 0]))
    assert refine_in_tiles(model, image, coarse, tile_px=TILE) is coarse
    assert model.shapes == []


def test_tiles_are_asked_for_what_the_coarse_pass_shows_there():
    image = disc(700, 700, 230)
    model = Square()
    coarse = model.predict(model.encode(image), whole(image))
    refine_in_tiles(model, image, coarse, tile_px=TILE)
    assert all(prompt.mask is not None and prompt.mask.array.any() for prompt in model.prompts[1:])
    boxes = Square()
    refine_in_tiles(boxes, image, coarse, tile_px=TILE, by_mask=False)
    assert len(boxes.prompts) == len(model.prompts) - 1
    for mask, box in zip(model.prompts[1:], boxes.prompts, strict=True):
        rows = np.nonzero(mask.mask.array.any(axis=1))[0]
        assert (box.box.y0, box.box.y1) == (rows[0], rows[-1] + 1)


def test_wisps_are_asked_for_and_specks_are_left():
    image = np.zeros((600, 600, 3), np.float32)
    image[20:40, 20:40] = 0.2
    image[500, 500] = 0.9
    model = Square()
    result = refine_in_tiles(model, image, Prediction(image[..., 0].copy()), tile_px=TILE)
    assert any(prompt.mask.array.sum() == 400 for prompt in model.prompts)
    np.testing.assert_allclose(result.alpha, image[..., 0], atol=1e-6)


def test_answer_against_what_is_certain_is_not_believed():
    class Contrary(Square):
        def predict(self, encoded, prompt, *, opacity="auto"):
            return Prediction(1 - encoded[..., 0])

    image = disc(700, 700, 230)
    coarse = Square().predict(Square().encode(image), whole(image))
    result = refine_in_tiles(Contrary(), image, coarse, tile_px=TILE)
    np.testing.assert_allclose(result.alpha, coarse.alpha, atol=1e-6)


def test_memory_is_that_of_a_few_planes():
    image = disc(900, 900, 300)
    coarse = Prediction(cv2.GaussianBlur(image[..., 0], (0, 0), 3))
    tracemalloc.start()
    refine_in_tiles(Square(), image, coarse, tile_px=TILE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * coarse.alpha.nbytes


def test_tiled_model_is_a_model_and_keeps_to_a_trimap():
    image = disc(500, 500, 150)
    model = Tiled(Square(), TILE)
    encoded = model.encode(image)
    known = np.full((500, 500), 0.5, np.float32)
    known[:250] = 0
    mask, trimap = Prompt(mask=Mask(image[..., 0] > 0.5)), Prompt(trimap=Trimap(known))
    by_mask, by_trimap = model.predict_many(encoded, [mask, trimap])
    np.testing.assert_array_equal(by_mask.alpha, model.predict(encoded, mask).alpha)
    assert by_trimap.alpha[:250].max() == 0
    np.testing.assert_array_equal(by_trimap.alpha[250:], by_mask.alpha[250:])
    np.testing.assert_array_equal(by_trimap.trimap, known)


def test_mask_follows_the_alpha_where_the_model_makes_one():
    class Masking(Square):
        def predict(self, encoded, prompt, *, opacity="auto"):
            answer = super().predict(encoded, prompt, opacity=opacity)
            return replace(answer, mask=answer.alpha > 0.5)

    image = disc(600, 600, 210)
    tiled = Tiled(Masking(), TILE)
    answer = tiled.predict(tiled.encode(image), whole(image))
    np.testing.assert_array_equal(answer.mask, answer.alpha > 0.5)
    trimap = np.full((600, 600), 0.5, np.float32)
    trimap[:400] = 0
    held = tiled.predict(tiled.encode(image), Prompt(trimap=Trimap(trimap)))
    assert not held.mask[:400].any()
    assert held.mask[400:].any()
    bare = Tiled(Square(), TILE)
    assert bare.predict(bare.encode(image), whole(image)).mask is None
