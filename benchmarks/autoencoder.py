"""Time and memory of the autoencoder on one CPU thread: diffusers' own forward against ours.

Every measurement is a fresh process with the same random weights. Seconds are CPU seconds of one
call; memory is the peak of the process above what it held before the call.

    python benchmarks/autoencoder.py --sides 512 1024 --dtypes float32 bfloat16

The map is a box; "plain" encodes it as any image. Differences are relative to the largest value of
plain's output, and for bfloat16 to that of float32's plain output, where it was measured.
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

TASKS = ("encode", "map", "decode")


def build():
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


def make_input(task, side):
    import torch

    generator = torch.Generator().manual_seed(1)
    if task == "decode":
        return torch.randn(1, 4, side // 8, side // 8, generator=generator)
    if task == "encode":
        return torch.rand(1, 3, side, side, generator=generator) * 2 - 1
    box = torch.full((1, 1, side, side), -1.0)
    box[..., side // 5 : side * 4 // 5 + 1, side // 3 : side * 3 // 4] = 1
    return box


def call(task, how, vae, value):
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


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(job, output):
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


def run(job, folder):
    """Run one task in a fresh process."""
    output = Path(folder) / "{dtype}-{task}-{side}-{how}.pt".format(**job)
    command = [sys.executable, __file__, "--job", json.dumps(job), "--output", str(output)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1]), output


def difference(path, reference):
    import torch

    ours, truth = torch.load(path), torch.load(reference)
    return ((ours - truth).abs().max() / truth.abs().max()).item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[512])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--ours-only", action="store_true", help="skip diffusers' own forward")
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        measure(options.job, options.output)
        return
    print(f"{'dtype':9} {'side':>5} {'task':7} {'how':6} {'CPU s':>8} {'MB':>7} {'ratio':>6}  diff")
    with tempfile.TemporaryDirectory() as folder:
        for side in options.sides:
            for task in options.tasks:
                compare(side, task, options, folder)


def compare(side, task, options, folder):
    """Print the lines of one task: both ways in every type."""
    reference = None
    for dtype in options.dtypes:
        plain_seconds = None
        for how in ("ours",) if options.ours_only else ("plain", "ours"):
            job = {"task": task, "how": how, "side": side, "dtype": dtype}
            result, path = run(job, folder)
            plain_seconds = plain_seconds or result["seconds"]
            reference = reference or path
            print(
                f"{dtype:9} {side:5} {task:7} {how:6} {result['seconds']:8.2f} "
                f"{result['megabytes']:7.0f} {result['seconds'] / plain_seconds:6.2f}  "
                f"{difference(path, reference):.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
