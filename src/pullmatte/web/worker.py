"""The process that owns the model: it may be killed, and another takes its place.

One pipe leads to it. What it is asked comes as ``(kind, number, name, arguments)``; while a job
runs, calls are answered between two frames, so that nobody waits for a whole clip.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pullmatte.errors import PullmatteError

CALL, JOB, CANCEL, STOP = "call", "job", "cancel", "stop"


@dataclass(frozen=True)
class WorkerOptions:
    """What the process is started with.

    Attributes:
        root: The folder of the projects.
        model: A name or path, as for ``--model``.
        device: As for ``--device``.
        dtype: As for ``--dtype``.
        matter: As for ``--matter``.
        max_pixels: Refuse pictures that declare more.
    """

    root: Path
    model: str
    device: str = "auto"
    dtype: str | None = None
    matter: str | None = None
    max_pixels: int = 100_000_000


class Cancelled(Exception):
    """A job was told to stop."""


def run_worker(connection: Connection, options: WorkerOptions) -> None:
    """Load the model, then do what comes through the pipe until it closes."""
    # Ctrl-C in a terminal reaches the whole group; the server ends this process itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        worker = _Worker(connection, options)
    except Exception as error:
        connection.send(("failed", 0, None, _sentence(error)))
        return
    try:
        worker.serve()
    except (EOFError, OSError):
        # The server is gone.
        os._exit(0)


class _Worker:
    """The loop, and the calls that it knows."""

    def __init__(self, connection: Connection, options: WorkerOptions) -> None:
        from pullmatte.sessions.load import load
        from pullmatte.web.desk import Desk
        from pullmatte.web.exports import Exports
        from pullmatte.web.projects import Projects

        self._connection = connection
        matter = load(
            options.model, device=options.device, dtype=options.dtype, matter=options.matter
        )
        _import_numba()
        projects = Projects(options.root)
        self._desk = Desk(matter, projects, self._emit, options.max_pixels)
        self._exports = Exports(self._desk, options.max_pixels)
        self._calls: dict[str, Callable[..., Any]] = {
            "open": self._desk.open,
            "matte": self._desk.matte,
            "foreground": self._desk.foreground,
            "lock": self._desk.lock,
            "close": self._desk.close,
            "remove": self._exports.remove,
        }
        self._jobs: dict[str, Callable[..., Any]] = {
            "propagate": self._desk.propagate,
            "export": self._exports.export,
        }
        self._waiting: list[tuple[Any, ...]] = []
        self._job: int | None = None
        self._busy_with: str | None = None
        self._emit("ready", _facts(matter))

    def serve(self) -> None:
        """Answer one message after another."""
        while True:
            message = self._waiting.pop(0) if self._waiting else self._connection.recv()
            if message[0] == STOP:
                return
            self._handle(message)

    def _handle(self, message: tuple[Any, ...]) -> None:
        kind, number, name, arguments = message
        if kind == CANCEL:
            # Its job is over already.
            return
        try:
            if kind == JOB:
                result = self._run_job(number, name, arguments)
            else:
                result = self._calls[name](**arguments)
        except Cancelled:
            self._connection.send(("cancelled", number, None, None))
        except Exception as error:
            known = "input" if isinstance(error, PullmatteError) else "bug"
            self._connection.send((known, number, None, _sentence(error)))
        else:
            self._connection.send(("result", number, result, None))

    def _run_job(self, number: int, name: str, arguments: dict[str, Any]) -> Any:
        self._job = number
        # An export writes what a propagation changes: of that project nothing else is done.
        self._busy_with = arguments["project_id"] if name == "export" else None
        try:
            self._progress(0, 0)
            return self._jobs[name](**arguments, progress=self._progress)
        finally:
            self._job = self._busy_with = None

    def _progress(self, done: int, total: int) -> None:
        """Say how far a job is, and answer who has asked meanwhile."""
        if total:
            self._connection.send(("progress", self._job, (done, total), None))
        while self._connection.poll():
            message = self._connection.recv()
            kind, number, _, arguments = message
            if kind == CANCEL and number == self._job:
                raise Cancelled
            if kind == STOP:
                self._waiting.insert(0, message)
                raise Cancelled
            held = self._busy_with is not None
            if kind == CALL and not (held and arguments.get("project_id") == self._busy_with):
                self._handle(message)
            elif kind != CANCEL:
                self._waiting.append(message)

    def _emit(self, event: str, seen: dict[str, Any]) -> None:
        self._connection.send(("event", 0, event, seen))


def _import_numba() -> None:
    """Import what estimates colours, which would give torch other threads, and so other bits."""
    import torch

    count = torch.get_num_threads()
    import_module("pymatting")
    torch.set_num_threads(count)


def _facts(matter: Any) -> dict[str, Any]:
    """Return what users shall know of the model."""
    spec = matter.spec
    return {
        "name": spec.name,
        "device": matter.device,
        "dtype": matter.dtype,
        "licence": spec.licence,
        "commercial_use": spec.commercial_use,
        "restrictions": spec.restrictions,
        "terms": spec.terms,
        "opacity": spec.opacity,
        "video": spec.video,
        "prompts": list(spec.prompts),
    }


def _sentence(error: BaseException) -> str:
    """Say what went wrong on one line; bugs of ours leave their traceback on stderr."""
    from pullmatte.sessions.out_of_memory import OUT_OF_MEMORY, is_out_of_memory

    if isinstance(error, PullmatteError):
        return " ".join(str(error).split())
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    traceback.print_exception(error, file=sys.stderr)
    return f"something went wrong inside pullmatte ({type(error).__name__}): see its terminal"
