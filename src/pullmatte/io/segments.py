"""The hidden work folder of an output that is being written: what makes a killed run resumable.

Order at the end of a segment, so that a kill at any moment is safe: the segment is complete and
synced under a ``.part`` name; the job saves its own state for the next frame; the segment is
renamed, which is the moment it counts; states of earlier segments are deleted.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from pullmatte.errors import WriteError
from pullmatte.io.atomic import replacing, write_error

SegmentCallback: TypeAlias = Callable[[int, Path], None]
_MANIFEST: Final = "manifest.json"
_STATE: Final = "state_"


class WorkFolder:
    """A folder beside the destination with complete segments and the settings they depend on.

    Attributes:
        path: The folder, ``.<destination's name>.pullmatte``.
    """

    def __init__(self, destination: Path) -> None:
        self.path = destination.parent / f".{destination.name}.pullmatte"

    def open(self, settings: Mapping[str, str], *, resume: bool) -> None:
        """Create the folder, or take up the one of an earlier run.

        Args:
            settings: Everything that decides about the output's bytes.
            resume: Go on where the earlier run stopped, if there was one.

        Raises:
            WriteError: The settings differ from the earlier run's, or the folder can't be made.
        """
        if resume and (self.path / _MANIFEST).is_file():
            self._compare(settings)
            self._clean()
            return
        try:
            shutil.rmtree(self.path, ignore_errors=True)
            self.path.mkdir()
        except OSError as error:
            raise write_error(self.path, error) from error
        with replacing(self.path / _MANIFEST) as temporary:
            temporary.write_text(json.dumps(dict(settings), indent=1, sort_keys=True))

    def segment(self, number: int) -> Path:
        """Name a complete segment.

        Args:
            number: Segment number from 0.

        Returns:
            Its path.
        """
        return self.path / f"segment_{number:06d}.mkv"

    def part(self, number: int) -> Path:
        """Name a segment that is being written.

        Args:
            number: Segment number from 0.

        Returns:
            Its path.
        """
        return self.path / f"segment_{number:06d}.part"

    def complete_segments(self) -> int:
        """How many segments are complete, counted from the first without a gap."""
        number = 0
        while self.segment(number).is_file():
            number += 1
        return number

    def state_path(self, next_frame: int) -> Path:
        """Where a job keeps what it needs to go on at ``next_frame``.

        Args:
            next_frame: The frame that is written next.

        Returns:
            A path without suffix in the folder; a job may add one.
        """
        return self.path / f"{_STATE}{next_frame:08d}"

    def commit(self, number: int, next_frame: int, on_segment: SegmentCallback | None) -> None:
        """Make a finished part count.

        Args:
            number: Segment number.
            next_frame: The first frame after it.
            on_segment: Called before the segment counts, to save the job's state.

        Raises:
            WriteError: The disk is full or gone.
        """
        part = self.part(number)
        try:
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            if on_segment is not None:
                on_segment(next_frame, self.path)
            os.replace(part, self.segment(number))
            self._sync()
        except OSError as error:
            raise write_error(part, error) from error
        self._forget_states(but=next_frame)

    def remove(self) -> None:
        """Delete the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _compare(self, settings: Mapping[str, str]) -> None:
        try:
            old = json.loads((self.path / _MANIFEST).read_text())
            assert isinstance(old, dict)
        except (OSError, ValueError, AssertionError) as error:
            raise WriteError(
                f"can't resume: {self.path / _MANIFEST} is damaged; run again without --resume"
            ) from error
        for key in sorted(settings.keys() | old.keys()):
            if settings.get(key) != old.get(key) and key == "prompts":
                raise WriteError(
                    "can't resume: the stopped run had other prompts; "
                    "give the same, or run again without --resume"
                )
            if settings.get(key) != old.get(key):
                raise WriteError(
                    f"can't resume: {key} was {old.get(key)}, is now {settings.get(key)}; use the "
                    "same settings and input, or run again without --resume"
                )

    def _clean(self) -> None:
        """Delete what a kill left half done."""
        with contextlib.suppress(OSError):
            for path in self.path.iterdir():
                if path.suffix == ".part" or path.name.startswith(".manifest"):
                    path.unlink()

    def _forget_states(self, but: int) -> None:
        keep = self.state_path(but).name
        with contextlib.suppress(OSError):
            for path in self.path.glob(f"{_STATE}*"):
                if not path.name.startswith(keep):
                    path.unlink()

    def _sync(self) -> None:
        """Make the rename itself survive a power cut, where the system can sync folders."""
        with contextlib.suppress(OSError):
            handle = os.open(self.path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def input_identity(path: Path | None) -> dict[str, str]:
    """What tells an input file from another, or from its own older self.

    Args:
        path: The input, None if there is none on the disk (or it is a sequence's pattern).

    Returns:
        Name, size in bytes and time of last change, as text.
    """
    if path is None:
        return {}
    try:
        facts = path.stat()
    except OSError:
        return {"input": path.name}
    return {
        "input": path.name,
        "input_bytes": str(facts.st_size),
        "input_changed_ns": str(facts.st_mtime_ns),
    }
