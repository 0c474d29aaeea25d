"""Evaluation runs: a model over a data set, one result for each image and kind of prompt."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pullmatte.data.layouts import Dataset, Sample, open_dataset, read_plane
from pullmatte.data.prompt_simulation import (
    KINDS,
    POINT_COUNT,
    Kind,
    prompt_generator,
    simulate_prompt,
)
from pullmatte.errors import DatasetError, PromptError, PullmatteError
from pullmatte.eval.protocols import find_protocol, measure_alpha, quantise, to_evaluation_size
from pullmatte.eval.run_folder import Book, OpacityChoice, Result, Run, Settings, load_run
from pullmatte.io.image import read_image
from pullmatte.prompts import Prompt
from pullmatte.sessions.load import Matter, load
from pullmatte.sessions.out_of_memory import OUT_OF_MEMORY, is_out_of_memory

__all__ = [
    "OpacityChoice",
    "Progress",
    "Result",
    "Run",
    "Settings",
    "evaluate",
    "load_run",
    "make_prompt",
]

Progress = Callable[[int, int], None]
"""Called with the results done and the results in all."""

_LOG = logging.getLogger(__name__)


def evaluate(
    model: str | Matter,
    dataset: str | Path | Dataset,
    prompts: Sequence[Kind] | None = None,
    *,
    out: str | Path,
    seed: int = 0,
    protocol: str = "sdmatte",
    point_count: int = POINT_COUNT,
    opacity: OpacityChoice = "dataset",
    captions: bool = True,
    resume: bool = True,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """Run a model over a data set with simulated prompts, and measure it.

    A failed image is recorded with its error and stops nothing; a resumed run tries it again.

    Args:
        model: a name that `pullmatte.load` takes, or a loaded model.
        dataset: the folder, or what `open_dataset` gave.
        prompts: kinds of prompt; all that the model takes when left out.
        out: the run's folder; made if missing.
        seed: of the prompts; each image's prompts depend on it and on the image's name alone.
        protocol: how to measure, a key of `PROTOCOLS`.
        point_count: points in a point prompt.
        opacity: what the model is told of the object; "dataset" passes on the data set's flag.
        captions: whether a model that takes captions is told the data set's, if it has some.
        resume: go on with what the folder holds; else start again.
        limit: only the first so many samples.
        progress: called after each result.

    Returns:
        The run with all results that its folder holds.

    Raises:
        PullmatteError: the protocol or a kind of prompt is unknown or not for this model, a number
            is out of range, or the folder holds a run with other settings.
        DatasetError: the data set can't be used, or has no trimaps and the protocol needs them.
        WriteError: the folder can't be written.
    """
    _check(prompts, seed, limit, point_count)
    data = _opened(dataset, protocol)
    matter, kinds = _loaded(model, prompts)
    settings = Settings(
        model=matter.label,
        licence=matter.spec.licence,
        dataset=data.name,
        layout=data.layout.name,
        trimaps=data.trimaps,
        protocol=protocol,
        seed=seed,
        point_count=point_count,
        opacity=opacity,
        captions=captions and _has_captions(matter, data),
    )
    book = Book(Path(out), settings, resume=resume)
    _fill(book, matter, data.samples[:limit], kinds, progress or _no_progress)
    return load_run(out)


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


def kinds_for(matter: Matter, prompts: Sequence[Kind] | None = None) -> tuple[Kind, ...]:
    """Choose the kinds of prompt for a model.

    Args:
        matter: the loaded model.
        prompts: those that were asked for, if any.

    Returns:
        Those, each once; else all that the model takes.

    Raises:
        PromptError: it doesn't take one that was asked for.
    """
    known = matter.spec.prompts
    if prompts is None:
        return tuple(kind for kind in KINDS if kind in known)
    refused = [kind for kind in prompts if kind not in known]
    if refused:
        raise PromptError(
            f"Model {matter.spec.name!r} takes {' or '.join(known)}, not {' or '.join(refused)}: "
            "leave that kind of prompt out."
        )
    return tuple(dict.fromkeys(prompts))


def _loaded(model: str | Matter, prompts: Sequence[Kind] | None) -> tuple[Matter, tuple[Kind, ...]]:
    matter = load(model) if isinstance(model, str) else model
    return matter, kinds_for(matter, prompts)


def _check(prompts: Sequence[Kind] | None, seed: int, limit: int | None, point_count: int) -> None:
    unknown = [kind for kind in prompts or () if kind not in KINDS]
    if unknown or (prompts is not None and not prompts):
        came = ", ".join(map(repr, unknown)) or "none"
        raise PromptError(f"Unknown kind of prompt: {came}. Give any of {', '.join(KINDS)}.")
    if seed < 0:
        raise PullmatteError(f"Seed {seed}: give 0 or more.")
    if point_count < 1:
        raise PullmatteError(f"{point_count} points: give 1 or more.")
    if limit is not None and limit < 1:
        raise PullmatteError(f"Limit {limit}: give 1 or more, or leave it out.")


def _opened(dataset: str | Path | Dataset, protocol: str) -> Dataset:
    """Open a data set that the protocol can measure."""
    data = dataset if isinstance(dataset, Dataset) else open_dataset(dataset)
    if find_protocol(protocol).region == "unknown" and not data.trimaps:
        raise DatasetError(
            f"{data.root} has no trimaps and protocol {protocol} measures their unknown region: "
            "add a trimap/ folder or choose another protocol."
        )
    return data


def _has_captions(matter: Matter, data: Dataset) -> bool:
    return matter.captions and any(sample.caption for sample in data.samples)


def _no_progress(_done: int, _total: int) -> None:
    pass


def _fill(
    book: Book,
    matter: Matter,
    samples: Sequence[Sample],
    kinds: Sequence[Kind],
    progress: Progress,
) -> None:
    """Add the results that the run's folder doesn't hold yet."""
    done, total = 0, len(samples) * len(kinds)
    progress(done, total)
    for sample in samples:
        missing = [kind for kind in kinds if not book.has(sample.name, kind)]
        done += len(kinds) - len(missing)
        for result, matte in _results(matter, sample, missing, book.settings):
            book.add(result, matte)
            done += 1
            progress(done, total)
    progress(done, total)


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
    # Only then: a session in front of another model needn't know of captions.
    words = {"caption": sample.caption} if settings.captions and sample.caption else {}
    for kind in kinds:
        try:
            prompt = make_prompt(sample, kind, truth, settings)
            opacity = sample.opacity if settings.opacity == "dataset" else settings.opacity
            start = time.perf_counter()
            alpha = session.predict(prompt, opacity=opacity, **words).alpha
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
    if is_out_of_memory(error):
        text = OUT_OF_MEMORY
    elif not isinstance(error, PullmatteError):
        _LOG.error("%s with %s failed", sample.name, kind, exc_info=error)
        text = f"{type(error).__name__}: {text}"
    return Result(sample.name, kind, error=text)
