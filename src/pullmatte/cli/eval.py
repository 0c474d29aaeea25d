"""``pullmatte eval``: a model over a data set, measured by a published protocol."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from pullmatte.cli import console
from pullmatte.cli import options as o
from pullmatte.cli.loading import announcement, load_matter
from pullmatte.errors import PullmatteError
from pullmatte.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from pullmatte.data.layouts import Dataset
    from pullmatte.data.prompt_simulation import Kind
    from pullmatte.eval.run import OpacityChoice, Run


Folder = Annotated[
    Path, typer.Option("--dataset", "-d", metavar="FOLDER", help="The data set's folder.")
]
PromptKinds = Annotated[
    str | None,
    typer.Option(
        "--prompt",
        metavar="KINDS",
        help="Any of box,point,mask,trimap, with commas; all that the model takes if not given.",
    ),
]
ProtocolName = Annotated[
    str, typer.Option("--protocol", help="sdmatte, dim, semat, vm-hr or vm-lr.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the prompts.")]
PointCount = Annotated[int, typer.Option("--points", help="Points in a point prompt.")]
LayoutName = Annotated[
    str | None, typer.Option("--layout", help="The folder's layout; found out unless given.")
]
Trimaps = Annotated[
    str | None,
    typer.Option("--trimaps", metavar="FOLDER", help="Other trimaps in the data set: trimap2."),
]
Opacity = Annotated[str, typer.Option("--opacity", help="dataset, auto, opaque or transparent.")]
Captions = Annotated[
    bool,
    typer.Option("--captions/--no-captions", help="Tell the model the data set's captions."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FOLDER", help="Results; eval_DATASET_MODEL_PROTOCOL if not given."
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume/--restart", help="Go on with the results in --out.")
]
Worst = Annotated[
    int, typer.Option("--worst", metavar="N", help="Draw the N worst cases as worst.png.")
]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", help="Only the first N images.")]


def eval_command(
    dataset: Folder,
    model: o.ModelName = DEFAULT_MODEL,
    prompt: PromptKinds = None,
    protocol: ProtocolName = "sdmatte",
    seed: Seed = 0,
    points: PointCount = 10,
    layout: LayoutName = None,
    trimaps: Trimaps = None,
    opacity: Opacity = "dataset",
    captions: Captions = True,
    out: Out = None,
    resume: Resume = True,
    worst: Worst = 0,
    limit: Limit = None,
    device: o.Device = "auto",
    dtype: o.Dtype = None,
    fit: o.Fit = None,
    size: o.Size = None,
    tiles: o.Tiles = False,
    matter: o.SecondModel = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> int:
    """Measure a model on a data set with prompts simulated from its alphas."""
    asked = _as_kinds(prompt)
    known_opacity = _as_opacity(opacity)

    from pullmatte.data.layouts import open_dataset
    from pullmatte.eval.protocols import find_protocol
    from pullmatte.eval.run import evaluate, kinds_for

    rules = find_protocol(protocol)
    if worst < 0:
        raise PullmatteError(f"--worst {worst}: give 0 or more")
    data = open_dataset(dataset, layout, trimaps)
    loaded = load_matter(
        model, device=device, dtype=dtype, second=matter, tiles=tiles, fit=fit, size=size
    )
    kinds = kinds_for(loaded, asked)
    note = _note(data, kinds, rules.name, seed, every=asked is None)
    begin = announcement(loaded, note, quiet=quiet)
    with console.progress_bar("eval", quiet=quiet, unit="results") as bar:
        run = evaluate(
            loaded,
            data,
            kinds,
            out=out or Path(f"eval_{data.name}_{loaded.spec.name}_{protocol}"),
            seed=seed,
            protocol=protocol,
            point_count=points,
            opacity=known_opacity,
            captions=captions,
            resume=resume,
            limit=limit,
            progress=console.announced(bar, begin),
        )
    return _report(run, worst, data, as_json=as_json, quiet=quiet)


def _note(
    data: "Dataset", kinds: "tuple[Kind, ...]", protocol: str, seed: int, *, every: bool
) -> str:
    """Say what is measured, and how; `every` if the model takes no more kinds of prompt."""
    prompts = f"prompts {','.join(kinds)}{' (all that it takes)' * every}"
    images = f"{len(data.samples)} images"
    return f"{data.layout.title}, {images}, {prompts}, protocol {protocol}, seed {seed}"


def _as_kinds(text: str | None) -> "tuple[Kind, ...] | None":
    if text is None:
        return None
    from pullmatte.data.prompt_simulation import KINDS

    named = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [part for part in named if part not in KINDS]
    if unknown or not named:
        raise PullmatteError(f"--prompt {text!r}: give any of {','.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in named)


def _as_opacity(text: str) -> "OpacityChoice":
    from pullmatte.eval.run import OpacityChoice

    for known in get_args(OpacityChoice):
        if text == known:
            choice: OpacityChoice = known
            return choice
    raise PullmatteError(f"--opacity {text!r}: give one of {', '.join(get_args(OpacityChoice))}")


def _report(run: "Run", worst: int, data: "Dataset", *, as_json: bool, quiet: bool) -> int:
    """Write and show the tables; return 1 if some image failed."""
    from pullmatte.eval.contact_sheet import write_contact_sheet
    from pullmatte.eval.report import as_dict, mean_table, statement, write_report

    written = list(write_report(run))
    sheet = write_contact_sheet(run, data, worst) if worst else None
    written += [sheet] if sheet else []
    if as_json:
        console.emit(as_dict(run))
    else:
        lines = [f"{term}: {text}" for term, text in statement(run).items()]
        typer.echo("\n".join([*lines, "", mean_table(run)]))
    if not quiet:
        console.say(f"pullmatte: wrote {', '.join(str(path) for path in written)}")
    for result in run.failed:
        console.say(f"pullmatte: {result.name}, {result.kind}: {result.error}")
    return 1 if run.failed else 0
