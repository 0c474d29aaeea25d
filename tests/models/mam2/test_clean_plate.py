"""The clean plate: what is known of the ground behind an object, and what a frame shows of it."""

import itertools

import cv2
import numpy as np
import pytest

from pullmatte.models.classical.flow import estimate_flow
from pullmatte.models.mam2.clean_plate import (
    PLANES,
    CleanPlate,
    compared,
    ground_motion,
    surely_ground,
)

HEIGHT, WIDTH = 120, 200
WHOLE = slice(0, HEIGHT), slice(0, WIDTH)


def place(seed: int, height: int = 300, width: int = 500, blur: float = 3) -> np.ndarray:
    noise = np.random.default_rng(seed).random((height, width, 3), np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), blur) * 4 - 1.5
    return np.rint(smooth.clip(0, 1) * 255).astype(np.uint8)


def shown(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Show a part of a place: (x, y) of what is shown lies at matrix @ (x, y, 1)."""
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    floats = cv2.warpAffine(picture.astype(np.float32), matrix, (WIDTH, HEIGHT), flags=how)
    return np.rint(floats.clip(0, 255)).astype(np.uint8)


def joined(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    whole = np.vstack([outer, [0, 0, 1]]) @ np.vstack([inner, [0, 0, 1]])
    return np.asarray(whole[:2])


MOTION = np.array([[1.004, 0.006, -2.1], [-0.006, 1.004, 1.3]])
START = np.array([[1.0, 0, 120], [0, 1.0, 80]])


def walk(frames: int) -> list[np.ndarray]:
    """Show a place as a camera goes over it; the ground's motion to the frame before is MOTION."""
    picture, matrix, found = place(1), START, []
    for _ in range(frames):
        found.append(shown(picture, matrix))
        matrix = joined(matrix, MOTION)
    return found


def box(left: int, right: int) -> np.ndarray:
    there = np.zeros((HEIGHT, WIDTH), np.float32)
    there[30:90, left:right] = 1
    return there


def flow_of(matrix: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    there = np.stack([columns, rows, np.ones_like(rows)], -1) @ matrix.T
    return (there - np.dstack([columns, rows])).astype(np.float32)


def test_the_grounds_motion_is_found_and_a_passer_by_does_not_count() -> None:
    flow, ground = flow_of(MOTION), box(60, 120) == 0
    flow[:, 150:180] += (5, -3)
    found = ground_motion(flow, ground, WHOLE)
    assert found is not None
    assert (
        np.abs(flow_of(found) - flow_of(MOTION))[ground & (flow_of(MOTION) == flow).all(2)].max()
        < 0.25
    )


def test_a_part_tells_the_whole_frames_motion() -> None:
    part = slice(16, 104), slice(40, 160)
    found = ground_motion(flow_of(MOTION)[part], (box(60, 120) == 0)[part], part)
    assert found is not None
    assert np.abs(flow_of(found) - flow_of(MOTION)).max() < 0.1


def test_of_too_little_ground_nothing_is_known() -> None:
    ground = np.zeros((HEIGHT, WIDTH), np.bool_)
    ground[:8, :50] = True
    assert ground_motion(flow_of(MOTION), ground, WHOLE) is None


def test_the_plate_shows_what_an_object_hides() -> None:
    """Something stands still in the picture while a camera goes on; then the ground is compared."""
    frames, hidden = walk(12), box(92, 106)
    sure = surely_ground(hidden, hidden)
    plate = CleanPlate.begin(frames[0], sure)
    assert not plate.known[hidden > 0].any()
    for last, frame in itertools.pairwise(frames):
        motion = ground_motion(estimate_flow(frame, last, quick=True), sure, WHOLE)
        assert motion is not None
        carried = plate.carried(motion)
        plate = carried.seen(frame, sure)
    behind = carried.known & (hidden > 0)
    assert behind[hidden > 0].mean() > 0.75
    apart = carried.layer[..., :3].astype(np.float64) - frames[-1]
    assert np.abs(apart[behind]).mean() < 3
    # Neither brighter nor darker by being carried along.
    assert abs(apart[behind].mean()) < 0.5


def test_what_is_not_known_is_black_and_stays_so() -> None:
    frames, hidden = walk(2), box(60, 140)
    plate = CleanPlate.begin(frames[0], surely_ground(hidden, hidden)).carried(MOTION)
    assert set(np.unique(plate.layer[..., 3])) == {0, 255}
    assert not plate.layer[~plate.known].any()
    assert not plate.known[40:80, 80:120].any()
    assert not plate.forgotten().known.any()


def test_carrying_makes_nothing_brighter() -> None:
    plate = CleanPlate.begin(place(2)[:HEIGHT, :WIDTH], np.ones((HEIGHT, WIDTH), np.bool_))
    turn = np.array([[1, 0, 0.3], [0, 1, -0.2]])
    back = np.array([[1, 0, -0.3], [0, 1, 0.2]])
    for _ in range(10):
        plate = plate.carried(turn).carried(back)
    middle = slice(30, 90), slice(30, 170)
    apart = plate.layer[middle][..., :3].astype(np.float64) - place(2)[middle]
    assert abs(apart.mean()) < 0.2


@pytest.mark.parametrize("alpha", [0.0, 0.4, 0.8])
def test_an_even_veil_is_seen_by_the_grounds_texture(alpha: float) -> None:
    ground = place(3, blur=1.5)[:HEIGHT, :WIDTH]
    everywhere = np.ones((HEIGHT, WIDTH), np.bool_)
    veiled = np.rint(alpha * 230 + (1 - alpha) * ground).astype(np.uint8)
    plate, still = CleanPlate.begin(ground, everywhere), np.zeros((HEIGHT, WIDTH, 2), np.float32)
    planes = compared(veiled, veiled, plate, None, still, WHOLE)
    assert planes.shape == (PLANES, HEIGHT, WIDTH)
    assert planes.dtype == np.float32
    assert np.median(planes[6]) == pytest.approx(1 - alpha, abs=0.03)
    assert planes[4].min() == 1
    apart = (veiled.astype(np.float64) - ground).mean((0, 1)) / 255
    assert planes[:3].mean((1, 2)) == pytest.approx(3 * apart, abs=1e-4)
    assert np.abs(planes[[5, 8]]).max() == 0


def test_nothing_is_compared_where_nothing_is_known() -> None:
    frames = walk(2)
    nothing = CleanPlate.begin(frames[0], np.zeros((HEIGHT, WIDTH), np.bool_))
    part = slice(8, 72), slice(16, 80)
    flow = flow_of(MOTION)[part]
    planes = compared(frames[1], frames[0], nothing, MOTION, flow, part)
    assert not planes[[0, 1, 2, 3, 4, 6, 7]].any()
    # Along with the ground it is the same picture, and flows as the ground does.
    assert np.median(planes[5]) < 4 * 2 / 255
    assert planes[8].max() < 0.01
    still = compared(frames[1], frames[0], nothing, None, flow, part)
    assert np.median(still[5]) > 5 * np.median(planes[5])


def test_ground_is_where_nothing_is_and_not_at_the_very_edge() -> None:
    there = box(60, 120)
    ground = surely_ground(there, np.zeros_like(there))
    assert not ground[29:91, 59:121].any()
    assert ground[:29].all()
    assert ground[:, 121:].all()
    assert not surely_ground(np.zeros_like(there), 0.5 * there)[30:90, 60:120].any()
