"""Server-sent events: what happened, to every page that is open."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

_QUEUED = 1000
_QUIET_S = 15.0


class Events:
    """Hands what happens to all who listen; a listener that is too slow is sent away."""

    def __init__(self) -> None:
        """Start without listeners, inside of the server's loop or before it."""
        self._listeners: set[asyncio.Queue[str | None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def start(self) -> None:
        """Remember the running loop: events come from other threads, too."""
        self._loop = asyncio.get_running_loop()

    def tell(self, event: str, seen: dict[str, Any]) -> None:
        """Tell all listeners, from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            text = f"event: {event}\ndata: {json.dumps(seen)}\n\n"
            self._loop.call_soon_threadsafe(self._spread, text)

    def close(self) -> None:
        """End all streams."""
        for queue in self._listeners:
            queue.put_nowait(None)

    def _spread(self, text: str) -> None:
        for queue in tuple(self._listeners):
            if queue.qsize() < _QUEUED:
                queue.put_nowait(text)
            else:
                # It reconnects, and asks for everything anew.
                self._listeners.discard(queue)
                queue.put_nowait(None)

    async def stream(self) -> AsyncIterator[str]:
        """Yield events as they come, and a comment now and then so that a dead end is noticed."""
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            yield "retry: 1000\n\n"
            while True:
                try:
                    text = await asyncio.wait_for(queue.get(), _QUIET_S)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                if text is None:
                    return
                yield text
        finally:
            self._listeners.discard(queue)
