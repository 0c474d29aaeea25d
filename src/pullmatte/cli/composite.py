"""``pullmatte composite``: lay what a finished matte shows over something else."""

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pullmatte.cli import console
from pullmatte.cli import options as o
from pullmatte.errors import PullmatteError

if TYPE_CHECKING:
    from pullmatte.jobs.look import Look, Text

_BEHIND, _EDGE = "Behind the subject (nothing: the result is a cut-out)", "Edge"

Source = Annotated[
    Path, typer.Argument(metavar="SOURCE", help="A photo, a clip, or numbered pictures.")
]
Alpha = Annotated[
    Path, typer.Argument(metavar="ALPHA", help="Its matte in grey, or a cut-out; clip for clip.")
]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="The result; its name tells the format.")]
Behind = Annotated[
    str | None,
    typer.Option(
        "--bg",
        metavar="COLOUR|checker|original|FILE",
        help="A colour, a picture, for clips also a video, or SOURCE itself.",
        rich_help_panel=_BEHIND,
    ),
]
Blur = Annotated[
    float | None,
    typer.Option("--blur", metavar="PX", help="SOURCE, blurred.", rich_help_panel=_BEHIND),
]
Pop = Annotated[
    float | None,
    typer.Option(
        "--pop",
        metavar="0..1",
        help="Drain SOURCE of its colour, so far.",
        rich_help_panel=_BEHIND,
    ),
]
Words = Annotated[
    str | None,
    typer.Option(
        "--text",
        metavar="WORDS",
        help=r"Words behind the subject; \n begins a new line.",
        rich_help_panel=_BEHIND,
    ),
]
TextAt = Annotated[
    str | None,
    typer.Option(
        "--text-at",
        metavar="X,Y",
        help="Their centre in shares of the picture; 0.5,0.5 unless given.",
        rich_help_panel=_BEHIND,
    ),
]
TextSize = Annotated[
    float | None,
    typer.Option(
        "--text-size",
        metavar="0..1",
        help="Their size as a share of the height; 0.2 unless given.",
        rich_help_panel=_BEHIND,
    ),
]
TextColour = Annotated[
    str | None,
    typer.Option(
        "--text-colour", metavar="COLOUR", help="White unless given.", rich_help_panel=_BEHIND
    ),
]
Shift = Annotated[
    float | None,
    typer.Option(
        "--shift", metavar="PX", help="Grow the subject; under 0 shrink it.", rich_help_panel=_EDGE
    ),
]
Feather = Annotated[
    float | None,
    typer.Option("--feather", metavar="PX", help="Soften the edge.", rich_help_panel=_EDGE),
]
Decontaminate = Annotated[
    bool | None,
    typer.Option(
        "--decontaminate/--no-decontaminate",
        help="Take the old background out of the edge; done unless told not to.",
        rich_help_panel=_EDGE,
    ),
]
SaveLook = Annotated[
    Path | None,
    typer.Option("--save-look", metavar="FILE.json", help="Save what is said here as a look."),
]


def composite_command(
    source: Source,
    alpha: Alpha,
    destination: Out,
    background: Behind = None,
    blur: Blur = None,
    pop: Pop = None,
    text: Words = None,
    text_at: TextAt = None,
    text_size: TextSize = None,
    text_colour: TextColour = None,
    shift: Shift = None,
    feather: Feather = None,
    decontaminate: Decontaminate = None,
    steady: o.Steady = 0.0,
    look: o.LookFile = None,
    save_look: SaveLook = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> int:
    """Lay what a matte shows of a photo or clip over something else, or cut it out."""
    return _composite(SimpleNamespace(**locals()))


def _composite(flags: Any) -> int:
    """Do what the flags say; each has the name that `composite_command` gives it."""
    look = _look(flags)
    named = [flags.source, flags.alpha, flags.destination, flags.look, look.path]
    console.check_save(flags.save_look, *named)
    if flags.save_look is not None:
        # Found out before the work: a look names files beside it alone.
        look.to_json(flags.save_look.parent)

    from pullmatte.jobs.composite import composite

    silent = flags.quiet or flags.as_json
    with console.progress_bar(flags.source.name, quiet=silent) as bar:
        report = composite(
            flags.source,
            flags.alpha,
            flags.destination,
            look,
            steady=flags.steady,
            progress=console.json_events if flags.as_json else bar,
            reserved=[] if flags.look is None else [flags.look],
        )
    if flags.save_look is not None:
        look.save(flags.save_look)
    if flags.as_json:
        console.emit({"event": "done", **report.as_dict()})
    elif not flags.quiet:
        for note in report.notes:
            console.say(f"pullmatte: {note}")
        console.say(f"pullmatte: wrote {', '.join(report.outputs)}")
    return 0


_SAID = {
    "background": "--bg",
    "blur": "--blur",
    "pop": "--pop",
    "text": "--text",
    "text_at": "--text-at",
    "text_size": "--text-size",
    "text_colour": "--text-colour",
    "shift": "--shift",
    "feather": "--feather",
    "decontaminate": "--decontaminate",
}


def _look(flags: Any) -> "Look":
    """Make the look that the flags, or the file, tell."""
    from pullmatte.jobs.look import Look

    said = [flag for name, flag in _SAID.items() if getattr(flags, name) is not None]
    if flags.look is not None:
        if said:
            raise PullmatteError(f"--look and {said[0]} exclude each other: give one of them")
        return Look.load(flags.look)
    if flags.background is not None and flags.blur is not None:
        raise PullmatteError("--bg and --blur exclude each other: give one of them")
    numbers = {"blur_px": flags.blur, "pop": flags.pop}
    numbers |= {"shift_px": flags.shift, "feather_px": flags.feather}
    return Look(
        background=_background(flags),
        text=_text(flags),
        decontaminate=flags.decontaminate is not False,
        **{name: value for name, value in numbers.items() if value is not None},
    )


def _background(flags: Any) -> str | Path | None:
    """Read ``--bg``; what can only be seen over SOURCE itself brings it along."""
    if flags.blur is not None:
        return "blur"
    if flags.background == "original":
        return "original"
    if flags.background is None and (flags.pop or flags.text is not None):
        return "original"
    return console.as_background(flags.background)


def _text(flags: Any) -> "Text | None":
    from pullmatte.jobs.look import Text

    if flags.text is None:
        for name in ("text_at", "text_size", "text_colour"):
            if getattr(flags, name) is not None:
                raise PullmatteError(f"{_SAID[name]} without --text: give the words, or leave it")
        return None
    fields: dict[str, Any] = {"size": flags.text_size, "colour": flags.text_colour}
    if flags.text_at is not None:
        fields["x"], fields["y"] = _place(flags.text_at)
    given = {name: value for name, value in fields.items() if value is not None}
    return Text(flags.text.replace("\\n", "\n"), **given)


def _place(text: str) -> tuple[float, float]:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError as error:
        raise PullmatteError(
            f"--text-at {text!r}: give X,Y in shares of the picture, such as 0.5,0.3"
        ) from error
    return x, y
