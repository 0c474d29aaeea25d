"""The one saved form of prompts: JSON that reads back exactly as it was.

The studio writes it, every other entry reads it. Masks and trimaps stand in it as base64 PNG.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PromptError, ReadError
from pullmatte.prompts.parts import Box, Mask, Point, Prompt, Trimap

PROMPT_FILE_VERSION = 1
DEFAULT_OBJECT = "object"


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
        if not self.object or any(c in self.object for c in "/\\\0\n") or self.object[0] == ".":
            raise PromptError(
                f"object name {self.object!r}: use a name that can stand in a file name"
            )
        if self.frame < 0:
            raise PromptError(f"frame {self.frame}: frames count from 0")


@dataclass(frozen=True)
class PromptFile:
    """Prompts as they are saved: one JSON file that reads back exactly as it was.

    Attributes:
        prompts: In the order in which they were given.
        source: The image or clip they belong to, as a file name; not needed to use them.
        size: Width and height in pixels of that image or clip.
    """

    prompts: tuple[FramePrompt, ...] = ()
    source: str | None = None
    size: tuple[int, int] | None = None
    version: int = field(default=PROMPT_FILE_VERSION, init=False)

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
            PromptError: If one lies outside, has another size or names a missing frame.
        """
        for entry in self.prompts:
            if entry.frame >= frame_count:
                last = frame_count - 1
                raise PromptError(
                    f"prompt for {entry.object!r} on frame {entry.frame}: the input has "
                    f"{frame_count} frame{'s' * (frame_count != 1)}, "
                    f"{'only frame 0' if last == 0 else f'0 to {last}'}"
                )
            entry.prompt.check(width, height)

    def to_json(self) -> str:
        """Write the file's text."""
        document = {
            "pullmatte_prompts": self.version,
            "source": self.source,
            "size": list(self.size) if self.size else None,
            "prompts": [_entry_to_json(entry) for entry in self.prompts],
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the file's text.

        Raises:
            PromptError: If it isn't a prompt file, or is one of a later version.
        """
        try:
            document = json.loads(text)
            version = document["pullmatte_prompts"]
        except (ValueError, TypeError, KeyError) as error:
            raise PromptError(
                'not a prompt file: expected JSON with a "pullmatte_prompts" version'
            ) from error
        if version != PROMPT_FILE_VERSION:
            raise PromptError(
                f"prompt file of version {version!r}: this pullmatte reads version "
                f"{PROMPT_FILE_VERSION}; update pullmatte"
            )
        try:
            size = document.get("size")
            return cls(
                prompts=tuple(_entry_from_json(entry) for entry in document["prompts"]),
                source=document.get("source"),
                size=(int(size[0]), int(size[1])) if size else None,
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OSError) as error:
            raise PromptError(f"damaged prompt file: {_one_line(error)}") from error

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
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise ReadError(f"can't read prompts from {path}: {reason}") from error
        try:
            return cls.from_json(text)
        except PromptError as error:
            raise PromptError(f"{path}: {error}") from error


def _one_line(error: BaseException) -> str:
    """Say what `error` says, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _entry_to_json(entry: FramePrompt) -> dict[str, Any]:
    prompt = entry.prompt
    document: dict[str, Any] = {"object": entry.object, "frame": entry.frame}
    if prompt.points:
        document["points"] = [[p.x, p.y, p.label] for p in prompt.points]
    if prompt.box:
        document["box"] = [prompt.box.x0, prompt.box.y0, prompt.box.x1, prompt.box.y1]
    if prompt.mask:
        document["mask_png"] = _plane_to_png(prompt.mask.array.astype(np.uint8) * 255)
    if prompt.trimap:
        levels = np.array([0, 128, 255], np.uint8)[(prompt.trimap.array * 2).astype(int)]
        document["trimap_png"] = _plane_to_png(levels)
    return document


def _entry_from_json(document: Mapping[str, Any]) -> FramePrompt:
    prompt = Prompt(
        points=tuple(Point(x, y, label) for x, y, label in document.get("points", ())),
        box=Box(*document["box"]) if "box" in document else None,
        mask=Mask(_png_to_plane(document["mask_png"])) if "mask_png" in document else None,
        trimap=Trimap(_png_to_plane(document["trimap_png"])) if "trimap_png" in document else None,
    )
    if prompt.is_empty:
        raise PromptError("a prompt without points, box, mask or trimap: give at least one")
    return FramePrompt(prompt, object=document["object"], frame=int(document.get("frame", 0)))


def _plane_to_png(plane: NDArray[np.uint8]) -> str:
    """Pack an 8-bit plane as base64 PNG, which a browser can show as it is."""
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(plane).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _png_to_plane(text: str) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(BytesIO(base64.b64decode(text, validate=True))) as image:
        return np.asarray(image.convert("L"))
