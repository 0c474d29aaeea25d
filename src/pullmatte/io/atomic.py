"""Outputs appear whole or not at all, and never on top of an input."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pullmatte.errors import WriteError

_ADVICE = {
    errno.ENOENT: "the folder doesn't exist; create it first",
    errno.ENOTDIR: "a part of its path is a file, expected folders; choose another path",
    errno.EISDIR: "it is a folder, expected a file name; add one",
    errno.EACCES: "no permission to write there; choose another folder",
    errno.EPERM: "no permission to write there; choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOSPC: "no space left on the device; free some or choose another disk",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another disk",
    errno.ENAMETOOLONG: "the file name is too long; choose a shorter one",
}


def shown(path: str | os.PathLike[str]) -> str:
    """Make a path fit for a one-line message: shortened, odd characters escaped.

    Args:
        path: Any path.

    Returns:
        Printable text of at most about 200 characters.
    """
    text = os.fspath(path)
    text = text if len(text) <= 200 else f"{text[:120]}...{text[-60:]}"
    return text if text.isprintable() else repr(text)


def write_error(destination: Path, error: OSError) -> WriteError:
    """Put an operating system's error into one line that says what to do.

    Args:
        destination: The file that should have been written.
        error: What the operating system said.

    Returns:
        The error to raise (``raise write_error(...) from error``).
    """
    reason = _ADVICE.get(error.errno or 0, error.strerror or str(error))
    return WriteError(f"can't write {shown(destination)}: {' '.join(reason.split())}")


@contextmanager
def replacing(destination: str | os.PathLike[str]) -> Iterator[Path]:
    """Hand out a hidden temporary path that becomes ``destination`` if the block succeeds.

    The temporary file lies in the same folder and keeps the suffix (libraries choose the format
    by it). A symlink is followed: the file that it points at is replaced, the link stays.

    Args:
        destination: The final path. Its folder must exist; an old file stays until the end.

    Yields:
        The path to write to, not existing yet. After the block it is synced to the disk and
        renamed; after an exception, also KeyboardInterrupt, it is deleted.

    Raises:
        WriteError: The folder is missing or read-only, the disk is full, or the destination is a
            folder; also if the block raised an OSError about the output or wrote nothing.
    """
    final = Path(destination)
    _check_place(final)
    target = final.resolve()
    temporary = target.with_name(f".{target.stem[:100]}.{secrets.token_hex(4)}{target.suffix}")
    try:
        # Found out now instead of after an hour of work.
        temporary.touch(exist_ok=False)
        temporary.unlink()
        yield temporary
        if not temporary.exists():
            raise WriteError(
                f"can't write {shown(final)}: nothing was produced; this is a bug, report it"
            )
        _sync(temporary)
        _inherit_mode(target, temporary)
        os.replace(temporary, target)
    except OSError as error:
        raise write_error(final, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def refuse_input(
    destination: str | os.PathLike[str], *inputs: str | os.PathLike[str] | None
) -> None:
    """Make sure that an output is not one of the inputs.

    Symlinks, hard links, ``..`` and, where the file system ignores it, case are seen through.

    Args:
        destination: The file that is going to be written; it need not exist.
        inputs: Files that are read; None (a stream) is passed over.

    Raises:
        WriteError: Writing would overwrite an input.
    """
    final = Path(destination)
    for source in inputs:
        if source is not None and _same_file(final, Path(source)):
            raise WriteError(
                f"can't write {shown(final)}: it is the input {shown(source)} itself; "
                "choose another output name"
            )


def _check_place(final: Path) -> None:
    if "\0" in str(final):
        raise WriteError(f"can't write {shown(final)}: a file name can't hold a null character")
    try:
        if final.is_dir():
            raise WriteError(f"can't write {shown(final)}: {_ADVICE[errno.EISDIR]}")
        if not final.parent.is_dir():
            known = errno.ENOTDIR if final.parent.exists() else errno.ENOENT
            raise WriteError(f"can't write {shown(final)}: {_ADVICE[known]}")
        if final.exists() and not final.is_file():
            raise WriteError(
                f"can't write {shown(final)}: it is a device or pipe, expected a plain file"
            )
    except OSError as error:
        raise write_error(final, error) from error


def _same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except (OSError, ValueError):
        return first.absolute() == second.absolute()


def _sync(path: Path) -> None:
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())


def _inherit_mode(target: Path, temporary: Path) -> None:
    """Keep the permissions of a file that is about to be replaced."""
    if target.exists():
        with suppress(OSError):
            temporary.chmod(target.stat().st_mode & 0o777)
