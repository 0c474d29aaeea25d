"""What a tracked frame costs beside a first frame: ours and `transformers`' Sam2VideoModel.

Run: python benchmarks/tracked_frame.py [--rounds 5] [--frames 10] [--dtypes float32,bfloat16]

SAM 2.1 Hiera-T at 1024 pixels, random weights, the same in both; one thread, CPU seconds. A frame
is encoded, decoded and remembered; nothing else is counted. On tracked frames seven spatial
memories and seven pointers are looked at. All take turns, first frame and tracked frame, and of
each the fastest counts: other work on the machine only ever adds.

`MAM2` is ours as it is used, with a trimap decoded on both kinds of frame; `ours` is the same
without trimaps, which is SAM 2 and nothing more.

Random weights enlarge rounding from frame to frame, and memories are kept as bfloat16, where
rounding that falls the other way is a step of 2^-8; so for the differences, which are of float32,
every frame is computed from the same memories, those of `transformers`. Of first frames only the
time counts: nothing is looked at there.

Exits with 1 if a ratio or a difference misses its goal.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from clips import machine
from torch import Tensor
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from pullmatte.models.mam2.config import MAM2Config
from pullmatte.models.mam2.memory import FEATURES, POINTER, select
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.options import MAM2Options
from pullmatte.models.mam2.pdd import held
from pullmatte.models.mam2.prompter import Prompter
from pullmatte.models.mam2.transformers_config import transformers_config
from pullmatte.models.protocol import Entry, Memories
from pullmatte.prompts import Prompt

Models = tuple[Sam2VideoModel, MAM2Network, MAM2Network]
SIDES = ("transformers", "ours", "MAM2")
GOALS = {"float32": 1.8, "bfloat16": 1.5}
MOST_DIFFERENCE = 1e-4
STEADY = 7
MOST_POINTERS = 16
CLICK = (500.0, 480.0)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def scatter(module: torch.nn.Module, seed: int = 1) -> None:
    """Give weights for which masks have both signs, objects are there and ages matter."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        if "norm" in name or name.endswith("scale"):
            value.copy_(noise * 0.1 + name.endswith(("weight", "scale")))
        elif name.endswith("bias"):
            # A layer norm over four equal channels would make anything of rounding.
            value.copy_(noise * (0.5 if "mask_downsampler" in name else 0.1))
        elif value.ndim >= 2 and "embed" not in name and "token" not in name:
            value.copy_(noise / value[0].numel() ** 0.5)
        else:
            value.copy_(noise * 0.5)


def build() -> Models:
    """Return `transformers`' model, ours without trimaps, and MAM2."""
    torch.manual_seed(0)
    config = MAM2Config()
    theirs = Sam2VideoModel(transformers_config(config.sam2)).eval().requires_grad_(False)
    scatter(theirs)
    positions = theirs.shared_image_embedding.positional_embedding
    theirs.prompt_encoder.shared_embedding.positional_embedding.copy_(positions)
    theirs.mask_decoder.pred_obj_score_head.proj_out.bias += 5
    for mlp in theirs.mask_decoder.output_hypernetworks_mlps:
        mlp.proj_out.weight *= 0.03
    found = []
    for each in (replace(config, trimap="mask_band", second_pass="off"), config):
        network = MAM2Network(each).eval().requires_grad_(False)
        network.sam2.load_state_dict(theirs.state_dict(), strict=False)
        network.start_trimap_branch()
        found.append(network)
    return theirs, found[0], found[1]


def make_clip(frames: int, side: int) -> list[np.ndarray]:
    """Return frames, `H W 3` in [0, 1], of drifting patches."""
    random = np.random.default_rng(2)
    patches = random.random((32, 32, 3), np.float32).repeat(side // 32, 0).repeat(side // 32, 1)
    return [
        np.clip(
            np.roll(patches, (5 * at, 7 * at), (0, 1))
            + random.normal(0, 0.05, patches.shape).astype(np.float32),
            0,
            1,
        )
        for at in range(frames)
    ]


class Theirs:
    """`transformers`' own session."""

    def __init__(self, model: Sam2VideoModel, clip: list[np.ndarray], dtype: torch.dtype) -> None:
        self.model = model
        mean, deviation = (torch.tensor(each)[:, None, None] for each in (MEAN, DEVIATION))
        video = torch.stack([
            ((torch.from_numpy(each).permute(2, 0, 1) - mean) / deviation) for each in clip
        ])
        # Of a clip shorter than that it would divide the pointers' ages by less.
        video = torch.cat([video, video[-1:].expand(MOST_POINTERS, -1, -1, -1)])
        side = video.shape[-1]
        self.session = Sam2VideoInferenceSession(
            video=video.to(dtype), video_height=side, video_width=side, dtype=dtype
        )
        at = self.session.obj_id_to_idx(1)
        point = {
            "point_coords": torch.tensor([[[CLICK]]], dtype=dtype),
            "point_labels": torch.ones(1, 1, 1, dtype=torch.int32),
        }
        self.session.add_point_inputs(at, 0, point)
        self.session.obj_with_new_inputs = [1]
        self.outputs: dict[str, dict[int, Any]] = self.session.output_dict_per_obj[at]

    def step(self, frame: int) -> None:
        """Process a frame."""
        self.model(self.session, frame_idx=frame)

    def fill(self) -> None:
        """Remember the second frame over and over, instead of those up to the first steady one."""
        outputs = self.outputs["non_cond_frame_outputs"]
        outputs.update(dict.fromkeys(range(2, STEADY), outputs[1]))

    def kept(self, frame: int) -> dict[str, Any]:
        """Return what is kept of a frame."""
        kind = "non_cond_frame_outputs" if frame else "cond_frame_outputs"
        return self.outputs[kind][frame]


class Ours:
    """Our network; nothing is brought to the picture's size, and no matter is asked."""

    def __init__(self, network: MAM2Network, clip: list[np.ndarray]) -> None:
        options = MAM2Options(feed_previous=False, believe_prompts=False)
        self.network, self.clip = network, clip
        self.prompter = Prompter(network, options)
        self.prompted: dict[int, Entry] = {}
        self.tracked: dict[int, Entry] = {}
        self.found: Any = None

    def step(self, frame: int) -> None:
        """Process a frame."""
        encoded = self.prompter.encode(self.clip[frame])
        if frame == 0:
            self.found = found = self.prompter.find(encoded, Prompt.of(points=[CLICK]))
        else:
            memories = Memories(self.prompted, self.tracked)
            selection = select(memories, frame, self.network.config.sam2)
            self.found = found = self.prompter.track(encoded, selection, Prompt(), None)
        features = self.network.memory(
            encoded.features, found.mask_logits, found.present, hard=found.hard
        )
        bank = self.tracked if frame else self.prompted
        bank[frame] = {FEATURES: features[0], POINTER: found.pointer[0]}

    def fill(self) -> None:
        """As `Theirs` does it."""
        self.tracked.update(dict.fromkeys(range(2, STEADY), self.tracked[1]))

    def follow(self, theirs: Theirs, frames: int) -> None:
        """Take over what `transformers` remembers of the frames so far."""
        for at in range(frames):
            kept = theirs.kept(at)
            bank = self.tracked if at else self.prompted
            features = kept["maskmem_features"][:, 0]
            bank[at] = {FEATURES: features, POINTER: kept["object_pointer"].reshape(-1)}


class Unrounded:
    """Catches what a memory encoder makes, before it is kept as bfloat16."""

    def __init__(self, model: Any) -> None:
        self.value = torch.empty(0)
        model.memory_encoder.register_forward_hook(self._catch)

    def _catch(self, _module: Any, _inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        self.value = output[0].clone()


@dataclass
class Times:
    """CPU seconds of one side's frames."""

    first: list[float] = field(default_factory=list)
    tracked: list[float] = field(default_factory=list)

    def row(self, name: str, goal: str) -> str:
        """Return a line of the table."""
        return (
            f"| {name} | {min(self.first):.2f} | {min(self.tracked):.2f} | {self.ratio:.2f} "
            f"| {goal} |"
        )

    @property
    def ratio(self) -> float:
        """Of a tracked frame to a first one."""
        return min(self.tracked) / min(self.first)


def timed(call: Callable[[int], None], frame: int) -> float:
    start = time.process_time()
    call(frame)
    return time.process_time() - start


def differences(
    theirs: Theirs, ours: Ours, caught: list[Unrounded], frame: int
) -> dict[str, float]:
    """Compare what they made of a frame."""
    kept, found = theirs.kept(frame), ours.found
    pairs = {
        "mask logits": (held(found.mask_logits, found.present), kept["pred_masks"]),
        "pointer": (found.pointer.reshape(-1), kept["object_pointer"].reshape(-1)),
        "memory / its deviation": (
            caught[0].value / caught[0].value.std(),
            caught[1].value / caught[0].value.std(),
        ),
    }
    return {name: float((a - b).abs().max()) for name, (a, b) in pairs.items()}


def compare(models: Models, frames: int) -> dict[str, float]:
    """Run a clip through both in float32; return the largest differences of tracked frames."""
    clip = make_clip(frames, models[1].config.sam2.image_px)
    theirs, ours = Theirs(models[0], clip, torch.float32), Ours(models[1], clip)
    caught = [Unrounded(models[0]), Unrounded(models[1].sam2)]
    worst: dict[str, float] = {}
    for frame in range(frames):
        ours.follow(theirs, frame)
        theirs.step(frame)
        ours.step(frame)
        found = differences(theirs, ours, caught, frame)
        if frame:
            worst = {name: max(value, worst.get(name, 0)) for name, value in found.items()}
        logits = theirs.kept(frame)["pred_masks"]
        say(
            f"frame {frame}: mask {float((logits > 0).float().mean()):.0%} inside, logits "
            f"{float(logits.mean()):.2f} +- {float(logits.std()):.2f}; differences "
            + ", ".join(f"{name} {value:.1e}" for name, value in found.items())
        )
    return worst


def measure(models: Models, dtype: torch.dtype, rounds: int) -> list[Times]:
    """Time first and tracked frames of all three, in turn."""
    clip = make_clip(STEADY + rounds, models[1].config.sam2.image_px)
    makers: list[Callable[[], Theirs | Ours]] = [
        lambda: Theirs(models[0], clip, dtype),
        lambda: Ours(models[1], clip),
        lambda: Ours(models[2], clip),
    ]
    sides = [make() for make in makers]
    for side in sides:
        side.step(0)
        side.step(1)
        side.fill()
    times = [Times() for _ in sides]
    for at in range(rounds):
        for each, make, side in zip(times, makers, sides, strict=True):
            each.first.append(timed(make().step, 0))
            each.tracked.append(timed(side.step, STEADY + at))
            say(f"{dtype}: {each.first[-1]:.2f} s first, {each.tracked[-1]:.2f} s tracked")
    return times


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=10, help="of the clip that is compared")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    options = parser.parse_args()
    torch.set_num_threads(1)
    missed = False
    print(f"`python benchmarks/tracked_frame.py`; {machine()}\n")
    print("| | first frame, CPU s | tracked frame, CPU s | ratio | goal |")
    print("| --- | --: | --: | --: | --: |")
    models = build()
    with torch.inference_mode():
        worst = compare(models, options.frames) if options.frames else {}
        for name in options.dtypes.split(","):
            dtype = getattr(torch, name)
            if dtype != torch.float32:
                models[0].to(dtype)
                for network in models[1:]:
                    network.run_in(dtype)
            found = measure(models, dtype, options.rounds)
            missed |= found[1].ratio > GOALS[name]
            for side, each, goal in zip(SIDES, found, ("", f"{GOALS[name]}", ""), strict=True):
                print(each.row(f"{side}, {name}", goal), flush=True)
    for key, value in worst.items():
        missed |= value > MOST_DIFFERENCE
        print(f"\nlargest difference of {key}, float32: {value:.1e} (goal {MOST_DIFFERENCE:.0e})")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
