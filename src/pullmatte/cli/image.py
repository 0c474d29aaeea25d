"""``pullmatte image``: one photo, or a folder of them."""

import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from pullmatte.cli import console
from pullmatte.cli import options as o
from pullmatte.cli.loading import announcement, load_matter
from pullmatte.cli.prompt_flags import files_read, parse_prompts
from pullmatte.errors import PullmatteError, ReadError, WriteError
from pullmatte.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pullmatte.jobs.image import ImageOptions, ImageReport
    from pullmatte.prompts import PromptFile
    from pullmatte.sessions.load import Matter

Source = Annotated[str, typer.Argument(metavar="IN", help="A photo, a folder, or - (stdin).")]
Result = Annotated[
    str | None, typer.Argument(metavar="[OUT]", help="A file, a folder, or - (stdout).")
]


def image_command(
    source: Source,
    destination: Result = None,
    point: o.Points = None,
    box: o.Boxes = None,
    mask: o.Masks = None,
    trimap: o.Trimaps = None,
    prompts: o.PromptsFile = None,
    save_prompts: o.SavePrompts = None,
    caption: o.Caption = None,
    model: o.ModelName = DEFAULT_MODEL,
    device: o.Device = "auto",
    dtype: o.Dtype = None,
    fit: o.Fit = None,
    size: o.Size = None,
    batch: o.Batch = None,
    tiles: o.Tiles = False,
    matter: o.SecondModel = None,
    opacity: o.OpacityName = "auto",
    only_alpha: o.OnlyAlpha = False,
    background: o.Background = None,
    look: o.LookFile = None,
    foreground: o.Foreground = True,
    alpha_mode: o.AlphaMode = None,
    bits: o.Depth = None,
    side: o.Sides = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> int:
    """Matte a photo. The result stands beside it unless OUT is given; its format follows OUT."""
    return _image(SimpleNamespace(**locals()))


def _image(flags: Any) -> int:
    """Do what the flags say; each has the name that `image_command` gives it."""
    console.check_bits(flags.bits)
    console.check_kind(only_alpha=flags.only_alpha, background=flags.background)
    source, destination, quiet = flags.source, flags.destination, flags.quiet
    files = (flags.mask or (), flags.trimap or ())
    said = parse_prompts(flags.point or (), flags.box or (), *files, flags.prompts)
    read = files_read(*files, flags.prompts)
    read += [flags.look] if flags.look else []
    console.check_save(flags.save_prompts, source, destination, *read)
    options = _options(flags)
    loaded = load_matter(
        flags.model,
        flags.device,
        dtype=flags.dtype,
        second=flags.matter,
        tiles=flags.tiles,
        fit=flags.fit,
        size=flags.size,
        batch=flags.batch,
    )
    note = _note(loaded, options, said, str(destination or source))
    started = announcement(loaded, note, quiet=quiet, opacity=options.opacity)
    if source != "-" and Path(source).is_dir():
        as_json = flags.as_json
        code = _folder(loaded, Path(source), destination, said, options, as_json, quiet, started)
        console.save_prompts(said, flags.save_prompts)
        return code
    report = _one(loaded, source, destination, said, options, read, started)
    console.save_prompts(said, flags.save_prompts, source=source, size=report.size)
    return _tell(report, destination, as_json=flags.as_json, quiet=quiet)


def _options(flags: Any) -> "ImageOptions":
    from pullmatte.jobs.image import SIDES, ImageOptions

    return ImageOptions(
        only_alpha=flags.only_alpha,
        background=console.as_background(flags.background),
        foreground=flags.foreground,
        opacity=console.as_opacity(flags.opacity),
        caption=flags.caption,
        premultiplied=console.is_premultiplied(flags.alpha_mode),
        bit_depth=flags.bits,
        sides=console.as_sides(flags.side, SIDES),
        look=console.as_look(flags.look),
    )


def _note(matter: "Matter", options: "ImageOptions", prompts: "PromptFile", name: str) -> str:
    """Say what the result named so holds, and what of the prompts isn't heard."""
    from pullmatte.sessions.prompt_kinds import left_out_note

    unheard = left_out_note(matter.spec, prompts.on_frame(0).values())
    kind = console.alpha_note(options, is_exr=name.lower().endswith(".exr"))
    return " · ".join(filter(None, (kind, unheard)))


def _tell(report: "ImageReport", destination: str | None, *, as_json: bool, quiet: bool) -> int:
    """Say what was done."""
    if as_json:
        console.emit(report.as_dict(), to_stderr=destination == "-" or report.outputs == ("-",))
    elif not quiet and report.outputs != ("-",):
        console.say(f"pullmatte: wrote {', '.join(report.outputs)}")
    return 0


def _one(
    matter: "Matter",
    source: str,
    destination: str | None,
    prompts: "PromptFile",
    options: "ImageOptions",
    reserved: list[Path],
    started: "Callable[[], None]",
) -> "ImageReport":
    from pullmatte.jobs.image import default_output, matte_image

    if source == "-" and destination is None:
        destination = "-"
    if destination == "-" and options.sides:
        raise WriteError("--side with stdout: a side needs a name; give OUT a file name")
    content = _stdin() if source == "-" else Path(source)
    if destination == "-":
        with _stdout() as stream:
            return matte_image(matter, content, stream, prompts, options, started=started)
    output = Path(destination) if destination else default_output(Path(source), options)
    return matte_image(
        matter, content, output, prompts, options, reserved=reserved, started=started
    )


def _stdin() -> bytes:
    content = b"" if sys.stdin.isatty() else sys.stdin.buffer.read()
    if not content:
        raise ReadError("nothing came in on stdin: pipe an image file into it")
    return content


@contextmanager
def _stdout() -> "Iterator[BinaryIO]":
    if sys.stdout.isatty():
        raise WriteError("stdout is a terminal: name an output file, or pipe the picture on")
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WriteError(f"can't write to stdout: {error.strerror}; name an output file") from error


def _folder(
    matter: "Matter",
    folder: Path,
    destination: str | None,
    prompts: "PromptFile",
    options: "ImageOptions",
    as_json: bool,
    quiet: bool,
    started: "Callable[[], None]",
) -> int:
    """Matte a folder; return 1 if some photo failed."""
    from pullmatte.jobs.folder import matte_folder

    if destination is None or destination == "-":
        raise WriteError(f"{folder} is a folder: name a folder for the results after it")
    failed: list[str] = []
    # Where it is no terminal, the lines on each photo are progress enough.
    silent = quiet or as_json or not sys.stderr.isatty()
    with console.progress_bar(folder.name, quiet=silent, unit="photos") as bar:
        progress = console.announced(bar, started)
        results = matte_folder(
            matter, folder, Path(destination), prompts, options, progress=progress
        )
        for photo, result in results:
            if isinstance(result, PullmatteError):
                failed.append(f"{photo}: {result}")
                record: dict[str, Any] = {"source": str(photo), "error": str(result)}
            else:
                record = result.as_dict()
                if not (quiet or as_json):
                    console.say(f"pullmatte: wrote {', '.join(record['outputs'])}")
            if as_json:
                console.emit(record)
    for line in failed:
        console.say(f"pullmatte: failed: {line}")
    if failed:
        console.say(f"pullmatte: {len(failed)} photo{'s' * (len(failed) > 1)} failed, listed above")
    return 1 if failed else 0
