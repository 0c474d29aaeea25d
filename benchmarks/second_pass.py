"""What a second model and tiles add to a first answer that is coarser than the photo.

Usage: python benchmarks/second_pass.py DATA [--count 14] [--tiles 8]

DATA holds `train_fg` (RGBA cut-outs) and `train_bg` (plates). Prints mean errors in thousandths.
Second stage: photos of 400 pixels; the first answer is the true alpha, or that four times coarser;
the second model is the classical engine. Tiles: photos of 900 pixels; the model is the classical
engine made to look at no more than 300, prompted with a mask that is 4 pixels too wide.
"""

import argparse
import random
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pullmatte import load
from pullmatte.models.protocol import Prediction
from pullmatte.prompts import Mask, Prompt, Trimap
from pullmatte.sessions.second_stage import SecondStage, trimap_from_alpha
from pullmatte.sessions.tiling import Tiled

GROUPS = {
    "things": ("tuxpaint",),
    "plants": ("stk_plants", "flightgear_trees", "0ad_plants"),
    "effects": ("effects",),
}
TILE_PX = 300
CLASSICAL = load("classical").model


class Fixed:
    """The classical engine with a fixed input size."""

    def encode(self, image: np.ndarray) -> tuple:
        scale = min(1.0, TILE_PX / max(image.shape[:2]))
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return image.shape[:2], small.shape[1::-1], CLASSICAL.encode(small)

    def predict(self, encoded: tuple, prompt: Prompt, *, opacity: str = "auto") -> Prediction:
        (height, width), size, inner = encoded
        weight = prompt.mask.array.astype(np.float32)
        mask = cv2.resize(weight, size, interpolation=cv2.INTER_AREA) > 0.5
        if not mask.any() or mask.all():
            return Prediction(np.full((height, width), np.float32(mask.any())))
        alpha = CLASSICAL.predict(inner, Prompt(mask=Mask(mask))).alpha
        return Prediction(cv2.resize(alpha, (width, height), interpolation=cv2.INTER_LINEAR))


def composite(cutout: Path, plate: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return image and alpha, `side side`."""
    rgba = np.asarray(Image.open(cutout).convert("RGBA"), np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    scale = 0.87 * side / max(rgba.shape[:2])
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    rgba = cv2.resize(rgba, None, fx=scale, fy=scale, interpolation=kind).clip(0, 1)
    top, left = (side - rgba.shape[0]) // 2, (side - rgba.shape[1]) // 2
    frame = np.zeros((side, side, 4), np.float32)
    frame[top : top + rgba.shape[0], left : left + rgba.shape[1]] = rgba
    back = np.asarray(Image.open(plate).convert("RGB").resize((side, side)), np.float32) / 255
    return (frame[..., :3] + back * (1 - frame[..., 3:])).clip(0, 1), frame[..., 3]


def coarser(alpha: np.ndarray) -> np.ndarray:
    """Return an alpha as a model sees it that looks at a quarter of the size."""
    small = cv2.resize(alpha, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR).clip(0, 1)


def error(alpha: np.ndarray, truth: np.ndarray) -> float:
    return float(np.abs(alpha - truth).mean() * 1000)


def second_stage(cutouts: list[Path], plates: list[Path]) -> None:
    found: dict[str, list[tuple[float, ...]]] = {"true": [], "coarse": []}
    for number, cutout in enumerate(cutouts):
        image, truth = composite(cutout, plates[number % len(plates)], 400)
        for name, given in (("true", truth), ("coarse", coarser(truth))):
            trimap = trimap_from_alpha(given)
            soft = (truth > 0.05) & (truth < 0.95)
            recall = (trimap[soft] == 0.5).mean() if soft.any() else 1.0
            prompt = Prompt(trimap=Trimap(trimap))
            alpha = CLASSICAL.predict(CLASSICAL.encode(image), prompt).alpha
            before, after = error(given, truth), error(alpha, truth)
            found[name].append((recall, before, after, after > before))
    for name, rows in found.items():
        recall, before, after, worse = np.mean(rows, axis=0)
        least = min(row[0] for row in rows)
        print(
            f"  {name}: soft pixels in the band {recall:.4f}, least {least:.3f}; "
            f"error {before:.1f} → {after:.1f}, worse in {worse:.0%}",
            flush=True,
        )


def tiles(cutouts: list[Path], plates: list[Path]) -> None:
    model = Fixed()
    rows = []
    for number, cutout in enumerate(cutouts):
        image, truth = composite(cutout, plates[number % len(plates)], 900)
        wide = cv2.dilate((truth > 0.5).astype(np.uint8), np.ones((9, 9))) > 0
        prompt = Prompt(mask=Mask(wide))
        ways = (model, Tiled(model, TILE_PX), SecondStage(model, CLASSICAL))
        answers = [way.predict(way.encode(image), prompt).alpha for way in ways]
        rows.append([error(alpha, truth) for alpha in answers])
        said = ", ".join(f"{value:.1f}" for value in rows[-1])
        print(f"  {cutout.stem}: coarse, tiles, second stage: {said}", flush=True)
    print("  mean:", ", ".join(f"{value:.1f}" for value in np.mean(rows, axis=0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=14)
    parser.add_argument("--tiles", type=int, default=8)
    said = parser.parse_args()
    kinds = {".jpg", ".webp", ".png"}
    plates = sorted(p for p in (said.data / "train_bg").rglob("*") if p.suffix in kinds)
    random.Random(0).shuffle(plates)
    for name, folders in GROUPS.items():
        found = sorted(p for f in folders for p in (said.data / "train_fg" / f).glob("*.webp"))
        random.Random(0).shuffle(found)
        print(f"second stage, {name}:")
        # Where nearly all is unknown the solver takes a minute a picture.
        second_stage(found[: said.count // 3 if name == "effects" else said.count], plates)
        if name == "things":
            large = sorted(found, key=lambda path: -max(Image.open(path).size))
            print("tiles:")
            tiles(large[: said.tiles], plates)


if __name__ == "__main__":
    main()
