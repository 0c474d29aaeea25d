import cv2
import numpy as np

from pullmatte.models.classical.flow import estimate_flow, fetch, inconsistent


def texture(seed=0):
    noise = np.random.default_rng(seed).random((120, 160, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def test_shift_is_measured_and_fetched():
    there = texture()
    here = np.roll(there, (3, 5), axis=(0, 1))
    flow = estimate_flow(here, there)
    inner = (slice(20, 100), slice(20, 140))
    np.testing.assert_allclose(flow[inner].mean(axis=(0, 1)), (-5, -3), atol=0.3)
    plane = there[..., 0].astype(np.float32)
    moved = fetch(plane, flow)[inner]
    assert np.abs(moved - here[..., 0][inner]).mean() < 4


def test_consistent_flow_is_trusted():
    there = texture()
    here = np.roll(there, 4, axis=1)
    bad = inconsistent(estimate_flow(here, there), estimate_flow(there, here))
    assert bad[20:100, 20:140].mean() < 0.02


def test_unrelated_frames_are_not_trusted():
    here, there = texture(0), texture(1)
    assert inconsistent(estimate_flow(here, there), estimate_flow(there, here)).mean() > 0.5


def test_tiny_frames_give_no_motion():
    frame = np.zeros((4, 5, 3), np.uint8)
    assert not estimate_flow(frame, frame).any()
