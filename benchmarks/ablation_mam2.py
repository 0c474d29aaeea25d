"""MAM2's table 5 again at nano's size: Parallel, PDD, MCS and MSS on `novm-free`.

Run: pullmatte data art --out ART
     pullmatte data novm-free --out SET
     python benchmarks/ablation_mam2.py OUT --art ART --set SET [--start FILE] [--minutes 20]

OUT is a JSON file: each run adds its figures as soon as it is done, and runs that are in it
are not run again. All variants start from the same weights: nano's, or those of --start, with a
fresh trimap branch, and then some steps of training in which the four take turns, so that none of
them has an advantage. From there each goes on alone, with the same clips and prompts; a seed
changes their order. What is trained is what is measured: the second pass is each variant's own.

Alpha is made by nano's matter from each variant's trimaps, in clips of `novm-free` at half size
whose frame 0 has a tight box. What differs from the paper, besides all sizes: it trains on stills
and clips of people, and its matter is MEMatte.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import mean, stdev

import cv2
import numpy as np
import torch
from torch import Tensor

import pullmatte as pm
from pullmatte.data.art_pool import moving_scenes, read_art
from pullmatte.data.clip_layouts import TestClip, open_test_clips
from pullmatte.data.moving_scenes import ClipSettings
from pullmatte.data.samples import ClipSource, MattingClip
from pullmatte.data.scenes import SceneSettings
from pullmatte.data.training_prompts import PromptMixture
from pullmatte.eval.clips import spread
from pullmatte.eval.protocols import measure_frames, quantise
from pullmatte.models.mam2.config import SecondPass, TrimapFrom
from pullmatte.models.mam2.features import Features
from pullmatte.models.mam2.model import MAM2Model
from pullmatte.models.mam2.mss import second_pass
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.pdd import Decoded
from pullmatte.models.mam2.sam2 import without_memory
from pullmatte.models.nano.config import sized
from pullmatte.models.protocol import TrimapMatter
from pullmatte.sessions.load import Matter
from pullmatte.train import nano_clips
from pullmatte.train.nano import freeze
from pullmatte.train.nano_start import start_nano

CLIPS, FRAMES = 2, 4
RATE, TURNS_RATE = 3e-4, 6e-4
SOFT = (0.05, 0.95)
TRANSPARENT = ("bubble", "cloud", "explosion", "fire", "frost", "slime", "water")
FIGURES = (
    "mad", "mse", "grad", "dtssd",
    "known wrong", "unknown", "soft as foreground", "soft as background",
)  # fmt: skip
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Variant:
    """A row of table 5."""

    name: str
    trimap: TrimapFrom
    second_pass: SecondPass


VARIANTS = (
    Variant("Parallel", "parallel", "off"),
    Variant("PDD", "pdd", "off"),
    Variant("PDD + MCS", "pdd", "mcs"),
    Variant("PDD + MSS", "pdd", "mss"),
)


def decode_tracked(network: MAM2Network, frame: Features, top: Tensor) -> Decoded:
    """Decode in training as the config says that frames are decoded later."""
    how = network.config.second_pass
    if how == "off":
        return network.decode(frame, top, choose="single", branch="on", all_masks=True)
    first = network.decode(frame, top, choose="single", branch="tokens", all_masks=True)
    rows = torch.ones(len(first.mask_logits), dtype=torch.bool, device=frame.top.device)
    again = top if how == "mcs" else without_memory(network.sam2, frame.top)
    shown = replace(first, mask_logits=first.mask_logits.detach())
    return replace(first, trimap_logits=second_pass(network, frame, again, shown, rows))


# nano's own training knows MSS alone.
nano_clips._decode_tracked = decode_tracked


class Pool:
    """Clips made once and kept as bytes; a `ClipSource` that starts again at its end."""

    def __init__(self, source: ClipSource, count: int) -> None:
        self.source, self.count = source, count
        self.known: dict[int, MattingClip] = {}

    def clip(self, number: int) -> MattingClip:
        at = number % self.count
        if at not in self.known:
            made = self.source.clip(at)
            images, alphas = (
                np.rint(each * 255).astype(np.uint8) for each in (made.images, made.alphas)
            )
            self.known[at] = replace(made, images=images, alphas=alphas)
        kept, unit = self.known[at], np.float32(255)
        return replace(kept, images=kept.images / unit, alphas=kept.alphas / unit)


def pool_of_art(art: Path, size_px: int, count: int) -> Pool:
    scenes = SceneSettings(size_px, 77, scale=(0.25, 1.3), least_seen=0.5, occluder_chance=0.25)
    return Pool(moving_scenes(read_art(art), ClipSettings(FRAMES, scenes)), count)


def built(variant: Variant, size_px: int, weights: Weights | None = None) -> MAM2Network:
    """Build a variant's network; of the weights it takes those that it has a place for."""
    settings = {"trimap": variant.trimap, "second_pass": variant.second_pass}
    network = MAM2Network(replace(sized(size_px), **settings))
    if weights is not None:
        own = {name: weights[name] for name in network.state_dict()}
        network.load_state_dict(own)
    freeze(network, "vision_encoder", "no_memory_positional_encoding")
    return network.to(memory_format=torch.channels_last)


def train(
    networks: Sequence[MAM2Network], pool: Pool, numbers: Sequence[int], rate: float
) -> list[float]:
    """Train networks that share their parameters, in turns, one step for every `CLIPS` numbers.

    Args:
        networks: The first one has all the parameters.
        pool: Of clips.
        numbers: Of the clips, in their order.
        rate: AdamW's greatest learning rate.

    Returns:
        Each step's loss on tracked frames.
    """
    trained = [value for value in networks[0].parameters() if value.requires_grad]
    steps, mixture = len(numbers) // CLIPS, PromptMixture()
    optimiser = torch.optim.AdamW(trained, lr=rate, weight_decay=0.02, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=0.15)
    tracked = []
    for step in range(steps):
        network = networks[step % len(networks)].train()
        some = numbers[step * CLIPS : (step + 1) * CLIPS]
        frames = nano_clips.draw_clip_batch(pool, some, mixture, network.config.sam2.mask_px)
        torch.manual_seed(some[0])
        named = nano_clips.clip_losses(network, frames)
        optimiser.zero_grad()
        named["total"].backward()
        torch.nn.utils.clip_grad_norm_(trained, 2.0)
        optimiser.step()
        schedule.step()
        tracked.append(float(named["tracked"].detach()))
        if (step + 1) % 20 == 0:
            print(f"step {step + 1}: {mean(tracked[-20:]):.3f}", file=sys.stderr, flush=True)
    return tracked


def settled(path: Path, start: Path | None, size_px: int, pool: Pool, steps: int) -> Weights:
    """Return the weights from which all variants begin; they are made once."""
    if path.exists():
        found: Weights = torch.load(path)
        return found
    known = (
        start_nano("nano", size_px)[0].state_dict()
        if start is None
        else torch.load(start, weights_only=False)["ema"]
    )
    torch.manual_seed(0)
    whole = built(VARIANTS[-1], size_px)
    fresh = {name: value for name, value in whole.state_dict().items() if "trimap_branch" in name}
    whole.load_state_dict({**known, **fresh})
    whole.start_trimap_branch()
    networks = [whole, *(shared(each, whole) for each in VARIANTS[:-1])]
    train(networks, pool, range(steps * CLIPS), TURNS_RATE)
    torch.save(whole.state_dict(), path)
    return whole.state_dict()


def shared(variant: Variant, whole: MAM2Network) -> MAM2Network:
    """Build a variant's network out of the very parameters of another, which has all of them."""
    network = built(variant, whole.config.sam2.image_px)
    modules = dict(whole.named_modules())
    for name, module in network.named_modules():
        for key in module._parameters:
            module._parameters[key] = modules[name]._parameters[key]
        for key in module._buffers:
            module._buffers[key] = modules[name]._buffers[key]
    return network


def measured_clips(folder: Path, count: int) -> list[TestClip]:
    return spread(open_test_clips(folder)[1], count)


def measure(network: MAM2Network, matter: TrimapMatter, clips: list[TestClip]) -> dict[str, float]:
    """Return means over clips, of all and of the transparent ones; see `clip_figures`."""
    model = Matter(pm.load("nano").spec, MAM2Model(network, matter))
    each = [(clip.category, clip_figures(model, clip)) for clip in clips]
    groups = {
        "all": [found for _, found in each],
        "transparent": [found for category, found in each if category in TRANSPARENT],
        "opaque": [found for category, found in each if category not in TRANSPARENT],
    }
    return {
        f"{group} {name}": mean(found[name] for found in some)
        for group, some in groups.items()
        if some
        for name in some[0]
    }


def clip_figures(model: Matter, clip: TestClip, frames: int = 8) -> dict[str, float]:
    """Track a clip at half size and measure it.

    Returns:
        Means over all frames of the metrics of protocol vm-hr; and over the tracked ones
        ``known wrong``, what the trimap has wrong where it is known, as MAD × 1000, ``unknown``,
        its share in hundredths, ``soft as foreground`` and ``soft as background``: so many
        hundredths of the soft pixels does the trimap take for known.
    """
    read = zip(clip.frames(), clip.truths(), range(frames), strict=False)
    images, truths = zip(*((_half(image), _half(truth)) for image, truth, _ in read), strict=True)
    rows, columns = np.nonzero(truths[0])
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    shot = model.open_video(
        [image.astype(np.float32) / np.float32(255) for image in images], foreground=False
    )
    shot.prompt(frame=0, box=tuple(map(int, box)))
    mattes = [frame.mattes["object"] for frame in shot.propagate()]
    alphas = np.stack([quantise("vm-hr", matte.alpha) for matte in mattes])
    values = measure_frames("vm-hr", alphas, np.stack(truths))
    found = {name: mean(values[name]) for name in ("mad", "mse", "grad", "dtssd")}
    trimap = np.stack([matte.trimap for matte in mattes[1:]])
    truth = np.stack(truths[1:]) / np.float32(255)
    known, soft = trimap != 0.5, (truth > SOFT[0]) & (truth < SOFT[1])
    found["known wrong"] = 1000 * float((np.abs(trimap - truth) * known).mean())
    found["unknown"] = 100 * float((~known).mean())
    for name, level in (("foreground", 1), ("background", 0)):
        taken = (trimap == level)[soft]
        found[f"soft as {name}"] = 100 * float(taken.mean()) if len(taken) else 0.0
    return found


def _half(plane: np.ndarray) -> np.ndarray:
    height, width = plane.shape[:2]
    return cv2.resize(plane, (width // 2, height // 2), interpolation=cv2.INTER_AREA)


def table(done: dict[str, dict[str, float]], seeds: int) -> None:
    for group in ("all", "transparent", "opaque"):
        print(f"\n{group}, mean and spread of seeds\n")
        print(
            f"| variant | seeds | {' | '.join(FIGURES)} |\n| --- |{' --: |' * (len(FIGURES) + 1)}"
        )
        for variant in VARIANTS:
            keys = [f"{variant.name}/{seed}" for seed in range(seeds)]
            here = [done[key] for key in keys if key in done]
            cells = []
            for figure in FIGURES:
                values = [each[f"{group} {figure}"] for each in here]
                cell = f"{mean(values):.2f}" if values else ""
                cells.append(cell + (f" ± {stdev(values):.2f}" if len(values) > 1 else ""))
            print(f"| {variant.name} | {len(here)} | {' | '.join(cells)} |")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--art", type=Path, required=True, help="of 'pullmatte data art'")
    parser.add_argument("--set", type=Path, required=True, help="of 'pullmatte data novm-free'")
    parser.add_argument("--start", type=Path, help="a training's file with 'ema'; else nano's")
    parser.add_argument("--size", type=int, default=192, help="the square's side in training")
    parser.add_argument("--pool", type=int, default=200, help="clips in all")
    parser.add_argument("--turns", type=int, default=160, help="steps before the variants part")
    parser.add_argument("--steps", type=int, default=60, help="of each variant alone")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=20, help="that are measured")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no run after so many")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    done = json.loads(options.out.read_text()) if options.out.exists() else {}
    pool = pool_of_art(options.art, options.size, options.pool)
    path = options.out.with_suffix(".start.pt")
    weights = settled(path, options.start, options.size, pool, options.turns)
    matter = pm.load("nano").model.matter
    clips = measured_clips(options.set, options.clips)
    for seed, variant in product(range(options.seeds), VARIANTS):
        key = f"{variant.name}/{seed}"
        if key in done or time.process_time() > 60 * options.minutes:
            continue
        network = built(variant, options.size, weights)
        first, count = options.turns * CLIPS, options.steps * CLIPS
        order = np.random.default_rng(seed).permutation(count) + first
        began = time.process_time()
        tracked = train([network], pool, order.tolist(), RATE)
        seconds = time.process_time() - began
        figures = measure(network, matter, clips)
        done[key] = {**figures, "tracked loss": mean(tracked[-20:]), "seconds": seconds}
        print(key, {name: round(value, 2) for name, value in done[key].items()}, flush=True)
        part = options.out.with_suffix(".part")
        part.write_text(json.dumps(done, indent=1))
        part.replace(options.out)
    table(done, options.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
