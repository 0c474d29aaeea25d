"""SDMatte's tables 3, 4 and 5 again, with a small U-Net trained from scratch.

Run: python benchmarks/ablation_sdmatte.py OUT [--tables 3,4,5] [--seeds 3] [--steps 600]

OUT is a JSON file: each run adds its figures as soon as it is done, and runs that are in it
are not run again. Every variant sees the same scenes with the same prompts in the same order; a
seed changes the starting weights. Scenes are made of procedural things alone, so that anybody can
run this; those that are measured have seeds that training never sees.

What differs from the paper, besides all sizes: nothing is pretrained, so the autoencoder learns too
and cross-attention has no knowledge of text to inherit. What a table shows here is whether the
mechanism helps by itself.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import mean, stdev

import cv2
import numpy as np
import torch

from pullmatte.data.procedural import KINDS
from pullmatte.data.samples import MattingSample
from pullmatte.data.scenes import SceneSettings, SceneSource, made_ground, procedural_makers
from pullmatte.models.sdmatte.config import (
    AutoencoderConfig,
    BlockSwitch,
    SDMatteConfig,
    UNetConfig,
)
from pullmatte.models.sdmatte.network import SDMatteNetwork
from pullmatte.train.sdmatte import SDMatteRecipe
from pullmatte.train.sdmatte_lessons import SDMatteSettings

SIZE_PX, BATCH = 128, 4
MEASURED = 48
BASE = SDMatteConfig(
    unet=UNetConfig(
        channels=(32, 64, 96, 96), heads=(1, 2, 3, 3), layers_per_block=1, context_width=64,
        norm_groups=8,
    ),
    autoencoder=AutoencoderConfig(channels=(16, 24, 32, 32), layers_per_block=1, norm_groups=8),
    size_px=SIZE_PX,
    box_width=128,
    points_width=168,
)  # fmt: skip
SWITCHES = [BlockSwitch(*each) for each in product((False, True), repeat=3)]


@dataclass(frozen=True)
class Variant:
    """A row of a table."""

    table: int
    name: str
    config: SDMatteConfig


def said(switch: BlockSwitch) -> str:
    names = [n for n, on in zip(("down", "mid", "up"), switch, strict=True) if on]
    return " + ".join(names) or "nowhere"


def variants(tables: list[int]) -> Iterator[Variant]:
    """Yield the rows of the tables, each time all else being as released."""
    if 3 in tables:
        for each in SWITCHES:
            config = replace(BASE, visual_prompt_cross_attention=each)
            yield Variant(3, f"visual prompt read {said(each)}", config)
    if 4 in tables:
        for opacity, place in product((False, True), repeat=2):
            config = replace(BASE, opacity_embedding=opacity, coordinate_embedding=place)
            name = f"opacity {'on' if opacity else 'off'}, coordinates {'on' if place else 'off'}"
            yield Variant(4, name, config)
    if 5 in tables:
        for each in SWITCHES:
            config = replace(BASE, masked_self_attention=each)
            yield Variant(5, f"masked {said(each)}", config)


class Kept:
    """Scenes made once and kept as bytes; a `SampleSource` that starts again at its end."""

    def __init__(self, seed: int, count: int) -> None:
        rng = np.random.default_rng(seed)
        grounds = [made_ground(2 * SIZE_PX, rng) for _ in range(64)]
        settings = SceneSettings(SIZE_PX, seed, scale=(0.4, 1.2), absent_chance=0.0)
        source = SceneSource([], grounds, settings, makers=procedural_makers(list(KINDS), 64, 160))
        self.samples = []
        for number in range(count):
            sample = source.sample(number)
            image, alpha = (
                np.rint(each * 255).astype(np.uint8) for each in (sample.image, sample.alpha)
            )
            if alpha.max() > 127:
                self.samples.append((image, alpha, sample.opacity))

    def sample(self, number: int) -> MattingSample:
        image, alpha, opacity = self.samples[number % len(self.samples)]
        unit = np.float32(255)
        return MattingSample(
            image.astype(np.float32) / unit, alpha.astype(np.float32) / unit, opacity=opacity
        )


def measure(network: SDMatteNetwork, source: Kept, settings: SDMatteSettings) -> dict[str, float]:
    """Return MSE × 1000 and SAD / 1000 on measured scenes, by points and by box."""
    network.eval()
    found = {}
    for kind in ("point", "box"):
        recipe = SDMatteRecipe(network, source, replace(settings, prompts=(kind,), grey=0.0))
        off = []
        with torch.no_grad():
            for first in range(0, MEASURED, BATCH):
                items = [recipe.item(number) for number in range(first, first + BATCH)]
                alpha = recipe.matte(network, items).alpha
                off.append((alpha - torch.stack([each.alpha for each in items]))[:, 0])
        error = torch.cat(off)
        found[f"{kind} MSE"] = 1000 * float(error.square().mean())
        found[f"{kind} SAD"] = float(error.abs().sum((1, 2)).mean()) / 1000
    return found


def run(variant: Variant, seed: int, steps: int, data: Kept, held_out: Kept) -> dict[str, float]:
    """Train one network and measure it."""
    torch.manual_seed(seed)
    network = SDMatteNetwork(variant.config)
    settings = SDMatteSettings(size_px=SIZE_PX, batch=BATCH, autoencoder_learns="whole")
    recipe = SDMatteRecipe(network, data, settings)
    network.train()
    trained = [value for value in network.parameters() if value.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps, pct_start=0.1)
    began = time.process_time()
    for step in range(steps):
        items = [recipe.item(number) for number in range(step * BATCH, (step + 1) * BATCH)]
        total = recipe.losses(items)["total"]
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        schedule.step()
    figures = measure(network, held_out, settings)
    return {**figures, "loss": float(total.detach()), "seconds": time.process_time() - began}


def table(done: dict[str, dict[str, float]], number: int, rows: list[Variant], seeds: int) -> None:
    print(f"\nTable {number}, mean and spread of {seeds} seeds:\n")
    columns = ("point MSE", "point SAD", "box MSE", "box SAD")
    print(f"| variant | {' | '.join(columns)} |\n| --- |{' --: |' * len(columns)}")
    for row in rows:
        cells = []
        for column in columns:
            values = [
                done[key][column]
                for seed in range(seeds)
                if (key := f"{row.table}/{row.name}/{seed}") in done
            ]
            spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.2f}{spread}" if values else "")
        print(f"| {row.name} | {' | '.join(cells)} |")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--tables", default="3,4,5")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--scenes", type=int, default=2400)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    tables = [int(each) for each in options.tables.split(",")]
    done = json.loads(options.out.read_text()) if options.out.exists() else {}
    rows = list(variants(tables))
    data, held_out = Kept(1, options.scenes), Kept(2**31, 2 * MEASURED)
    for seed in range(options.seeds):
        for row in rows:
            key = f"{row.table}/{row.name}/{seed}"
            if key in done:
                continue
            done[key] = run(row, seed, options.steps, data, held_out)
            print(key, {name: round(value, 2) for name, value in done[key].items()}, flush=True)
            part = options.out.with_suffix(".part")
            part.write_text(json.dumps(done, indent=1))
            part.replace(options.out)
    for number in tables:
        table(done, number, [row for row in rows if row.table == number], options.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
