"""Tiles, prompts and labels, as the sheets that one looks at are drawn from."""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pullmatte.prompts import Prompt

TILE_PX = (320, 260)
GAP_PX = 8
LABEL_PX = 22
PAPER = (32, 32, 34)

Plane = NDArray[np.float32]
_INK = (235, 235, 235)
_MARK = (255, 40, 120)


def as_unit(levels: NDArray[np.uint8]) -> Plane:
    """Bring 8-bit levels into [0, 1]."""
    return levels.astype(np.float32) / np.float32(255)


def fit_tile(array: Plane) -> Plane:
    """Scale a picture to fit a tile, its aspect kept.

    Args:
        array: `H W 3` or `H W` float32.
    """
    rows, columns = array.shape[:2]
    scale = min(TILE_PX[0] / columns, TILE_PX[1] / rows)
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(array, size, interpolation=method), np.float32)


def as_picture(array: Plane) -> Image.Image:
    """Turn `H W 3` or `H W` float32 in [0, 1] into something to paste."""
    levels = np.floor(np.clip(array, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(levels).convert("RGB")


def draw_prompt(image: Plane, prompt: Prompt, scale: tuple[float, float]) -> Image.Image:
    """Draw a prompt over its image.

    Args:
        image: `H W 3` float32 in [0, 1], scaled to a tile.
        prompt: in pixels of the original.
        scale: size of the tile over that of the original, across and down.
    """
    across, down = scale
    shade = image
    if prompt.mask is not None:
        shade = _tinted(image, prompt.mask.array)
    if prompt.trimap is not None:
        shade = _tinted(image, prompt.trimap.array == 0.5)
    picture = as_picture(shade)
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


def write_text(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str) -> None:
    """Write a label, its top left corner at `place`."""
    draw.text(place, text, fill=_INK, font=ImageFont.load_default(13))
