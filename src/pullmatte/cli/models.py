"""``pullmatte models``: what there is, what it weighs, and whether paid work may use it."""

import textwrap
from typing import Annotated, Any

import typer

from pullmatte.cli import console
from pullmatte.cli import options as o
from pullmatte.models import DEFAULT_MODEL, MODELS, ModelSpec

app = typer.Typer(help="List the models.", no_args_is_help=True)


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


def _record(spec: ModelSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "summary": spec.summary,
        "default": spec.name == DEFAULT_MODEL,
        "licence": spec.licence,
        "commercial_use": spec.commercial_use,
        "prompts": list(spec.prompts),
        "video": spec.video,
        "size_bytes": spec.size_bytes,
    }


def _entry(spec: ModelSpec) -> str:
    """Describe a model in a few lines that a terminal of 80 columns holds."""
    facts = (
        f"prompts: {', '.join(spec.prompts)}",
        "photos and video" if spec.video else "photos only",
        f"{spec.size_bytes / 1e6:.0f} MB of weights" if spec.size_bytes else "no weights to fetch",
        f"{spec.licence}, {'paid work allowed' if spec.commercial_use else 'NO paid work'}",
    )
    mark = " (default)" if spec.name == DEFAULT_MODEL else ""
    lines = [spec.name + mark, *(_indent(part) for part in (spec.summary, " · ".join(facts)))]
    return "\n".join(lines)


def _indent(text: str) -> str:
    return textwrap.fill(
        text, 78, initial_indent="  ", subsequent_indent="  ", break_long_words=False
    )
