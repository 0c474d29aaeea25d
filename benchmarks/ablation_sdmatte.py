"""SDMatte's tables 3, 4 and 5 again, with a small U-Net trained from scratch.

Run: python benchmarks/ablation_sdmatte.py OUT [--rows pairs] [--seeds 3] [--steps 400]

OUT is a JSON file: each run adds its figures as soon as it is done, and runs that are in it
are not run again. Every variant sees the same scenes with the same prompts in the same order; a
seed changes the starting weights. Scenes are made of procedural things alone, so that anybody can
run this; those that are measured have seeds that training never sees.

What differs from the paper, besides all sizes: the autoencoder is a small one that first learns to
give back scenes, prompts and alphas, once for all variants; then its encoder is frozen, as the
paper's is, and its decoder goes on learning. The U-Net starts from random weights, and
cross-attention has no knowledge of text to inherit. What a table shows here is whether the
mechanism helps by itself.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import mean, stdev

import cv2
import numpy as np
import torch
from torch import Tensor

from pullmatte.data.procedural import KINDS
from pullmatte.data.scenes import SceneSettings, SceneSource, made_ground, procedural_makers
from pullmatte.models.sdmatte.autoencoder import LatentCodec
from pullmatte.models.sdmatte.config import (
    AutoencoderConfig,
    BlockSwitch,
    SDMatteConfig,
    UNetConfig,
)
from pullmatte.models.sdmatte.network import SDMatteNetwork
from pullmatte.train.losses import matting_losses
from pullmatte.train.sdmatte_lessons import Prompted, SDMatteSettings, as_batch, make_lesson

SIZE_PX, BATCH = 128, 4
MEASURED = 64
RATE = 2e-3
BASE = SDMatteConfig(
    unet=UNetConfig(
        channels=(32, 64, 96, 96), heads=(1, 2, 3, 3), layers_per_block=1, context_width=64,
        norm_groups=8,
    ),
    autoencoder=AutoencoderConfig(channels=(8, 16, 32, 32), layers_per_block=1, norm_groups=8),
    size_px=SIZE_PX,
    box_width=128,
    points_width=168,
)  # fmt: skip
SWITCHES = [BlockSwitch(*each) for each in product((False, True), repeat=3)]


def said(switch: BlockSwitch) -> str:
    names = [n for n, on in zip(("down", "mid", "up"), switch, strict=True) if on]
    return " + ".join(names) or "nowhere"


KEY = ("nowhere", "mid", "down + mid + up")
ROWS = {
    "all": ([said(each) for each in SWITCHES],) * 2,
    "key": (KEY, KEY),
    "pairs": (("nowhere", "mid"), ("nowhere", "down + mid + up")),
}
"""Which rows of tables 3 and 5; pairs are what is released and what is without the mechanism."""


@dataclass(frozen=True)
class Variant:
    """A row of a table."""

    table: int
    name: str
    config: SDMatteConfig

    def key(self, seed: int) -> str:
        """Name the run; the row of all that is released is one run for all tables."""
        config = self.config
        return (
            f"cross {said(config.visual_prompt_cross_attention)}; "
            f"masked {said(config.masked_self_attention)}; "
            f"opacity {config.opacity_embedding}; coordinates {config.coordinate_embedding}; "
            f"seed {seed}"
        )


def variants(tables: list[int], base: SDMatteConfig, rows: str) -> Iterator[Variant]:
    """Yield the rows of the tables, each time all else being as released."""
    cross, masked = ROWS[rows]
    if 3 in tables:
        for each in SWITCHES:
            if said(each) in cross:
                config = replace(base, visual_prompt_cross_attention=each)
                yield Variant(3, f"visual prompt read {said(each)}", config)
    if 4 in tables:
        for opacity, place in product((False, True), repeat=2):
            if rows == "pairs" and opacity != place:
                continue
            config = replace(base, opacity_embedding=opacity, coordinate_embedding=place)
            name = f"opacity {'on' if opacity else 'off'}, coordinates {'on' if place else 'off'}"
            yield Variant(4, name, config)
    if 5 in tables:
        for each in SWITCHES:
            if said(each) in masked:
                config = replace(base, masked_self_attention=each)
                yield Variant(5, f"masked {said(each)}", config)


@dataclass(frozen=True, eq=False)
class Lesson:
    """An item whose image and prompt are encoded; the picture itself isn't kept."""

    item: Prompted
    image_latent: Tensor
    prompt_latent: Tensor


def scenes(seed: int) -> SceneSource:
    """Compose scenes of all procedural kinds over made grounds."""
    rng = np.random.default_rng(seed)
    grounds = [made_ground(2 * SIZE_PX, rng) for _ in range(64)]
    settings = SceneSettings(SIZE_PX, seed, scale=(0.4, 1.2), absent_chance=0.0)
    return SceneSource([], grounds, settings, makers=procedural_makers(list(KINDS), 64, 160))


class Lessons:
    """Makes the item of a number at its first use, and keeps it, encoded, as half floats."""

    def __init__(self, seed: int, codec: LatentCodec, settings: SDMatteSettings) -> None:
        self.source, self.codec, self.settings = scenes(seed), codec, settings
        self.known: dict[int, Lesson] = {}

    @torch.no_grad()
    def item(self, number: int) -> Lesson:
        if number not in self.known:
            item = make_lesson(self.source, number, self.settings)
            image = self.codec.encode(item.image[None])[0].half()
            prompt = self.codec.encode_map(item.shown[None])[0].half()
            planes = {name: getattr(item, name).half() for name in ("alpha", "trimap", "shown")}
            lean = replace(item, image=torch.empty(0), **planes)
            self.known[number] = Lesson(lean, image, prompt)
        return self.known[number]

    def batch(self, first: int) -> list[Lesson]:
        return [self.item(number) for number in range(first, first + BATCH)]


def learnt_codec(path: Path, steps: int) -> tuple[LatentCodec, float]:
    """Return the autoencoder of all variants and the scale of its latents; it is made once."""
    torch.manual_seed(0)
    codec = LatentCodec(replace(BASE.autoencoder, scale=1.0))
    if path.exists():
        record = torch.load(path)
        codec.load_state_dict(record["codec"])
        return codec.requires_grad_(False), record["scale"]
    source, settings = scenes(2), SDMatteSettings(size_px=SIZE_PX)
    optimiser = torch.optim.AdamW(codec.parameters(), lr=4e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, steps, pct_start=0.1)
    for step in range(steps):
        item, other = (make_lesson(source, 2 * step + at, settings) for at in range(2))
        planes = [each.expand(3, -1, -1) for each in (item.alpha, item.shown, other.alpha)]
        shown = torch.stack([item.image, *planes])
        latent = codec.encode(shown)
        loss = (codec.decode(latent) - (shown * 2 - 1)).abs().mean() + 1e-3 * latent.square().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if (step + 1) % 50 == 0:
            print(f"autoencoder {step + 1}: {loss:.3f}", file=sys.stderr, flush=True)
    scale = 1 / float(latent.detach().std())
    torch.save({"codec": codec.state_dict(), "scale": scale}, path)
    return codec.requires_grad_(False), scale


def matted(network: SDMatteNetwork, lessons: Sequence[Lesson]) -> Tensor:
    """Return `B 1 S S` alpha."""
    scale = network.config.autoencoder.scale
    items = [replace(each.item, shown=each.item.shown.float()) for each in lessons]
    image, prompt = (
        scale * torch.stack([getattr(each, name).float() for each in lessons])
        for name in ("image_latent", "prompt_latent")
    )
    alpha: Tensor = network(image, as_batch(items), prompt_latent=prompt).alpha
    return alpha


def losses(network: SDMatteNetwork, lessons: Sequence[Lesson]) -> Tensor:
    """Return SDMatte's total, each item for itself."""
    alpha = matted(network, lessons)
    each = [
        matting_losses(
            alpha[at : at + 1],
            lesson.item.alpha[None].float(),
            lesson.item.trimap[None].float(),
            size_px=SIZE_PX,
        )["total"]
        for at, lesson in enumerate(lessons)
    ]
    return torch.stack(each).mean()


@torch.no_grad()
def measure(network: SDMatteNetwork, held_out: dict[str, Lessons]) -> dict[str, float]:
    """Return MSE × 1000 and SAD / 1000 on measured scenes, by points and by box."""
    network.eval()
    found = {}
    for kind, lessons in held_out.items():
        off = []
        for first in range(0, MEASURED, BATCH):
            batch = lessons.batch(first)
            off.append(matted(network, batch) - torch.stack([b.item.alpha.float() for b in batch]))
        error = torch.cat(off)[:, 0]
        found[f"{kind} MSE"] = 1000 * float(error.square().mean())
        found[f"{kind} SAD"] = float(error.abs().sum((1, 2)).mean()) / 1000
    return found


def run(
    config: SDMatteConfig, seed: int, steps: int, data: Lessons, held_out: dict[str, Lessons]
) -> dict[str, float]:
    """Train one network and measure it."""
    torch.manual_seed(seed)
    network = SDMatteNetwork(config)
    network.codec.load_state_dict(data.codec.state_dict())
    network.codec.requires_grad_(False).vae.decoder.requires_grad_(True)
    network.train()
    trained = [value for value in network.parameters() if value.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps, pct_start=0.1)
    began, late = time.process_time(), []
    for step in range(steps):
        total = losses(network, data.batch(step * BATCH))
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        schedule.step()
        late = [*late[-49:], float(total.detach())]
    seconds = time.process_time() - began
    return {**measure(network, held_out), "loss": mean(late), "seconds": seconds}


def table(done: dict[str, dict[str, float]], number: int, rows: list[Variant], seeds: int) -> None:
    print(f"\nTable {number}, mean and spread of seeds:\n")
    columns = ("point MSE", "point SAD", "box MSE", "box SAD", "loss")
    print(f"| variant | seeds | {' | '.join(columns)} |\n| --- | --: |{' --: |' * len(columns)}")
    for row in rows:
        cells = []
        here = [done[row.key(seed)] for seed in range(seeds) if row.key(seed) in done]
        for column in columns:
            values = [each[column] for each in here]
            spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.2f}{spread}" if values else "")
        print(f"| {row.name} | {len(here)} | {' | '.join(cells)} |")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--tables", default="3,4,5")
    parser.add_argument("--rows", choices=ROWS, default="all", help="key or pairs: fewer")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--codec-steps", type=int, default=400)
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no run after so many")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    tables = [int(each) for each in options.tables.split(",")]
    done = json.loads(options.out.read_text()) if options.out.exists() else {}
    codec, scale = learnt_codec(options.out.with_suffix(".codec.pt"), options.codec_steps)
    base = replace(BASE, autoencoder=replace(BASE.autoencoder, scale=scale))
    rows = list(variants(tables, base, options.rows))
    settings = SDMatteSettings(size_px=SIZE_PX, batch=BATCH)
    data = Lessons(1, codec, settings)
    held_out = {
        kind: Lessons(2**31, codec, replace(settings, prompts=(kind,), grey=0.0))
        for kind in ("point", "box")
    }
    for seed, row in product(range(options.seeds), rows):
        if row.key(seed) in done or time.process_time() > 60 * options.minutes:
            continue
        figures = run(row.config, seed, options.steps, data, held_out)
        done[row.key(seed)] = figures
        print(row.key(seed), {name: round(each, 2) for name, each in figures.items()}, flush=True)
        part = options.out.with_suffix(".part")
        part.write_text(json.dumps(done, indent=1))
        part.replace(options.out)
    for number in tables:
        table(done, number, [row for row in rows if row.table == number], options.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
