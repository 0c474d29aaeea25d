"""The one saved form of prompts: JSON that reads back exactly as it was.

The studio writes it, every other entry reads it. Masks and trimaps stand in it as base64 PNG.
"""

import base64
import json
import operator
import unicodedata
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PromptError, ReadError
from pullmatte.prompts.parts import Point, Prompt
from pullmatte.prompts.pictures import picture_to_plane
from pullmatte.prompts.rasters import Mask, Trimap

PROMPT_FILE_VERSION = 1
DEFAULT_OBJECT = "object"
Raster = TypeVar("Raster", Mask, Trimap)
_ENTRY_KEYS = {"object", "frame", "points", "box", "mask_png", "trimap_png"}


@dataclass(frozen=True)
class FramePrompt:
    """One prompt with its place.

    Attributes:
        prompt: What was said.
        object: Name of the object it is about.
        frame: Frame number, from 0; always 0 for an image.
    """

    prompt: Prompt
    object: str = DEFAULT_OBJECT
    frame: int = 0

    def __post_init__(self) -> None:
        _check_name(self.object)
        object.__setattr__(self, "frame", _whole_number(self.frame, "frame"))
        if self.frame < 0:
            raise PromptError(f"frame {self.frame}: frames count from 0")


def _check_name(name: object) -> None:
    """Refuse an object name that can't stand in a file name on every system."""
    if (
        not isinstance(name, str)
        or not name.strip()
        or name[0] == "."
        or len(name.encode("utf-8", "replace")) > 150
        or any(c in "/\\" or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name)
    ):
        shown = repr(name) if len(repr(name)) <= 60 else f"{repr(name)[:60]}..."
        raise PromptError(f"object name {shown}: use a name that can stand in a file name")


def _whole_number(value: Any, what: str) -> int:
    """Take `value` as an integer, or say why not."""
    try:
        return operator.index(value)
    except TypeError as error:
        raise PromptError(f"{what} {value!r}: give a whole number") from error


@dataclass(frozen=True)
class PromptFile:
    """Prompts as they are saved: one JSON file that reads back exactly as it was.

    Attributes:
        prompts: In the order in which they were given.
        source: The image or clip they belong to, as a file name; not needed to use them.
        size: Width and height in pixels of that image or clip, if known.
    """

    prompts: tuple[FramePrompt, ...] = ()
    source: str | None = None
    size: tuple[int, int] | None = None
    version: int = field(default=PROMPT_FILE_VERSION, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompts", tuple(self.prompts))
        if self.source is not None and not isinstance(self.source, str):
            raise PromptError(f"source {self.source!r}: give a file name as text, or none")
        if self.size is not None:
            if len(self.size) != 2:
                raise PromptError(f"size {self.size}: give width and height in pixels")
            width, height = (_whole_number(side, "size") for side in self.size)
            if min(width, height) < 1:
                raise PromptError(f"size {width}x{height}: give width and height in pixels")
            object.__setattr__(self, "size", (width, height))

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the objects, in the order of their first prompt."""
        return tuple(dict.fromkeys(entry.object for entry in self.prompts))

    def on_frame(self, frame: int) -> dict[str, Prompt]:
        """Merge each object's prompts on `frame`."""
        merged: dict[str, Prompt] = {}
        for entry in self.prompts:
            if entry.frame == frame:
                merged[entry.object] = merged.get(entry.object, Prompt()).merged(entry.prompt)
        return merged

    def frames(self) -> dict[int, dict[str, Prompt]]:
        """Merge all prompts: frame → object → prompt, frames in rising order."""
        return {frame: self.on_frame(frame) for frame in sorted({e.frame for e in self.prompts})}

    def check(self, width: int, height: int, frame_count: int = 1) -> None:
        """Refuse prompts that don't fit an image or clip.

        Raises:
            PromptError: If one lies outside, has another size or names a missing frame, or if the
                file was made for an input of another size.
        """
        if self.size is not None and self.size != (width, height):
            raise PromptError(
                f"prompts made for {self.size[0]}x{self.size[1]} pixels, the input has "
                f"{width}x{height}: give the input that they were made on"
            )
        for entry in self.prompts:
            if entry.frame >= frame_count:
                last = frame_count - 1
                raise PromptError(
                    f"prompt for {entry.object!r} on frame {entry.frame}: the input has "
                    f"{frame_count} frame{'s' * (frame_count != 1)}, "
                    f"{'only frame 0' if last == 0 else f'0 to {last}'}"
                )
            try:
                entry.prompt.check(width, height)
            except PromptError as error:
                if len(self.prompts) == 1:
                    raise
                place = f"prompt for {entry.object!r} on frame {entry.frame}"
                raise PromptError(f"{place}: {error}") from error

    def to_json(self) -> str:
        """Write the file's text."""
        document = {
            "pullmatte_prompts": self.version,
            "source": self.source,
            "size": list(self.size) if self.size else None,
            "prompts": [_entry_to_json(entry) for entry in self.prompts],
        }
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        # A file name that isn't valid Unicode has to be escaped to be text at all.
        return text if _is_encodable(text) else json.dumps(document, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, size: tuple[int, int] | None = None) -> Self:
        """Read the file's text.

        Args:
            text: It.
            size: Width and height in pixels that masks and trimaps must have; they aren't even
                decoded if they say another. None takes what the file says of its input.

        Raises:
            PromptError: If it isn't a prompt file, or is one of a later version.
        """
        try:
            document = json.loads(text)
            version = document["pullmatte_prompts"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise PromptError(
                'not a prompt file: expected JSON with a "pullmatte_prompts" version'
            ) from error
        if isinstance(version, bool) or version != PROMPT_FILE_VERSION:
            raise PromptError(
                f"prompt file of version {str(version)[:20]!r}: this pullmatte reads version "
                f"{PROMPT_FILE_VERSION}; update pullmatte"
            )
        entries = document.get("prompts")
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise PromptError('damaged prompt file: expected "prompts" to be a list of objects')
        told = document.get("size")
        if told is not None and not (isinstance(told, list) and len(told) == 2):
            raise PromptError('damaged prompt file: expected "size" to be [width, height]')
        own = None if told is None else (told[0], told[1])
        wanted = size or own
        return cls(
            prompts=tuple(_entry_from_json(n, entry, wanted) for n, entry in enumerate(entries)),
            source=document.get("source"),
            size=own,
        )

    def save(self, path: str | Path) -> None:
        """Write to `path`, whole or not at all.

        Raises:
            WriteError: If the file can't be written.
        """
        from pullmatte.io.atomic import replacing

        with replacing(path) as partial:
            partial.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read from `path`.

        Raises:
            ReadError: If the file can't be read.
            PromptError: If it isn't a prompt file.
        """
        try:
            # Some editors put a byte order mark in front.
            text = Path(path).read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise ReadError(
                f"can't read prompts from {_shown(path)}: {reason}; give a JSON file that "
                "pullmatte wrote"
            ) from error
        try:
            return cls.from_json(text)
        except PromptError as error:
            raise PromptError(f"{_shown(path)}: {error}") from error


def _shown(path: str | Path) -> str:
    text = str(path)
    return text if text.isprintable() else repr(text)


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _plain(value: float) -> int | float:
    """Write whole numbers without a fraction; both read back as the same float."""
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _entry_to_json(entry: FramePrompt) -> dict[str, Any]:
    prompt = entry.prompt
    document: dict[str, Any] = {"object": entry.object, "frame": entry.frame}
    if prompt.points:
        document["points"] = [[_plain(p.x), _plain(p.y), p.label] for p in prompt.points]
    if prompt.box:
        box = prompt.box
        document["box"] = [_plain(v) for v in (box.x0, box.y0, box.x1, box.y1)]
    if prompt.mask:
        document["mask_png"] = _plane_to_png(prompt.mask.array.astype(np.uint8) * 255)
    if prompt.trimap:
        levels = np.array([0, 128, 255], np.uint8)[(prompt.trimap.array * 2).astype(int)]
        document["trimap_png"] = _plane_to_png(levels)
    return document


def _entry_from_json(
    number: int, entry: Mapping[str, Any], size: tuple[int, int] | None
) -> FramePrompt:
    """Read one prompt. One without any part means the whole frame."""
    where = f"damaged prompt file, prompt {number}"
    unknown = sorted(set(entry) - _ENTRY_KEYS)
    if unknown:
        known = ", ".join(sorted(_ENTRY_KEYS))
        raise PromptError(f"{where}: unknown key {unknown[0][:40]!r}; known are {known}")
    if "object" not in entry:
        raise PromptError(f'{where}: it has no "object"; give the name of one')
    try:
        prompt = Prompt(
            points=tuple(_point_from_json(point) for point in entry.get("points", ())),
            box=Prompt.of(box=entry.get("box")).box,
            mask=_png_to_raster(entry, "mask_png", Mask, size),
            trimap=_png_to_raster(entry, "trimap_png", Trimap, size),
        )
        return FramePrompt(prompt, object=entry["object"], frame=entry.get("frame", 0))
    except TypeError as error:
        raise PromptError(f"{where}: a value is of the wrong type") from error
    except PromptError as error:
        raise PromptError(f"{where}: {error}") from error


def _point_from_json(point: Any) -> Point:
    if not isinstance(point, list) or len(point) not in (2, 3):
        raise PromptError("a point isn't [x, y, label]; give two numbers and 1 or 0")
    return Point(*point)


def _plane_to_png(plane: NDArray[np.uint8]) -> str:
    """Pack an 8-bit plane as base64 PNG, which a browser can show as it is."""
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(plane).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _png_to_raster(
    entry: Mapping[str, Any], key: str, kind: type[Raster], size: tuple[int, int] | None
) -> Raster | None:
    """Unpack a plane, or say that it is damaged."""
    if key not in entry:
        return None
    from PIL import Image

    try:
        data = base64.b64decode(entry[key], validate=True)
        with Image.open(BytesIO(data), formats=["PNG"]) as picture:
            if size is not None and picture.size != tuple(size):
                raise PromptError(
                    f"{key} of {picture.width}x{picture.height} pixels: expected "
                    f"{size[0]}x{size[1]}, as the input"
                )
            return kind(picture_to_plane(picture))
    except PromptError:
        raise
    except (
        OSError,
        SyntaxError,
        ValueError,
        TypeError,
        EOFError,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        raise PromptError(f"{key} is damaged; expected a PNG as base64") from error
