"""Everything that one running studio has."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pullmatte.errors import PromptError, PullmatteError
from pullmatte.prompts import PromptFile
from pullmatte.web.events import Events
from pullmatte.web.host import WorkerHost
from pullmatte.web.ledger import Ledger, locked_frames
from pullmatte.web.media import Media
from pullmatte.web.projects import Project, Projects
from pullmatte.web.worker import WorkerOptions

COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#42d4f4", "#f032e6", "#bfef45")
"""What objects are drawn in until somebody chooses."""


@dataclass(frozen=True)
class StudioOptions:
    """How the studio runs.

    Attributes:
        worker: How the model's process is started; projects lie in its `root`.
        host: Address to listen on.
        port: Port to listen on.
        token: What every request must show.
        most_upload_bytes: Of a file.
        most_bytes: Of any other body.
        most_pixels: Refuse pictures, and frames, that declare more.
    """

    worker: WorkerOptions
    host: str = "127.0.0.1"
    port: int = 8765
    token: str = ""
    most_upload_bytes: int = 4 << 30
    most_bytes: int = 64 << 20
    most_pixels: int = 100_000_000


@dataclass(eq=False)
class Studio:
    """The parts, and what takes more than one of them.

    Attributes:
        options: How it runs.
        projects: On disk.
        events: To the pages.
        host: Of the model's process.
        ledger: Of jobs.
        media: Frames for display.
    """

    options: StudioOptions
    projects: Projects = field(init=False)
    events: Events = field(init=False)
    host: WorkerHost = field(init=False)
    ledger: Ledger = field(init=False)
    media: Media = field(init=False)

    def __post_init__(self) -> None:
        self.projects = Projects(self.options.worker.root)
        self.projects.sweep()
        self.events = Events()
        self.host = WorkerHost(self.options.worker, self.events.tell)
        self.ledger = Ledger(self.host, self.events.tell)
        self.media = Media(self.options.most_pixels)

    @staticmethod
    def colour(known: Mapping[str, str], name: str) -> str:
        """Return an object's colour: its own, or one that goes by its name."""
        return known.get(name) or COLOURS[sum(name.encode()) % len(COLOURS)]

    def save_prompts(self, project: Project, text: str) -> None:
        """Keep what is said, a prompt file's text.

        Raises:
            PromptError: If it doesn't fit the photo or clip, or would change a locked frame.
        """
        prompts = PromptFile.from_json(text, size=(project.width, project.height))
        self._check_locks(project, prompts)
        before = self.projects.prompts(project)
        self.projects.save_prompts(project, prompts)
        if before.prompts != prompts.prompts:
            self.events.tell("project", {"id": project.id})

    def _check_locks(self, project: Project, prompts: PromptFile) -> None:
        before, after = self.projects.prompts(project).frames(), prompts.frames()
        for name, frames in locked_frames(self.projects, project).items():
            # An object that is gone takes its locks along.
            for frame in sorted(frames) if name in prompts.objects else ():
                if before.get(frame, {}).get(name) != after.get(frame, {}).get(name):
                    raise PromptError(f"frame {frame} of {name!r} is locked: unlock it first")

    def change(self, project_id: str, changes: Mapping[str, Any]) -> Project:
        """Change name, settings, objects or look of a project.

        Raises:
            PullmatteError: If one of them can't be so; then nothing is changed.
        """
        from pullmatte.jobs.look import Look

        project = self.projects.get(project_id)
        look = changes.get("look")
        if look is not None:
            if not isinstance(look, dict):
                raise PullmatteError("look: give an object")
            Look.from_json(json.dumps(look), self.projects.folder(project_id))
        changed = self.projects.change(project_id, changes)
        if look is not None:
            self.projects.save_look(project, look)
        return changed

    def prepare(self, project_id: str) -> None:
        """Have the model look at what is opened, so that the first prompt needn't wait for that."""
        # Nobody waits for it: what goes wrong with it goes wrong again where somebody does.
        with suppress(PullmatteError):
            if self.projects.get(project_id).kind != "image":
                return
            future = self.host.call("open", {"project_id": project_id}, ("open", project_id))
            future.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def delete(self, project_id: str) -> None:
        """Delete a project; what is open of it is closed first."""
        import asyncio

        folder = self.projects.folder(project_id)
        await self.ledger.cancel_of(project_id)
        self.media.forget(folder)
        if self.host.state in ("ready", "busy"):
            await asyncio.wrap_future(self.host.call("close", {"project_id": project_id}))
        await asyncio.get_running_loop().run_in_executor(None, self.projects.delete, project_id)
        self.events.tell("project", {"id": project_id})

    def close(self) -> None:
        """End everything."""
        self.events.close()
        self.host.close()
        self.media.close()


def memory_mb(pid: int | None) -> float:
    """Return how much memory a process holds; 0 where that can't be told."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    import resource

    return round(pages * resource.getpagesize() / 2**20, 1)
