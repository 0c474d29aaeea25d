"""``pullmatte image``: one photo, or a folder of them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pullmatte.cli import console
from pullmatte.cli import options as o
from pullmatte.cli.prompt_flags import parse_prompts
from pullmatte.errors import PullmatteError, ReadError
from pullmatte.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from pullmatte.jobs.image import ImageOptions
    from pullmatte.prompts import PromptFile
    from pullmatte.sessions.load import Matter


def image_command(
    source: Annotated[str, typer.Argument(metavar="IN", help="A photo, a folder, or - (stdin).")],
    destination: Annotated[
        str | None,
        typer.Argument(metavar="[OUT]", help="A file, a folder, or - (stdout)."),
    ] = None,
    point: o.Points = None,
    box: o.Boxes = None,
    mask: o.Masks = None,
    trimap: o.Trimaps = None,
    prompts: o.PromptsFile = None,
    save_prompts: o.SavePrompts = None,
    model: o.ModelName = DEFAULT_MODEL,
    device: o.Device = "auto",
    opacity: o.OpacityName = "auto",
    only_alpha: o.OnlyAlpha = False,
    background: o.Background = None,
    foreground: o.Foreground = True,
    alpha_mode: o.AlphaMode = None,
    bits: o.Depth = None,
    side: o.Sides = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> int:
    """Matte a photo. The result stands beside it unless OUT is given; its format follows OUT."""
    console.check_device(device)
    said = parse_prompts(point or (), box or (), mask or (), trimap or (), prompts)
    console.check_bits(bits)

    from pullmatte.jobs.image import SIDES, ImageOptions
    from pullmatte.sessions.load import load

    options = ImageOptions(
        only_alpha=only_alpha,
        background=console.as_background(background),
        foreground=foreground,
        opacity=console.as_opacity(opacity),
        premultiplied=console.is_premultiplied(alpha_mode),
        bit_depth=bits,
        sides=console.as_sides(side, SIDES),
    )
    matter = load(model)
    is_exr = str(destination or source).lower().endswith(".exr")
    multiplied = is_exr if options.premultiplied is None else options.premultiplied
    note = "alpha premultiplied" if multiplied else "alpha straight"
    console.start_line(matter.spec, note, quiet=quiet)
    if source != "-" and Path(source).is_dir():
        return _folder(matter, Path(source), destination, said, options, as_json, quiet)
    report = _one(matter, source, destination, said, options)
    console.save_prompts(said, save_prompts)
    if as_json:
        console.emit(report, to_stderr=destination == "-")
    elif not quiet and report["outputs"]:
        console.say(f"pullmatte: wrote {', '.join(report['outputs'])}")
    return 0


def _one(
    matter: "Matter",
    source: str,
    destination: str | None,
    prompts: "PromptFile",
    options: "ImageOptions",
) -> dict[str, Any]:
    from pullmatte.jobs.image import default_output, matte_image

    if source == "-" and destination is None:
        destination = "-"
    content = sys.stdin.buffer.read() if source == "-" else Path(source)
    if content == b"":
        raise ReadError("nothing came in on stdin: pipe an image file into it")
    if destination == "-":
        return matte_image(matter, content, sys.stdout.buffer, prompts, options).as_dict()
    output = Path(destination) if destination else default_output(Path(source), options)
    return matte_image(matter, content, output, prompts, options).as_dict()


def _folder(
    matter: "Matter",
    folder: Path,
    destination: str | None,
    prompts: "PromptFile",
    options: "ImageOptions",
    as_json: bool,
    quiet: bool,
) -> int:
    """Matte a folder; return 1 if some photo failed."""
    from pullmatte.jobs.image import matte_folder

    if destination is None or destination == "-":
        raise ReadError(f"{folder} is a folder: name a folder for the results after it")
    failed = 0
    for photo, result in matte_folder(matter, folder, Path(destination), prompts, options):
        failed += isinstance(result, PullmatteError)
        if isinstance(result, PullmatteError):
            console.say(f"pullmatte: {photo}: {result}")
            record: dict[str, Any] = {"source": str(photo), "error": str(result)}
        else:
            record = result.as_dict()
            if not (quiet or as_json):
                console.say(f"pullmatte: wrote {', '.join(record['outputs'])}")
        if as_json:
            console.emit(record)
    if failed:
        console.say(f"pullmatte: {failed} photos failed, listed above")
    return 1 if failed else 0
