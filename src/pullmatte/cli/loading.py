"""Loading a model as the flags say."""

import gc
import re
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from pullmatte.cli import console
from pullmatte.errors import PullmatteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pullmatte.models.protocol import Opacity
    from pullmatte.sessions.load import Matter

_FLAGS = {"fit": "--fit", "size_px": "--size", "batch_size": "--batch"}
_UNKNOWN = re.compile(r"(?:unknown option|has no setting) '(?P<name>\w+)'")


def load_matter(
    model: str,
    device: str,
    *,
    dtype: str | None = None,
    second: str | None = None,
    tiles: bool = False,
    fit: str | None = None,
    size: int | None = None,
    batch: int | None = None,
) -> "Matter":
    """Load what the flags name.

    Args:
        model: ``--model``, a name or a path.
        device: ``--device``.
        dtype: ``--dtype``.
        second: ``--matter``.
        tiles: ``--tiles``.
        fit: ``--fit``; only models that have such a setting take it.
        size: ``--size`` in pixels, likewise.
        batch: ``--batch``, objects in one pass, likewise.

    Raises:
        PullmatteError: If there is no such model, or it can't be run so.
    """
    from pullmatte.sessions.load import load

    given: dict[str, Any] = {"fit": fit, "size_px": size, "batch_size": batch}
    options = {name: value for name, value in given.items() if value is not None}
    try:
        with _collecting_later():
            return load(model, device=device, dtype=dtype, matter=second, tiles=tiles, **options)
    except PullmatteError as error:
        # Only the model knows its settings, and it knows nothing of flags.
        unknown = _UNKNOWN.search(str(error))
        if unknown is None or unknown["name"] not in options:
            raise
        flag = _FLAGS[unknown["name"]]
        raise PullmatteError(
            f"{flag}: model {model!r} has no such setting; leave it out"
        ) from error


@contextmanager
def _collecting_later() -> "Iterator[None]":
    """Leave garbage alone for a while.

    Importing torch and transformers makes a million objects that stay; looking through them again
    and again is a fifth of a command's time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.freeze()
            gc.enable()


def load_for_video(model: str, *, device: str, dtype: str | None, second: str | None) -> "Matter":
    """Load what shall track through a clip; refuse, before that takes time, what doesn't.

    Args:
        model: ``--model``, a name or a path.
        device: ``--device``.
        dtype: ``--dtype``.
        second: ``--matter``.

    Raises:
        PullmatteError: If there is no such model, or it can't be run so.
    """
    from pullmatte.models import MODELS
    from pullmatte.sessions.building import find_model
    from pullmatte.sessions.load import check_video

    # Whether its weights are here doesn't matter before it is known to track.
    check_video(MODELS[model] if model in MODELS else find_model(model)[0])
    return load_matter(model, device=device, dtype=dtype, second=second)


def announcement(
    matter: "Matter", note: str, *, quiet: bool, opacity: "Opacity" = "auto"
) -> "Callable[[], None]":
    """Return what says, once called, which model runs, where and on what terms.

    Args:
        matter: The model.
        note: What else to say.
        quiet: Whether to say nothing at all.
        opacity: ``--opacity``.
    """
    return partial(
        console.start_line,
        matter.spec,
        note,
        quiet=quiet,
        opacity=opacity,
        device=matter.device,
        dtype=matter.dtype,
    )
