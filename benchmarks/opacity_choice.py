"""How well the opacity rule tells transparent objects from opaque ones, on true alphas.

Usage: python benchmarks/opacity_choice.py DATA

DATA holds `train_fg`. Transparent are its effects (smoke, fire, splashes, nebulae) and the two
stamps of fire and an explosion; opaque are all other stamps, and, apart, plants and trees. Each
alpha is brought to a square of 1024 pixels with a margin; "noise" adds 3 %, "blur" 8 pixels.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pullmatte.models.sdmatte.opacity_choice import LEAST_SHARE, deep_softness

SIDE_PX = 1024


def kind_of(path: Path) -> str:
    """Return transparent, opaque or plants."""
    fiery = "explosion" in path.name or "naturalforces" in path.name
    if "effects" in path.parts or fiery:
        return "transparent"
    return "opaque" if "tuxpaint" in path.parts else "plants"


def squares_of(path: Path) -> dict[str, np.ndarray]:
    """Return the alpha as it would come from the network, and spoiled."""
    alpha = np.asarray(Image.open(path).convert("RGBA"))[..., 3].astype(np.float32) / 255
    scale = 900 / max(alpha.shape)
    alpha = cv2.resize(alpha, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    square = cv2.resize(np.pad(alpha, 62), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)
    noise = np.random.default_rng(0).normal(0, 0.03, square.shape).astype(np.float32)
    return {
        "true": square,
        "noise": np.clip(square + noise, 0, 1),
        "blur": cv2.GaussianBlur(square, (0, 0), 8),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    found: dict[str, dict[str, list[float]]] = {}
    for path in sorted((parser.parse_args().data / "train_fg").rglob("*.webp")):
        for name, square in squares_of(path).items():
            by_kind = found.setdefault(name, {})
            by_kind.setdefault(kind_of(path), []).append(deep_softness(square))
    for name, by_kind in found.items():
        positive = np.array(by_kind["transparent"])
        print(f"{name}: transparent found {np.mean(positive >= LEAST_SHARE):.3f}")
        for kind in ("opaque", "plants"):
            other = np.array(by_kind[kind])
            above = positive[:, None] - other
            area = np.mean((above > 0) + 0.5 * (above == 0))
            print(f"  {kind} right {np.mean(other < LEAST_SHARE):.3f}, area under curve {area:.4f}")


if __name__ == "__main__":
    main()
