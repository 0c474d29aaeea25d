"""The random field that smoke, folds and sheen are made of."""

import numpy as np
import pytest

from pullmatte.data.procedural.noise import Noise


@pytest.fixture
def noise():
    return Noise(np.random.default_rng(0), 4, 4)


def test_field_is_centred_and_of_unit_size():
    fields = [Noise(np.random.default_rng(seed), 5, 4).at(64) for seed in range(20)]
    assert np.mean(fields) == pytest.approx(0, abs=0.15)
    assert np.std(fields) == pytest.approx(1, abs=0.2)


def test_drift_moves_the_field(noise):
    still, moved = noise.at(64), noise.at(64, shift=(0.25, 0.125))
    assert np.allclose(still[8:, 16:], moved[:-8, :-16], atol=1e-4)


def test_time_changes_it_little_by_little(noise):
    start = noise.at(64)
    steps = [np.abs(noise.at(64, time) - start).mean() for time in (0.01, 0.1, 1.0)]
    assert steps[0] < 0.1 < steps[2]
    assert steps == sorted(steps)


def test_size_only_samples_it_finer(noise):
    small, big = noise.at(64), noise.at(128)
    assert np.allclose(big.reshape(64, 2, 64, 2).mean((1, 3)), small, atol=0.05)


def test_aspect_makes_it_finer_along_one_side(noise):
    field = noise.at(128, aspect=(1.0, 4.0))
    assert np.abs(np.diff(field, axis=0)).mean() > 2.5 * np.abs(np.diff(field, axis=1)).mean()
