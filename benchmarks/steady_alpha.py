"""The temporal filter on alpha: dtSSD and accuracy off and on, harm on perfect mattes, cost.

Usage: python benchmarks/steady_alpha.py [DATA] [--frames 24] [--strength 0.7] [--tune] [--see DIR]

DATA holds `eval/video` (RGBA clips and plates); with --tune the clips are made from `train_fg` and
`train_bg` instead, and from drawn fur: the filter's constants were chosen on those. Each clip is
laid over a panned or still plate with grain. The mattes are
- perfect: the truth itself, to see what the filter harms;
- noise: the truth with independent noise of sigma 0.05 in every unknown pixel;
- flicker: the same with a smooth random field, new in each frame;
- solved: closed-form matting of each frame alone, with a trimap whose width varies.
All are measured by protocol vm-hr: MAD and MSE in thousandths, dtSSD in hundredths.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from clips import machine
from foreground import over, read_cutout, unpremultiplied
from PIL import Image

from pullmatte.eval.protocols import measure, quantise
from pullmatte.models.classical.closed_form import solve_alpha
from pullmatte.sessions.steady_alpha import STRENGTH, SteadyAlpha

DATA = Path(__file__).resolve().parents[2] / "shared/data"
KINDS = ("perfect", "noise", "flicker", "solved")
METRICS = ("dtssd", "mad", "mse", "grad")
Frame = tuple[np.ndarray, np.ndarray]  # image, true alpha
Matte = tuple[np.ndarray, np.ndarray]  # alpha, trimap


def read_plate(path: Path, width: int, height: int) -> np.ndarray:
    """Return a plate with room for panning."""
    plate = Image.open(path).convert("RGB").resize((width + 160, height + 120))
    return np.asarray(plate, np.float32) / 255


def lay(
    layers: Iterator[tuple[np.ndarray, np.ndarray]], plate: Path, pan: tuple[float, float], light=0
) -> Iterator[Frame]:
    """Put straight colour and alpha over the panned plate, with grain, as 8-bit levels."""
    noise, behind = np.random.default_rng(0), None
    for t, (colour, alpha) in enumerate(layers):
        height, width = alpha.shape
        behind = read_plate(plate, width, height) if behind is None else behind
        move = np.float32([[1, 0, -40 - pan[0] * t], [0, 1, -40 - pan[1] * t]])
        part = cv2.warpAffine(
            behind, move, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
        image = over(colour, alpha, part) * (1 + light * np.sin(1.3 * t))
        image = (image + noise.normal(0, 0.008, image.shape)).clip(0, 1)
        yield np.round(image * 255).astype(np.float32) / 255, alpha


def sequence(folder: Path, scale: float = 1) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    for path in sorted(folder.glob("*.webp")):
        rgba = np.asarray(Image.open(path).convert("RGBA"), np.float32) / 255
        rgba[..., :3] *= rgba[..., 3:]
        if scale != 1:
            rgba = cv2.resize(rgba, None, fx=scale, fy=scale, interpolation=how).clip(0, 1)
        rgba = cv2.copyMakeBorder(rgba, 8, 8, 8, 8, cv2.BORDER_CONSTANT, value=0)
        yield unpremultiplied(rgba)


def moved(
    premultiplied: Callable[[int], np.ndarray], speed=(0, 0), sway=0.0, fade=0.0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Slide and turn a cut-out over 480x300; `fade` is taken off its opacity in each frame."""
    for t in range(1000):
        rgba = premultiplied(t) * max(0, 1 - fade * t)
        angle = np.deg2rad(sway * np.sin(t / 4))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = np.array([220 + speed[0] * t, 150 + speed[1] * t])
        place = np.c_[turn, centre - turn @ (np.array(rgba.shape[1::-1]) / 2)]
        laid = cv2.warpAffine(rgba, place, (480, 300), flags=cv2.INTER_CUBIC).clip(0, 1)
        yield unpremultiplied(laid)


def fur(data: Path, texture: str, wind: float = 0.12) -> Callable[[int], np.ndarray]:
    """Draw a textured ball with 1500 swaying hairs, 300x300, premultiplied."""
    random, scale = np.random.default_rng(1), 2
    path = data / f"train_bg/endless_sky/{texture}.jpg"
    texels = np.asarray(Image.open(path).convert("RGB").resize((600, 600)), np.float32) / 255
    roots, lengths = random.uniform(0, 2 * np.pi, 1500), random.uniform(12, 38, 1500) * scale
    bends, along = random.normal(0, 0.5, 1500), np.linspace(0, 1, 8)
    tints = texels[tuple(random.integers(0, 600, (2, 1500)))] * random.uniform(0.6, 1, (1500, 1))

    def draw(t: int) -> np.ndarray:
        rgba = np.zeros((600, 600, 4), np.float32)
        cv2.circle(rgba, (300, 300), 160, (1, 1, 1, 1), -1, cv2.LINE_AA)
        rgba[..., :3] = texels * rgba[..., 3:]
        for root, length, bend, tint in zip(roots, lengths, bends, tints, strict=True):
            angle = root + along * (bend + wind * np.sin(0.6 * t + 3 * root))
            x = 300 + np.cos(root) * 148 + np.cos(angle) * length * along
            y = 300 + np.sin(root) * 148 + np.sin(angle) * length * along
            points = [np.round(np.stack([x, y], 1) * 16).astype(np.int32)]
            cv2.polylines(rgba, points, False, (*map(float, tint), 1.0), 1, cv2.LINE_AA, 4)
        return cv2.resize(rgba, (300, 300), interpolation=cv2.INTER_AREA)

    return draw


def cutout(path: Path) -> Callable[[int], np.ndarray]:
    colour, alpha = read_cutout(path, 240)
    premultiplied = np.dstack([colour * alpha[..., None], alpha])
    return lambda t: premultiplied


def tuning_clips(data: Path) -> Iterator[tuple[str, Iterator[Frame]]]:
    plates, cut = data / "train_bg/endless_sky", partial(Path, data / "train_fg")
    bird, susan = cut("tuxpaint/animals_birds_albino_peahen.webp"), cut("stk_plants/BlackEyedSusan")
    still, smoke = cut("flightgear_plants/Cardos1.webp"), cut("effects/fg_tyresmoke.webp")
    susan = susan.with_suffix(".webp")
    ball = fur(data, "canyon2")
    for name, layers, plate, pan, light in (
        ("fur, moving", moved(ball, (2.5, 0.8), 5), "beach1", (-2, 0.5), 0),
        ("fur, still plate", moved(ball, sway=5), "city0", (0, 0), 0),
        ("fur, light changes", moved(ball, (2.5, 0.8), 5), "badlands4", (-2, 0.5), 0.15),
        ("fur, fades out", moved(ball, (1, 0), 2, 0.06), "canyon3", (0, 0), 0),
        ("bird, moving", moved(cutout(bird), (6, 2), 8), "city3", (-3, 0), 0),
        ("flower, camera pans", moved(cutout(susan), (1.2, 0.4), 4), "canyon8", (1.2, 0.4), 0),
        ("plant, still", moved(cutout(still)), "beach5", (0, 0), 0),
        ("smoke, moving", moved(cutout(smoke), (2, -1), 4), "badlands1", (0, 0), 0),
    ):
        yield name, lay(layers, plates / f"{plate}.jpg", pan, light)


def evaluation_clips(data: Path) -> Iterator[tuple[str, Iterator[Frame]]]:
    video = data / "eval/video"
    for name, folder, scale, plate, pan in (
        ("hairball, slow pan", "hairball", 1, "water0", (-2, 0.5)),
        ("hairball, still plate", "hairball", 0.75, "forest2", (0, 0)),
        ("hairball, fast pan", "hairball", 0.6, "city2", (-7, 2)),
        ("explosion, slow pan", "explosion_naev", 1, "snow5", (-2, 0.5)),
        ("explosion twice as large", "explosion_naev", 2, "lava1", (-2, 0.5)),
    ):
        layers = sequence(video / folder, scale)
        yield name, lay(layers, video / f"backgrounds/{plate}.jpg", pan)


def trimap_of(alpha: np.ndarray, radius: int) -> np.ndarray:
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    trimap = np.full(alpha.shape, 0.5, np.float32)
    trimap[cv2.erode(np.uint8(alpha >= 0.995), ellipse) > 0] = 1
    trimap[cv2.erode(np.uint8(alpha <= 0.005), ellipse) > 0] = 0
    return trimap


def mattes_of(frames: list[Frame], kind: str) -> list[Matte]:
    random, mattes = np.random.default_rng(3), []
    for image, truth in frames:
        if kind == "solved":
            trimap = trimap_of(truth, int(random.integers(4, 10)))
            mattes.append((solve_alpha(image, trimap), trimap))
            continue
        height, width = truth.shape
        error = np.zeros_like(truth)
        if kind == "noise":
            error = random.normal(0, 0.05, truth.shape)
        elif kind == "flicker":
            field = random.normal(0, 0.07, (height // 40 + 2, width // 40 + 2))
            error = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
        trimap = trimap_of(truth, 6)
        mattes.append((np.where(trimap == 0.5, truth + error, truth), trimap))
    return [(alpha.clip(0, 1).astype(np.float32), trimap) for alpha, trimap in mattes]


def measured(alphas: list[np.ndarray], frames: list[Frame]) -> dict[str, float]:
    truth = np.stack([alpha for _, alpha in frames])
    return measure("vm-hr", quantise("vm-hr", np.stack(alphas)), quantise("vm-hr", truth))


def save_views(folder: Path, name: str, columns: list[list[np.ndarray]]) -> None:
    """Write three frames, off above on, over black, white and a checker, at 1:1."""
    rows, x = np.indices(columns[0][0].shape)
    checker = 0.35 + 0.3 * ((rows // 8 + x // 8) % 2)
    for label, own, plate in (("black", 1, 0), ("white", 0, 1), ("checker", 0, checker)):
        views = [[alpha * own + (1 - alpha) * plate for alpha in line] for line in columns]
        sheet = np.round(np.vstack([np.hstack(line) for line in views]) * 255).astype(np.uint8)
        Image.fromarray(sheet).save(folder / f"{name.replace(' ', '_')}_{label}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", default=DATA)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--strength", type=float, default=STRENGTH)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--see", type=Path, help="write views of solved mattes into this folder")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    clips = tuning_clips if options.tune else evaluation_clips
    print(machine(), "\n\n| clip | matte | dtSSD | MAD | MSE | Grad | CPU ms/frame |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for name, made in clips(options.data):
        frames = [frame for frame, _ in zip(made, range(options.frames), strict=False)]
        for kind in KINDS:
            start = time.process_time()
            mattes = mattes_of(frames, kind)
            matting = time.process_time() - start
            steady, start = SteadyAlpha(strength=options.strength), time.process_time()
            results = [steady.update(frames[i][0], *mattes[i]) for i in range(len(frames))]
            cost = (time.process_time() - start) / len(frames) * 1000
            off, on = measured([alpha for alpha, _ in mattes], frames), measured(results, frames)
            cells = " | ".join(f"{off[key]:.3f} → {on[key]:.3f}" for key in METRICS)
            share = f" ({100 * cost * len(frames) / 1000 / matting:.1f} % of matting)"
            print(f"| {name} | {kind} | {cells} | {cost:.0f}{share * (kind == 'solved')} |")
            if options.see and kind != "perfect":
                pick = slice(4, 7)
                sheet = [[alpha for alpha, _ in mattes[pick]], results[pick]]
                save_views(options.see, f"{name} {kind}", sheet)


if __name__ == "__main__":
    main()
