"""``pullmatte serve``: the studio, in a browser."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from pullmatte.cli import console
from pullmatte.cli import options as o
from pullmatte.errors import MissingDependency, PullmatteError
from pullmatte.models import DEFAULT_MODEL

Folder = Annotated[
    Path | None,
    typer.Option("--projects", metavar="FOLDER", help="Where projects are kept."),
]
Host = Annotated[str, typer.Option("--host", help="Address to listen on; others need --token.")]
Port = Annotated[int, typer.Option("--port", help="Port to listen on; 0 takes a free one.")]
Token = Annotated[
    str | None,
    typer.Option("--token", help="What clients must show; made anew at each start if not given."),
]
Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page at once.")]
MostUpload = Annotated[
    int, typer.Option("--max-upload", metavar="MB", help="Refuse larger files.", min=1)
]
MostPixels = Annotated[
    int, typer.Option("--max-pixels", metavar="MP", help="Refuse larger pictures.", min=1)
]
_TOKEN_LENGTH = 16


def serve_command(
    projects: Folder = None,
    model: o.ModelName = DEFAULT_MODEL,
    device: o.Device = "auto",
    dtype: o.Dtype = None,
    matter: o.SecondModel = None,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    token: Token = None,
    browser: Browser = True,
    most_upload_mb: MostUpload = 4096,
    most_pixels: MostPixels = 100,
    quiet: o.Quiet = False,
) -> int:
    """Open the studio: point, see, correct and export, in a browser."""
    _check(host, token)
    studio_parts()
    from pullmatte.models.weights import home
    from pullmatte.sessions.building import find_model
    from pullmatte.web import server
    from pullmatte.web.studio import StudioOptions
    from pullmatte.web.worker import WorkerOptions

    # Found out here, not in another process.
    find_model(model)
    pixels = most_pixels * 1_000_000
    root = (projects or home() / "projects").expanduser().absolute()
    worker = WorkerOptions(root, model, device, dtype, matter, pixels)
    options = server.with_token(
        StudioOptions(
            worker,
            host,
            port,
            token or "",
            most_upload_bytes=most_upload_mb << 20,
            most_pixels=pixels,
        )
    )

    def begun(address: str) -> None:
        if not quiet:
            console.say(f"pullmatte: projects in {root}; stop with Ctrl-C")
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        if browser:
            import webbrowser

            webbrowser.open(address)

    if host not in server.LOOPBACK:
        console.say(
            f"pullmatte: warning: listening on {host}: everyone who reaches this machine and has "
            "the token can use it, and nothing is encrypted"
        )
    server.run_server(options, begun)
    return 0


def _check(host: str, token: str | None) -> None:
    """Refuse to be open to others without a token of the user's own.

    Raises:
        PullmatteError: If so, or if the token is easily guessed.
    """
    if host not in ("127.0.0.1", "localhost", "::1") and token is None:
        raise PullmatteError(
            f"--host {host}: others could reach the studio; give a --token of at least "
            f"{_TOKEN_LENGTH} characters too, or leave --host out"
        )
    if token is None:
        return
    if len(token) < _TOKEN_LENGTH:
        raise PullmatteError(f"--token of {len(token)} characters: give at least {_TOKEN_LENGTH}")
    if not all(c.isascii() and (c.isalnum() or c in "-_.~") for c in token):
        raise PullmatteError("--token: give letters, digits and -_.~ alone, it stands in addresses")


def studio_parts() -> None:
    """Find out whether what the studio needs is installed.

    Raises:
        MissingDependency: If something isn't.
    """
    for module in ("fastapi", "uvicorn", "python_multipart"):
        if find_spec(module) is None:
            raise MissingDependency(
                f"the studio needs {module}, which isn't installed: pip install 'pullmatte[web]'"
            )
