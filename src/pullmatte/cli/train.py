"""``pullmatte train``: its verbs have a flag for each setting of their recipe.

Those settings live beside the networks, which take seconds to import, so the verbs are made when
one is called.
"""

from typing import Any

import typer

from pullmatte.errors import MissingDependency

PASSED_ON: dict[str, Any] = {
    "add_help_option": False,
    "context_settings": {
        "allow_extra_args": True,
        "allow_interspersed_args": False,
        "ignore_unknown_options": True,
        "help_option_names": [],
    },
}
"""How the verb is added: all that follows it is for its own verbs to read."""


def train_command(context: typer.Context) -> int:
    """Train or tune a model; see 'pullmatte train --help'."""
    try:
        from pullmatte.cli.train_nano import add_verbs
        from pullmatte.cli.train_verbs import app
    except ImportError as error:
        raise MissingDependency(
            f"training lacks {error.name}: pip install 'pullmatte[train]'"
        ) from error
    if "nano" not in {each.name for each in app.registered_commands}:
        add_verbs()
    found = app(context.args, prog_name="pullmatte train", standalone_mode=False)
    return int(found or 0)
