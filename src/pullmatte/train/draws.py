"""Chance that hangs on numbers alone: on the seed, the step and the item, never on the process."""

import numpy as np
import torch


def seed_of(*numbers: int) -> int:
    """Mix whole numbers, 0 or more, into one seed of 63 bits."""
    word = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return int(word) >> 1


def numpy_generator(*numbers: int) -> np.random.Generator:
    """Make numpy's generator of some whole numbers, 0 or more."""
    return np.random.default_rng(np.random.SeedSequence(numbers))


def torch_generator(*numbers: int) -> torch.Generator:
    """Make torch's generator, of the CPU, of some whole numbers, 0 or more."""
    return torch.Generator().manual_seed(seed_of(*numbers))
