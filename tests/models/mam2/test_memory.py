"""Which memories are looked at, and how they survive numpy."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pullmatte.errors import PromptError
from pullmatte.models.mam2.config import MINIATURE
from pullmatte.models.mam2.memory import (
    DeviceArray,
    Selection,
    as_tensor,
    assemble,
    nearest_prompted,
    select,
)
from pullmatte.models.protocol import Memories

SIZES = MINIATURE.sam2


def entry(number: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(number)
    return {
        "features": torch.randn(256, 64, generator=generator).to(torch.bfloat16),
        "pointer": torch.randn(128, generator=generator),
    }


def entries(*numbers: int) -> dict[int, Any]:
    return {number: entry(number) for number in numbers}


def ages(memories: Memories, frame: int) -> tuple[list[int], list[int]]:
    found = select(memories, frame, SIZES)
    return [age for age, _ in found.spatial], [age for age, _ in found.pointers]


def test_forward_looks_at_prompted_frames_and_the_last_tracked() -> None:
    memories = Memories(entries(0, 40), entries(*range(1, 30)))
    # Frame 40 hasn't been passed, so it lends no pointer.
    assert ages(memories, 30) == ([0, 0, 6, 5, 4, 3, 2, 1], [30, *range(1, 16)])


def test_backward_looks_the_other_way() -> None:
    memories = Memories(entries(0, 40), entries(*range(31, 40)), reverse=True)
    assert ages(memories, 30) == ([0, 0, 6, 5, 4, 3, 2, 1], [10, *range(1, 10)])


def test_what_was_trimmed_is_passed_over() -> None:
    tracked = {7: entry(7), 4: {"pointer": entry(4)["pointer"]}, 6: {}}
    assert ages(Memories(entries(0), tracked), 8) == ([0, 1], [8, 1, 4])


def test_prompted_frames_too_many_count_as_tracked_ones() -> None:
    few = replace(SIZES, most_prompted=1)
    found = select(Memories(entries(2, 5, 7), entries(6)), 8, few)
    assert [age for age, _ in found.spatial] == [0, 6, 3, 2]
    assert [age for age, _ in found.pointers] == [6, 3, 1, 2]


def test_a_short_span_leaves_older_frames_out() -> None:
    short = replace(SIZES, spatial_span=2)
    found = select(Memories(entries(0), entries(*range(1, 9))), 9, short)
    assert [age for age, _ in found.spatial] == [0, 2, 1]
    assert len(found.pointers) == 9


def test_nearest_prompted_frames_have_one_on_each_side() -> None:
    assert nearest_prompted([0, 3, 4, 9], 5, 2) == {4, 9}
    assert nearest_prompted([0, 3, 4, 9], 5, 3) == {3, 4, 9}
    assert nearest_prompted([0, 3], 5, 0) == {0, 3}


def test_pointers_are_split_and_get_no_rotary_code(network) -> None:
    found = assemble(network.sam2, select(Memories(entries(0), entries(1, 2)), 3, SIZES), SIZES)
    assert found.memory.shape == found.memory_position.shape == (1, 3 * 256 + 3 * 2, 64)
    assert found.pointer_tokens == 6
    assert torch.equal(found.memory[0, -6:].flatten()[:128], entry(0)["pointer"])
    # Both halves of a pointer have its age.
    assert torch.equal(found.memory_position[0, -2], found.memory_position[0, -1])


def test_arrays_come_back_from_numpy_as_they_were(network) -> None:
    selection = select(Memories(entries(0), entries(1)), 2, SIZES)
    kept = {n: {k: DeviceArray(v) for k, v in entry(n).items()} for n in (0, 1)}
    saved = {n: {k: np.asarray(v) for k, v in e.items()} for n, e in kept.items()}
    assert saved[0]["features"].dtype == np.int16
    for each in (kept, saved):
        again = select(Memories({0: each[0]}, {1: each[1]}), 2, SIZES)
        found, expected = (assemble(network.sam2, s, SIZES) for s in (again, selection))
        assert torch.equal(found.memory, expected.memory)


def test_read_only_arrays_are_taken() -> None:
    array = np.arange(3, dtype=np.float32)
    array.flags.writeable = False
    assert as_tensor(array, torch.device("cpu")).tolist() == [0, 1, 2]


def test_device_array_tells_its_size() -> None:
    held = DeviceArray(torch.zeros(4, 3, dtype=torch.bfloat16))
    assert (held.shape, held.nbytes) == ((4, 3), 24)
    assert np.asarray(held, np.float32).dtype == np.float32


def test_several_objects_go_together(network) -> None:
    pair = {k: torch.stack([entry(0)[k], entry(1)[k]]) for k in ("features", "pointer")}
    found = assemble(network.sam2, Selection(((0, pair),), ((1, pair),)), SIZES)
    assert found.memory.shape == (2, 256 + 2, 64)


@pytest.mark.parametrize(
    "wrong",
    [{"pointer": torch.zeros(128)}, {"features": torch.zeros(99, 64), "pointer": torch.zeros(128)}],
)
def test_memories_of_another_model_are_refused(network, wrong) -> None:
    with pytest.raises(PromptError, match="memory"):
        assemble(network.sam2, Selection(((0, wrong),), ((1, wrong),)), SIZES)
