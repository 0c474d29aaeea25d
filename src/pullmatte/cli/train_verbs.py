"""The verbs of ``pullmatte train``: one for each recipe, flags from the fields of its settings."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from pullmatte.cli import console
from pullmatte.data.samples import SampleOpacity, SampleSource
from pullmatte.errors import PullmatteError
from pullmatte.train import starting
from pullmatte.train.data_sources import Wanted, open_sources
from pullmatte.train.finetune import changed, tune, tuning_settings
from pullmatte.train.litesdmatte import LITE, LiteSDMatteRecipe
from pullmatte.train.loop import Estimate, dry_run, train
from pullmatte.train.mam2 import MAM2Recipe
from pullmatte.train.mam2_lessons import MAM2Settings, MAM2Sources
from pullmatte.train.mematte import MEMatteRecipe, MEMatteSettings
from pullmatte.train.recipe import Recipe
from pullmatte.train.sdmatte import SDMatteRecipe
from pullmatte.train.sdmatte_lessons import PAPER, RELEASED
from pullmatte.train.settings import LoopSettings, describe_kind, helps

app = typer.Typer(
    help="Train or tune a model. A run is a folder: settings, checkpoints, log, and in the end "
    "the model, which --model takes.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_SETTINGS = "What the recipe is told"

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.")]
Start = Annotated[
    str, typer.Option("--start", metavar="MODEL|FOLDER", help="Weights to start with.")
]
Teacher = Annotated[
    str | None,
    typer.Option("--teacher", metavar="MODEL|FOLDER", help="Weights of the one to learn from."),
]
Data = Annotated[
    list[str],
    typer.Option(
        "--data",
        metavar="[WHAT=]FOLDER[:WEIGHT]",
        help="Own frames: name.jpg beside name.alpha.png, numbered names make clips; WHAT, for "
        "mam2, is image_segmentation, image_matting, video_segmentation or video_matting. Or "
        "WHAT is a set of the papers, such as am2k, or all of them: sdmatte-set-1, sdmatte-set-2, "
        "mam2-sets, mematte-sets. Repeatable; mixed by the weights.",
    ),
]
Backgrounds = Annotated[
    Path | None,
    typer.Option(
        "--backgrounds", metavar="FOLDER", help="Pictures to compose sets of foregrounds over."
    ),
]
Opacity = Annotated[
    str, typer.Option("--opacity", help="Objects in own frames: opaque or transparent.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say memory and time of a step; write nothing.")
]
Cpu = Annotated[bool, typer.Option("--cpu", help="Stay on the CPU.")]
Json = Annotated[bool, typer.Option("--json", help="Report as JSON lines on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only errors.")]


@dataclass(frozen=True)
class How:
    """How a run goes, apart from its recipe."""

    run: Path
    resume: bool
    dry: bool
    cpu: bool
    as_json: bool
    quiet: bool


@dataclass(frozen=True)
class Given:
    """What a recipe is made from, as it was said."""

    start: str
    teacher: str | None
    data: Sequence[str]
    wanted: Wanted

    def pictures(self, size_px: int, **changes: Any) -> SampleSource:
        """Open the data of a recipe that learns from pictures with mattes alone."""
        wanted = replace(self.wanted, size_px=size_px, **changes)
        found = open_sources(self.data, wanted)
        if set(found) != {"image_matting"}:
            raise PullmatteError(
                f"--data of kind {', '.join(found)}: this recipe learns from image_matting alone"
            )
        source: SampleSource = found["image_matting"]
        return source


def _mam2(settings: Any, given: Given) -> Any:
    network = starting.start_mam2(given.start)
    wanted = replace(given.wanted, size_px=network.config.sam2.image_px, frames=settings.frames)
    found = open_sources(given.data, wanted)
    sources: dict[str, Any] = {str(kind): source for kind, source in found.items()}
    return MAM2Recipe(network, MAM2Sources(**sources), settings)


def _mematte(settings: Any, given: Given) -> Any:
    source = given.pictures(round(settings.crop_px * settings.greatest_scale))
    network, asked = starting.start_matter(given.start, given.teacher)
    return MEMatteRecipe(network, source, settings, asked)


def _sdmatte(settings: Any, given: Given) -> Any:
    source = given.pictures(settings.size_px, duplicated=True)
    return SDMatteRecipe(starting.start_sdmatte(given.start, seed=settings.seed), source, settings)


def _litesdmatte(settings: Any, given: Given) -> Any:
    if given.teacher is None:
        raise PullmatteError("litesdmatte learns from a teacher: give --teacher sdmatte")
    source = given.pictures(settings.size_px, duplicated=True)
    network = starting.start_sdmatte(given.start, lite=True, seed=settings.seed)
    return LiteSDMatteRecipe(network, starting.start_sdmatte(given.teacher), source, settings)


def _as_opacity(text: str) -> SampleOpacity:
    for known in get_args(SampleOpacity):
        if text == known:
            choice: SampleOpacity = known
            return choice
    raise PullmatteError(f"--opacity {text!r}: give opaque or transparent")


def flags_of(settings: LoopSettings, *, told: bool = True) -> list[inspect.Parameter]:
    """Make a flag of each field; a flag that isn't given leaves the field as it is.

    Args:
        settings: The defaults.
        told: Whether the help tells them.
    """
    kind = type(settings)
    explained, kinds = helps(kind), get_type_hints(kind)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                _flag_type(kinds[field.name]) | None,
                typer.Option(
                    help=f"{explained[field.name]}{_choices(kinds[field.name])}"
                    + (f" Default: {_shown(getattr(settings, field.name))}." if told else ""),
                    rich_help_panel=_SETTINGS,
                    show_default=False,
                ),
            ],
        )
        for field in fields(settings)
    ]


def read_flags(settings: LoopSettings, given: Mapping[str, Any]) -> LoopSettings:
    """Return settings with what flags say.

    Raises:
        PullmatteError: If a value can't be.
    """
    kinds = get_type_hints(type(settings))
    said = {name: _read(value, kinds[name]) for name, value in given.items() if value is not None}
    return changed(settings, said)


def _flag_type(kind: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _flag_type(next(each for each in inner if each is not type(None)))
    return str if origin in (Literal, tuple) else kind


def _read(value: Any, kind: Any) -> Any:
    if get_origin(kind) is not tuple:
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    inner = get_args(kind)[0]
    try:
        return tuple(inner(part) if inner in (int, float) else part for part in parts)
    except ValueError as error:
        raise PullmatteError(f"{value!r}: give {describe_kind(kind)}, with commas") from error


def _choices(kind: Any) -> str:
    inner = get_args(kind)[0] if get_origin(kind) is tuple else kind
    return f" Give {describe_kind(kind)}." if get_origin(inner) is Literal else ""


def _shown(value: Any) -> str:
    return ",".join(str(each) for each in value) if isinstance(value, tuple) else str(value)


def add_verb(name: str, settings: LoopSettings, make: Callable[..., Recipe], purpose: str) -> None:
    """Add a verb with a recipe's flags.

    Args:
        name: What it is called.
        settings: Its defaults.
        make: Makes the recipe of settings and of what was given.
        purpose: One line for the help.
    """

    def verb(
        run: RunFolder,
        start: Start,
        data: Data,
        teacher: Teacher = None,
        backgrounds: Backgrounds = None,
        opacity: Opacity = "opaque",
        resume: Resume = False,
        dry_run: DryRun = False,
        cpu: Cpu = False,
        as_json: Json = False,
        quiet: Quiet = False,
        **given: Any,
    ) -> int:
        told = read_flags(settings, given)
        how = How(run, resume, dry_run, cpu, as_json, quiet)
        wanted = Wanted(seed=told.seed, opacity=_as_opacity(opacity), backgrounds=backgrounds)
        return run_recipe(make(told, Given(start, teacher, data, wanted)), how)

    register(name, verb, flags_of(settings), purpose)


def register(
    name: str, verb: Callable[..., int], flags: list[inspect.Parameter], purpose: str
) -> None:
    """Add a verb; what it calls ``given`` becomes flags.

    Args:
        name: What it is called.
        verb: What it does; returns the exit code.
        flags: What ``given`` may hold.
        purpose: One line for the help.
    """
    own = [p for p in inspect.signature(verb).parameters.values() if p.name != "given"]
    own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    verb.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]
    verb.__annotations__ = {p.name: p.annotation for p in [*own, *flags]}
    verb.__doc__ = purpose
    app.command(name)(verb)


def _finetune(
    run: RunFolder,
    frames: Annotated[
        Path,
        typer.Option("--frames", metavar="DIR", help="Your frames: name.jpg and name.alpha.png."),
    ],
    start: Start,
    opacity: Opacity = "opaque",
    resume: Resume = False,
    dry_run: DryRun = False,
    cpu: Cpu = False,
    as_json: Json = False,
    quiet: Quiet = False,
    **given: Any,
) -> int:
    told = read_flags(tuning_settings(starting.model_of(start)), given)
    how = How(run, resume, dry_run, cpu, as_json, quiet)
    return run_recipe(tune(start, frames, told, _as_opacity(opacity)), how)


def run_recipe(recipe: Recipe, how: How) -> int:
    """Run a recipe, or try it, and tell.

    Returns:
        The exit code.
    """
    if how.dry:
        _tell_estimate(dry_run(recipe, cpu=how.cpu), as_json=how.as_json)
        return 0

    def tell(step: int, numbers: Mapping[str, float]) -> None:
        if how.as_json:
            console.emit({"step": step, **numbers})
        elif not how.quiet:
            shown = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
            console.say(f"step {step} of {recipe.settings.steps}: {shown}")

    model = train(recipe, how.run, resume=how.resume, cpu=how.cpu, tell=tell)
    if how.as_json:
        console.emit({"model": str(model)})
    elif not how.quiet:
        console.say(f"pullmatte: wrote {model}; use it with --model {model}")
    return 0


def _tell_estimate(found: Estimate, *, as_json: bool) -> None:
    hours = found.seconds * found.steps / 3600
    if as_json:
        console.emit({**vars(found), "hours": hours})
        return
    typer.echo(
        f"{found.weights / 1e6:.1f} million weights, {found.trained / 1e6:.1f} million of them "
        f"learn\n{found.memory_bytes / 1e9:.2f} GB at most\n{found.seconds:.2f} s a step, "
        f"{found.item_seconds:.2f} s of it for items\n{found.steps} steps, {hours:.1f} hours"
    )


add_verb("mam2", MAM2Settings(), _mam2, "Matting Anything 2, first stage: masks and trimaps.")
add_verb("mematte", MEMatteSettings(), _mematte, "Its second stage: MEMatte, by a teacher.")
add_verb("sdmatte", PAPER, _sdmatte, "SDMatte, as its paper says.")
add_verb("sdmatte-released", RELEASED, _sdmatte, "SDMatte, as its released configs say.")
add_verb("litesdmatte", LITE, _litesdmatte, "LiteSDMatte, by SDMatte as its teacher.")
register(
    "finetune",
    _finetune,
    flags_of(LoopSettings(), told=False),
    "Tune a trained model on your own few frames.",
)
