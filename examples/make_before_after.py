"""Draw README's picture: a photo with its prompts, the alpha, the cut-out on a checkerboard.

Run: ``python examples/make_before_after.py docs/images/before_after.png``.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import pullmatte as pm


def main(destination: Path) -> None:
    """Matte the coffee cup by its saved prompts and put the three pictures side by side."""
    here = Path(__file__).parent
    image = pm.read_image(here / "coffee.png")
    prompts = pm.PromptFile.load(here / "coffee.json")
    matte = pm.load("classical").open_image(image).predict_objects(prompts)["cup"]
    panels = [
        draw_prompts(to_picture(image), prompts),
        to_picture(np.repeat(matte.alpha[..., None], 3, axis=2)),
        to_picture(matte.composite("checker")),
    ]
    width, height = panels[0].size
    sheet = Image.new("RGB", (3 * width + 16, height), "white")
    for number, panel in enumerate(panels):
        sheet.paste(panel, (number * (width + 8), 0))
    destination.parent.mkdir(parents=True, exist_ok=True)
    sheet.resize((sheet.width * 2 // 3, sheet.height * 2 // 3), Image.Resampling.LANCZOS).save(
        destination, optimize=True
    )


def to_picture(image: np.ndarray) -> Image.Image:
    """Round `H W 3` in [0, 1] to 8 bits."""
    return Image.fromarray((image * 255).round().astype(np.uint8))


def draw_prompts(picture: Image.Image, prompts: pm.PromptFile) -> Image.Image:
    """Draw the box and the points."""
    pen = ImageDraw.Draw(picture)
    for entry in prompts.prompts:
        if box := entry.prompt.box:
            pen.rectangle((box.x0, box.y0, box.x1, box.y1), outline=(80, 220, 255), width=3)
        for point in entry.prompt.points:
            spot = (point.x - 7, point.y - 7, point.x + 7, point.y + 7)
            pen.ellipse(spot, fill=(80, 255, 120), outline="black", width=2)
    return picture


if __name__ == "__main__":
    main(Path(sys.argv[1]))
