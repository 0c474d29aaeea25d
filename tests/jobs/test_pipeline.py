"""Threads that run ahead and behind, in order, and end."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from pullmatte.jobs.pipeline import DEPTH, Prefetched, Worker
from pullmatte.sessions.clip import ArrayClip

CLIP = ArrayClip([np.full((2, 2, 3), value / 20, np.float32) for value in range(20)])


class Counting:
    """A clip that counts what was taken from it, and may fail."""

    size = CLIP.size

    def __init__(self, fail_at: int | None = None) -> None:
        self.taken, self.fail_at = 0, fail_at

    def __len__(self) -> int:
        return len(CLIP)

    def frames(self, *span, reverse: bool = False) -> Iterator:
        for frame in CLIP.frames(*span, reverse=reverse):
            if frame.index == self.fail_at:
                raise ValueError("damaged")
            self.taken += 1
            yield frame


@pytest.mark.parametrize(("span", "reverse"), [((), False), ((3, 9), False), ((0, 7), True)])
def test_frames_come_in_the_clip_s_order(span, reverse):
    ahead = Prefetched(CLIP)
    got = [frame.index for frame in ahead.frames(*span, reverse=reverse)]
    assert got == [frame.index for frame in CLIP.frames(*span, reverse=reverse)]
    assert (ahead.size, len(ahead)) == ((2, 2), 20)


def test_only_a_few_frames_run_ahead():
    clip = Counting()
    frames = Prefetched(clip).frames()
    next(frames)
    frames.close()
    assert clip.taken <= DEPTH + 2


def test_leaving_early_ends_the_thread():
    before = threading.active_count()
    frames = Prefetched(CLIP).frames()
    next(frames)
    frames.close()
    assert threading.active_count() == before


def test_error_in_the_clip_is_raised_after_the_frames_before_it():
    frames = Prefetched(Counting(fail_at=5)).frames()
    assert [next(frames).index for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="damaged"):
        next(frames)


def test_worker_keeps_the_order():
    done: list[int] = []
    with Worker() as worker:
        for number in range(50):
            worker.submit(lambda number=number: done.append(number))
    assert done == list(range(50))


def test_worker_raises_what_a_call_raised():
    done: list[int] = []

    def fail() -> None:
        raise OSError("full")

    def work() -> None:
        with Worker() as worker:
            worker.submit(fail)
            for number in range(100):
                worker.submit(lambda number=number: done.append(number))

    with pytest.raises(OSError, match="full"):
        work()
    assert done == []


def test_caller_s_error_stands_above_the_worker_s():
    def fail() -> None:
        raise OSError("full")

    def work() -> None:
        with Worker() as worker:
            worker.submit(fail)
            raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        work()
