"""``pullmatte models``: what there is, what it weighs, whether paid work may use it; getting it."""

import signal
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pullmatte.cli import console
from pullmatte.cli import options as o
from pullmatte.errors import WeightsError
from pullmatte.models import DEFAULT_MODEL, MODELS, ModelSpec, find_spec
from pullmatte.models.weights import find, model_folder, unknown_name

if TYPE_CHECKING:
    from pullmatte.models.conversion_report import ConversionReport

app = typer.Typer(help="List the models, fetch and convert their weights.", no_args_is_help=True)

_ENDING = ("SIGTERM", "SIGHUP")

Name = Annotated[str, typer.Argument(metavar="NAME", help="A model; see 'pullmatte models list'.")]
Dtype = Annotated[
    str,
    typer.Option("--dtype", metavar="TYPE", help="float32, bfloat16 or float16, to store."),
]
KeepTextEncoder = Annotated[
    bool,
    typer.Option("--keep-text-encoder", help="Keep what captions need; 1.4 GB in float32."),
]
Tokenizer = Annotated[
    Path | None,
    typer.Option(
        "--tokenizer",
        metavar="DIR",
        help="vocab.json and merges.txt for captions; 'tokenizer' beside FILE unless given.",
    ),
]
Also = Annotated[
    list[Path] | None,
    typer.Option(
        "--also", metavar="FILE", help="A further file, for models that are made of several."
    ),
]


@app.callback()
def _root() -> None:
    """Look after models."""


@app.command("list")
def list_command(
    commercial: Annotated[
        bool, typer.Option("--commercial", help="Only those that paid work may use.")
    ] = False,
    as_json: o.Json = False,
) -> int:
    """List the models with their licences."""
    specs = [spec for spec in MODELS.values() if spec.commercial_use or not commercial]
    for spec in specs:
        if as_json:
            console.emit(_record(spec))
        else:
            typer.echo(_entry(spec))
    return 0


@app.command("path")
def path_command(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A model; without, all with weights.")
    ] = None,
) -> int:
    """Print where a model's weights are, or would be."""
    weighty = [spec for spec in MODELS.values() if spec.has_weights]
    for spec in weighty if name is None else [_weighty(name)]:
        typer.echo(model_folder(spec) if name else f"{spec.name}\t{model_folder(spec)}")
        if not _is_ready(spec):
            console.say(f"{spec.name} isn't there yet: {_how(spec)}")
    return 0


@app.command("pull")
def pull_command(
    name: Name,
    dtype: Dtype = "float32",
    keep_text_encoder: KeepTextEncoder = False,
    keep_source: Annotated[
        bool, typer.Option("--keep-source", help="Leave the download in the hub's cache.")
    ] = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> int:
    """Fetch a model's weights from the hub, check and convert them."""
    from pullmatte.models.hub import check_absent, converter, fetch_model, install, require_source

    spec = _weighty(name)
    source = require_source(spec)
    _refuse_strangers(spec, keep_text_encoder=keep_text_encoder)
    check_absent(spec)
    converter(spec)  # What is missing here is better known before 12 GB are fetched.
    from pullmatte.models.conversion_report import ConvertOptions

    options = ConvertOptions(dtype, keep_text_encoder)
    if not quiet:
        size = f", {_size(source.size_bytes)}" if source.size_bytes else ""
        console.say(f"pullmatte: {source.page} {source.filename}{size}")
        _say_terms(spec)
    fetched = fetch_model(spec, captions=keep_text_encoder, quiet=quiet)
    if not fetched.verified:
        console.say(f"pullmatte: {fetched.path}: the hub states no hash to check it by")
    with (
        _orderly_end(),
        console.progress_bar(f"convert {name}", quiet=quiet, unit="MB") as progress,
    ):
        report = install(
            spec, fetched, options, keep_source=keep_source, progress=_in_megabytes(progress)
        )
    _tell(report, spec, as_json=as_json, quiet=quiet)
    return 0


@app.command("convert")
def convert_command(
    name: Name,
    source: Annotated[Path, typer.Argument(metavar="FILE", help="The checkpoint as released.")],
    destination: Annotated[
        Path | None,
        typer.Argument(
            metavar="[OUT]", help="Folder to make; where 'models path' says, unless given."
        ),
    ] = None,
    dtype: Dtype = "float32",
    keep_text_encoder: KeepTextEncoder = False,
    tokenizer: Tokenizer = None,
    also: Also = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> int:
    """Convert a checkpoint that you have; none of the code in it is run."""
    from pullmatte.models.hub import converter

    spec = _weighty(name)
    _refuse_strangers(
        spec, keep_text_encoder=keep_text_encoder, tokenizer=tokenizer, also=also or ()
    )
    convert = converter(spec)
    from pullmatte.models.conversion_report import ConvertOptions

    options = ConvertOptions(dtype, keep_text_encoder, tokenizer, also=tuple(also or ()))
    folder = destination or model_folder(spec)
    with (
        _orderly_end(),
        console.progress_bar(f"convert {name}", quiet=quiet, unit="MB") as progress,
    ):
        report = convert(source, folder, spec, options, _in_megabytes(progress))
    if not quiet:
        _say_terms(spec)
    _tell(report, spec, as_json=as_json, quiet=quiet)
    return 0


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Clean up when told to end, too: what is half written can be gigabytes."""
    main = threading.current_thread() is threading.main_thread()
    known = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
    # nohup and its like have them ignored, which stays so.
    numbers = [n for n in known if main and signal.getsignal(n) is signal.SIG_DFL]
    before = {number: signal.signal(number, _end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: object) -> None:
    sys.exit(128 + number)


def _in_megabytes(progress: console.Progress) -> console.Progress:
    return lambda done, total: progress(done // 1_000_000, max(1, total // 1_000_000))


def _weighty(name: str) -> ModelSpec:
    """Find a model that has weights.

    Raises:
        UnknownModel: If there is none of that name, or it has none.
    """
    spec = find_spec(name)
    if not spec.has_weights:
        raise unknown_name(name)
    return spec


def _refuse_strangers(
    spec: ModelSpec,
    *,
    keep_text_encoder: bool = False,
    tokenizer: Path | None = None,
    also: Sequence[Path] = (),
) -> None:
    """Refuse flags that say nothing to a model, before its weights are looked at.

    Raises:
        WeightsError: If there is one.
    """
    flags = {
        "--keep-text-encoder": (keep_text_encoder, spec.captions, "reads no captions"),
        "--tokenizer": (tokenizer is not None, spec.captions, "reads no captions"),
        "--also": (bool(also), bool(spec.also), "is made of one file"),
    }
    for flag, (given, known, why) in flags.items():
        if given and not known:
            raise WeightsError(f"{flag}: model {spec.name!r} {why}; leave it out")


def _say_terms(spec: ModelSpec) -> None:
    console.say(f"pullmatte: {spec.name}: {spec.terms}: {' '.join(spec.links)}")


def _tell(report: "ConversionReport", spec: ModelSpec, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        console.emit(asdict(report) | {"folder": str(report.folder)})
    if report.removed:
        console.say(
            f"pullmatte: removed what an interrupted conversion had left: "
            f"{', '.join(report.removed)}"
        )
    if quiet:
        if not report.as_published:
            console.say(
                f"pullmatte: {report.folder}: sizes from {report.config_from}: not those of the "
                f"released {spec.name}"
            )
        return
    for note in report.notes:
        console.say(f"pullmatte: {note}")
    console.say(
        f"pullmatte: {report.folder}: {report.tensors} tensors, "
        f"{report.parameters / 1e6:.1f} M parameters, {report.dtype}, "
        f"{_exact(report.size_bytes)} in {report.shards} file(s), sizes from "
        f"{report.config_from}, {report.seconds:.0f} s"
    )


def _is_ready(spec: ModelSpec) -> bool:
    """Whether a model can be loaded as far as its weights go."""
    try:
        return not spec.has_weights or bool(find(spec))
    except WeightsError:
        return False


def _record(spec: ModelSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "summary": spec.summary,
        "default": spec.name == DEFAULT_MODEL,
        "licence": spec.licence,
        "commercial_use": spec.commercial_use,
        "restrictions": spec.restrictions,
        "links": list(spec.links),
        "prompts": list(spec.prompts),
        "video": spec.video,
        "opacity": spec.opacity,
        "captions": spec.captions,
        "dtypes": list(spec.dtypes),
        "size_bytes": spec.size_bytes,
        "weights": spec.has_weights,
        "elsewhere": spec.elsewhere,
        "download_bytes": spec.hub.size_bytes if spec.hub else 0,
        "ready": _is_ready(spec),
    }


def _entry(spec: ModelSpec) -> str:
    """Describe a model in a few lines that a terminal of 80 columns holds."""
    facts = (
        f"prompts: {', '.join(spec.prompts)}",
        "photos and video" if spec.video else "photos only",
        _weight_of(spec),
        f"{spec.licence}, {'paid work allowed' if spec.commercial_use else 'NO paid work'}",
    )
    mark = " (default)" if spec.name == DEFAULT_MODEL else ""
    parts = [spec.summary, " · ".join(facts)]
    if spec.elsewhere and not _is_ready(spec):
        parts.append(spec.way_to_get)
    if spec.restrictions:
        parts += [spec.restrictions, *spec.links]
    return "\n".join([spec.name + mark, *map(_indent, parts)])


def _weight_of(spec: ModelSpec) -> str:
    size = f"{_size(spec.size_bytes)} of weights"
    if not spec.has_weights:
        return size if spec.size_bytes else "no weights to fetch"
    if _is_ready(spec):
        return f"{size}, here"
    return f"{size}: pullmatte models pull {spec.name}" if spec.hub else f"{size} to convert"


def _exact(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"


def _how(spec: ModelSpec) -> str:
    """Say how to get weights, as short as it goes."""
    return f"pullmatte models pull {spec.name}" if spec.hub else spec.way_to_get


def _indent(text: str) -> str:
    return textwrap.fill(
        text,
        78,
        initial_indent="  ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
