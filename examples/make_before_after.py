"""Draw README's picture: a frame with its prompts, the alpha, the cut-out on a checkerboard.

Run: ``python examples/make_before_after.py docs/images/before_after.png``.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import pullmatte as pm

PART = (2, 58, 202, 242)
"""What is shown of the frame: left, top, right, bottom."""
SCALE = 2


def main(destination: Path) -> None:
    """Matte the ball by its saved prompts and put the three pictures side by side."""
    here = Path(__file__).parent
    with pm.open_video(here / "fuzzball.mp4") as clip:
        image = clip.frame(0).image
    prompts = pm.PromptFile.load(here / "fuzzball.json")
    matte = pm.load("nano").open_image(image).predict_objects(prompts)["fuzzball"]
    panels = [
        draw_prompts(to_picture(image), prompts),
        to_picture(np.repeat(matte.alpha[..., None], 3, axis=2)),
        to_picture(matte.composite("checker")),
    ]
    size = (SCALE * (PART[2] - PART[0]), SCALE * (PART[3] - PART[1]))
    panels = [panel.crop(PART).resize(size, Image.Resampling.LANCZOS) for panel in panels]
    width, height = size
    sheet = Image.new("RGB", (3 * width + 16, height), "white")
    for number, panel in enumerate(panels):
        sheet.paste(panel, (number * (width + 8), 0))
    destination.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(destination, optimize=True)


def to_picture(image: np.ndarray) -> Image.Image:
    """Round `H W 3` in [0, 1] to 8 bits."""
    return Image.fromarray((image * 255).round().astype(np.uint8))


def draw_prompts(picture: Image.Image, prompts: pm.PromptFile) -> Image.Image:
    """Draw the box and the points."""
    pen = ImageDraw.Draw(picture)
    for entry in prompts.prompts:
        if box := entry.prompt.box:
            pen.rectangle((box.x0, box.y0, box.x1, box.y1), outline=(80, 220, 255), width=1)
        for point in entry.prompt.points:
            spot = (point.x - 3, point.y - 3, point.x + 3, point.y + 3)
            pen.ellipse(spot, fill=(80, 255, 120), outline="black")
    return picture


if __name__ == "__main__":
    main(Path(sys.argv[1]))
