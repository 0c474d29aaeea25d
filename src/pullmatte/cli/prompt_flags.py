"""Prompts as they stand on the command line.

``[NAME=]X,Y[,+|-][@FRAME]``, ``[NAME=]X0,Y0,X1,Y1[@FRAME]``, ``[NAME=]FILE[@FRAME]``.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from pullmatte.errors import PromptError
from pullmatte.prompts import (
    DEFAULT_OBJECT,
    Box,
    FramePrompt,
    Mask,
    Point,
    Prompt,
    PromptFile,
    Trimap,
)

_NAME = re.compile(r"(?P<name>[^=,@/\\]+)=(?P<rest>.+)", re.DOTALL)
_FRAME = re.compile(r"(?P<rest>.+)@(?P<frame>[0-9]{1,12})", re.DOTALL)


def parse_prompts(
    points: Sequence[str] = (),
    boxes: Sequence[str] = (),
    masks: Sequence[str] = (),
    trimaps: Sequence[str] = (),
    file: Path | None = None,
) -> PromptFile:
    """Collect all prompts of one command.

    Args:
        points: ``--point`` values.
        boxes: ``--box`` values.
        masks: ``--mask`` values.
        trimaps: ``--trimap`` values.
        file: ``--prompts``, a saved prompt file; the flags come after it.

    Raises:
        PromptError: If a value can't be read as what it should be.
        ReadError: If a file can't be read.
    """
    saved = PromptFile.load(file) if file else PromptFile()
    entries = list(saved.prompts)
    entries += [_point(text) for text in points]
    entries += [_box(text) for text in boxes]
    entries += [_mask(text) for text in masks]
    entries += [_trimap(text) for text in trimaps]
    return PromptFile(tuple(entries), source=saved.source, size=saved.size)


def files_read(
    masks: Sequence[str] = (), trimaps: Sequence[str] = (), file: Path | None = None
) -> list[Path]:
    """Name the files that the prompts of one command come from, so that none is written over.

    Args:
        masks: ``--mask`` values.
        trimaps: ``--trimap`` values.
        file: ``--prompts``.

    Returns:
        Their paths.
    """
    paths = [Path(_split(text, is_file=True)[1]) for text in (*masks, *trimaps)]
    return [*paths, file] if file else paths


def place_of_file(text: str) -> tuple[str, str, int]:
    """Take a flag's ``[NAME=]FILE[@FRAME]`` apart: object, file, frame."""
    return _split(text, is_file=True)


def _split(text: str, *, is_file: bool = False) -> tuple[str, str, int]:
    """Take ``NAME=`` and ``@FRAME`` off: name, rest, frame."""
    if is_file and _exists(text):
        return DEFAULT_OBJECT, text, 0
    name, frame = DEFAULT_OBJECT, 0
    if match := _NAME.fullmatch(text):
        name, text = match["name"].strip(), match["rest"]
    if not (is_file and _exists(text)) and (match := _FRAME.fullmatch(text)):
        text, frame = match["rest"], int(match["frame"])
    return name, text, frame


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except OSError:
        # Too long a name, for one.
        return False


def _numbers(text: str, flag: str, form: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise PromptError(
            f"--{flag} {text!r}: expected {form}, in pixels, and @FRAME after it if needed"
        ) from None


def _point(text: str) -> FramePrompt:
    form = "X,Y or X,Y,- (exclude), like 120,80"
    name, rest, frame = _split(text)
    label = 1
    if rest.endswith((",+", ",-")):
        rest, label = rest[:-2], int(rest.endswith("+"))
    numbers = _numbers(rest, "point", form)
    if len(numbers) != 2:
        raise PromptError(f"--point {text!r}: expected {form}, in pixels")
    return FramePrompt(Prompt(points=(Point(numbers[0], numbers[1], label),)), name, frame)


def _box(text: str) -> FramePrompt:
    form = "X0,Y0,X1,Y1, like 40,30,510,700"
    name, rest, frame = _split(text)
    numbers = _numbers(rest, "box", form)
    if len(numbers) != 4:
        raise PromptError(f"--box {text!r}: expected {form}, in pixels")
    return FramePrompt(Prompt(box=Box(*numbers)), name, frame)


def _mask(text: str) -> FramePrompt:
    from pullmatte.io.image import read_mask

    name, path, frame = _split(text, is_file=True)
    try:
        mask = Mask(read_mask(path))
    except PromptError as error:
        raise PromptError(f"--mask {path}: {error}") from error
    return FramePrompt(Prompt(mask=mask), name, frame)


def _trimap(text: str) -> FramePrompt:
    from pullmatte.io.image import read_trimap

    name, path, frame = _split(text, is_file=True)
    try:
        trimap = Trimap(read_trimap(path))
    except PromptError as error:
        raise PromptError(f"--trimap {path}: {error}") from error
    return FramePrompt(Prompt(trimap=trimap), name, frame)
