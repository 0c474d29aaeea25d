"""Every library's own way to say that memory ran out; real errors where they can be had."""

import errno

import cv2
import numpy as np
import pytest
import torch

from pullmatte.sessions.out_of_memory import is_out_of_memory

BEYOND = 1 << 50
"""More than any machine's address space holds."""


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(BEYOND, dtype=torch.uint8),
        lambda: np.empty(BEYOND, np.uint8),
        lambda: cv2.resize(np.zeros((1, 1), np.uint8), (2**30, 2**20)),
    ],
    ids=["torch", "numpy", "opencv"],
)
def test_failed_allocation_is_out_of_memory(allocate):
    with pytest.raises((RuntimeError, MemoryError, cv2.error)) as caught:
        allocate()
    assert is_out_of_memory(caught.value)


def test_devices_and_the_system_count_too():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"))
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))


def test_other_errors_are_not():
    with pytest.raises(cv2.error) as caught:
        cv2.resize(np.zeros((0, 0), np.uint8), (3, 3))
    assert not is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes don't match"))
    assert not is_out_of_memory(ValueError("out of memory"))
    assert not is_out_of_memory(OSError(errno.ENOENT, "No such file"))
