"""What prompts do inside SDMatte: the paper's figures 2b and 3 for one's own picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pullmatte.eval.pictures import (
    GAP_PX,
    LABEL_PX,
    PAPER,
    TILE_PX,
    as_picture,
    draw_prompt,
    fit_tile,
    write_text,
)
from pullmatte.io.atomic import replacing
from pullmatte.matte import Matte
from pullmatte.prompts import Prompt

if TYPE_CHECKING:
    from pullmatte.models.sdmatte.inspection import Inspection

Plane = NDArray[np.float32]
_HOT = np.array((1.0, 0.55, 0.1), np.float32)
_COLUMNS = 4


def write_attention_sheet(
    image: Plane,
    found: Mapping[str, tuple[Prompt, "Inspection"]],
    path: str | Path,
    title: str,
) -> Path:
    """Draw what each prompt does.

    For each object: its prompt, what the network is shown of it and the matte; where masked
    self-attention may look, at the four sizes of its layers; and what cross-attention reads in
    the mid block, where the visual prompt stands for the text, and in the last layer.

    Args:
        image: `H W 3` float32 in [0, 1].
        found: Object → its prompt and what was seen of it.
        path: Where to; a PNG.
        title: Stands above all.

    Returns:
        The file.

    Raises:
        WriteError: If it can't be written.
    """
    blocks = [
        _block(image, name, prompt, inspection) for name, (prompt, inspection) in found.items()
    ]
    height = LABEL_PX + sum(block.height for block in blocks)
    sheet = Image.new("RGB", (max(block.width for block in blocks), height), PAPER)
    write_text(ImageDraw.Draw(sheet), (GAP_PX, 4), title)
    top = LABEL_PX
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    with replacing(Path(path)) as partial:
        sheet.save(partial, "PNG")
    return Path(path)


def _block(image: Plane, name: str, prompt: Prompt, seen: "Inspection") -> Image.Image:
    small = fit_tile(image)
    scale = small.shape[1] / image.shape[1], small.shape[0] / image.shape[0]
    alpha = fit_tile(seen.prediction.alpha)
    tiles = [
        (f"{name}: prompt", draw_prompt(small, prompt, scale)),
        ("prompt map, as encoded", as_picture(fit_tile(seen.prompt_map))),
        ("alpha", as_picture(alpha)),
        ("on checker", as_picture(Matte(alpha, small).composite("checker"))),
    ]
    tiles += [
        (f"self-attention mask, {side} x {side}", _heat(small, weight))
        for side, weight in seen.self_attention.items()
    ]
    for layer in seen.cross_attention:
        what = "to the prompt" if layer.reads == "visual prompt" else "beyond token 1"
        label = f"{layer.layer}: attention {what}"
        tiles.append((_with_range(label, layer.weight), _heat(small, _stretched(layer.weight))))
        if layer.received is not None:
            tiles.append((f"{layer.layer}: which tokens are read", _heat(small, layer.received)))
    return _grid(tiles)


def _with_range(label: str, weight: Plane) -> str:
    return f"{label}, {weight.min():.2g} to {weight.max():.2g}"


def _stretched(weight: Plane) -> Plane:
    """Stretch a weight's range, which its label states, to [0, 1]."""
    least, largest = weight.min(), weight.max()
    return np.asarray((weight - least) / max(largest - least, 1e-30), np.float32)


def _heat(image: Plane, weight: Plane) -> Image.Image:
    """Lay a weight in [0, 1] over a dimmed picture; 1 glows fully."""
    strength = fit_tile(weight)[..., None]
    grey = image.mean(axis=-1, keepdims=True) * np.float32(0.45)
    return as_picture(grey * (1 - strength) + (0.35 * grey + 0.65 * _HOT) * strength)


def _grid(tiles: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    down = LABEL_PX + max(tile.height for _, tile in tiles) + GAP_PX
    across = TILE_PX[0] + GAP_PX
    lines = -(-len(tiles) // _COLUMNS)
    picture = Image.new("RGB", (GAP_PX + across * _COLUMNS, down * lines + GAP_PX), PAPER)
    draw = ImageDraw.Draw(picture)
    for at, (label, tile) in enumerate(tiles):
        left, top = GAP_PX + across * (at % _COLUMNS), down * (at // _COLUMNS)
        write_text(draw, (left, top + 4), label)
        picture.paste(tile, (left, top + LABEL_PX))
    return picture
