"""Draw what nano can't: pictures with their prompts, alphas, and cut-outs on a checkerboard.

Run: python benchmarks/nano_failures.py NOVM_FREE [--out docs/images/nano_failures.webp]

Shown are the coffee cup and the ball of fur of `examples`, and the worst clips of `novm-free` by
mean absolute error of frame 0, one for each category, among those that are made of numbers alone.
"""

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import pullmatte as pm
from pullmatte.data.clip_layouts import open_test_clips
from pullmatte.data.novm.categories import OWN
from pullmatte.data.novm.writing import MANIFEST, tight_box
from pullmatte.matte import make_background
from pullmatte.sessions.load import Matter

ROOT = Path(__file__).parents[1]
SIZE = (400, 225)
CLIPS = 4
BALL_FRAME = 47


def row(image: np.ndarray, alpha: np.ndarray, boxes: list[tuple[float, ...]]) -> np.ndarray:
    """Picture, alpha and cut-out side by side, `H W 3` uint8."""
    shown = np.ascontiguousarray(image * 255).astype(np.uint8)
    for box in boxes:
        x0, y0, x1, y1 = (round(each) for each in box)
        cv2.rectangle(shown, (x0, y0), (x1, y1), (255, 220, 0), max(2, shown.shape[1] // 300))
    plate = make_background("checker", alpha.shape[1], alpha.shape[0])
    cut = image * alpha[..., None] + plate * (1 - alpha[..., None])
    parts = [shown, np.dstack([alpha * 255] * 3), cut * 255]
    return np.hstack([fitted(each) for each in parts])


def fitted(pixels: np.ndarray) -> np.ndarray:
    """Fit a picture into `SIZE`, on white, `H W 3` uint8."""
    width, height = SIZE
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    small = cv2.resize(pixels.clip(0, 255).astype(np.uint8), size, interpolation=cv2.INTER_AREA)
    sheet = np.full((height, width, 3), 255, np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    sheet[top : top + size[1], left : left + size[0]] = small
    return sheet


def examples(matter: Matter) -> list[np.ndarray]:
    """The cup by its box, and a frame of the ball's clip."""
    image = pm.read_image(ROOT / "examples/coffee.png")
    box = (75, 15, 485, 392)
    cup = matter.open_image(image, foreground=False).predict(box=box).alpha
    first = pm.PromptFile.load(ROOT / "examples/fuzzball.json").prompts[0]
    with pm.open_video(ROOT / "examples/fuzzball.mp4") as clip:
        frames = [clip.frame(at).image for at in range(BALL_FRAME + 1)]
    session = matter.open_video(frames, foreground=False)
    box_of_ball = first.prompt.box
    sides = (box_of_ball.x0, box_of_ball.y0, box_of_ball.x1, box_of_ball.y1)
    session.prompt(frame=first.frame, box=sides)
    *_, last = session.propagate()
    (matte,) = last.mattes.values()
    return [row(image, cup, [box]), row(frames[-1], matte.alpha, [])]


def worst(matter: Matter, folder: Path) -> list[np.ndarray]:
    """The worst first frames, of different categories."""
    found = []
    listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["clips"]
    made = {each["name"] for each in listed if set(each["licences"]) == {OWN}}
    for clip in open_test_clips(folder)[1]:
        if clip.name not in made:
            continue
        image = next(iter(clip.frames())).astype(np.float32) / 255
        truth = next(iter(clip.truths()))
        tight = tight_box(truth)
        box = (tight.x0, tight.y0, tight.x1, tight.y1)
        alpha = matter.open_image(image, foreground=False).predict(box=box).alpha
        found.append((float(np.abs(alpha - truth / 255).mean()), clip, image, alpha, box))
    found.sort(key=lambda each: -each[0])
    rows_drawn, seen = [], set()
    for off, clip, image, alpha, box in found:
        if clip.category not in seen and len(seen) < CLIPS:
            seen.add(clip.category)
            print(f"{clip.name}: {1000 * off:.0f}")
            rows_drawn.append(row(image, alpha, [box]))
    return rows_drawn


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images/nano_failures.webp")
    options = parser.parse_args()
    matter = pm.load("nano")
    sheet = np.vstack([*examples(matter), *worst(matter, options.folder)])
    Image.fromarray(sheet).save(options.out, quality=80)
    return 0


if __name__ == "__main__":
    sys.exit(main())
