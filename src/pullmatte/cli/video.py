"""``pullmatte video``: one clip, streamed."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

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
    foreground: o.Foreground = True,
    alpha_mode: o.AlphaMode = None,
    bits: o.Depth = None,
    codec: o.Codec = None,
    audio: o.Audio = True,
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
    console.check_bits(bits)
    console.check_kind(only_alpha=only_alpha, background=background)
    said = parse_prompts(point or (), box or (), mask or (), trimap or (), prompts)
    read = [*files_read(mask or (), trimap or (), prompts), *alpha_files(alpha or ())]
    console.check_save(save_prompts, source, destination, *read)

    from pullmatte.jobs.video_options import SIDES, VideoOptions, default_output

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
        steady=steady,
        sum_to_one=sum_to_one,
    )
    start = parse_start(
        alpha or (), project, lock=lock or (), unlock=unlock or (), forget=forget or ()
    )
    output = destination or default_output(source, options)
    loaded = load_for_video(model, device=device, dtype=dtype, second=matter)
    if first is not None:
        start = replace(start, matter=load_matter(first, device))
    report = _run(
        loaded, source, output, said, options, start, read, resume, as_json=as_json, quiet=quiet
    )
    console.save_prompts(said, save_prompts, source=str(source), size=report.size)
    if as_json:
        console.emit({"event": "done", **report.as_dict()})
    elif not quiet:
        _tell(report, resume=resume)
    return 0


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
    matter: "Matter",
    source: Path,
    output: Path,
    prompts: "PromptFile",
    options: "VideoOptions",
    start: "VideoStart",
    reserved: list[Path],
    resume: bool,
    *,
    as_json: bool,
    quiet: bool,
) -> "VideoReport":
    """Say what begins, and run the job under a progress bar."""
    from pullmatte.jobs.video import matte_video

    is_exr = output.suffix.lower() == ".exr"
    note = console.alpha_note(options, is_exr=is_exr)
    with console.progress_bar(source.name, quiet=quiet or as_json) as bar:
        begin = announcement(matter, note, quiet=quiet, opacity=options.opacity)
        return matte_video(
            matter,
            source,
            output,
            prompts,
            options,
            start=start,
            resume=resume,
            progress=console.announced(_json_events if as_json else bar, begin),
            reserved=reserved,
        )


def _json_events(done: int, total: int) -> None:
    console.emit({"event": "progress", "done": done, "total": total})


def _as_direction(text: str) -> "Direction":
    from pullmatte.sessions.video import Direction

    for known in get_args(Direction):
        if text == known:
            direction: Direction = known
            return direction
    raise PromptError(f"--direction {text!r}: give one of {', '.join(get_args(Direction))}")
