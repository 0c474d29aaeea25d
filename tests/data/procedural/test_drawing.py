"""Coverage of outlines and strands against areas that are known."""

import numpy as np
import pytest

from pullmatte.data.procedural.outlines import ellipse
from pullmatte.data.procedural.pose import Pose, draw_pose
from pullmatte.data.procedural.raster import Light, coverage, lighting, relief
from pullmatte.data.procedural.strands import Growth, draw_strands, fine_canvas, strand_layer


def grown(count=5, wind=0.0):
    zeros = np.zeros(count)
    return Growth(
        roots=np.stack([np.linspace(-0.5, 0.5, count), zeros], -1), angles=zeros + np.pi / 2,
        lengths=zeros + 0.4, bends=zeros, curls=zeros, turns=zeros, phases=zeros, fall=0.0,
        clumps=np.arange(count), clumping=0.0, wind=wind, rate=3.0,
    )  # fmt: skip


def test_circle_covers_its_area_to_a_quarter_pixel():
    circle = ellipse((32.0, 32.0), (20.0, 20.0))
    filled = coverage([circle], 64, 64)
    assert filled.sum() == pytest.approx(np.pi * 400, abs=0.25 * 2 * np.pi * 20)
    assert 0 < ((filled > 0) & (filled < 1)).sum() < 250


def test_second_contour_is_a_hole():
    outer, inner = ellipse((32, 32), (20, 20)), ellipse((32, 32), (8, 8))
    assert coverage([outer, inner], 64, 64)[32, 32] == 0


@pytest.mark.parametrize("width_px", [0.25, 0.5, 1.0, 3.0])
def test_strand_has_its_width(width_px):
    canvas = fine_canvas(64)
    line = np.array([[[8.0, 8.0], [30.0, 32.0], [56.0, 50.0]]])
    draw_strands(canvas, line, np.array([width_px]), np.ones((1, 3)), taper=0.0)
    length = np.hypot(22, 24) + np.hypot(26, 18)
    assert strand_layer(canvas)[..., 3].sum() / length == pytest.approx(width_px, abs=0.25)


def test_strand_tapers_to_its_tip():
    canvas = fine_canvas(64)
    line = np.stack([np.full(14, 32.0), np.linspace(4, 60, 14)], -1)[None]
    draw_strands(canvas, line, np.array([6.0]), np.ones((1, 3)))
    rows = strand_layer(canvas)[..., 3].sum(1)
    assert rows[8] > 4 > 2 > rows[58] > 0


def test_faint_strand_is_premultiplied():
    canvas = fine_canvas(32)
    line = np.array([[[4.0, 16.0], [28.0, 16.0]]])
    draw_strands(canvas, line, np.array([3.0]), np.full((1, 3), 0.5), opacity=0.5, taper=0.0)
    assert np.allclose(strand_layer(canvas)[16, 16], [0.25, 0.25, 0.25, 0.5], atol=0.01)


def test_growth_keeps_roots_and_lengths():
    curves = grown().curves()
    steps = np.linalg.norm(np.diff(curves, axis=1), axis=-1).sum(1)
    assert np.allclose(curves[:, 0], grown().roots)
    assert np.allclose(steps, 0.4)


def test_wind_moves_tips_and_not_roots():
    growth = grown(wind=0.5)
    early, late = growth.curves(0.0), growth.curves(0.4)
    moved = np.linalg.norm(late - early, axis=-1).mean(0)
    assert moved[0] == 0
    assert moved[-1] > moved[5] > 0


def test_relief_is_lit_from_the_side_of_the_light():
    mask = coverage([ellipse((32, 32), (20, 20))], 64, 64)
    diffuse, _ = lighting(relief(mask, 12.0), Light((-0.8, 0.0, 0.6), 0.2, 1.0), 0.3, 20.0)
    assert diffuse[32, 18] > diffuse[32, 46] + 0.2


def test_pose_and_its_coordinates_are_inverse():
    pose = draw_pose(np.random.default_rng(0))
    x, y = pose.coordinates(40, 0.3)
    columns, rows = np.meshgrid(np.arange(40) + 0.5, np.arange(40) + 0.5)
    placed = pose.place(np.stack([x, y], -1), 40, 0.3)
    assert np.allclose(placed, np.stack([columns, rows], -1), atol=1e-3)


def test_pose_starts_where_it_was_drawn_and_sways():
    pose = Pose(swing=0.3, drift=(0.1, 0.0), phase=1.0)
    assert np.allclose(pose.matrix(100), Pose().matrix(100))
    assert not np.allclose(pose.matrix(100, 0.3), pose.matrix(100))
