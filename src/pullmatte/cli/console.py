"""What the command line says: start line and progress on stderr, JSON lines on stdout."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pullmatte.errors import PromptError, PullmatteError, UnsupportedFormat
from pullmatte.prompts import PromptFile

if TYPE_CHECKING:
    from pullmatte.jobs.image import ImageOptions
    from pullmatte.jobs.look import Look
    from pullmatte.jobs.video_options import VideoOptions
    from pullmatte.models import ModelSpec
    from pullmatte.models.protocol import Opacity

Progress = Callable[[int, int], None]
"""Called with the frames done and the frames in all."""


def start_line(
    spec: "ModelSpec",
    note: str,
    *,
    quiet: bool,
    opacity: "Opacity" = "auto",
    device: str = "cpu",
    dtype: str = "float32",
) -> None:
    """Say once which model runs, where, in what precision, on what terms."""
    if quiet:
        return
    if opacity != "auto" and not spec.opacity:
        note += f" · --opacity {opacity} makes no difference to this model"
    parts = (f"pullmatte: {spec.name}", device, dtype, spec.terms, note)
    say(" · ".join(part for part in parts if part))


def alpha_note(options: "ImageOptions | VideoOptions", *, is_exr: bool) -> str:
    """Say what the result holds: straight or premultiplied colours, or no alpha at all."""
    if options.only_alpha:
        return "grey matte"
    if options.is_composite:
        return "composite, no alpha"
    multiplied = is_exr if options.premultiplied is None else options.premultiplied
    return "alpha premultiplied" if multiplied else "alpha straight"


def say(text: str) -> None:
    """Put a line on stderr."""
    sys.stderr.write(" ".join(text.splitlines()) + "\n")


def emit(record: dict[str, Any], *, to_stderr: bool = False) -> None:
    """Put a JSON line on stdout, or on stderr where stdout carries a picture."""
    stream = sys.stderr if to_stderr else sys.stdout
    stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    stream.flush()


def json_events(done: int, total: int) -> None:
    """Report progress as JSON lines."""
    emit({"event": "progress", "done": done, "total": total})


@contextmanager
def progress_bar(label: str, *, quiet: bool, unit: str = "frames") -> Iterator[Progress]:
    """Show what is done and the time left on stderr; plain lines when it is no terminal."""
    if quiet:
        yield lambda done, total: None
    elif sys.stderr.isatty():
        with _rich_bar(label, unit) as advance:
            yield advance
    else:
        yield _plain_lines(label, unit)


def announced(progress: Progress, begin: Callable[[], None]) -> Progress:
    """Call `begin` before the first progress, so that unusable input is not announced as begun."""
    begun = False

    def advance(done: int, total: int) -> None:
        nonlocal begun
        if not begun:
            begun = True
            begin()
        progress(done, total)

    return advance


@contextmanager
def _rich_bar(label: str, unit: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit} ·"),
        TimeElapsedColumn(),
        TextColumn("· left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _plain_lines(label: str, unit: str) -> Progress:
    """Say every tenth part on a line of its own."""
    said = -1

    def advance(done: int, total: int) -> None:
        nonlocal said
        tenth = 10 * done // max(total, 1)
        if tenth > said:
            said = tenth
            say(f"{label}: {done}/{total} {unit}")

    return advance


def as_opacity(text: str) -> "Opacity":
    """Read ``--opacity``.

    Raises:
        PromptError: If it is none of the known values.
    """
    from pullmatte.models.protocol import Opacity

    for known in get_args(Opacity):
        if text == known:
            opacity: Opacity = known
            return opacity
    raise PromptError(f"--opacity {text!r}: give one of {', '.join(get_args(Opacity))}")


def as_background(text: str | None) -> str | Path | None:
    """Read ``--bg``: a file that exists, else a colour or ``checker``.

    Raises:
        PullmatteError: If it is neither.
    """
    if text is None or text == "checker":
        return text
    with suppress(OSError):
        if Path(text).is_file():
            return Path(text)
    from PIL import ImageColor

    try:
        ImageColor.getrgb(text)
    except ValueError:
        raise PullmatteError(
            f"--bg {text!r} is no file and no colour: give a picture that exists, "
            "a colour like white or #00ff00, or checker"
        ) from None
    return text


def as_look(path: Path | None) -> "Look | None":
    """Read ``--look``.

    Raises:
        PullmatteError: If the file isn't a look.
    """
    if path is None:
        return None
    from pullmatte.jobs.look import Look

    return Look.load(path)


def as_sides(text: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """Read ``--side``.

    Raises:
        PullmatteError: If it names something that isn't made.
    """
    sides = tuple(part.strip() for part in (text or "").split(",") if part.strip())
    for side in sides:
        if side not in known:
            raise PullmatteError(f"--side {side!r}: give any of {', '.join(known)}")
    return sides


def is_premultiplied(text: str | None) -> bool | None:
    """Read ``--alpha-mode``; None is each format's habit.

    Raises:
        PullmatteError: If it is neither of the two.
    """
    if text not in (None, "straight", "premultiplied"):
        raise PullmatteError(f"--alpha-mode {text!r}: give straight or premultiplied")
    return None if text is None else text == "premultiplied"


def check_bits(bits: int | None) -> None:
    """Refuse bit depths that no format here has.

    Raises:
        UnsupportedFormat: If it is neither 8 nor 16.
    """
    if bits not in (None, 8, 16):
        raise UnsupportedFormat(f"--bits {bits}: give 8 or 16")


def check_kind(*, only_alpha: bool, background: str | None) -> None:
    """Refuse two kinds of result at once.

    Raises:
        PullmatteError: If both are asked for.
    """
    if only_alpha and background is not None:
        raise PullmatteError("--only-alpha and --bg exclude each other: give one of them")


def check_save(path: Path | None, *taken: str | Path | None) -> None:
    """Refuse, before any work, a file to save that can't be or would harm another one.

    Args:
        path: Where prompts or look go, if anywhere.
        taken: The files that this command reads or writes; ``-`` and None are passed over.

    Raises:
        WriteError: If it can't be written there.
    """
    if path is not None:
        from pullmatte.jobs.naming import check_outputs

        check_outputs([path], *(name for name in taken if name != "-"))


def save_prompts(
    prompts: PromptFile,
    path: Path | None,
    *,
    source: str | None = None,
    size: tuple[int, int] | None = None,
) -> None:
    """Write ``--save-prompts``.

    Args:
        prompts: What was said.
        path: Where to, if anywhere.
        source: The photo or clip; its name is kept, not its folder.
        size: Width and height of that in pixels.

    Raises:
        WriteError: If it can't be written.
    """
    if path is None:
        return
    name = Path(source).name if source and source != "-" else prompts.source
    replace(prompts, source=name, size=size or prompts.size).save(path)
