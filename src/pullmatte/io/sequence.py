"""Numbered image sequences: finding them, reading them as a clip, naming their files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pullmatte.errors import ReadError
from pullmatte.io.clip import Clip, VideoFrame, VideoInfo
from pullmatte.io.yuv import FULL, RGB_MATRIX, ColorTags, FloatArray

if TYPE_CHECKING:
    from pullmatte.io.image import Picture

_MARK: Final = re.compile(r"%(?:0(\d+))?d|(#+)")
_NUMBERED: Final = re.compile(r"^(.*?)(\d+)(\.[^.]+)$")
_SUFFIXES: Final = {
    *(".png", ".exr", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".bmp", ".avif"),
}
# What image files hold unless they say otherwise.
SRGB_TAGS: Final = ColorTags(primaries=1, transfer=13, matrix=RGB_MATRIX, range=FULL)


@dataclass(frozen=True)
class SequencePattern:
    """File names that differ in one number.

    Attributes:
        folder: Where the files are.
        before: Name before the number.
        digits: The least number of digits, filled with zeros.
        after: Name after the number, suffix included.
    """

    folder: Path
    before: str
    digits: int
    after: str

    def path(self, number: int) -> Path:
        """Name one file.

        Args:
            number: Frame number, 0 or more.

        Returns:
            Its path.
        """
        return self.folder / f"{self.before}{number:0{self.digits}d}{self.after}"

    @property
    def name(self) -> Path:
        """The pattern as a path, with the number written as ``%04d``."""
        mark = f"%0{self.digits}d" if self.digits > 1 else "%d"
        return self.folder / f"{self.before}{mark}{self.after}"


@dataclass(frozen=True)
class FoundSequence:
    """A sequence without gaps.

    Attributes:
        pattern: How the files are named.
        start: First number.
        count: How many files follow each other.
    """

    pattern: SequencePattern
    start: int
    count: int


def parse_pattern(path: Path) -> SequencePattern | None:
    """Understand ``name.%04d.exr``, ``name.%d.png`` and ``name.####.png``.

    Args:
        path: A path, perhaps a pattern.

    Returns:
        The pattern, or None if the name has no number mark.

    Raises:
        ReadError: There is more than one number mark.
    """
    marks = list(_MARK.finditer(path.name))
    if not marks:
        return None
    if len(marks) > 1:
        raise ReadError(
            f"{path} has {len(marks)} number marks, expected one; write it as name.%04d.exr"
        )
    mark = marks[0]
    digits = len(mark[2]) if mark[2] else int(mark[1] or 1)
    name = path.name
    return SequencePattern(path.parent, name[: mark.start()], digits, name[mark.end() :])


def find_sequence(path: Path) -> FoundSequence | None:
    """Find the files that a pattern or a folder stands for.

    Args:
        path: A pattern, or a folder that holds one numbered sequence.

    Returns:
        The sequence, or None if ``path`` is neither.

    Raises:
        ReadError: Nothing matches, a number is missing, or a folder holds several sequences.
    """
    if path.is_file():
        return None
    pattern = _folder_pattern(path) if path.is_dir() else parse_pattern(path)
    if pattern is None:
        return None
    numbers = _numbers(pattern)
    if not numbers:
        raise ReadError(f"{path}: no file matches; expected for example {pattern.path(1).name}")
    for expected, number in enumerate(numbers, start=numbers[0]):
        if number != expected:
            raise ReadError(
                f"{path}: frame {expected} is missing ({pattern.path(expected).name}) between "
                f"{numbers[0]} and {numbers[-1]}; render it again or split the sequence"
            )
    return FoundSequence(pattern, numbers[0], len(numbers))


class SequenceClip(Clip):
    """A numbered sequence as a clip. Made by `pullmatte.io.video.open_video`."""

    def __init__(self, found: FoundSequence, rate: Fraction) -> None:
        if rate <= 0:
            raise ReadError(f"rate {rate} frames per second: expected more than 0")
        self._found = found
        first = self._load(0)
        height, width = first.image.shape[:2]
        self.info = VideoInfo(
            path=found.pattern.name,
            codec=found.pattern.after.rpartition(".")[2].lower(),
            width=width,
            height=height,
            time_base=1 / rate,
            pts=tuple(range(found.count)),
            average_rate=rate,
            bit_depth=first.bit_depth,
            has_alpha=first.alpha is not None,
            color=SRGB_TAGS,
            start_frame=found.start,
            icc=first.icc,
        )

    def frame(self, index: int) -> VideoFrame:
        """Load one file of the sequence; its pixels are read when asked for.

        Args:
            index: Frame number from 0 (not the number in the file name).

        Returns:
            The frame.

        Raises:
            ReadError: There is no such frame.
        """
        self.check_index(index)
        return VideoFrame(
            index, index, float(index * self.info.time_base), lambda: self._pixels(index)
        )

    def _forward(self, start: int, stop: int) -> Iterator[VideoFrame]:
        return (self.frame(index) for index in range(start, stop))

    def _backward(self, start: int, stop: int) -> Iterator[VideoFrame]:
        return (self.frame(index) for index in reversed(range(start, stop)))

    def _pixels(self, index: int) -> tuple[FloatArray, FloatArray | None]:
        picture = self._load(index)
        height, width = picture.image.shape[:2]
        if (width, height) != (self.info.width, self.info.height):
            raise ReadError(
                f"{self._path(index)} is {width}x{height}, the sequence began with "
                f"{self.info.width}x{self.info.height}; make all files the same size"
            )
        return picture.image, picture.alpha

    def _path(self, index: int) -> Path:
        return self._found.pattern.path(self._found.start + index)

    def _load(self, index: int) -> "Picture":
        # Video files must not pay for loading the image libraries.
        from pullmatte.io.image import load_picture

        return load_picture(self._path(index))


def _numbers(pattern: SequencePattern) -> list[int]:
    fill = rf"\d{{{pattern.digits}}}|[1-9]\d{{{pattern.digits},}}"
    name = re.compile(rf"{re.escape(pattern.before)}({fill}){re.escape(pattern.after)}")
    try:
        entries = [name.fullmatch(entry.name) for entry in pattern.folder.iterdir()]
    except OSError as error:
        raise ReadError(
            f"can't read folder {pattern.folder}: {error.strerror}; check the name"
        ) from error
    return sorted(int(entry[1]) for entry in entries if entry)


def _folder_pattern(folder: Path) -> SequencePattern:
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in sorted(folder.iterdir()):
        match = _NUMBERED.match(entry.name)
        if match and entry.suffix.lower() in _SUFFIXES and not entry.name.startswith("."):
            groups.setdefault((match[1], match[3]), []).append(match[2])
    if len(groups) != 1:
        names = ", ".join(f"{before}%d{after}" for before, after in list(groups)[:3])
        raise ReadError(
            f"{folder} is a folder with {len(groups)} numbered sequences"
            f"{f' ({names})' if names else ''}: expected one; name it as FOLDER/name.%04d.png"
        )
    (before, after), numbers = next(iter(groups.items()))
    return SequencePattern(folder, before, min(len(number) for number in numbers), after)
