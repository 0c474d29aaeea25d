"""A folder that appears whole or not at all, and what is left when even that was cut short."""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pullmatte.errors import WriteError
from pullmatte.models.weights import missing_extra

_SLACK = 1.01


def refuse_existing(destination: Path) -> None:
    """Refuse to write where something is.

    Raises:
        WriteError: If there is.
    """
    if destination.exists() or destination.is_symlink():
        raise WriteError(f"{destination} exists already: remove it first, or choose another folder")


@contextmanager
def appearing(destination: Path, needed_bytes: int) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Hand out a hidden folder that becomes `destination` if the block succeeds.

    What killed processes left of the same destination is removed first; while one lives, it holds
    a lock.

    Args:
        destination: The folder to make.
        needed_bytes: What will be written.

    Yields:
        The hidden folder, and the names of those that were removed.

    Raises:
        WriteError: If it can't be written, is there already, or is being written by another
            process.
    """
    temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.partial")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with _alone(destination):
            removed = _remove_stale(destination)
            _check_space(destination, needed_bytes)
            try:
                temporary.mkdir()
                yield temporary, removed
                refuse_existing(destination)
                os.rename(temporary, destination)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        reason = " ".join((error.strerror or str(error)).split())
        raise WriteError(f"can't write {destination}: {reason}; choose another folder") from error


@contextmanager
def _alone(destination: Path) -> Iterator[None]:
    """Hold the destination's lock; the system gives it back even if the process is killed."""
    try:
        from filelock import FileLock, Timeout
    except ImportError as error:
        raise missing_extra() from error
    path = destination.with_name(f".{destination.name}.partial.lock")
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise WriteError(
            f"{destination}: another process is writing it; wait for that one, or choose another "
            "folder"
        ) from error
    try:
        yield
    finally:
        # Before it is released: after that it may be another's.
        if os.name == "posix":
            path.unlink(missing_ok=True)
        lock.release()


def _remove_stale(destination: Path) -> tuple[str, ...]:
    """Remove hidden folders of this destination; only with the lock they are nobody's."""
    pattern = re.compile(rf"\.{re.escape(destination.name)}\.[0-9a-f]{{8}}\.partial")
    stale = [
        path
        for path in sorted(destination.parent.iterdir())
        if pattern.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
    ]
    for path in stale:
        shutil.rmtree(path)
    return tuple(path.name for path in stale)


def _check_space(destination: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(destination.parent).free
    if free < needed_bytes * _SLACK:
        raise WriteError(
            f"can't write {destination}: it takes {needed_bytes / 1e9:.1f} GB, "
            f"{free / 1e9:.1f} GB are free; free some space or choose another disk"
        )
