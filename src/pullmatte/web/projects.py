"""What the studio keeps: a folder for each project, readable without the studio.

A folder holds the input as it came (``input.*``), ``project.json``, ``prompts.json`` and
``look.json``, results under ``edit_*`` (clips) or ``results`` (photos), and ``exports``. Every file
is replaced whole, so that whatever a killed process leaves behind is a state that it was in.
"""

import json
import re
import secrets
import shutil
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from pullmatte.errors import PullmatteError, ReadError
from pullmatte.io.atomic import replacing
from pullmatte.models.protocol import Opacity
from pullmatte.prompts import PromptFile

Kind = Literal["image", "video"]
DOCUMENT, PROMPTS, LOOK = "project.json", "prompts.json", "look.json"
OPACITIES = get_args(Opacity)
_ID = re.compile(r"[0-9a-f]{12}")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_VERSION = 1
_NAME_LENGTH = 120


class NoProject(ReadError):
    """There is no such project."""


@dataclass(frozen=True)
class Settings:
    """How a project is matted.

    Attributes:
        opacity: Whether its objects are opaque, transparent, or to be found out.
        steady: How strongly a clip's alpha is steadied where it is uncertain, in [0, 1).
        sum_to_one: Whether objects share a pixel that they claim together more than once.
    """

    opacity: Opacity = "auto"
    steady: float = 0.0
    sum_to_one: bool = False

    def __post_init__(self) -> None:
        if self.opacity not in OPACITIES:
            raise PullmatteError(f"opacity {self.opacity!r}: give one of {', '.join(OPACITIES)}")
        if not isinstance(self.steady, int | float) or not 0 <= self.steady < 1:
            raise PullmatteError(f"steady {self.steady!r}: give a number from 0 to less than 1")


@dataclass(frozen=True)
class Project:
    """One photo or clip that is worked on.

    Attributes:
        id: Twelve hexadecimal digits, the folder's name.
        name: What the file was called.
        kind: A photo or a clip.
        suffix: Of the input on disk.
        width: Of the upright picture in pixels.
        height: Likewise.
        frames: 1 for a photo.
        fps: Frames a second on average; 0 for a photo.
        has_audio: Whether a clip has sound.
        created: ISO time.
        updated: ISO time of the last change.
        settings: How it is matted.
        objects: Objects and their colours on the page, which may have no prompt yet.
    """

    id: str
    name: str
    kind: Kind
    suffix: str
    width: int
    height: int
    frames: int = 1
    fps: float = 0.0
    has_audio: bool = False
    created: str = ""
    updated: str = ""
    settings: Settings = field(default_factory=Settings)
    objects: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return what the page is told."""
        shown = asdict(self)
        for name in ("settings", "objects", "suffix"):
            del shown[name]
        return shown


class Projects:
    """All projects of one folder."""

    def __init__(self, root: Path) -> None:
        """Look after a folder; it is made with the first project."""
        self.root = root
        self._lock = threading.RLock()

    def folder(self, project_id: str) -> Path:
        """Return a project's folder.

        Raises:
            NoProject: If there is none, or that is no project's name.
        """
        folder = self.root / project_id
        if not _ID.fullmatch(project_id) or not (folder / DOCUMENT).is_file():
            raise NoProject("there is no such project: it may have been deleted; reload the page")
        return folder

    def new_folder(self) -> tuple[str, Path]:
        """Make a folder for a project that doesn't stand yet."""
        project_id = secrets.token_hex(6)
        folder = self.root / project_id
        folder.mkdir(parents=True)
        return project_id, folder

    def sweep(self) -> None:
        """Delete what uploads left that were killed before they were a project."""
        for folder in self.root.iterdir() if self.root.is_dir() else ():
            if _ID.fullmatch(folder.name) and not (folder / DOCUMENT).exists():
                shutil.rmtree(folder, ignore_errors=True)

    def list(self) -> list[Project]:
        """Return all projects, the one that was changed last first; damaged ones are left out."""
        found = []
        for path in self.root.glob(f"*/{DOCUMENT}") if self.root.is_dir() else ():
            if _ID.fullmatch(path.parent.name):
                try:
                    found.append(self.get(path.parent.name))
                except ReadError:
                    continue
        return sorted(found, key=lambda project: project.updated, reverse=True)

    def get(self, project_id: str) -> Project:
        """Read a project.

        Raises:
            NoProject: If there is none.
            ReadError: If it is damaged.
        """
        path = self.folder(project_id) / DOCUMENT
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            assert record.pop("pullmatte_project") == _VERSION
            record["settings"] = Settings(**record["settings"])
            record["objects"] = tuple((str(n), str(colour)) for n, colour in record["objects"])
            return Project(**{**record, "id": project_id})
        except (OSError, ValueError, TypeError, KeyError, AssertionError, PullmatteError) as error:
            raise ReadError(f"project {project_id} is damaged: {DOCUMENT} can't be read") from error

    def save(self, project: Project) -> Project:
        """Write a project's document; its time of change is now."""
        with self._lock:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            project = replace(project, updated=now, created=project.created or now)
            record = {"pullmatte_project": _VERSION, **asdict(project)}
            _write(self.root / project.id / DOCUMENT, json.dumps(record, indent=1) + "\n")
            return project

    def change(self, project_id: str, changes: Mapping[str, Any]) -> Project:
        """Change name, settings or objects.

        Raises:
            PullmatteError: If one of them can't be so.
        """
        with self._lock:
            project = self.get(project_id)
            if "name" in changes:
                project = replace(project, name=_name(changes["name"]))
            if "settings" in changes:
                settings = _settings(project.settings, changes["settings"])
                project = replace(project, settings=settings)
            if "objects" in changes:
                project = replace(project, objects=_objects(changes["objects"]))
            return self.save(project)

    def delete(self, project_id: str) -> None:
        """Delete a project with all that it holds; the document goes first."""
        folder = self.folder(project_id)
        (folder / DOCUMENT).unlink()
        shutil.rmtree(folder, ignore_errors=True)

    def input_path(self, project: Project) -> Path:
        """Return the photo or clip as it came."""
        return self.root / project.id / f"input{project.suffix}"

    def prompts(self, project: Project) -> PromptFile:
        """Read what was said; nothing, if nothing was."""
        path = self.root / project.id / PROMPTS
        return PromptFile.load(path) if path.is_file() else PromptFile()

    def save_prompts(self, project: Project, prompts: PromptFile) -> PromptFile:
        """Check and keep what is said, under the input's name and size.

        Raises:
            PromptError: If it doesn't fit the photo or clip.
        """
        size = (project.width, project.height)
        prompts.check(*size, frame_count=project.frames)
        prompts = replace(prompts, source=f"input{project.suffix}", size=size)
        with self._lock:
            path = self.root / project.id / PROMPTS
            text = prompts.to_json()
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                _write(path, text)
                self.save(self.get(project.id))
        return prompts

    def look(self, project: Project) -> dict[str, Any]:
        """Read the look; empty, if there is none."""
        path = self.root / project.id / LOOK
        try:
            found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except (OSError, ValueError) as error:
            raise ReadError(f"damaged file {LOOK} of project {project.id}") from error
        return found if isinstance(found, dict) else {}

    def save_look(self, project: Project, look: Mapping[str, Any]) -> None:
        """Keep a look; its caller has checked it."""
        _write(self.root / project.id / LOOK, json.dumps(look, indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise PullmatteError("a project needs a name: give some text")
    return display_name(name)


def display_name(name: str) -> str:
    """Make a file's name fit to be shown: its last part, printable, not too long."""
    last = re.split(r"[/\\]", name)[-1]
    kept = "".join(c for c in last if c.isprintable()).strip()
    return kept[:_NAME_LENGTH] or "untitled"


def _settings(old: Settings, changes: Any) -> Settings:
    if not isinstance(changes, dict) or not changes.keys() <= asdict(old).keys():
        raise PullmatteError(f"settings: give an object with any of {', '.join(asdict(old))}")
    return replace(old, **changes)


def _objects(objects: Any) -> tuple[tuple[str, str], ...]:
    from pullmatte.prompts import FramePrompt, Prompt

    if not isinstance(objects, list) or not all(isinstance(each, dict) for each in objects):
        raise PullmatteError("objects: give a list of objects with name and colour")
    found = []
    for each in objects:
        name, colour = each.get("name"), each.get("colour")
        FramePrompt(Prompt(), object=name)
        if not isinstance(colour, str) or not _COLOUR.fullmatch(colour):
            raise PullmatteError(f"colour {str(colour)[:20]!r} of {name!r}: give #rrggbb")
        found.append((str(name), colour))
    if len({name for name, _ in found}) < len(found):
        raise PullmatteError("two objects have the same name: give each its own")
    return tuple(found)
