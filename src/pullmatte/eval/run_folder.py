"""A run's folder: what the run is, and its results so far.

``run.json`` says what it is, ``results.jsonl`` grows by a line for each result,
``mattes/KIND/NAME.png`` are the 8-bit mattes as measured. A stopped run resumes there.
"""

import json
import logging
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from pullmatte import __version__
from pullmatte.data.prompt_simulation import KINDS, POINT_COUNT
from pullmatte.errors import PullmatteError, ReadError
from pullmatte.io.atomic import replacing, write_error
from pullmatte.io.image import write_image

OpacityChoice = Literal["dataset", "auto", "opaque", "transparent"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What a run is. Runs with other settings don't mix in one folder.

    Attributes:
        model: the model's name.
        licence: the model's licence.
        dataset: the data set folder's name.
        layout: a key of `pullmatte.data.layouts.LAYOUTS`.
        trimaps: the folder of the data set's trimaps; "" if they are made from the alphas.
        protocol: a key of `pullmatte.eval.protocols.PROTOCOLS`.
        seed: of the prompts.
        point_count: points in a point prompt.
        opacity: "dataset" passes on what the data set says of each image.
        version: of pullmatte.
        captions: whether the model was told the data set's captions.
    """

    model: str
    licence: str
    dataset: str
    layout: str
    trimaps: str
    protocol: str
    seed: int
    point_count: int = POINT_COUNT
    opacity: OpacityChoice = "dataset"
    version: str = __version__
    captions: bool = False


@dataclass(frozen=True)
class Result:
    """One image with one kind of prompt.

    Attributes:
        name: the sample's name.
        kind: the kind of prompt.
        metrics: what the protocol measured; empty if it failed.
        error: why it failed, on one line; "" if it didn't.
        time_s: wall time of the prediction, without encoding the image.
    """

    name: str
    kind: str
    metrics: dict[str, float] = field(default_factory=dict)
    error: str = ""
    time_s: float = 0.0

    def to_json(self) -> str:
        """Write one line; NaN becomes null."""
        values = {k: None if math.isnan(v) else v for k, v in self.metrics.items()}
        return json.dumps({**asdict(self), "metrics": values}, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read one line.

        Raises:
            ValueError: It isn't a result.
        """
        try:
            document = json.loads(line)
            values = document.pop("metrics")
            metrics = {k: math.nan if v is None else float(v) for k, v in values.items()}
            return cls(metrics=metrics, **document)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError("not a result") from error


@dataclass(frozen=True)
class Run:
    """A run with its results so far.

    Attributes:
        folder: where it lives.
        settings: what it is.
        results: ordered by kind of prompt, then by name.
    """

    folder: Path
    settings: Settings
    results: tuple[Result, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of prompt that have results."""
        present = {result.kind for result in self.results}
        return tuple(kind for kind in KINDS if kind in present)

    @property
    def failed(self) -> tuple[Result, ...]:
        """Results that are errors."""
        return tuple(result for result in self.results if result.error)

    def matte_path(self, result: Result) -> Path:
        """Name the file of a result's 8-bit matte."""
        return _matte_path(self.folder, result.kind, result.name)


def load_run(folder: str | Path) -> Run:
    """Read a run from its folder.

    Args:
        folder: the ``out`` of `evaluate`.

    Returns:
        The run with all its results.

    Raises:
        ReadError: the folder holds no run.
    """
    path = Path(folder) / "run.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        settings = Settings(**document)
    except (OSError, ValueError, TypeError) as error:
        raise ReadError(f"Can't read a run from {path}: give the folder of a run.") from error
    latest = {(result.kind, result.name): result for result in _read_results(Path(folder))}
    order: dict[str, int] = {kind: index for index, kind in enumerate(KINDS)}
    results = sorted(latest.values(), key=lambda r: (order.get(r.kind, len(order)), r.name))
    return Run(Path(folder), settings, tuple(results))


def _matte_path(folder: Path, kind: str, name: str) -> Path:
    return folder / "mattes" / kind / f"{name}.png"


class Book:
    """A run's folder, written as the run goes.

    Attributes:
        settings: what the run is.
    """

    def __init__(self, folder: Path, settings: Settings, *, resume: bool) -> None:
        """Make the folder, or open it.

        Args:
            folder: where the run lives.
            settings: what it is.
            resume: keep the results that are there, without the failed ones.

        Raises:
            PullmatteError: It holds a run with other settings.
            WriteError: It can't be written.
        """
        self.settings = settings
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(folder, error) from error
        known: list[Result] = []
        if resume and (folder / "run.json").exists():
            before = load_run(folder)
            _require_same(before.settings, settings, folder)
            known = [result for result in before.results if not result.error]
        self._done = {(result.kind, result.name) for result in known}
        with replacing(folder / "run.json") as partial:
            partial.write_text(json.dumps(asdict(settings), indent=1), encoding="utf-8")
        # Rewritten whole: a run that was killed may have left half a line.
        with replacing(folder / "results.jsonl") as partial:
            text = "".join(f"{result.to_json()}\n" for result in known)
            partial.write_text(text, encoding="utf-8")

    def has(self, name: str, kind: str) -> bool:
        """Whether a result is there."""
        return (kind, name) in self._done

    def add(self, result: Result, matte: NDArray[np.uint8] | None) -> None:
        """Save a result and its matte.

        Args:
            result: what was measured, or the error.
            matte: uint8 `H W`, as measured; None if it failed.

        Raises:
            WriteError: They can't be written.
        """
        try:
            # The matte first, so that a line stands for a matte that is there.
            if matte is not None:
                path = _matte_path(self._folder, result.kind, result.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                alpha = matte.astype(np.float32) / np.float32(255)
                write_image(path, image=None, alpha=alpha, bit_depth=8)
            with (self._folder / "results.jsonl").open("a", encoding="utf-8") as lines:
                lines.write(f"{result.to_json()}\n")
        except OSError as error:
            raise write_error(self._folder / "results.jsonl", error) from error


def _require_same(before: Settings, now: Settings, folder: Path) -> None:
    different = [
        f"{each.name} {getattr(before, each.name)!r} there, {getattr(now, each.name)!r} now"
        for each in fields(Settings)
        if getattr(before, each.name) != getattr(now, each.name)
    ]
    if different:
        raise PullmatteError(
            f"{folder} holds a run with other settings ({'; '.join(different)}): give another "
            "folder, or start again without resuming."
        )


def _read_results(folder: Path) -> Iterator[Result]:
    path = folder / "results.jsonl"
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield Result.from_json(line)
        except ValueError:
            _LOG.warning("%s: a damaged line is left out", path)
