"""Compare time and memory of the autoencoder on one CPU thread: diffusers' forward against ours.

Run: python benchmarks/autoencoder.py [--sides 512 1024] [--dtypes float32 bfloat16]

Every measurement is a process of its own, with the same random weights of full size. Seconds are
CPU seconds of one call; memory is the peak of the process above what it held before. The map is a
box; plainly it is encoded like any image. Differences are relative to the largest value of the
first line of each task. Exits with 1 if float32 misses a goal. 1024 takes ten minutes.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from clips import machine

TASKS = ("encode", "map", "decode")
TIME_GOAL, DIFFERENCE_GOAL = 0.75, 1e-5


def build() -> Any:
    import torch
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    channels = (128, 256, 512, 512)
    return AutoencoderKL(
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    ).eval()


def make_input(task: str, side: int) -> Any:
    import torch

    generator = torch.Generator().manual_seed(1)
    if task == "decode":
        return torch.randn(1, 4, side // 8, side // 8, generator=generator)
    if task == "encode":
        return torch.rand(1, 3, side, side, generator=generator) * 2 - 1
    box = torch.full((1, 1, side, side), -1.0)
    box[..., side // 5 : side * 4 // 5 + 1, side // 3 : side * 3 // 4] = 1
    return box


def call(task: str, how: str, vae: Any, value: Any) -> Any:
    from pullmatte.models.sdmatte import autoencoder_strips, repeated_lines

    if how == "plain":
        if task == "decode":
            return vae.decode(value).sample
        return vae.encode(value.expand(-1, 3, -1, -1)).latent_dist.mode()
    if task == "decode":
        return autoencoder_strips.decode(vae, value)
    if task == "encode":
        return autoencoder_strips.encode_mean(vae, value)
    return repeated_lines.encode_mean_of_map(vae, value)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(job: dict[str, Any], output: str) -> None:
    """Run one task in this process."""
    import torch

    torch.set_num_threads(1)
    dtype = getattr(torch, job["dtype"])
    with torch.no_grad():
        vae = build().to(dtype)
        value = make_input(job["task"], job["side"]).to(dtype)
        # A first small call takes the one-time costs of the libraries.
        call(job["task"], job["how"], vae, make_input(job["task"], 64).to(dtype))
        before, start = resident_bytes(), time.process_time()
        result = call(job["task"], job["how"], vae, value)
        seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    torch.save(result.float(), output)
    print(json.dumps({"seconds": seconds, "megabytes": (peak - before) / 1e6}))


def run(job: dict[str, Any], folder: str) -> tuple[dict[str, float], Path]:
    """Run one task in a fresh process."""
    output = Path(folder) / "{dtype}-{task}-{side}-{how}.pt".format(**job)
    command = [sys.executable, __file__, "--job", json.dumps(job), "--output", str(output)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1]), output


def difference_of(path: Path, reference: Path) -> float:
    import torch

    ours, truth = torch.load(path), torch.load(reference)
    return ((ours - truth).abs().max() / truth.abs().max()).item()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sides", type=int, nargs="+", default=[512])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--ours-only", action="store_true", help="leave diffusers' forward out")
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        measure(options.job, options.output)
        return 0
    print(f"`python benchmarks/autoencoder.py`, one thread; {machine()}\n")
    print("| side | task | type | forward | CPU s | of plain | MB | difference |")
    print("| --: | --- | --- | --- | --: | --: | --: | --: |")
    with tempfile.TemporaryDirectory() as folder:
        reached = [
            compare(side, task, options, folder) for side in options.sides for task in options.tasks
        ]
    return int(not all(reached))


def compare(side: int, task: str, options: argparse.Namespace, folder: str) -> bool:
    """Print the lines of one task; return whether float32 reached the goals."""
    reference, reached = None, True
    for dtype in options.dtypes:
        plain = None
        for how in ("ours",) if options.ours_only else ("plain", "ours"):
            result, path = run({"task": task, "how": how, "side": side, "dtype": dtype}, folder)
            plain = plain or result["seconds"]
            reference = reference or path
            ratio, difference = result["seconds"] / plain, difference_of(path, reference)
            print(
                f"| {side} | {task} | {dtype} | {how} | {result['seconds']:.2f} | {ratio:.2f} "
                f"| {result['megabytes']:.0f} | {difference:.1e} |",
                flush=True,
            )
            if dtype == "float32" and how == "ours" and not options.ours_only:
                reached &= ratio <= TIME_GOAL and difference <= DIFFERENCE_GOAL
    return reached


if __name__ == "__main__":
    sys.exit(main())
