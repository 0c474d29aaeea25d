"""The worst cases of a run as one picture to look at."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pullmatte.data.layouts import Dataset, Sample, read_plane
from pullmatte.data.prompt_simulation import KINDS
from pullmatte.errors import DatasetError, PullmatteError
from pullmatte.eval.report import TITLES, worst_results
from pullmatte.eval.run import Result, Run, make_prompt
from pullmatte.io.atomic import replacing
from pullmatte.io.image import read_image
from pullmatte.matte import Matte
from pullmatte.prompts import Prompt

COLUMNS = ("image and prompt", "truth", "prediction", "on checker")
TILE_PX = (320, 260)
GAP_PX = 8
LABEL_PX = 22

Plane = NDArray[np.float32]
_PAPER = (32, 32, 34)
_INK = (235, 235, 235)
_MARK = (255, 40, 120)


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
    sheet = Image.new("RGB", (rows[0].width, LABEL_PX + sum(row.height for row in rows)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(COLUMNS):
        _write(draw, (GAP_PX + column * (TILE_PX[0] + GAP_PX), 4), title)
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
    image = _fit(read_image(sample.image))
    alpha = _fit(_unit(read_plane(run.matte_path(result))))
    scale = image.shape[1] / truth.shape[1], image.shape[0] / truth.shape[0]
    tiles = (
        _drawn(image, prompt, scale),
        _picture(_fit(_unit(truth))),
        _picture(alpha),
        _picture(Matte(alpha, image).composite("checker")),
    )
    width = GAP_PX + len(tiles) * (TILE_PX[0] + GAP_PX)
    row = Image.new("RGB", (width, image.shape[0] + LABEL_PX + GAP_PX), _PAPER)
    for column, tile in enumerate(tiles):
        row.paste(tile, (GAP_PX + column * (TILE_PX[0] + GAP_PX), LABEL_PX))
    values = "  ".join(f"{TITLES[metric]} {value:.4g}" for metric, value in result.metrics.items())
    _write(ImageDraw.Draw(row), (GAP_PX, 4), f"{result.name} · {result.kind} · {values}")
    return row


def _unit(levels: NDArray[np.uint8]) -> Plane:
    return levels.astype(np.float32) / np.float32(255)


def _fit(array: Plane) -> Plane:
    """Scale a picture to fit a tile, its aspect kept."""
    rows, columns = array.shape[:2]
    scale = min(TILE_PX[0] / columns, TILE_PX[1] / rows)
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(array, size, interpolation=method), np.float32)


def _picture(array: Plane) -> Image.Image:
    levels = np.floor(np.clip(array, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(levels).convert("RGB")


def _drawn(image: Plane, prompt: Prompt, scale: tuple[float, float]) -> Image.Image:
    """Draw a prompt over its image."""
    across, down = scale
    shade = image
    if prompt.mask is not None:
        shade = _tinted(image, prompt.mask.array)
    if prompt.trimap is not None:
        shade = _tinted(image, prompt.trimap.array == 0.5)
    picture = _picture(shade)
    draw = ImageDraw.Draw(picture)
    if prompt.box is not None:
        box = prompt.box
        corners = (box.x0 * across, box.y0 * down, box.x1 * across - 1, box.y1 * down - 1)
        draw.rectangle(corners, outline=_MARK, width=2)
    for point in prompt.points:
        x, y = point.x * across, point.y * down
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=_MARK, outline=_INK)
    return picture


def _tinted(image: Plane, marked: NDArray[np.bool_]) -> Plane:
    rows, columns = image.shape[:2]
    small = cv2.resize(marked.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    weight = np.asarray(small, np.float32)[..., None] * np.float32(0.55)
    tint = np.array(_MARK, np.float32) / np.float32(255)
    return image * (1 - weight) + tint * weight


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str) -> None:
    draw.text(place, text, fill=_INK, font=ImageFont.load_default(13))
