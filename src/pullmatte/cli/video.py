"""``pullmatte video``: one clip, streamed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from pullmatte.cli import console
from pullmatte.cli import options as o
from pullmatte.cli.prompt_flags import files_read, parse_prompts
from pullmatte.errors import PromptError
from pullmatte.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from pullmatte.sessions.video import Direction

_OUTPUT = "Output"


def video_command(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="A clip, or numbered pictures: name.%04d.exr.")
    ],
    destination: Annotated[
        Path | None,
        typer.Argument(
            metavar="[OUT]",
            help="name.mov (ProRes 4444), .webm (VP9), .mkv (FFV1), name.%04d.png or .exr.",
        ),
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
    direction: Annotated[
        str, typer.Option("--direction", help="Track both, forward or backward from the prompts.")
    ] = "both",
    only_alpha: o.OnlyAlpha = False,
    background: o.Background = None,
    foreground: o.Foreground = True,
    alpha_mode: o.AlphaMode = None,
    bits: o.Depth = None,
    codec: Annotated[
        str | None,
        typer.Option(
            "--codec",
            help="prores, vp9, ffv1 or h264, where OUT leaves a choice.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    audio: Annotated[
        bool, typer.Option("--audio/--no-audio", help="Copy the sound.", rich_help_panel=_OUTPUT)
    ] = True,
    start_frame: Annotated[
        int | None,
        typer.Option(
            "--start-frame",
            help="First number of numbered pictures; as the input's.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    side: o.Sides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped.")
    ] = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> int:
    """Matte a clip. Frames, timestamps, sound and colour tags of the clip are kept."""
    console.check_device(device)
    console.check_bits(bits)
    console.check_kind(only_alpha=only_alpha, background=background)
    said = parse_prompts(point or (), box or (), mask or (), trimap or (), prompts)
    read = files_read(mask or (), trimap or (), prompts)
    console.check_save(save_prompts, source, destination, *read)

    from pullmatte.jobs.video import matte_video
    from pullmatte.jobs.video_options import SIDES, VideoOptions, default_output
    from pullmatte.sessions.load import load

    options = VideoOptions(
        only_alpha=only_alpha,
        background=console.as_background(background),
        foreground=foreground,
        opacity=console.as_opacity(opacity),
        direction=_as_direction(direction),
        premultiplied=console.is_premultiplied(alpha_mode),
        codec=codec,
        audio=audio,
        start_frame=start_frame,
        bit_depth=bits,
        sides=console.as_sides(side, SIDES),
    )
    output = destination or default_output(source, options)
    matter = load(model)
    is_exr = output.suffix.lower() == ".exr"
    console.start_line(matter.spec, console.alpha_note(options, is_exr=is_exr), quiet=quiet)
    with console.progress_bar(source.name, quiet=quiet or as_json) as bar:
        report = matte_video(
            matter,
            source,
            output,
            said,
            options,
            resume=resume,
            progress=_json_events if as_json else bar,
            reserved=read,
        )
    console.save_prompts(said, save_prompts, source=str(source), size=report.size)
    if as_json:
        console.emit({"event": "done", **report.as_dict()})
    elif not quiet:
        for note in report.notes:
            console.say(f"pullmatte: {note}")
        console.say(f"pullmatte: wrote {', '.join(report.outputs)} ({report.frames} frames)")
    return 0


def _json_events(done: int, total: int) -> None:
    console.emit({"event": "progress", "done": done, "total": total})


def _as_direction(text: str) -> "Direction":
    from pullmatte.sessions.video import Direction

    for known in get_args(Direction):
        if text == known:
            direction: Direction = known
            return direction
    raise PromptError(f"--direction {text!r}: give one of {', '.join(get_args(Direction))}")
