"""Decode, model and encode at the same time, each on a thread of its own, in order."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from pullmatte.sessions.clip import Frame, FrameSource

Item = TypeVar("Item")
DEPTH = 4
"""Frames that wait between two stages: enough to even out, few enough to stay small."""


class Prefetched:
    """A clip whose next frames are decoded and converted while the last one is worked on."""

    def __init__(self, clip: FrameSource, depth: int = DEPTH) -> None:
        self._clip = clip
        self._depth = depth

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._clip.size

    def __len__(self) -> int:
        return len(self._clip)

    def frames(
        self, start: int = 0, stop: int | None = None, *, reverse: bool = False
    ) -> Iterator[Frame]:
        """Hand out frames as the clip does, from a thread that runs ahead."""

        def convert() -> Iterator[Frame]:
            for frame in self._clip.frames(start, stop, reverse=reverse):
                # Touched here so that the conversion runs on this thread too.
                _ = frame.image
                yield frame

        with _Ahead(convert(), self._depth) as ahead:
            yield from ahead


class _Ahead(Generic[Item]):
    """Runs an iterator on a thread, at most `depth` items ahead."""

    def __init__(self, items: Iterator[Item], depth: int) -> None:
        self._queue: Queue[tuple[bool, Any]] = Queue(depth)
        self._stop = Event()
        self._thread = Thread(target=self._run, args=(items,), daemon=True)

    def _run(self, items: Iterator[Item]) -> None:
        try:
            for item in items:
                if not self._put((True, item)):
                    return
            self._put((False, None))
        except BaseException as error:
            self._put((False, error))

    def _put(self, message: tuple[bool, Any]) -> bool:
        while not self._stop.is_set():
            with suppress(Full):
                self._queue.put(message, timeout=0.1)
                return True
        return False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __iter__(self) -> Iterator[Item]:
        while True:
            more, item = self._queue.get()
            if not more:
                if item is not None:
                    raise item
                return
            yield item

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with suppress(Empty):
            while True:
                self._queue.get_nowait()
        self._thread.join()


class Worker:
    """Runs calls one after the other on a thread; an error there is raised here."""

    def __init__(self, depth: int = DEPTH) -> None:
        self._queue: Queue[Callable[[], None] | None] = Queue(depth)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, daemon=True)

    def submit(self, call: Callable[[], None]) -> None:
        """Queue a call; waits while `depth` calls are queued already.

        Raises:
            BaseException: Whatever an earlier call raised.
        """
        if self._error is not None:
            raise self._error
        self._queue.put(call)

    def _run(self) -> None:
        while (call := self._queue.get()) is not None:
            # After an error the rest is dropped, so that nobody waits for a full queue.
            if self._error is None:
                try:
                    call()
                except BaseException as error:
                    self._error = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error
