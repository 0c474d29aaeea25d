"""What an editable session has to know beside its results, as one document."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from pullmatte.errors import PromptError, ReadError
from pullmatte.models.protocol import Plane
from pullmatte.prompts import FramePrompt, PromptFile
from pullmatte.sessions.project_store import ProjectStore, Record
from pullmatte.sessions.runs import Change, Run

VERSION = 1
_KEY = "pullmatte_project"


@dataclass
class EditState:
    """Prompts, locks, and what is still to be computed.

    Attributes:
        size: Width and height of the clip in pixels.
        frame_count: Its length.
        label: Model and settings.
        opacity: Kind of the objects.
        entries: All prompts, in the order given.
        given: Object and frame of each given alpha.
        locks: Object → frames that never change.
        changes: Prompts that came since runs were last planned.
        runs: What is still to be computed, in order.
        next_id: The next run's id.
    """

    size: tuple[int, int]
    frame_count: int
    label: str
    opacity: str
    entries: list[FramePrompt] = field(default_factory=list)
    given: set[tuple[str, int]] = field(default_factory=set)
    locks: dict[str, set[int]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    next_id: int = 1

    @classmethod
    def open(
        cls,
        project: ProjectStore,
        *,
        size: tuple[int, int],
        frame_count: int,
        label: str,
        opacity: str,
    ) -> Self:
        """Read a project's state, or begin one.

        Raises:
            PromptError: If the project belongs to another clip, model or setting.
            ReadError: If it is damaged, or of a later version.
        """
        found = project.load()
        state = cls(size, frame_count, label, opacity)
        if found is None:
            return state
        if found.get(_KEY) != VERSION:
            raise ReadError(
                f"project of version {str(found.get(_KEY))[:20]!r}: this pullmatte reads version "
                f"{VERSION}; update pullmatte, or begin another project"
            )
        try:
            old = cls._from_dict(found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ReadError("damaged project document: begin another project") from error
        for what in ("size", "frame_count", "label", "opacity"):
            mine, theirs = getattr(state, what), getattr(old, what)
            if mine != theirs:
                raise PromptError(
                    f"the project was made with {what} {theirs!r}, not {mine!r}: give what it was "
                    "made with, or begin another project"
                )
        return old

    @classmethod
    def _from_dict(cls, found: Mapping[str, Any]) -> Self:
        width, height = found["size"]
        return cls(
            (int(width), int(height)),
            int(found["frame_count"]),
            str(found["label"]),
            str(found["opacity"]),
            list(PromptFile.from_json(found["prompts"]).prompts),
            {(str(name), int(frame)) for name, frame in found["given"]},
            {str(name): set(map(int, frames)) for name, frames in found["locks"].items()},
            [Change(**each) for each in found["changes"]],
            [Run(**each) for each in found["runs"]],
            int(found["next_id"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            _KEY: VERSION,
            "size": list(self.size),
            "frame_count": self.frame_count,
            "label": self.label,
            "opacity": self.opacity,
            "prompts": self.prompts.to_json(),
            "given": sorted(map(list, self.given)),
            "locks": {name: sorted(frames) for name, frames in self.locks.items()},
            "changes": [asdict(each) for each in self.changes],
            "runs": [each.to_dict() for each in self.runs],
            "next_id": self.next_id,
        }

    @property
    def prompts(self) -> PromptFile:
        """All prompts, as they would be saved."""
        return PromptFile(tuple(self.entries), size=self.size)

    @property
    def names(self) -> tuple[str, ...]:
        """The objects, in the order of their first prompt."""
        given = sorted(name for name, _ in self.given)
        return tuple(dict.fromkeys((*self.prompts.objects, *given)))

    def differences(
        self, prompts: PromptFile
    ) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """Compare other prompts with these.

        Returns:
            Places (object and frame) where something else is said, and where nothing is any more.
        """
        before, after = _by_place(self.prompts), _by_place(prompts)
        changed = [place for place, said in after.items() if before.get(place) != said]
        gone = [place for place in before if place not in after and place not in self.given]
        return changed, gone

    def changed(self, name: str, frame: int, done: Collection[int]) -> None:
        """Note that something else is said about an object on a frame."""
        new = Change(name, frame, frame - 1 in done, frame + 1 in done)
        self.changes = [c for c in self.changes if (c.object, c.frame) != (name, frame)] + [new]

    def forget(self, name: str, frame: int) -> None:
        """Drop what was still to be done because of a prompt that is gone."""
        self.changes = [c for c in self.changes if (c.object, c.frame) != (name, frame)]
        self.runs = [r for r in self.runs if (r.object, r.source) != (name, frame)]

    def begin(self, runs: list[Run]) -> None:
        """Take runs to be done in place of the changes that made them necessary."""
        self.runs = runs
        self.changes = []
        self.next_id = max([self.next_id - 1, *(run.id for run in runs)]) + 1


def _by_place(prompts: PromptFile) -> dict[tuple[str, int], Any]:
    return {
        (name, frame): said
        for frame, by_name in prompts.frames().items()
        for name, said in by_name.items()
    }


class GivenInStore(Mapping[tuple[str, int], Plane]):
    """Given alphas, each read from its record when it is asked for."""

    def __init__(self, project: ProjectStore, places: Collection[tuple[str, int]]) -> None:
        """Take the places of which there are any."""
        self._project = project
        self._places = set(places)

    def __getitem__(self, place: tuple[str, int]) -> Plane:
        if place not in self._places:
            raise KeyError(place)
        record = Record.read(self._project, *place)
        if record is None:
            raise ReadError(f"the alpha given of {place[0]!r} on frame {place[1]} is lost")
        return record.prediction.alpha

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(sorted(self._places))

    def __len__(self) -> int:
        return len(self._places)
