"""Words as a picture with alpha."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PullmatteError
from pullmatte.jobs.look import Text
from pullmatte.matte import make_background

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

# Pillow's own font has hardly more than ASCII; these are asked for letters that it lacks.
SYSTEM_FONTS = (
    *("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "NotoSans-Regular.ttf"),
    *("Arial Unicode.ttf", "Arial.ttf", "msgothic.ttc", "NotoSansCJK-Regular.ttc"),
)
# No font has a letter there, so it is drawn as the sign for a missing one.
_NO_LETTER = "\ue000"


def text_layer(size: tuple[int, int], text: Text) -> NDArray[np.float32]:
    """Draw words.

    Args:
        size: Width and height of the picture in pixels.
        text: What, where, how large and in which colour.

    Returns:
        `H W 4` float32 RGBA in [0, 1], straight.

    Raises:
        PullmatteError: If no font at hand has all of the letters.
    """
    from PIL import Image, ImageDraw

    width, height = size
    canvas = Image.new("L", size)
    font = _font_for(text.words, max(1.0, text.size * height))
    ImageDraw.Draw(canvas).multiline_text(
        (text.x * width, text.y * height),
        text.words,
        fill=255,
        font=font,
        anchor="mm",
        align="center",
    )
    alpha = np.asarray(canvas, np.float32) / np.float32(255)
    return np.dstack([make_background(text.colour, width, height), alpha])


def _font_for(words: str, size_px: float) -> "FreeTypeFont":
    """Choose Pillow's own font, or one of the system's where that lacks a letter."""
    from PIL import ImageFont

    letters = sorted({letter for letter in words if not letter.isspace()})
    own: Any = ImageFont.load_default(size_px)
    lacking = _lacking(own, letters)
    if not lacking:
        chosen: FreeTypeFont = own
        return chosen
    for name in SYSTEM_FONTS:
        try:
            font = ImageFont.truetype(name, size_px)
        except OSError:
            continue
        if not _lacking(font, letters):
            return font
    raise PullmatteError(
        f"text with {lacking!r}: no font here has all of its letters; use plain Latin letters, or "
        f"install one of {', '.join(SYSTEM_FONTS[:3])}"
    )


def _lacking(font: "FreeTypeFont", letters: list[str]) -> str:
    """Return the letters that a font would draw as empty boxes."""
    small = font.font_variant(size=32)
    missing = _drawn(small, _NO_LETTER)
    return "".join(letter for letter in letters if _drawn(small, letter) == missing)


def _drawn(font: "FreeTypeFont", letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)
