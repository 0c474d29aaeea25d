"""Where an editable session keeps its results: a record for each object and frame, and a document.

A record is written whole or not at all, and so is the document: whatever a killed process leaves
behind is a state that it was in. `pullmatte.io.project.ProjectFolder` keeps them on disk.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pullmatte.models.protocol import Entry, Prediction
from pullmatte.sessions.store import Planes, pack, unpack

Facts = dict[str, Any]
"""What JSON can hold."""


@dataclass(frozen=True, eq=False)
class Record:
    """What is kept of one object on one frame.

    Attributes:
        planes: Alpha, mask and trimap as unsigned integers.
        entry: What the model remembers of the frame, as named arrays.
        facts: Which run made it, from where, and how much it changed.
    """

    planes: Planes
    entry: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)

    @classmethod
    def of(cls, prediction: Prediction, entry: Entry, facts: Facts) -> "Record":
        """Make one of what a model said."""
        arrays = {name: np.asarray(value) for name, value in entry.items()}
        return cls(pack(prediction), arrays, facts)

    @classmethod
    def read(cls, project: "ProjectStore", name: str, frame: int) -> "Record | None":
        """Read one; None if there is none."""
        parts = project.get(name, frame)
        return None if parts is None else cls(*parts)

    def keep(self, project: "ProjectStore", name: str, frame: int) -> None:
        """Put it into a project."""
        project.put(name, frame, self.planes, self.entry, self.facts)

    @property
    def prediction(self) -> Prediction:
        """What was said, alpha in 16 bits."""
        return unpack(self.planes)


Parts = tuple[Planes, Mapping[str, NDArray[Any]], Facts]
"""A record taken apart, as a store keeps it that knows nothing of sessions."""


class ProjectStore(Protocol):
    """Keeps records by object and frame, and one document."""

    def put(
        self,
        name: str,
        frame: int,
        planes: Planes,
        entry: Mapping[str, NDArray[Any]],
        facts: Facts,
    ) -> None:
        """Keep a record, in place of the one there was."""
        ...

    def get(self, name: str, frame: int) -> Parts | None:
        """Return a record's parts; None if there is none.

        Raises:
            ReadError: If it is damaged.
        """
        ...

    def facts(self, name: str, frame: int) -> Facts | None:
        """Return a record's facts alone; None if there is no record."""
        ...

    def frames(self, name: str) -> set[int]:
        """Return the frames of which there are records of an object."""
        ...

    def drop(self, name: str, frames: Iterable[int]) -> None:
        """Forget records."""
        ...

    def save(self, document: Mapping[str, Any]) -> None:
        """Keep the document, in place of the one there was."""
        ...

    def load(self) -> dict[str, Any] | None:
        """Return the document; None if there is none yet.

        Raises:
            ReadError: If it is damaged.
        """
        ...


class MemoryProject:
    """Keeps everything in memory; for clips that fit, and for tests."""

    def __init__(self) -> None:
        self._records: dict[str, dict[int, Parts]] = {}
        self._document: dict[str, Any] | None = None

    def put(
        self,
        name: str,
        frame: int,
        planes: Planes,
        entry: Mapping[str, NDArray[Any]],
        facts: Facts,
    ) -> None:
        """Keep a record, in place of the one there was."""
        self._records.setdefault(name, {})[frame] = (planes, entry, facts)

    def get(self, name: str, frame: int) -> Parts | None:
        """Return a record's parts; None if there is none."""
        return self._records.get(name, {}).get(frame)

    def facts(self, name: str, frame: int) -> Facts | None:
        """Return a record's facts alone; None if there is no record."""
        parts = self.get(name, frame)
        return None if parts is None else parts[2]

    def frames(self, name: str) -> set[int]:
        """Return the frames of which there are records of an object."""
        return set(self._records.get(name, {}))

    def drop(self, name: str, frames: Iterable[int]) -> None:
        """Forget records."""
        for frame in frames:
            self._records.get(name, {}).pop(frame, None)

    def save(self, document: Mapping[str, Any]) -> None:
        """Keep the document, in place of the one there was."""
        self._document = copy.deepcopy(dict(document))

    def load(self) -> dict[str, Any] | None:
        """Return the document; None if there is none yet."""
        return copy.deepcopy(self._document)
