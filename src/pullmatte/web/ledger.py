"""The jobs that were ordered, and what a clip's folder says of its results."""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pullmatte.errors import ReadError
from pullmatte.io.project_folder import ProjectFolder
from pullmatte.prompts import PromptFile
from pullmatte.web.desk import edit_folder, read_coverage
from pullmatte.web.host import Stopped, Task, WorkerHost
from pullmatte.web.projects import NoProject, Project, Projects

_KEPT = 50
_CANCEL_S = 30.0


@dataclass(eq=False)
class Job:
    """One job, as the page is told of it.

    Attributes:
        project: Its project's id.
        kind: "propagate" or "export".
        id: Its own.
        state: "queued", "running", "done", "failed" or "cancelled".
        done: What is done.
        total: What there is in all; 0 while that isn't known.
        error: Why it failed.
        result: What it made.
        task: What the model's process was given.
    """

    project: str
    kind: str
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    state: str = "queued"
    done: int = 0
    total: int = 0
    error: str | None = None
    result: dict[str, Any] | None = None
    task: Task | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("done", "failed", "cancelled")

    def as_dict(self) -> dict[str, Any]:
        """Return what the page is told."""
        names = ("id", "project", "kind", "state", "done", "total", "error", "result")
        return {name: getattr(self, name) for name in names}


class Ledger:
    """All jobs of this run of the studio; the last ones of those that are over are kept."""

    def __init__(self, host: WorkerHost, tell: Callable[[str, dict[str, Any]], None]) -> None:
        """Order jobs from a host, and tell of them as they go on."""
        self._host, self._tell = host, tell
        self._jobs: dict[str, Job] = {}

    def all(self) -> list[Job]:
        """Return the jobs, oldest first."""
        return list(self._jobs.values())

    def get(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            NoProject: If there is none.
        """
        if job_id not in self._jobs:
            raise NoProject("there is no such job: it may be over; reload the page")
        return self._jobs[job_id]

    def of(self, project_id: str, kind: str) -> Job | None:
        """Return a project's job of a kind that isn't over, if there is one."""
        found = (j for j in self._jobs.values() if (j.project, j.kind) == (project_id, kind))
        return next((job for job in found if not job.is_over), None)

    def order(self, project_id: str, kind: str, **arguments: Any) -> Job:
        """Put a job in line."""
        job = Job(project_id, kind)
        over = [old for old in self._jobs.values() if old.is_over]
        for old in over[: max(0, len(over) - _KEPT)]:
            del self._jobs[old.id]
        self._jobs[job.id] = job

        def progress(done: int, total: int) -> None:
            job.state, job.done, job.total = "running", done, total
            self._tell("job", job.as_dict())

        job.task = self._host.job(kind, progress, project_id=project_id, **arguments)
        self._tell("job", job.as_dict())
        job.task.future.add_done_callback(lambda future: self._over(job, future))
        return job

    def cancel(self, job: Job) -> None:
        """Stop a job."""
        if job.task is not None and not job.is_over:
            self._host.cancel(job.task)

    async def cancel_of(self, project_id: str) -> None:
        """Stop a project's jobs, and wait until they are."""
        jobs = [job for job in self.all() if job.project == project_id and not job.is_over]
        for job in jobs:
            self.cancel(job)
        futures = [asyncio.wrap_future(job.task.future) for job in jobs if job.task is not None]
        if futures:
            await asyncio.wait(futures, timeout=_CANCEL_S)

    def _over(self, job: Job, future: Any) -> None:
        error = future.exception()
        if error is None:
            job.state = "done"
            made = future.result()
            job.result = made if isinstance(made, dict) else {"computed": made}
            job.done = job.total = max(job.total, job.done)
        elif isinstance(error, Stopped):
            job.state = "cancelled"
        else:
            job.state, job.error = "failed", str(error)
        self._tell("job", job.as_dict())


def results_of(projects: Projects, project: Project) -> dict[str, Any]:
    """Return what a clip's folder says: frames done and locked, coverage, whether it is current."""
    nothing: dict[str, Any] = {"done": {}, "locked": {}, "coverage": {}, "current": True}
    if project.kind == "image":
        return nothing
    said = projects.prompts(project)
    folder = edit_folder(projects.root, project)
    if not folder.is_dir():
        return {**nothing, "current": not said.prompts}
    store = ProjectFolder(folder)
    document = store.load() or {}
    names = said.objects
    try:
        known = PromptFile.from_json(document["prompts"]).prompts if document else ()
        locks = {name: ranges(document.get("locks", {}).get(name, ())) for name in names}
    except (KeyError, TypeError, AttributeError) as error:
        raise ReadError(f"project {project.id} is damaged: delete it, and begin again") from error
    done = {name: store.frames(name) for name in names}
    left = bool(document.get("runs") or document.get("changes")) or known != said.prompts
    full = all(len(frames) == project.frames for frames in done.values())
    coverage = read_coverage(folder)
    return {
        "done": {name: ranges(frames) for name, frames in done.items()},
        "locked": {name: spans for name, spans in locks.items() if spans},
        "coverage": {name: coverage.get(name, {}) for name in names},
        "current": full and not left,
    }


def locked_frames(projects: Projects, project: Project) -> dict[str, set[int]]:
    """Return the frames of a clip that must not change: object → numbers."""
    folder = edit_folder(projects.root, project)
    document = (ProjectFolder(folder).load() or {}) if folder.is_dir() else {}
    locks = document.get("locks", {})
    return {str(name): set(map(int, frames)) for name, frames in locks.items() if frames}


def ranges(frames: Iterable[int]) -> list[list[int]]:
    """Write frame numbers as stretches, each its first and last frame."""
    found: list[list[int]] = []
    for frame in sorted(frames):
        if found and found[-1][1] == frame - 1:
            found[-1][1] = frame
        else:
            found.append([frame, frame])
    return found
