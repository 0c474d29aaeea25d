"""Foreground colours: how close to the truth, how steady in time, how fast.

Usage: python benchmarks/foreground.py DATA [--count 80] [--size 256] [--frames 24]

DATA holds `train_fg` (RGBA cut-outs) and `train_bg/wallpapers` (plates). Composites of known
colour are made from them; the error is taken where 0.02 < alpha < 0.98.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from pymatting import estimate_foreground_ml

from pullmatte.sessions.foreground import StableForeground, estimate_foreground

COLOURS = {"white": (1, 1, 1), "black": (0, 0, 0), "saturated green": (0, 1, 0)}
CLIPS = (
    "0ad_plants/berry_bush_01",
    "stk_plants/BlackEyedSusan",
    "flightgear_trees/australia-trees_0",
    "effects/fg_tyresmoke",
)
Frame = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def read_cutout(path: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return colour and alpha; premultiplied while it is resized."""
    rgba = np.asarray(Image.open(path).convert("RGBA"), np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    scale = min(1, size / max(rgba.shape[:2]))
    rgba = cv2.resize(rgba, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).clip(0, 1)
    return unpremultiplied(rgba)


def unpremultiplied(rgba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    alpha = np.ascontiguousarray(rgba[..., 3])
    return (rgba[..., :3] / np.maximum(alpha, 1e-6)[..., None]).clip(0, 1), alpha


def over(foreground: np.ndarray, alpha: np.ndarray, plate: np.ndarray) -> np.ndarray:
    return foreground * alpha[..., None] + plate * (1 - alpha[..., None])


def still_cases(data: Path, count: int, size: int) -> Iterator[Frame]:
    """Yield name, true colour, alpha and 8-bit image of `count` cut-outs on random plates."""
    random = np.random.default_rng(0)
    paths = sorted((data / "train_fg").glob("*/*.webp"))
    plates = sorted((data / "train_bg/wallpapers").glob("*.jpg"))
    for index in random.permutation(len(paths))[:count]:
        truth, alpha = read_cutout(paths[index], size)
        height, width = alpha.shape
        plate = Image.open(plates[random.integers(len(plates))]).convert("RGB").resize((900, 600))
        y, x = random.integers(600 - height), random.integers(900 - width)
        behind = np.asarray(plate, np.float32)[y : y + height, x : x + width] / 255
        image = np.round(over(truth, alpha, behind) * 255).astype(np.float32) / 255
        name = paths[index].relative_to(data / "train_fg").with_suffix("")
        yield str(name), truth, alpha, image


def print_stills(data: Path, count: int, size: int) -> None:
    methods: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "estimate_foreground": estimate_foreground,
        "StableForeground, first frame": lambda i, a: StableForeground().update(i, a),
        "pymatting with its defaults": estimate_foreground_ml,
    }
    cases = [case for case in still_cases(data, count, size) if soft_of(case[2]).sum() >= 50]
    print(
        "| method | new colour | n | MSE image | MSE estimate | ratio of means | median ratio ",
        end="",
    )
    print("| mean ratio | ratio ≥ 3 | worst 5 |\n|---|---|--:|--:|--:|--:|--:|--:|--:|---|")
    for label, method in methods.items():
        estimates = [method(image, alpha) for _, _, alpha, image in cases]
        for colour_name, colour in COLOURS.items():
            pairs = np.array([
                [mse_on(f, truth, alpha, colour) for f in (image, estimate)]
                for (_, truth, alpha, image), estimate in zip(cases, estimates, strict=True)
            ])
            ratios = pairs[:, 0] / pairs[:, 1]
            worst = ", ".join(f"{cases[i][0]} {ratios[i]:.2f}" for i in np.argsort(ratios)[:5])
            plain, own = pairs.mean(0)
            print(
                f"| {label} | {colour_name} | {len(cases)} | {plain:.5f} | {own:.5f} "
                f"| {plain / own:.2f} | {np.median(ratios):.2f} | {ratios.mean():.2f} "
                f"| {(ratios >= 3).mean():.0%} | {worst} |"
            )


def soft_of(alpha: np.ndarray) -> np.ndarray:
    return (alpha > 0.02) & (alpha < 0.98)


def mse_on(foreground: np.ndarray, truth: np.ndarray, alpha: np.ndarray, colour: tuple) -> float:
    plate = np.float32(colour)
    apart = over(foreground, alpha, plate) - over(truth, alpha, plate)
    return float((apart[soft_of(alpha)] ** 2).mean())


def moving_clip(data: Path, name: str, frames: int) -> Iterator[Frame]:
    """Yield true colour, alpha, noisy image and true flow to the previous frame, 640x360.

    The cut-out slides 4.3 px a frame and sways by 4 degrees; the plate slides the other way.
    """
    width, height, noise = 640, 360, np.random.default_rng(0)
    truth, alpha = read_cutout(data / f"train_fg/{name}.webp", 300)
    premultiplied = np.dstack([truth * alpha[..., None], alpha])
    plate = Image.open(data / "train_bg/wallpapers/plasma_Autumn.jpg").convert("RGB")
    plate = np.asarray(plate.resize((width + 200, height + 200)), np.float32) / 255
    pixels = np.stack([*np.meshgrid(np.arange(width), np.arange(height)), np.ones((height, width))])
    before = None
    for t in range(frames):
        angle = np.deg2rad(4 * np.sin(t / 7))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = np.array([width / 2 - 60 + 4.3 * t, height / 2 + 12 * np.sin(t / 5)])
        place = np.eye(3)
        place[:2, :2] = turn
        place[:2, 2] = centre - turn @ (np.array(alpha.shape[::-1]) / 2)
        laid = cv2.warpAffine(premultiplied, place[:2], (width, height)).clip(0, 1)
        colour, moved_alpha = unpremultiplied(laid)
        slide = np.float32([[1, 0, -20 - 3.1 * t], [0, 1, -30 + 1.7 * t]])
        behind = cv2.warpAffine(plate, slide, (width, height), borderMode=cv2.BORDER_REFLECT)
        image = over(colour, moved_alpha, behind) + noise.normal(0, 0.01, colour.shape)
        back = np.eye(3) if before is None else before @ np.linalg.inv(place)
        flow = np.einsum("ij,jhw->hwi", back - np.eye(3), pixels)[..., :2].astype(np.float32)
        yield colour, moved_alpha, image.clip(0, 1).astype(np.float32), flow
        before = place


def measure_clip(frames: list[Frame], method: Callable) -> tuple[float, ...]:
    """Return flicker at a pixel, flicker along the motion, both MSE, and ms per frame.

    Flicker is the mean absolute change of (estimate - truth) x alpha from frame to frame.
    """
    still, along, straight, seen, seconds = [], [], [], [], []
    grid = np.stack(np.meshgrid(np.arange(640), np.arange(360)), -1).astype(np.float32)
    last = last_soft = None
    for truth, alpha, image, flow in frames:
        start = time.thread_time()
        estimate = method(image, alpha)
        seconds.append(time.thread_time() - start)
        soft, apart = soft_of(alpha), (estimate - truth) * alpha[..., None]
        if last is not None:
            still.append(np.abs(apart - last)[soft & last_soft].mean())
            moved = cv2.remap(last, grid + flow, None, cv2.INTER_LINEAR)
            along.append(np.abs(apart - moved)[soft].mean())
        straight.append(((estimate - truth)[soft] ** 2).mean())
        seen.append((apart[soft] ** 2).mean())
        last, last_soft = apart, soft
    return (*(float(np.mean(v)) for v in (still, along, straight, seen)), np.median(seconds) * 1e3)


def print_clips(data: Path, count: int) -> None:
    print("| clip | method | flicker at a pixel | flicker along the motion ", end="")
    print("| MSE of colour | MSE of composite | CPU ms/frame |\n|---|---|--:|--:|--:|--:|--:|")
    for name in CLIPS:
        frames = list(moving_clip(data, name, count))
        for label, clip_frames, method in (
            ("image as foreground", frames, lambda image, alpha: image),
            ("estimate_foreground", frames, estimate_foreground),
            ("each frame alone (strength 0)", frames, StableForeground(strength=0).update),
            ("StableForeground", frames, StableForeground().update),
        ):
            a, b, c, d, ms = measure_clip(clip_frames, method)
            print(f"| {name} | {label} | {a:.5f} | {b:.5f} | {c:.5f} | {d:.6f} | {ms:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=80, help="cut-outs")
    parser.add_argument("--size", type=int, default=256, help="longest side, pixels")
    parser.add_argument("--frames", type=int, default=24, help="frames per clip")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print_stills(options.data, options.count, options.size)
    print()
    print_clips(options.data, options.frames)


if __name__ == "__main__":
    main()
