"""A run as tables that state what was measured and how."""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pullmatte.data.layouts import LAYOUTS
from pullmatte.eval.protocols import Protocol, find_protocol
from pullmatte.eval.run import Result, Run, Settings
from pullmatte.eval.summary import mean_of
from pullmatte.io.atomic import replacing

TITLES = {
    "mse": "MSE",
    "mad": "MAD",
    "sad": "SAD",
    "grad": "Grad",
    "conn": "Conn",
    "conn_dim": "Conn (DIM)",
    "dtssd": "dtSSD",
}
FILES = ("report.md", "report.csv", "report.json", "images.csv")
_SUMS = ("sad", "grad", "conn", "conn_dim")


def write_report(run: Run) -> tuple[Path, ...]:
    """Write a run's tables into its folder: Markdown, CSV (means and images) and JSON.

    Args:
        run: the run.

    Returns:
        The files written.

    Raises:
        WriteError: they can't be written.
    """
    texts = (
        markdown(run),
        means_csv(run),
        json.dumps(as_dict(run), indent=1, ensure_ascii=False) + "\n",
        images_csv(run),
    )
    paths = tuple(run.folder / name for name in FILES)
    for path, text in zip(paths, texts, strict=True):
        with replacing(path) as partial:
            partial.write_bytes(text.encode("utf-8"))
    return paths


def statement(run: Run) -> dict[str, str]:
    """State what was measured and how, in the terms that a table must carry.

    Args:
        run: the run.

    Returns:
        Term → statement, in the order to show.
    """
    settings, rules = run.settings, find_protocol(run.settings.protocol)
    trimaps = settings.trimaps or "made from the true alpha"
    return {
        "model": f"{settings.model} ({settings.licence}), pullmatte {settings.version}",
        "data set": f"{settings.dataset}, layout {LAYOUTS[settings.layout].title}",
        "protocol": f"{rules.name}, as in {rules.used_by}",
        "region": _region(rules),
        "size": "original" if rules.size == "original" else "long side 1024",
        "8 bits by": "truncation" if rules.quantisation == "floor" else "rounding",
        "scale": _scale(rules),
        "gradient": "each matte stretched to its full range" if rules.stretch else "not stretched",
        "connectivity": _connectivity(rules),
        "prompts": f"from the true alpha, seed {settings.seed}; {settings.point_count} points; "
        f"trimaps: {trimaps}",
        "opacity": "as the data set says" if settings.opacity == "dataset" else settings.opacity,
        "captions": _captions(settings),
        "mean over": "images; an image whose value is undefined is left out",
    }


def _captions(settings: Settings) -> str:
    if settings.captions:
        return "the last expression that the data set has of each object"
    if LAYOUTS[settings.layout].labels:
        return "none, though SDMatte's published numbers on this data set were made with them"
    return "none"


def means(run: Run) -> list[dict[str, Any]]:
    """Average each metric over the images, for each kind of prompt.

    Args:
        run: the run.

    Returns:
        One row for each kind: prompt, images, failed, each metric, and time_s.
    """
    rows: list[dict[str, Any]] = []
    for kind in run.kinds:
        results = [result for result in run.results if result.kind == kind]
        good = [result for result in results if not result.error]
        row: dict[str, Any] = {
            "prompt": kind,
            "images": len(good),
            "failed": len(results) - len(good),
        }
        for metric in _metrics(run):
            values = [result.metrics.get(metric, math.nan) for result in good]
            row[metric] = mean_of([value for value in values if not math.isnan(value)])
        row["time_s"] = mean_of([result.time_s for result in good])
        rows.append(row)
    return rows


def markdown(run: Run) -> str:
    """Write the whole report as Markdown.

    Args:
        run: the run.

    Returns:
        Statement, means, the images' own values and the failures.
    """
    metrics = _metrics(run)
    titles = [TITLES[metric] for metric in metrics]
    parts = [f"# {run.settings.model} on {run.settings.dataset}, protocol {run.settings.protocol}"]
    parts.append("\n".join(f"- {term}: {text}" for term, text in statement(run).items()))
    parts.append(mean_table(run))
    for kind in run.kinds:
        results = [r for r in run.results if r.kind == kind and not r.error]
        cells = [[r.name, *(_number(r.metrics[metric]) for metric in metrics)] for r in results]
        parts.append(f"## {kind}\n\n{_table(['image', *titles], cells)}")
    if run.failed:
        lines = [f"- {r.name}, {r.kind}: {r.error}" for r in run.failed]
        parts.append("## Failed\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def mean_table(run: Run) -> str:
    """Write the table of means alone as Markdown.

    Args:
        run: the run.

    Returns:
        One row for each kind of prompt.
    """
    metrics = _metrics(run)
    header = ["prompt", "images", "failed", *(TITLES[metric] for metric in metrics), "s/image"]
    keys = ["prompt", "images", "failed", *metrics, "time_s"]
    return _table(header, [[_number(row[key]) for key in keys] for row in means(run)])


def means_csv(run: Run) -> str:
    """Write the means as CSV; each row says what it is.

    Args:
        run: the run.

    Returns:
        A header and one row for each kind of prompt.
    """
    return _csv([{**_context(run), **row} for row in means(run)])


def images_csv(run: Run) -> str:
    """Write the images' own values as CSV; each row says what it is.

    Args:
        run: the run.

    Returns:
        A header and one row for each image and kind of prompt.
    """
    metrics = _metrics(run)
    return _csv([
        {
            **_context(run),
            "prompt": result.kind,
            "image": result.name,
            **{metric: result.metrics.get(metric, math.nan) for metric in metrics},
            "time_s": result.time_s,
            "error": result.error,
        }
        for result in run.results
    ])


def as_dict(run: Run) -> dict[str, Any]:
    """Give the whole report as plain data for JSON; NaN becomes None.

    Args:
        run: the run.

    Returns:
        settings, statement, means and images.
    """
    return {
        "settings": asdict(run.settings),
        "statement": statement(run),
        "means": [{key: _plain(value) for key, value in row.items()} for row in means(run)],
        "images": [json.loads(result.to_json()) for result in run.results],
    }


def worst_results(run: Run, count: int) -> list[Result]:
    """Pick the results with the greatest error, by SAD or, without it, by MAD.

    Args:
        run: the run.
        count: at most so many.

    Returns:
        The worst first.
    """
    key = "sad" if "sad" in _metrics(run) else "mad"
    good = [result for result in run.results if not result.error]
    return sorted(good, key=lambda result: -result.metrics[key])[:count]


def _metrics(run: Run) -> list[str]:
    """A single image has no dtssd."""
    rules = find_protocol(run.settings.protocol)
    return [metric for metric in rules.metrics if metric != "dtssd"]


def _region(rules: Protocol) -> str:
    return "whole image" if rules.region == "whole" else "the trimap's unknown pixels"


def _scale(rules: Protocol) -> str:
    means_of = ", ".join(TITLES[m] for m in rules.metrics if m in {"mse", "mad"})
    sums_of = ", ".join(TITLES[m] for m in rules.metrics if m in _SUMS)
    factor = "fractions" if rules.error_scale == 1 else f"× {rules.error_scale:g}"
    return f"{means_of} {factor}; {sums_of} sums ÷ 1000"


def _connectivity(rules: Protocol) -> str:
    if not rules.connectivity:
        return "not measured"
    return "; ".join(
        f"{TITLES[key]} from the largest part, the background "
        f"{'competing' if form.background else 'left out'}"
        for key, form in rules.connectivity.items()
    )


def _context(run: Run) -> dict[str, Any]:
    settings, rules = run.settings, find_protocol(run.settings.protocol)
    return {
        "model": settings.model,
        "data_set": settings.dataset,
        "protocol": settings.protocol,
        "region": rules.region,
        "scale": _scale(rules),
        "prompt_seed": settings.seed,
        "captions": "yes" if settings.captions else "no",
    }


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.8g}"
    return value


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align a Markdown table so that it reads well in a terminal too."""
    grid = [list(header), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    widths = [max(3, *(len(row[at]) for row in grid)) for at in range(len(header))]
    lines = []
    for row in grid:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append(f"| {' | '.join(cells)} |")
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines.insert(1, f"| {' | '.join(rule)} |")
    return "\n".join(lines)


def _number(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "–"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"
