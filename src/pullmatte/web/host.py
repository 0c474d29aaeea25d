"""Looks after the model's process: hands it work one piece at a time, and starts it again.

Calls of people who wait go before jobs; a call that a newer one of the same kind and place has
overtaken is dropped before it costs anything.
"""

import multiprocessing
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from queue import SimpleQueue
from typing import Any, Literal

from pullmatte.errors import PullmatteError
from pullmatte.web.worker import CALL, CANCEL, JOB, STOP, WorkerOptions, run_worker

State = Literal["starting", "ready", "busy", "restarting", "failed"]
_CRASHES, _WITHIN_S = 3, 60.0
_MOST_WAITING = 128
_STOP_S = 5.0
CRASHED = "the model's process ended; it is started again, nothing saved is lost: ask again"


class Overtaken(PullmatteError):
    """A newer call of the same kind and place came."""


class Stopped(PullmatteError):
    """A job was cancelled."""


class Full(PullmatteError):
    """Too many wait already."""


class Bug(Exception):
    """Something is wrong with pullmatte."""


@dataclass(eq=False)
class Task:
    """One piece of work.

    Attributes:
        kind: A call or a job.
        name: What is called.
        arguments: By name.
        key: Calls of one key overtake each other; None for none.
        progress: Called with what is done and what there is in all.
        future: Of the result.
        number: As the process knows it.

    A future that runs can't be cancelled from outside, so nothing but the host ever ends it.
    """

    kind: str
    name: str
    arguments: Mapping[str, Any]
    key: tuple[Any, ...] | None = None
    progress: Callable[[int, int], None] | None = None
    future: "Future[Any]" = field(default_factory=Future)
    number: int = 0

    def __post_init__(self) -> None:
        self.future.set_running_or_notify_cancel()

    @property
    def project(self) -> Any:
        """Whose it is; None for no project's."""
        return self.arguments.get("project_id")


class WorkerHost:
    """The model's process, seen from the server; safe to use from any thread."""

    def __init__(
        self, options: WorkerOptions, listen: Callable[[str, dict[str, Any]], None]
    ) -> None:
        """Prepare; `start` starts it.

        Args:
            options: For the process.
            listen: Called with events, from a thread of the host's.
        """
        self._options, self._listen = options, listen
        self._lock = threading.RLock()
        self._numbers = count(1)
        self._calls: deque[Task] = deque()
        self._jobs: deque[Task] = deque()
        # What the process has in hand: a job, and beside it one call.
        self._at: dict[str, Task | None] = {CALL: None, JOB: None}
        self._crashes: deque[float] = deque(maxlen=_CRASHES)
        self._process: Any = None
        self._outbox: SimpleQueue[Any] = SimpleQueue()
        self._closing = False
        self.model: dict[str, Any] | None = None
        self.state: State = "starting"
        self.error: str | None = None

    @property
    def pid(self) -> int | None:
        """Number of the process; None while there is none."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process; it loads its model in its own time."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=run_worker, args=(theirs, self._options), name="pullmatte-model", daemon=True
        )
        process.start()
        theirs.close()
        with self._lock:
            self._process = process
            self._outbox = SimpleQueue()
        # Its own thread sends: a picture doesn't fit the pipe, and waits until the process reads.
        sends = (ours, self._outbox)
        threading.Thread(target=_pass_on, args=sends, daemon=True).start()
        threading.Thread(target=self._read, args=(ours, process, self._outbox), daemon=True).start()

    def close(self) -> None:
        """End the process; what it was doing is in its files."""
        with self._lock:
            self._closing = True
            process = self._process
            if process is not None:
                self._send((STOP, 0, None, None))
        if process is not None:
            process.join(_STOP_S)
            if process.is_alive():
                process.kill()
                process.join()
        self._fail_all("the studio is closing")

    def call(
        self, name: str, arguments: Mapping[str, Any], key: tuple[Any, ...] | None = None
    ) -> "Future[Any]":
        """Ask for something that somebody waits for.

        Args:
            name: What.
            arguments: By name.
            key: An older call of this key that hasn't begun yet fails with `Overtaken`.

        Raises:
            Full: If too many wait.
        """
        with self._lock:
            if key is not None:
                for old in [task for task in self._calls if task.key == key]:
                    self._calls.remove(old)
                    old.future.set_exception(Overtaken("a newer request took its place"))
            if len(self._calls) >= _MOST_WAITING:
                raise Full("too many requests are waiting for the model: try again in a moment")
            task = Task(CALL, name, arguments, key)
            self._calls.append(task)
            self._hand_on()
        return task.future

    def job(self, name: str, progress: Callable[[int, int], None], **arguments: Any) -> Task:
        """Put a job in line; cancel it by `cancel`."""
        with self._lock:
            task = Task(JOB, name, arguments, progress=progress)
            self._jobs.append(task)
            self._hand_on()
        return task

    def cancel(self, task: Task) -> None:
        """Stop a job, between two frames if it runs; its future fails with `Stopped`."""
        with self._lock:
            if task in self._jobs:
                self._jobs.remove(task)
                task.future.set_exception(Stopped("cancelled"))
            elif self._at[JOB] is task:
                self._send((CANCEL, task.number, None, None))

    def _hand_on(self) -> None:
        """Give the process what it can take: a call, and a job if it has none."""
        if self.state not in ("ready", "busy"):
            if self.state == "failed":
                self._fail_all(self.error or CRASHED)
            return
        for kind, line in ((JOB, self._jobs), (CALL, self._calls)):
            task = next((each for each in line if kind == JOB or not self._is_held(each)), None)
            if self._at[kind] is None and task is not None:
                line.remove(task)
                task.number = next(self._numbers)
                self._at[kind] = task
                self._send((kind, task.number, task.name, dict(task.arguments)))
        busy = any(self._at.values())
        self._become("busy" if busy else "ready")

    def _is_held(self, call: Task) -> bool:
        """Whether a call has to wait for its project's export, which writes what is there."""
        job = self._at[JOB]
        return job is not None and job.name == "export" and call.project == job.project

    def _send(self, message: tuple[Any, ...]) -> None:
        self._outbox.put(message)

    def _read(self, connection: Any, process: Any, outbox: "SimpleQueue[Any]") -> None:
        """Take what comes from the process until it ends."""
        while True:
            try:
                kind, number, first, second = connection.recv()
            except (EOFError, OSError):
                break
            self._take(kind, number, first, second)
        process.join()
        outbox.put(None)
        connection.close()
        self._ended()

    def _take(self, kind: str, number: int, first: Any, second: Any) -> None:
        if kind == "event" and first == "ready":
            with self._lock:
                self.model = second
                self.state = "ready"
                self.error = None
                self._tell()
                self._hand_on()
        elif kind == "event":
            self._listen(first, second)
        elif kind == "failed":
            with self._lock:
                self.error = second
                self._become("failed")
                self._fail_all(second)
        elif kind == "progress":
            task = self._at[JOB]
            if task is not None and task.number == number and task.progress is not None:
                task.progress(*first)
        else:
            self._finish(kind, number, first, second)

    def _finish(self, kind: str, number: int, result: Any, message: str) -> None:
        with self._lock:
            place = next((k for k, t in self._at.items() if t and t.number == number), None)
            task = None if place is None else self._at[place]
            if place is None or task is None:
                return
            self._at[place] = None
            self._hand_on()
        if kind == "result":
            task.future.set_result(result)
        else:
            errors = {"input": PullmatteError, "bug": Bug, "cancelled": Stopped}
            task.future.set_exception(errors[kind](message or "cancelled"))

    def _ended(self) -> None:
        """The process is gone: say so to who waits for it, and start another."""
        with self._lock:
            if self._closing or self.state == "failed":
                return
            lost = [task for task in self._at.values() if task is not None]
            self._at = {CALL: None, JOB: None}
            self._crashes.append(time.monotonic())
            often = len(self._crashes) == _CRASHES
            if often and self._crashes[-1] - self._crashes[0] < _WITHIN_S:
                self.error = "the model's process keeps ending: see the studio's terminal for why"
                self._become("failed")
                self._fail_all(self.error)
            else:
                self._become("restarting")
        for task in lost:
            task.future.set_exception(PullmatteError(CRASHED))
        if self.state == "restarting":
            self.start()

    def _fail_all(self, message: str) -> None:
        with self._lock:
            tasks = [*self._calls, *self._jobs, *filter(None, self._at.values())]
            self._calls.clear()
            self._jobs.clear()
            self._at = {CALL: None, JOB: None}
        for task in tasks:
            task.future.set_exception(PullmatteError(message))

    def _become(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self._tell()

    def _tell(self) -> None:
        shown = {"worker": self.state, "model": self.model, "worker_error": self.error}
        self._listen("worker", shown)


def _pass_on(connection: Any, outbox: "SimpleQueue[Any]") -> None:
    """Send what is put into a queue, until that is None or the other end is gone."""
    while (message := outbox.get()) is not None:
        try:
            connection.send(message)
        except (OSError, ValueError):
            # The reading thread sees the end, too, and does what there is to do.
            return
