"""Names of outputs: one for each object, sides beside the result, never on top of an input."""

import os
from collections.abc import Iterable
from pathlib import Path

from pullmatte.errors import WriteError
from pullmatte.io.atomic import refuse_input, shown

PHOTO_SUFFIXES = frozenset({
    *(".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif", ".bmp", ".gif", ".exr"),
    *(".heic", ".heif", ".jp2", ".ppm", ".pgm"),
})
OBJECT_TOKEN = "{object}"
"""Stands in an output's name for the object's name."""


def for_object(destination: Path, name: str) -> Path:
    """Put an object's name in the place of ``{object}``."""
    return destination.with_name(destination.name.replace(OBJECT_TOKEN, name))


def is_pattern(path: Path) -> bool:
    """Whether a name has a mark for numbers, as ``name.%04d.png`` and ``name.####.png`` do."""
    return "%" in path.name or "#" in path.name


def is_photo(path: Path) -> bool:
    """Whether a name is that of one picture; a file that exists isn't taken for a pattern."""
    return path.suffix.lower() in PHOTO_SUFFIXES and (not is_pattern(path) or path.is_file())


def check_outputs(outputs: Iterable[Path], *inputs: str | Path | None) -> None:
    """Find out before any work that every output can have its place.

    Args:
        outputs: All files that one job is going to write.
        inputs: All files that it reads; None is passed over.

    Raises:
        WriteError: If two outputs share a name, one would replace an input, or its folder is
            missing or read-only.
    """
    seen: set[Path] = set()
    for output in outputs:
        if output in seen:
            raise WriteError(
                f"two results would both be named {shown(output)}: rename an object or leave out "
                "a --side"
            )
        seen.add(output)
        _check_place(output)
        refuse_input(output, *inputs)


def _check_place(output: Path) -> None:
    folder = output.parent
    if _is_dir(output):
        raise WriteError(f"can't write {shown(output)}: it is a folder; add a file name")
    if not _is_dir(folder):
        raise WriteError(
            f"can't write {shown(output)}: folder {shown(folder)} doesn't exist; create it first"
        )
    if not os.access(folder, os.W_OK):
        raise WriteError(
            f"can't write {shown(output)}: folder {shown(folder)} is read-only or not yours; "
            "choose another folder"
        )


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        reason = error.strerror or "bad name"
        raise WriteError(f"can't write {shown(path)}: {reason}; choose another name") from error
