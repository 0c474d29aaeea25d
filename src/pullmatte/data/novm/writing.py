"""How a benchmark's clips lie on disk: frames, alphas, the prompt and the manifest."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pullmatte.data.clip_files import composed
from pullmatte.data.procedural.layer import Appearance
from pullmatte.data.samples import SampleOpacity
from pullmatte.data.set_files import Bytes
from pullmatte.errors import DatasetError
from pullmatte.io.atomic import replacing, write_error
from pullmatte.io.png import encode_png
from pullmatte.prompts import Box, FramePrompt, Prompt, PromptFile

FRAMES, ALPHAS, FOREGROUNDS = "frames", "alpha", "foreground"
PROMPTS, MANIFEST = "prompts.json", "manifest.json"
VERSION = 1


@dataclass(frozen=True)
class ClipRecord:
    """A line of the manifest.

    Attributes:
        name: the clip's folder.
        category: of its object.
        foreground: what it shows.
        background: what it is composed over.
        licences: of both.
        seed: from which it is made again.
        frames: how many.
        opacity: what the object is.
    """

    name: str
    category: str
    foreground: str
    background: str
    licences: tuple[str, ...]
    seed: int
    frames: int
    opacity: SampleOpacity


def write_clip(
    folder: Path, shown: Iterable[Appearance], below: Iterable[Bytes], *, foregrounds: bool
) -> int:
    """Compose a clip and write it without loss.

    Alpha and colours are rounded to 8 bits first, so the frames follow exactly from what is
    written.

    Args:
        folder: is made.
        shown: the object, `H W` a frame.
        below: the background, `H W 3` a frame; whichever is shorter ends the clip.
        foregrounds: whether the object's straight colours are written, too.

    Returns:
        How many frames were written.

    Raises:
        DatasetError: The object isn't in frame 0, so no box can be drawn.
        WriteError: A file can't be written.
    """
    count = 0
    for count, (look, ground) in enumerate(zip(shown, below, strict=False), 1):
        alpha, colours = as_bytes(look.alpha), as_bytes(look.colour)
        if count == 1:
            _write_prompt(folder, alpha)
        name = f"{count - 1:04d}.png"
        _write(folder / FRAMES / name, composed(colours, alpha, ground))
        _write(folder / ALPHAS / name, alpha)
        if foregrounds:
            _write(folder / FOREGROUNDS / name, colours)
    if not count:
        raise DatasetError(f"{folder.name} has no frames: give foregrounds that have some.")
    return count


def write_manifest(
    folder: Path, benchmark: str, size: tuple[int, int], clips: Sequence[ClipRecord]
) -> Path:
    """Write what a benchmark holds, and from what it was made.

    Raises:
        WriteError: It can't be written.
    """
    document = {
        "benchmark": benchmark,
        "version": VERSION,
        "size": list(size),
        "clips": [asdict(clip) for clip in clips],
    }
    path = folder / MANIFEST
    with replacing(path) as partial:
        partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path


def tight_box(alpha: Bytes) -> Box | None:
    """Return the box around all of alpha > 0, its far edges exclusive; None if there is none."""
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    if not len(rows):
        return None
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def _write_prompt(folder: Path, alpha: Bytes) -> None:
    box = tight_box(alpha)
    if box is None:
        raise DatasetError(
            f"{folder.name}: the object isn't in frame 0; give a foreground that starts with it."
        )
    _make(folder)
    height, width = alpha.shape
    prompt = FramePrompt(Prompt(box=box))
    PromptFile((prompt,), source=FRAMES, size=(width, height)).save(folder / PROMPTS)


def _write(path: Path, pixels: Bytes) -> None:
    _make(path.parent)
    try:
        path.write_bytes(encode_png(pixels))
    except OSError as error:
        raise write_error(path, error) from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error


def as_bytes(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Bytes:
    """Round values in [0, 1], of any shape, to 8 bits."""
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
