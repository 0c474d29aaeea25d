"""A folder on disk that holds what a long run must not lose."""

import json
import re
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import ReadError, WriteError
from pullmatte.io.atomic import replacing
from pullmatte.io.sequence import parse_pattern

Arrays = dict[str, NDArray[Any]]
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class FolderStore:
    """Integer planes by object and frame, as PNG files: ``<frame>/<object>.<plane>.png``."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, made when the first plane comes."""
        self._folder = folder

    def put(self, name: str, frame: int, planes: Arrays) -> None:
        """Keep `H W` planes of 8 or 16 bits, whole or not at all.

        Raises:
            WriteError: If they can't be written.
        """
        folder = self._of_frame(frame)
        make_folder(folder)
        for plane, array in planes.items():
            with replacing(folder / f"{name}.{plane}.png") as partial:
                partial.write_bytes(_png(array))

    def get(self, name: str, frame: int) -> Arrays:
        """Return what was put.

        Raises:
            ReadError: If nothing was, or a file was damaged or deleted since.
        """
        planes: Arrays = {}
        for path in self._of_frame(frame).glob("*.png"):
            owner, plane, _ = path.name.rsplit(".", 2)
            # Hidden files are what a killed run left half written.
            if owner == name and not path.name.startswith("."):
                planes[plane] = _read_png(path)
        if not planes:
            raise ReadError(
                f"{self._of_frame(frame)} lacks what was kept of {name!r}: "
                "start the run again without --resume"
            )
        return planes

    def _of_frame(self, frame: int) -> Path:
        return self._folder / f"{frame:08d}"


def _png(array: NDArray[Any]) -> bytes:
    done, data = cv2.imencode(".png", array, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done, "OpenCV writes 8- and 16-bit planes"
    return data.tobytes()


def _read_png(path: Path) -> NDArray[Any]:
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        array = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except (OSError, cv2.error):
        array = None
    if array is None:
        raise ReadError(f"damaged file {path}: start the run again without --resume")
    return array


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        WriteError: If that fails.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"can't make the folder {folder}: {error.strerror}") from error


def sweep(destination: Path) -> None:
    """Delete the half-written files of an output that a killed run left beside it.

    Args:
        destination: The output, or the pattern of numbered pictures.
    """
    pattern = parse_pattern(destination)
    name = re.escape(destination.name)
    if pattern is not None:
        name = rf"{re.escape(pattern.before)}\d+{re.escape(pattern.after)}"
    with suppress(OSError):
        for path in destination.parent.iterdir():
            # As `replacing` names them.
            half = re.fullmatch(r"\.(.+)\.[0-9a-f]{8}(\.[^.]+)", path.name)
            if half and re.fullmatch(name, half[1] + half[2]):
                path.unlink()


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write named arrays, whole or not at all; names may hold any character.

    Raises:
        WriteError: If the file can't be written.
    """
    names = list(arrays)
    numbered = {f"a{number}": arrays[name] for number, name in enumerate(names)}
    numbered["names"] = np.array(json.dumps(names))
    with replacing(path) as partial, partial.open("wb") as handle:
        np.savez(handle, allow_pickle=False, **numbered)


def load_arrays(path: Path) -> Arrays:
    """Read what `save_arrays` wrote.

    Raises:
        ReadError: If the file is missing or damaged.
    """
    try:
        # Opened here, as np.load leaves a damaged file open.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            names = json.loads(str(archive["names"]))
            return {name: archive[f"a{number}"] for number, name in enumerate(names)}
    except _DAMAGE as error:
        raise ReadError(f"can't read {path}: start the run again without --resume") from error
