"""Evaluation runs: a model over a data set, one result for each image and kind of prompt.

A run lives in a folder: ``run.json`` says what it is, ``results.jsonl`` grows by a line for each
result, ``mattes/KIND/NAME.png`` are the 8-bit mattes as measured. A stopped run resumes there.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from pullmatte import __version__
from pullmatte.data.layouts import Dataset, Sample, open_dataset, read_plane
from pullmatte.data.prompt_simulation import (
    KINDS,
    POINT_COUNT,
    Kind,
    prompt_generator,
    simulate_prompt,
)
from pullmatte.errors import DatasetError, PromptError, PullmatteError, ReadError
from pullmatte.eval.protocols import find_protocol, measure_alpha, quantise, to_evaluation_size
from pullmatte.io.atomic import replacing, write_error
from pullmatte.io.image import read_image, write_image
from pullmatte.prompts import Prompt
from pullmatte.sessions.load import Matter, load

OpacityChoice = Literal["dataset", "auto", "opaque", "transparent"]
Progress = Callable[[int, int], None]
"""Called with the results done and the results in all."""

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


def evaluate(
    model: str | Matter,
    dataset: str | Path | Dataset,
    prompts: Sequence[Kind] = KINDS,
    *,
    out: str | Path,
    seed: int = 0,
    protocol: str = "sdmatte",
    point_count: int = POINT_COUNT,
    opacity: OpacityChoice = "dataset",
    resume: bool = True,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """Run a model over a data set with simulated prompts, and measure it.

    An image that fails is recorded with its error and stops nothing; a resumed run tries it again.

    Args:
        model: a name that `pullmatte.load` takes, or a loaded model.
        dataset: the folder, or what `open_dataset` gave.
        prompts: kinds of prompt.
        out: the run's folder; made if missing.
        seed: of the prompts; each image's prompts depend on it and on the image's name alone.
        protocol: how to measure, a key of `PROTOCOLS`.
        point_count: points in a point prompt.
        opacity: what the model is told of the object; "dataset" passes on the data set's flag.
        resume: go on with what the folder holds; else start again.
        limit: only the first so many samples.
        progress: called after each result.

    Returns:
        The run with all results that its folder holds.

    Raises:
        PullmatteError: the protocol or a kind of prompt is unknown, a number is out of range, or
            the folder holds a run with other settings.
        DatasetError: the data set can't be used, or has no trimaps and the protocol needs them.
        WriteError: the folder can't be written.
    """
    kinds = _checked(prompts, seed, limit, point_count)
    data = dataset if isinstance(dataset, Dataset) else open_dataset(dataset)
    if find_protocol(protocol).region == "unknown" and not data.trimaps:
        raise DatasetError(
            f"{data.root} has no trimaps and protocol {protocol} measures their unknown region: "
            "add a trimap/ folder or choose another protocol."
        )
    matter = load(model) if isinstance(model, str) else model
    settings = Settings(
        model=matter.spec.name,
        licence=matter.spec.licence,
        dataset=data.name,
        layout=data.layout.name,
        trimaps=data.trimaps,
        protocol=protocol,
        seed=seed,
        point_count=point_count,
        opacity=opacity,
    )
    book = _Book(Path(out), settings, resume=resume)
    samples = data.samples[:limit]
    done, total = 0, len(samples) * len(kinds)
    for sample in samples:
        missing = [kind for kind in kinds if not book.has(sample.name, kind)]
        done += len(kinds) - len(missing)
        for result, matte in _results(matter, sample, missing, settings):
            book.add(result, matte)
            done += 1
            if progress is not None:
                progress(done, total)
    if progress is not None:
        progress(done, total)
    return book.run()


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


def make_prompt(sample: Sample, kind: Kind, alpha: NDArray[np.uint8], settings: Settings) -> Prompt:
    """Make the prompt that a run gives for one image.

    Args:
        sample: the image.
        kind: the kind of prompt.
        alpha: uint8 `H W`, the true matte.
        settings: the run's.

    Returns:
        The same prompt each time.

    Raises:
        PromptError: the alpha shows nothing.
        DatasetError: the trimap can't be read.
    """
    trimap = read_plane(sample.trimap) if kind == "trimap" and sample.trimap else None
    return simulate_prompt(
        kind,
        alpha,
        prompt_generator(settings.seed, sample.name, kind),
        trimap=trimap,
        point_count=settings.point_count,
    )


def _checked(
    prompts: Sequence[Kind], seed: int, limit: int | None, point_count: int
) -> tuple[Kind, ...]:
    unknown = [kind for kind in prompts if kind not in KINDS]
    if unknown or not prompts:
        came = ", ".join(map(repr, unknown)) or "none"
        raise PromptError(f"Unknown kind of prompt: {came}. Give any of {', '.join(KINDS)}.")
    if seed < 0:
        raise PullmatteError(f"Seed {seed}: give 0 or more.")
    if point_count < 1:
        raise PullmatteError(f"{point_count} points: give 1 or more.")
    if limit is not None and limit < 1:
        raise PullmatteError(f"Limit {limit}: give 1 or more, or leave it out.")
    return tuple(dict.fromkeys(prompts))


def _results(
    matter: Matter, sample: Sample, kinds: Sequence[Kind], settings: Settings
) -> Iterator[tuple[Result, NDArray[np.uint8] | None]]:
    """Give the results of one image, its mattes beside them; encode it once for all kinds."""
    if not kinds:
        return
    try:
        truth = read_plane(sample.alpha)
        image = read_image(sample.image)
        if image.shape[:2] != truth.shape:
            raise DatasetError(
                f"{sample.image} is {image.shape[:2]} and its alpha {truth.shape}: "
                "expected one size."
            )
        session = matter.open_image(image, foreground=False)
    except Exception as error:
        for kind in kinds:
            yield _failure(sample, kind, error), None
        return
    for kind in kinds:
        try:
            prompt = make_prompt(sample, kind, truth, settings)
            opacity = sample.opacity if settings.opacity == "dataset" else settings.opacity
            start = time.perf_counter()
            alpha = session.predict(prompt, opacity=opacity).alpha
            spent = time.perf_counter() - start
            metrics = _measure(sample, alpha, truth, settings)
            matte = quantise(settings.protocol, alpha)
        except Exception as error:
            yield _failure(sample, kind, error), None
        else:
            yield Result(sample.name, kind, metrics, time_s=round(spent, 4)), matte


def _measure(
    sample: Sample, alpha: NDArray[np.float32], truth: NDArray[np.uint8], settings: Settings
) -> dict[str, float]:
    if alpha.shape != truth.shape:
        raise PullmatteError(f"The model's matte is {alpha.shape}, the truth {truth.shape}.")
    region = None
    if find_protocol(settings.protocol).region == "unknown" and sample.trimap is not None:
        trimap = read_plane(sample.trimap)
        region = (trimap > 0) & (trimap < 255)
    prediction, target = to_evaluation_size(settings.protocol, alpha, truth)
    return measure_alpha(settings.protocol, prediction, target, region)


def _failure(sample: Sample, kind: str, error: Exception) -> Result:
    """Record any error: one bad image must not cost the hours of the others."""
    text = " ".join(str(error).split())
    if not isinstance(error, PullmatteError):
        _LOG.error("%s with %s failed", sample.name, kind, exc_info=error)
        text = f"{type(error).__name__}: {text}"
    return Result(sample.name, kind, error=text)


def _matte_path(folder: Path, kind: str, name: str) -> Path:
    return folder / "mattes" / kind / f"{name}.png"


class _Book:
    """A run's folder, written as the run goes."""

    def __init__(self, folder: Path, settings: Settings, *, resume: bool) -> None:
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
        return (kind, name) in self._done

    def add(self, result: Result, matte: NDArray[np.uint8] | None) -> None:
        """Save the matte first, so that a line stands for a matte that is there."""
        try:
            if matte is not None:
                path = _matte_path(self._folder, result.kind, result.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                alpha = matte.astype(np.float32) / np.float32(255)
                write_image(path, image=None, alpha=alpha, bit_depth=8)
            with (self._folder / "results.jsonl").open("a", encoding="utf-8") as lines:
                lines.write(f"{result.to_json()}\n")
        except OSError as error:
            raise write_error(self._folder / "results.jsonl", error) from error

    def run(self) -> Run:
        return load_run(self._folder)


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
