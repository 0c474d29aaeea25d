"""``pullmatte models``: what there is, what it weighs, and whether paid work may use it."""

from typing import Annotated

import typer

from pullmatte.cli import console
from pullmatte.cli import options as o
from pullmatte.models import DEFAULT_MODEL, MODELS

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
    if as_json:
        for spec in specs:
            console.emit({
                "name": spec.name,
                "summary": spec.summary,
                "default": spec.name == DEFAULT_MODEL,
                "licence": spec.licence,
                "commercial_use": spec.commercial_use,
                "prompts": list(spec.prompts),
                "video": spec.video,
                "size_bytes": spec.size_bytes,
            })
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "what it does", "prompts", "video", "size", "licence", "paid work")
    for spec in specs:
        table.add_row(
            spec.name + (" (default)" if spec.name == DEFAULT_MODEL else ""),
            spec.summary,
            ", ".join(spec.prompts),
            "yes" if spec.video else "no",
            f"{spec.size_bytes / 1e6:.0f} MB" if spec.size_bytes else "no weights",
            spec.licence,
            "yes" if spec.commercial_use else "NO",
        )
    Console().print(table)
    return 0
