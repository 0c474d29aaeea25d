"""The command: verbs, errors as one line, exit codes.

Exit 0 when all is done, 2 when the user's input can't be used (one line on stderr says what came,
what was expected and what to do), 1 when part of a batch failed.
"""

import os
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer

from pullmatte import __version__
from pullmatte.cli import composite, data, doctor, image, inspect, models, serve, train, video
from pullmatte.cli import eval as evaluation
from pullmatte.errors import PullmatteError
from pullmatte.sessions.out_of_memory import OUT_OF_MEMORY, is_out_of_memory

# Typer has carried its own click since 0.26; the base class is the same in both.
_UsageError: Any = typer.BadParameter.__bases__[0]

_INTERRUPTED = 130

app = typer.Typer(
    name="pullmatte",
    help="Pull a matte of anything, in a photo or a video, from a click, a box, a rough mask or "
    "a trimap.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("image")(image.image_command)
app.command("video")(video.video_command)
app.command("serve")(serve.serve_command)
app.command("composite")(composite.composite_command)
app.command("eval")(evaluation.eval_command)
app.command("train", **train.PASSED_ON)(train.train_command)
models.app.command("inspect")(inspect.inspect_command)
app.add_typer(models.app, name="models")
app.add_typer(data.app, name="data")
app.command("doctor")(doctor.doctor_command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pullmatte {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show version.")
    ] = False,
) -> None:
    """Take the options that stand before a verb."""


def main() -> None:
    """Run the command and end the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command.

    Args:
        arguments: What stands after ``pullmatte``.

    Returns:
        The exit code.
    """
    try:
        code = app(arguments, prog_name="pullmatte", standalone_mode=False) or 0
    except PullmatteError as error:
        return _complain(str(error))
    except typer.Exit as finished:
        return finished.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away, as `head` does.
        _drop_stdout()
        return 141
    except _UsageError as error:
        said = error.format_message().rstrip(".")
        # Without any argument the help was shown, and the error says nothing.
        return _complain(f"{said}; see pullmatte --help" if said else "choose a command, as above")
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return _complain(OUT_OF_MEMORY)
    if code == _INTERRUPTED:
        # Typer hands Ctrl-C on as an exception or as this code, whichever comes first.
        typer.echo("pullmatte: stopped", err=True)
    return int(code)


def _drop_stdout() -> None:
    """Let nothing more be written to a pipe that is closed, not even at the end of the process."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(message: str) -> int:
    typer.echo(f"pullmatte: {' '.join(message.split())}", err=True)
    return 2
