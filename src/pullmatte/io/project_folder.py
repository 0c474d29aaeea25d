"""A project on disk: the results of an editable session, each in a file of its own.

::

    project.json                        prompts, locks, what is still to be computed
    objects/<object>/<frame>.zip        alpha.png (16 bits), mask.png, trimap.png, facts.json,
                                        and what the model remembers, as entry/<name>.npy

Files appear whole or not at all. Any tool that reads ZIP archives and PNG shows the mattes.
"""

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import ReadError, WriteError
from pullmatte.io.atomic import replacing
from pullmatte.io.project import Arrays, make_folder

DOCUMENT = "project.json"
_FACTS, _ENTRY = "facts.json", "entry/"
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, cv2.error)
# Fixed, so that the same result is the same file to the byte.
_DATE = (1980, 1, 1, 0, 0, 0)


class ProjectFolder:
    """Planes, arrays and facts by object and frame, and one document."""

    def __init__(self, folder: str | Path) -> None:
        """Use a folder, made when the first thing is kept.

        Raises:
            ReadError: If it holds something that isn't a project.
        """
        self.folder = Path(folder)
        self._facts: dict[tuple[str, int], dict[str, Any]] = {}
        self._frames: dict[str, set[int]] = {}
        other = self.folder.is_file() or (
            self.folder.is_dir()
            and not (self.folder / DOCUMENT).exists()
            and any(self.folder.iterdir())
        )
        if other:
            raise ReadError(
                f"{self.folder} is no project: it lacks {DOCUMENT}; give an empty or new folder"
            )

    def put(
        self,
        name: str,
        frame: int,
        planes: Arrays,
        entry: Mapping[str, NDArray[Any]],
        facts: Mapping[str, Any],
    ) -> None:
        """Keep a result, whole or not at all.

        Args:
            name: The object.
            frame: The frame's number.
            planes: Named `H W` planes of 8 or 16 bits.
            entry: Named arrays.
            facts: What JSON can hold.

        Raises:
            WriteError: If it can't be written.
        """
        path = self._path(name, frame)
        if not path.parent.is_dir():
            make_folder(path.parent)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for plane, array in planes.items():
                _add(archive, f"{plane}.png", _png(array))
            for key, array in entry.items():
                _add(archive, f"{_ENTRY}{key}.npy", _npy(array))
            _add(archive, _FACTS, json.dumps(facts, sort_keys=True).encode())
        with replacing(path) as partial:
            partial.write_bytes(buffer.getvalue())
        self._facts[name, frame] = dict(facts)
        self._known(name).add(frame)

    def get(self, name: str, frame: int) -> tuple[Arrays, Arrays, dict[str, Any]] | None:
        """Return planes, arrays and facts as they were put; None if nothing was.

        Raises:
            ReadError: If the file is damaged.
        """
        path = self._path(name, frame)
        if frame not in self._known(name):
            return None
        try:
            with zipfile.ZipFile(path) as archive:
                members = {member: archive.read(member) for member in archive.namelist()}
            facts = json.loads(members.pop(_FACTS))
            entry = {
                member[len(_ENTRY) : -len(".npy")]: np.load(io.BytesIO(data), allow_pickle=False)
                for member, data in members.items()
                if member.startswith(_ENTRY)
            }
            planes = {
                member[: -len(".png")]: _pixels(data)
                for member, data in members.items()
                if member.endswith(".png")
            }
        except _DAMAGE as error:
            raise ReadError(f"damaged file {path}: delete it, and it is computed again") from error
        return planes, entry, facts

    def facts(self, name: str, frame: int) -> dict[str, Any] | None:
        """Return a result's facts alone; None if there is no result.

        Raises:
            ReadError: If the file is damaged.
        """
        if frame not in self._known(name):
            return None
        if (name, frame) not in self._facts:
            path = self._path(name, frame)
            try:
                with zipfile.ZipFile(path) as archive:
                    self._facts[name, frame] = json.loads(archive.read(_FACTS))
            except _DAMAGE as error:
                raise ReadError(
                    f"damaged file {path}: delete it, and it is computed again"
                ) from error
        return self._facts[name, frame]

    def frames(self, name: str) -> set[int]:
        """Return the frames of which there are results of an object."""
        return set(self._known(name))

    def drop(self, name: str, frames: Iterable[int]) -> None:
        """Forget results.

        Raises:
            WriteError: If they can't be deleted.
        """
        for frame in frames:
            try:
                self._path(name, frame).unlink(missing_ok=True)
            except OSError as error:
                raise WriteError(f"can't delete {self._path(name, frame)}: {error}") from error
            self._known(name).discard(frame)
            self._facts.pop((name, frame), None)

    def save(self, document: Mapping[str, Any]) -> None:
        """Keep the document, in place of the one there was.

        Raises:
            WriteError: If it can't be written.
        """
        make_folder(self.folder)
        with replacing(self.folder / DOCUMENT) as partial:
            text = json.dumps(document, indent=1, ensure_ascii=False)
            partial.write_text(text + "\n", encoding="utf-8")

    def load(self) -> dict[str, Any] | None:
        """Return the document; None if there is none yet.

        Raises:
            ReadError: If it is damaged.
        """
        path = self.folder / DOCUMENT
        if not path.exists():
            return None
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(document, dict):
                raise ValueError("expected an object")
        except (OSError, ValueError) as error:
            raise ReadError(f"damaged file {path}: begin another project") from error
        return document

    def _path(self, name: str, frame: int) -> Path:
        return self.folder / "objects" / name / f"{frame:08d}.zip"

    def _known(self, name: str) -> set[int]:
        if name not in self._frames:
            folder = self.folder / "objects" / name
            # Hidden files are what a killed run left half written.
            found = [path.stem for path in folder.glob("[0-9]*.zip")] if folder.is_dir() else []
            self._frames[name] = {int(stem) for stem in found if stem.isdecimal()}
        return self._frames[name]


def open_project(folder: str | Path) -> ProjectFolder:
    """Open a folder that holds an editable session's results, or will.

    Args:
        folder: A new or empty folder, or one that this made earlier.

    Raises:
        ReadError: If it holds something else.
    """
    return ProjectFolder(folder)


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _DATE), data)


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _png(array: NDArray[Any]) -> bytes:
    # Mattes are mostly flat: runs are found at once, and pack better than by the usual search.
    how = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    done, data = cv2.imencode(".png", array, how)
    assert done, "OpenCV writes 8- and 16-bit planes"
    return data.tobytes()


def _pixels(data: bytes) -> NDArray[Any]:
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise ValueError("not a PNG")
    return array
