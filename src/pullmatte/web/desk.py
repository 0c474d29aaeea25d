"""What the model's process does for the studio: mattes on demand, and jobs on clips.

Prompts are read from the project's own file each time: it alone says what is said.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pullmatte.errors import PromptError, PullmatteError, ReadError
from pullmatte.io.atomic import replacing
from pullmatte.io.clip import Clip
from pullmatte.io.image import load_picture
from pullmatte.io.project_folder import ProjectFolder
from pullmatte.io.video import open_video
from pullmatte.matte import Matte
from pullmatte.models.protocol import Image
from pullmatte.prompts import PromptFile
from pullmatte.sessions.editing import EditSession
from pullmatte.sessions.image import ImageSession
from pullmatte.sessions.load import Matter
from pullmatte.sessions.prompt_kinds import taken
from pullmatte.web.media import as_grey_png, as_jpeg
from pullmatte.web.projects import NoProject, Project, Projects

Emit = Callable[[str, dict[str, Any]], None]
"""Tells the server of something: the event's name, and what happened."""
COVERAGE = "coverage.json"
_PHOTOS_OPEN = 2
_CLIPS_OPEN = 2
_SAVE_EVERY_S = 2.0


@dataclass(eq=False)
class OpenPhoto:
    """A photo that is encoded.

    Attributes:
        session: On it.
        held_out: Its own alpha, which no matte exceeds; None without one.
        mattes: Object → what was said, and the matte of it.
    """

    session: ImageSession
    held_out: Image | None
    mattes: dict[str, tuple[tuple[str, str], Matte]]


@dataclass(eq=False)
class OpenClip:
    """A clip that is worked on.

    Attributes:
        clip: It.
        session: On it.
        store: Where its results lie.
        coverage: Object → frame → mean alpha.
        saved_at: When coverage was last written.
    """

    clip: Clip
    session: EditSession
    store: ProjectFolder
    coverage: dict[str, dict[int, float]]
    saved_at: float = 0.0


def edit_folder(root: Path, project: Project) -> Path:
    """Return where a clip's results lie: other settings have other results."""
    return root / project.id / f"edit_{project.settings.opacity}"


class Desk:
    """One loaded model at work on projects."""

    def __init__(self, matter: Matter, projects: Projects, emit: Emit, max_pixels: int) -> None:
        """Take a model; nothing is opened yet."""
        self.matter, self.projects = matter, projects
        self._emit, self._max_pixels = emit, max_pixels
        self._photos: OrderedDict[str, OpenPhoto] = OrderedDict()
        # By the folder of their results, of which each has one session at a time.
        self._clips: OrderedDict[Path, OpenClip] = OrderedDict()
        self._in_hand: OpenClip | None = None

    def matte(self, project_id: str, name: str, frame: int) -> tuple[bytes, float, float, bool]:
        """Matte an object of a photo, or on a frame of a clip.

        Returns:
            Its alpha as 8-bit grey PNG, the model's own seconds, the mean alpha, and whether that
            is a result that stays (on a clip it may be a preview, made without other frames).

        Raises:
            PullmatteError: If what was said doesn't fit, or nothing was.
        """
        project = self.projects.get(project_id)
        began = time.perf_counter()
        if project.kind == "image":
            matte, kept = self._photo_matte(project, name), True
        else:
            matte, kept = self._clip_matte(project, name, frame)
        took = time.perf_counter() - began
        return as_grey_png(matte.alpha), took, float(matte.alpha.mean()), kept

    def open(self, project_id: str) -> None:
        """Encode a photo before anything is said of it; of a clip there is nothing to do ahead."""
        project = self.projects.get(project_id)
        if project.kind == "image":
            self._photo(project)

    def foreground(self, project_id: str, name: str, frame: int) -> bytes:
        """Return an object's own colours as JPEG.

        Raises:
            PullmatteError: If there is no matte of it.
        """
        project = self.projects.get(project_id)
        if project.kind == "image":
            return as_jpeg(self._photo_matte(project, name).foreground)
        session = self._opened(project).session
        if frame not in session.done(name):
            raise NoProject(f"{name!r} has no result on frame {frame} yet: prompt or propagate")
        return as_jpeg(session.frame(frame).mattes[name].foreground)

    def lock(self, project_id: str, name: str | None, first: int, last: int, *, on: bool) -> None:
        """Lock or unlock frames of a clip.

        Raises:
            PromptError: If there is nothing to lock.
        """
        session = self._opened(self.projects.get(project_id)).session
        change = session.lock if on else session.unlock
        change(range(first, last + 1), name)

    def propagate(
        self, project_id: str, direction: Any, progress: Callable[[int, int], None]
    ) -> int:
        """Compute what is left to compute of a clip; what is said meanwhile is taken in.

        Args:
            project_id: Whose.
            direction: As for `EditSession.update`.
            progress: Called after each result with those done and those in all; may raise to stop.

        Returns:
            How many results were computed.
        """
        project = self.projects.get(project_id)
        opened, made = self._opened(project), 0
        self._tell(project, opened.session)
        self._in_hand = opened
        try:
            while not opened.session.is_current(direction):
                before = opened.session.prompts
                for step in opened.session.update(direction):
                    made += 1
                    self._note(project, opened, step.object, step.frame)
                    done = [len(opened.session.done(name)) for name in opened.session.objects]
                    progress(sum(done), len(done) * len(opened.clip))
                    if opened.session.prompts != before:
                        break
        finally:
            self._in_hand = None
            self._save_coverage(opened)
        return made

    def hand_over(self, project: Project) -> None:
        """Bring a clip's folder up to what is said, and leave it to another session."""
        self._tell(project, self._opened(project).session)
        self.close(project.id)

    def close(self, project_id: str) -> None:
        """Close what is open of a project."""
        self._photos.pop(project_id, None)
        for folder in [folder for folder in self._clips if folder.parent.name == project_id]:
            opened = self._clips.pop(folder)
            if opened is not self._in_hand:
                opened.clip.close()

    def _photo(self, project: Project) -> OpenPhoto:
        if project.id not in self._photos:
            picture = load_picture(self.projects.input_path(project), max_pixels=self._max_pixels)
            session = self.matter.open_image(picture.image)
            self._photos[project.id] = OpenPhoto(session, picture.alpha, {})
        self._photos.move_to_end(project.id)
        while len(self._photos) > _PHOTOS_OPEN:
            self._photos.popitem(last=False)
        return self._photos[project.id]

    def _photo_matte(self, project: Project, name: str) -> Matte:
        prompts = self.projects.prompts(project)
        said = prompts.on_frame(0).get(name)
        if said is None:
            raise PromptError(f"nothing was said about {name!r} yet: click it, or draw a box")
        photo, opacity = self._photo(project), project.settings.opacity
        key = PromptFile(tuple(p for p in prompts.prompts if p.object == name)).to_json(), opacity
        if name not in photo.mattes or photo.mattes[name][0] != key:
            understood = taken(self.matter.spec, said)
            matte = photo.session.predict(understood, opacity=opacity)
            if photo.held_out is not None:
                matte.alpha = np.minimum(matte.alpha, photo.held_out)
            photo.mattes[name] = key, matte
        return photo.mattes[name][1]

    def _opened(self, project: Project) -> OpenClip:
        folder = edit_folder(self.projects.root, project)
        if folder not in self._clips:
            clip = open_video(self.projects.input_path(project))
            opacity = project.settings.opacity
            store = ProjectFolder(folder)
            session = self.matter.edit_video(clip, store, opacity=opacity)
            self._clips[folder] = OpenClip(clip, session, store, read_coverage(folder))
            self._fill_coverage(self._clips[folder])
        self._clips.move_to_end(folder)
        spare = [each for each, opened in self._clips.items() if opened is not self._in_hand]
        for each in spare[: max(0, len(self._clips) - _CLIPS_OPEN)]:
            if each != folder:
                self._clips.pop(each).clip.close()
        return self._clips[folder]

    def _clip_matte(self, project: Project, name: str, frame: int) -> tuple[Matte, bool]:
        opened = self._opened(project)
        session = opened.session
        prompts = self._tell(project, session)
        if name not in session.objects:
            raise PromptError(f"nothing was said about {name!r} yet: click it, or draw a box")
        preview = self._preview(opened, prompts, name, frame)
        if preview is not None:
            return preview, False
        if session.is_due(frame, name):
            for step in session.update("both"):
                self._note(project, opened, step.object, step.frame)
                if not session.is_due(frame, name):
                    break
            self._save_coverage(opened)
        if frame not in session.done(name):
            raise PromptError(f"{name!r} has no result on frame {frame} yet: propagate first")
        return session.frame(frame).mattes[name], True

    def _preview(
        self, opened: OpenClip, prompts: PromptFile, name: str, frame: int
    ) -> Matte | None:
        """Matte clicks by themselves where memory would have to come first, frame by frame."""
        said, session = prompts.on_frame(frame).get(name), opened.session
        if said is None or said.box or said.mask or said.trimap:
            return None
        first = min(each.frame for each in prompts.prompts if each.object == name)
        if frame == first or {frame - 1, frame, frame + 1} & session.done(name):
            return None
        image = next(iter(opened.clip.frames(frame, frame + 1))).image
        photo = self.matter.open_image(image)
        understood = taken(self.matter.spec, said)
        return photo.predict(understood, opacity=session.options.opacity)

    def _tell(self, project: Project, session: EditSession) -> PromptFile:
        prompts = self.projects.prompts(project)
        if session.prompts.prompts != prompts.prompts:
            for name in set(session.objects) - set(prompts.objects):
                # Nothing is left to protect of an object that is gone.
                session.unlock(session.locked(name), name)
            session.set_prompts(prompts)
        return prompts

    def _note(self, project: Project, opened: OpenClip, name: str, frame: int) -> None:
        """Say that a result came, and how much of the frame it covers."""
        mean = self._mean_alpha(opened, name, frame)
        opened.coverage.setdefault(name, {})[frame] = mean
        seen = {"project": project.id, "object": name, "frame": frame, "coverage": round(mean, 5)}
        self._emit("frame", seen)
        if time.monotonic() - opened.saved_at > _SAVE_EVERY_S:
            self._save_coverage(opened)

    def _mean_alpha(self, opened: OpenClip, name: str, frame: int) -> float:
        parts = opened.store.get(name, frame)
        if parts is None:
            return 0.0
        plane = parts[0]["alpha"]
        return float(plane.mean()) / float(np.iinfo(plane.dtype).max)

    def _fill_coverage(self, opened: OpenClip) -> None:
        """Take coverage anew where a killed process had no time to write it."""
        for name in opened.session.objects:
            known = opened.coverage.setdefault(name, {})
            for frame in sorted(opened.session.done(name) - known.keys()):
                with suppress(ReadError):
                    known[frame] = self._mean_alpha(opened, name, frame)
        if opened.session.objects:
            self._save_coverage(opened)

    def _save_coverage(self, opened: OpenClip) -> None:
        done = {name: opened.session.done(name) for name in opened.session.objects}
        shown = {
            name: {
                str(at): round(mean, 5) for at, mean in sorted(means.items()) if at in done[name]
            }
            for name, means in opened.coverage.items()
            if name in done
        }
        with suppress(PullmatteError), replacing(opened.store.folder / COVERAGE) as partial:
            partial.write_text(json.dumps(shown), encoding="utf-8")
        opened.saved_at = time.monotonic()


def read_coverage(folder: Path) -> dict[str, dict[int, float]]:
    """Read an edit folder's coverage: object → frame → mean alpha; empty without one."""
    try:
        found = json.loads((folder / COVERAGE).read_text(encoding="utf-8"))
        return {
            str(name): {int(at): float(mean) for at, mean in means.items()}
            for name, means in found.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
