"""``pullmatte video``: one clip, streamed."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_args

from pullmatte.cli import console
from pullmatte.cli import options as o
from pullmatte.cli.clip_start import alpha_files, parse_start
from pullmatte.cli.loading import announcement, load_for_video, load_matter
from pullmatte.cli.prompt_flags import files_read, parse_prompts
from pullmatte.errors import PromptError
from pullmatte.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from pullmatte.jobs.video import VideoReport
    from pullmatte.jobs.video_options import VideoOptions, VideoStart
    from pullmatte.prompts import PromptFile
    from pullmatte.sessions.load import Matter
    from pullmatte.sessions.video import Direction


def video_command(
    source: o.Clip,
    destination: o.ClipResult = None,
    point: o.Points = None,
    box: o.Boxes = None,
    mask: o.Masks = None,
    trimap: o.Trimaps = None,
    alpha: o.Alphas = None,
    prompts: o.PromptsFile = None,
    save_prompts: o.SavePrompts = None,
    model: o.ModelName = DEFAULT_MODEL,
    device: o.Device = "auto",
    dtype: o.Dtype = None,
    matter: o.SecondModel = None,
    first: o.FirstModel = None,
    opacity: o.OpacityName = "auto",
    direction: o.Direction = "both",
    only_alpha: o.OnlyAlpha = False,
    background: o.Background = None,
    look: o.LookFile = None,
    foreground: o.Foreground = True,
    alpha_mode: o.AlphaMode = None,
    bits: o.Depth = None,
    codec: o.Codec = None,
    audio: o.Audio = True,
    frames: o.Frames = None,
    start_frame: o.StartFrame = None,
    side: o.Sides = None,
    steady: o.Steady = 0.0,
    sum_to_one: o.SumToOne = False,
    project: o.Project = None,
    lock: o.Lock = None,
    unlock: o.Unlock = None,
    forget: o.Forget = None,
    resume: o.Resume = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> int:
    """Matte a clip. Frames, timestamps, sound and colour tags of the clip are kept."""
    return _video(SimpleNamespace(**locals()))


def _video(flags: Any) -> int:
    """Do what the flags say; each has the name that `video_command` gives it."""
    console.check_bits(flags.bits)
    console.check_kind(only_alpha=flags.only_alpha, background=flags.background)
    files = (flags.mask or (), flags.trimap or ())
    said = parse_prompts(flags.point or (), flags.box or (), *files, flags.prompts)
    read = [*files_read(*files, flags.prompts), *alpha_files(flags.alpha or ())]
    read += [flags.look] if flags.look else []
    console.check_save(flags.save_prompts, flags.source, flags.destination, *read)

    from pullmatte.jobs.video_options import default_output

    options = _options(flags)
    start = parse_start(
        flags.alpha or (),
        flags.project,
        lock=flags.lock or (),
        unlock=flags.unlock or (),
        forget=flags.forget or (),
    )
    output = flags.destination or default_output(flags.source, options)
    loaded = load_for_video(
        flags.model, device=flags.device, dtype=flags.dtype, second=flags.matter
    )
    if flags.first is not None:
        start = replace(start, matter=load_matter(flags.first, flags.device))
    report = _run(flags, loaded, output, said, options, start, read)
    console.save_prompts(said, flags.save_prompts, source=str(flags.source), size=report.size)
    if flags.as_json:
        console.emit({"event": "done", **report.as_dict()})
    elif not flags.quiet:
        _tell(report, resume=flags.resume)
    return 0


def _options(flags: Any) -> "VideoOptions":
    from pullmatte.jobs.video_options import SIDES, VideoOptions

    return VideoOptions(
        only_alpha=flags.only_alpha,
        background=console.as_background(flags.background),
        foreground=flags.foreground,
        opacity=console.as_opacity(flags.opacity),
        direction=_as_direction(flags.direction),
        premultiplied=console.is_premultiplied(flags.alpha_mode),
        codec=flags.codec,
        audio=flags.audio,
        start_frame=flags.start_frame,
        span=_as_span(flags.frames),
        bit_depth=flags.bits,
        sides=console.as_sides(flags.side, SIDES),
        steady=flags.steady,
        sum_to_one=flags.sum_to_one,
        look=console.as_look(flags.look),
    )


def _tell(report: "VideoReport", *, resume: bool) -> None:
    """Say what was done."""
    if resume and report.resumed_at == 0:
        console.say("pullmatte: there was nothing to resume: started from the first frame")
    if report.touched is not None:
        console.say(f"pullmatte: {report.touched} results computed, the others were there")
    for note in report.notes:
        console.say(f"pullmatte: {note}")
    console.say(f"pullmatte: wrote {', '.join(report.outputs)} ({report.frames} frames)")


def _run(
    flags: Any,
    matter: "Matter",
    output: Path,
    prompts: "PromptFile",
    options: "VideoOptions",
    start: "VideoStart",
    reserved: list[Path],
) -> "VideoReport":
    """Say what begins, and run the job under a progress bar."""
    from pullmatte.jobs.video import matte_video

    is_exr = output.suffix.lower() == ".exr"
    note = console.alpha_note(options, is_exr=is_exr)
    name, quiet = flags.source.name, flags.quiet
    with console.progress_bar(name, quiet=quiet or flags.as_json) as bar:
        begin = announcement(matter, note, quiet=quiet, opacity=options.opacity)
        return matte_video(
            matter,
            flags.source,
            output,
            prompts,
            options,
            start=start,
            resume=flags.resume,
            progress=console.announced(console.json_events if flags.as_json else bar, begin),
            reserved=reserved,
        )


def _as_direction(text: str) -> "Direction":
    from pullmatte.sessions.video import Direction

    for known in get_args(Direction):
        if text == known:
            direction: Direction = known
            return direction
    raise PromptError(f"--direction {text!r}: give one of {', '.join(get_args(Direction))}")


def _as_span(text: str | None) -> tuple[int, int] | None:
    """Read ``--frames``.

    Raises:
        PromptError: If it isn't two numbers.
    """
    if text is None:
        return None
    first, dash, last = text.partition("-")
    if not (dash and first.strip().isdecimal() and last.strip().isdecimal()):
        raise PromptError(f"--frames {text!r}: give the first and the last frame, as 10-40")
    return int(first), int(last)
