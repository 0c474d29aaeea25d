"""The worst cases of a run as one picture to look at."""

from pathlib import Path

from PIL import Image, ImageDraw

from pullmatte.data.layouts import Dataset, Sample, read_plane
from pullmatte.data.prompt_simulation import KINDS
from pullmatte.errors import DatasetError, PullmatteError
from pullmatte.eval.pictures import (
    GAP_PX,
    LABEL_PX,
    PAPER,
    TILE_PX,
    as_picture,
    as_unit,
    draw_prompt,
    fit_tile,
    write_text,
)
from pullmatte.eval.report import TITLES, worst_results
from pullmatte.eval.run import Result, Run, make_prompt
from pullmatte.io.atomic import replacing
from pullmatte.io.image import read_image
from pullmatte.matte import Matte

COLUMNS = ("image and prompt", "truth", "prediction", "on checker")


def write_contact_sheet(
    run: Run, dataset: Dataset, count: int = 8, path: str | Path | None = None
) -> Path | None:
    """Draw the worst cases: image with its prompt, truth, prediction, composite on a checker.

    Args:
        run: the run.
        dataset: its data set, to read images and truths again.
        count: how many cases.
        path: where to; ``worst.png`` in the run's folder by default.

    Returns:
        The file, or None if the run has no result to show.

    Raises:
        PullmatteError: the count is below 1.
        DatasetError: an image isn't there any more, or is damaged.
        WriteError: the picture can't be written.
    """
    if count < 1:
        raise PullmatteError(f"{count} worst cases asked for: give 1 or more.")
    worst = worst_results(run, count)
    if not worst:
        return None
    samples = {sample.name: sample for sample in dataset.samples}
    rows = [_row(run, samples, result) for result in worst]
    sheet = Image.new("RGB", (rows[0].width, LABEL_PX + sum(row.height for row in rows)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(COLUMNS):
        write_text(draw, (GAP_PX + column * (TILE_PX[0] + GAP_PX), 4), title)
    top = LABEL_PX
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    target = Path(path) if path is not None else run.folder / "worst.png"
    with replacing(target) as partial:
        sheet.save(partial, "PNG")
    return target


def _row(run: Run, samples: dict[str, Sample], result: Result) -> Image.Image:
    if result.name not in samples:
        raise DatasetError(f"The data set has no {result.name} any more: give the run's data set.")
    sample = samples[result.name]
    truth = read_plane(sample.alpha)
    kind = next(kind for kind in KINDS if kind == result.kind)
    prompt = make_prompt(sample, kind, truth, run.settings)
    image = fit_tile(read_image(sample.image))
    alpha = fit_tile(as_unit(read_plane(run.matte_path(result))))
    scale = image.shape[1] / truth.shape[1], image.shape[0] / truth.shape[0]
    tiles = (
        draw_prompt(image, prompt, scale),
        as_picture(fit_tile(as_unit(truth))),
        as_picture(alpha),
        as_picture(Matte(alpha, image).composite("checker")),
    )
    width = GAP_PX + len(tiles) * (TILE_PX[0] + GAP_PX)
    row = Image.new("RGB", (width, image.shape[0] + LABEL_PX + GAP_PX), PAPER)
    for column, tile in enumerate(tiles):
        row.paste(tile, (GAP_PX + column * (TILE_PX[0] + GAP_PX), LABEL_PX))
    values = "  ".join(f"{TITLES[metric]} {value:.4g}" for metric, value in result.metrics.items())
    write_text(ImageDraw.Draw(row), (GAP_PX, 4), f"{result.name} · {result.kind} · {values}")
    return row
