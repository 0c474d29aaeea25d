"""A look: how a matte's edge is edited, and what lies behind it. One JSON form saves it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from pullmatte.errors import PullmatteError, ReadError, WriteError
from pullmatte.io.atomic import replacing, shown
from pullmatte.matte import make_background

WORDS = ("checker", "blur", "original")
"""Backgrounds that are neither a colour nor a file."""
MOST_BLUR_PX, MOST_SHIFT_PX, MOST_FEATHER_PX, MOST_LETTERS = 1000, 100, 100, 1000
_KEYS = ("background", "blur", "pop", "text", "shift", "feather", "decontaminate")
_TEXT_KEYS = ("words", "x", "y", "size", "colour")
_FILE = "file:"


@dataclass(frozen=True)
class Text:
    """Words that stand behind the subject.

    Attributes:
        words: What is written; a line break begins a new line.
        x: Its centre, as a share of the picture's width, in [0, 1].
        y: Its centre, as a share of the picture's height, in [0, 1].
        size: Size of the letters as a share of the picture's height, in (0, 1].
        colour: A colour name or ``#rrggbb``.
    """

    words: str
    x: float = 0.5
    y: float = 0.5
    size: float = 0.2
    colour: str = "#ffffff"

    def __post_init__(self) -> None:
        """Refuse what can't be drawn.

        Raises:
            PullmatteError: If something is of the wrong type or out of range.
        """
        words = self.words
        if not isinstance(words, str) or not words.strip() or len(words) > MOST_LETTERS:
            raise PullmatteError(
                f"text {_brief(words)}: give 1 to {MOST_LETTERS} letters, or leave the text out"
            )
        _check_number("text x", self.x, 0, 1)
        _check_number("text y", self.y, 0, 1)
        _check_number("text size", self.size, 0, 1)
        if self.size == 0:
            raise PullmatteError("text size 0: give a share of the picture's height, such as 0.2")
        colour_to_hex(self.colour)


@dataclass(frozen=True)
class Look:
    """Edits of a matte, and what lies behind it.

    Laid from back to front: the background, drained of colour by `pop`; the text; the subject with
    its edited edge.

    Attributes:
        background: A colour name or ``#rrggbb``, ``"checker"``, ``"blur"`` or ``"original"`` for
            the picture's own, or the path of a picture or, for clips, a video; None: nothing, the
            result is a cut-out.
        blur_px: How far ``"blur"`` blurs: the standard deviation in pixels, as in CSS.
        pop: How far the background loses its colour, in [0, 1].
        text: Words between background and subject.
        shift_px: How far the edge is moved: over 0 the subject grows, under 0 it shrinks.
        feather_px: How far the edge is blurred: the standard deviation in pixels.
        decontaminate: Take the old background out of the subject's edge; else the picture's own
            colours stay.
    """

    background: str | Path | None = None
    blur_px: float = 12.0
    pop: float = 0.0
    text: Text | None = None
    shift_px: float = 0.0
    feather_px: float = 0.0
    decontaminate: bool = True

    def __post_init__(self) -> None:
        """Refuse what can't be made.

        Raises:
            PullmatteError: If something is of the wrong type, out of range, or doesn't go together.
        """
        if isinstance(self.background, str):
            if self.background not in WORDS:
                colour_to_hex(self.background)
        elif not (self.background is None or isinstance(self.background, Path)):
            raise PullmatteError(
                f"background {_brief(self.background)}: give a colour, {', '.join(WORDS)}, "
                "a path, or none"
            )
        _check_number("blur", self.blur_px, 0, MOST_BLUR_PX)
        _check_number("pop", self.pop, 0, 1)
        _check_number("shift", self.shift_px, -MOST_SHIFT_PX, MOST_SHIFT_PX)
        _check_number("feather", self.feather_px, 0, MOST_FEATHER_PX)
        if not isinstance(self.decontaminate, bool):
            raise PullmatteError(f"decontaminate {_brief(self.decontaminate)}: give true or false")
        if not (self.text is None or isinstance(self.text, Text)):
            raise PullmatteError(f"text {_brief(self.text)}: give words with their place, or none")
        if self.pop and self.background not in ("original", "blur"):
            raise PullmatteError(
                f"pop {self.pop:g} with background {_brief(self.background)}: only the picture's "
                "own background loses its colour; choose 'original' or 'blur', or pop 0"
            )
        if self.text is not None and self.background is None:
            raise PullmatteError(
                f"text {_brief(self.text.words)} without a background: a cut-out has nothing "
                "behind it; choose a background, such as 'original'"
            )

    @property
    def path(self) -> Path | None:
        """The file that lies behind the subject, if it is one."""
        return self.background if isinstance(self.background, Path) else None

    def as_dict(self, folder: Path | None = None) -> dict[str, Any]:
        """Return the document that is saved.

        Args:
            folder: Where it is going to be saved, if known.

        Raises:
            PullmatteError: If the background's file isn't in that folder.
        """
        text = self.text
        return {
            "background": _background_to_json(self.background, folder),
            "blur": self.blur_px,
            "pop": self.pop,
            "text": text
            and {
                "words": text.words,
                "x": text.x,
                "y": text.y,
                "size": text.size,
                "colour": colour_to_hex(text.colour),
            },
            "shift": self.shift_px,
            "feather": self.feather_px,
            "decontaminate": self.decontaminate,
        }

    def to_json(self, folder: Path | None = None) -> str:
        """Write the file's text; a file as background is told by its name.

        Args:
            folder: Where it is going to be saved, if known: the background's path is told from
                there.

        Raises:
            PullmatteError: If the background's file isn't in that folder.
        """
        return json.dumps(self.as_dict(folder), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, folder: Path) -> Self:
        """Read the file's text.

        Args:
            text: JSON.
            folder: Where the file is: its ``file:NAME`` is looked up there.

        Raises:
            PullmatteError: If it isn't a look.
            ReadError: If the background's file isn't there.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise PullmatteError("not a look: expected JSON such as {}") from error
        _check_keys("look", document, _KEYS)
        fields = {_FIELDS.get(key, key): value for key, value in document.items()}
        words = fields.get("text")
        if words is not None:
            _check_keys("text of a look", words, _TEXT_KEYS)
            if "words" not in words:
                raise PullmatteError('text of a look without "words": give some, or null')
            fields["text"] = Text(**words)
        fields["background"] = _background_from_json(fields.get("background"), folder)
        return cls(**fields)

    def save(self, path: str | Path) -> None:
        """Write to `path`, whole or not at all.

        Raises:
            WriteError: If it can't be written.
        """
        text = self.to_json(Path(path).parent)
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read from `path`.

        Raises:
            ReadError: If the file can't be read.
            PullmatteError: If it isn't a look.
        """
        try:
            # Some editors put a byte order mark in front.
            text = Path(path).read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise ReadError(
                f"can't read a look from {shown(path)}: {reason}; give a JSON file that pullmatte "
                "wrote"
            ) from error
        try:
            return cls.from_json(text, Path(path).parent)
        except PullmatteError as error:
            raise type(error)(f"{shown(path)}: {error}") from error


_FIELDS = {"blur": "blur_px", "shift": "shift_px", "feather": "feather_px"}


def look_with(look: Look | None, background: str | Path | None) -> Look:
    """Join a look and a background that is given beside it.

    Args:
        look: Edits, perhaps with a background.
        background: As in `Look`.

    Raises:
        PullmatteError: If both have a background.
    """
    if look is None:
        return Look(background)
    if background is None:
        return look
    if look.background is not None:
        raise PullmatteError(
            f"background {_brief(background)} beside a look with background "
            f"{_brief(look.background)}: they exclude each other; give one of them"
        )
    return replace(look, background=background)


def colour_to_hex(colour: Any) -> str:
    """Turn a colour name or ``#rrggbb`` into ``#rrggbb``.

    Raises:
        PullmatteError: If it is none.
    """
    if not isinstance(colour, str) or len(colour) > 40 or colour in WORDS:
        raise PullmatteError(f"colour {_brief(colour)}: give a name like 'white', or '#rrggbb'")
    red, green, blue = (round(float(value) * 255) for value in make_background(colour, 1, 1)[0, 0])
    return f"#{red:02x}{green:02x}{blue:02x}"


def _background_to_json(background: str | Path | None, folder: Path | None) -> str | None:
    if background is None or (isinstance(background, str) and background in WORDS):
        return background
    if isinstance(background, str):
        return colour_to_hex(background)
    if folder is None:
        return f"{_FILE}{background.name}"
    try:
        inside = background.resolve().relative_to(folder.resolve())
    except ValueError as error:
        raise WriteError(
            f"can't save a look with background {shown(background)}: a look names files beside "
            f"it, in {shown(folder)}; copy the background there"
        ) from error
    return f"{_FILE}{inside.as_posix()}"


def _background_from_json(background: Any, folder: Path) -> Any:
    """Find the file that is named; all else is checked by `Look`."""
    if not (isinstance(background, str) and background.startswith(_FILE)):
        return background
    name = background.removeprefix(_FILE)
    try:
        path = folder / name
        inside = path.resolve().is_relative_to(folder.resolve())
        found = inside and path.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise PullmatteError(f"background {_brief(background)}: bad file name") from error
    if not inside:
        raise PullmatteError(
            f"background {_brief(background)} leaves the folder of the look: put the file beside "
            "the look and name it"
        )
    if not found:
        raise ReadError(f"background {_brief(background)}: no such file beside the look; copy it")
    return path


def _check_keys(what: str, document: Any, known: tuple[str, ...]) -> None:
    if not isinstance(document, Mapping):
        raise PullmatteError(f"not a {what}: expected a JSON object with {', '.join(known)}")
    for key in document:
        if key not in known:
            raise PullmatteError(f"{what} with key {_brief(key)}: known are {', '.join(known)}")


def _check_number(name: str, value: Any, least: float, most: float) -> None:
    # NaN is in no range.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:
        came = f"{value:g}" if is_number and abs(value) < 1e15 else _brief(value)
        raise PullmatteError(f"{name} {came}: give a number from {least:g} to {most:g}")


def _brief(value: Any) -> str:
    """Show a value on one line."""
    text = repr(str(value) if isinstance(value, Path) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class Looked:
    """What options of a photo and of a clip have in common: a look, a background, or both in one.

    Attributes:
        only_alpha: Write the alpha alone.
        background: Behind the subject; instead of the look's.
        look: Edits of the edge, and what lies behind the subject.
    """

    only_alpha: bool
    background: str | Path | None
    look: Look | None

    def __post_init__(self) -> None:
        """Refuse two backgrounds.

        Raises:
            PullmatteError: If there are two, or one is unknown.
        """
        look_with(self.look, self.background)

    @property
    def whole_look(self) -> Look:
        """The look with the background, wherever that is given."""
        return look_with(self.look, self.background)

    @property
    def is_composite(self) -> bool:
        """Whether the result shows something behind the subject."""
        return not self.only_alpha and self.whole_look.background is not None
