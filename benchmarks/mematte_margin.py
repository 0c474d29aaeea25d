"""What MEMatte and ViTMatte lose, and save, if they look at a part of the photo alone.

Usage: python benchmarks/mematte_margin.py [DATA] [--photos N] [--models mematte vitmatte]

DATA, ../shared/data unless given, holds `eval/alphamatting`. Each photo is matted whole, then by
the part with its unknown pixels and a margin; begin and end of the part are multiples of 1, of 32
or of 224 pixels, the side of a window. Its trimaps reach almost to the edge of the photo, which
leaves nothing to save, so each photo is also set into a larger one of its mirrored self, where all
round it is known background. What is told is the mean and the 99th percentile of the difference
of alpha over unknown pixels, in thousandths, and CPU seconds on one thread as a share of those for
the whole.

THE WEIGHTS ARE RANDOM, scaled so that alpha varies: a trained network looks at other things, and
how far, nobody can say from here. The figures compare margins with each other and tell the time.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pullmatte.models.mematte.config import MEMATTE_S, VITMATTE_S, MEMatteConfig
from pullmatte.models.mematte.model import MEMatteModel, part_of
from pullmatte.models.mematte.network import MEMatteNetwork, fill_up, normalise

MARGINS_PX = (0, 16, 32, 64, 128)
ALIGNED_PX = (1, 32, 224)
MODELS = {"mematte": MEMATTE_S, "vitmatte": VITMATTE_S}
FRAME = 0.25  # known surroundings, as a share of the photo's sides, on each of them
POSITIONS = 0.1  # deviation of learned positions, where tokens deviate by about 1


def make_network(config: MEMatteConfig, image: np.ndarray, trimap: np.ndarray) -> MEMatteNetwork:
    """Return a network with random weights, whose alpha varies as much as true ones do."""
    generator = torch.Generator().manual_seed(0)
    network = MEMatteNetwork(config).eval().requires_grad_(False)
    for name, values in network.named_parameters():
        if "pos" in name:
            values.normal_(0, POSITIONS, generator=generator)
        elif values.ndim > 1:
            # What a block adds is kept small, as depth would otherwise amplify any difference.
            adds = name.endswith((
                "attn.proj.weight",
                "mlp.fc2.weight",
                "efficient_block.fc2.weight",
            ))
            scale = (2 * config.blocks) ** -0.5 if adds else 1.0
            values.normal_(0, scale * values[0].numel() ** -0.5, generator=generator)
        elif "residual.norm3" in name:
            values.mul_((2 * config.blocks) ** -0.5)
    picture = fill_up(normalise(as_tensor(image), torch.from_numpy(trimap)[None, None]))
    # One pass gives each batch norm the mean and the deviation of what comes to it.
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
            module.train()
    with torch.inference_mode():
        features, _ = network.backbone(picture, config.most_tokens)
        network.decoder(features, picture)
        network.eval()
        logits = torch.logit(network.decoder(features, picture).double())
        last = network.decoder.matting_head.matting_convs[-1]
        last.weight.mul_(2 / logits.std().float())
        last.bias.sub_(logits.mean().float()).mul_(2 / logits.std().float())
    return network


def as_tensor(image: np.ndarray) -> torch.Tensor:
    """Turn `H W 3` into `1 3 H W`."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]


def load_photos(folder: Path, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Load photos with their trimaps, set into known surroundings."""
    photos = []
    for path in sorted((folder / "image").iterdir())[:count]:
        image = np.asarray(Image.open(path).convert("RGB"), np.float32) / 255
        levels = np.asarray(Image.open(folder / "trimap1" / f"{path.stem}.png").convert("L"))
        trimap = np.where(levels == 255, 1, np.where(levels == 0, 0, 0.5)).astype(np.float32)
        rows, columns = (round(FRAME * side) for side in trimap.shape)
        photos.append((
            np.pad(image, ((rows, rows), (columns, columns), (0, 0)), mode="reflect"),
            np.pad(trimap, ((rows, rows), (columns, columns))),
        ))
    return photos


def timed(model: MEMatteModel, image: np.ndarray, trimap: np.ndarray) -> tuple[np.ndarray, float]:
    """Matte, and tell the CPU seconds."""
    started = time.process_time()
    alpha = model.matte(image, trimap)
    return alpha, time.process_time() - started


def compare(model: MEMatteModel, image: np.ndarray, trimap: np.ndarray) -> dict:
    """Return for each way: mean and 99th percentile of the difference, times and area."""
    unknown = trimap == 0.5
    whole, seconds = timed(model, image, trimap)
    found = {"whole": (float(whole[unknown].std()), 0.0, 1.0, 1.0)}
    for align_px in ALIGNED_PX:
        for margin_px in MARGINS_PX:
            part = part_of(unknown, margin_px, align_px)
            alpha, taken = timed(model, image[part], trimap[part])
            apart = np.abs(alpha - whole[part])[unknown[part]]
            area = trimap[part].size / trimap.size
            figures = (apart.mean(), np.quantile(apart, 0.99), taken / seconds, area)
            found[f"{align_px:3d} {margin_px:3d}"] = tuple(map(float, figures))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--photos", type=int, default=14)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    photos = load_photos(given.data / "eval" / "alphamatting", given.photos)
    for name in given.models:
        model = MEMatteModel(make_network(MODELS[name], *photos[0]))
        rows = [compare(model, *photo) for photo in photos]
        varied = np.mean([row["whole"][0] for row in rows])
        print(f"{name}: {len(rows)} photos, alpha deviates by {varied:.3f}")
        print("  align margin   mean  99 %   (thousandths)   time   area")
        for way in rows[0]:
            if way != "whole":
                mean, most, taken, area = np.mean([row[way] for row in rows], axis=0)
                print(
                    f"  {way}      {1e3 * mean:6.1f} {1e3 * most:6.1f} {taken:19.2f} {area:6.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
