"""What a clip starts from beside prompts, as it stands on the command line."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pullmatte.cli.prompt_flags import place_of_file
from pullmatte.errors import PromptError

if TYPE_CHECKING:
    from pullmatte.jobs.video_options import GivenAlpha, Place, VideoStart

_PLACE = re.compile(r"(?:(?P<name>[^=]+)=)?(?P<first>[0-9]{1,12})(?:-(?P<last>[0-9]{1,12}))?")


def parse_start(
    alphas: Sequence[str],
    project: Path | None,
    *,
    lock: Sequence[str] = (),
    unlock: Sequence[str] = (),
    forget: Sequence[str] = (),
) -> "VideoStart":
    """Collect what the flags say.

    Args:
        alphas: ``--alpha`` values.
        project: ``--project``.
        lock: ``--lock`` values.
        unlock: ``--unlock`` values.
        forget: ``--forget`` values.

    Raises:
        PromptError: If a value can't be read as what it should be, or needs a project.
        ReadError: If a file can't be read.
    """
    from pullmatte.jobs.video_options import VideoStart

    for flag, values in (("lock", lock), ("unlock", unlock), ("forget", forget)):
        if values and project is None:
            raise PromptError(f"--{flag} {values[0]}: there is no project: give --project DIR too")
    return VideoStart(
        alphas=tuple(_alpha(text) for text in alphas),
        project=project,
        lock=[_place(text, "lock") for text in lock],
        unlock=[_place(text, "unlock") for text in unlock],
        forget=[_place(text, "forget") for text in forget],
    )


def alpha_files(alphas: Sequence[str]) -> list[Path]:
    """Name the files of ``--alpha``, so that none is written over."""
    return [Path(place_of_file(text)[1]) for text in alphas]


def _alpha(text: str) -> "GivenAlpha":
    from pullmatte.io.image import read_alpha
    from pullmatte.jobs.video_options import GivenAlpha

    name, path, frame = place_of_file(text)
    return GivenAlpha(read_alpha(path), name, frame)


def _place(text: str, flag: str) -> "Place":
    from pullmatte.jobs.video_options import Place

    match = _PLACE.fullmatch(text)
    if match is None:
        raise PromptError(f"--{flag} {text!r}: expected FIRST or FIRST-LAST, like 120-180")
    first = int(match["first"])
    return Place(match["name"], first, int(match["last"] or first))
