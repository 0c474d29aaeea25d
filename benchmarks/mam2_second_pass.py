"""What MAM2's second pass costs of a tracked frame: random weights, one thread, CPU seconds.

Run: python benchmarks/mam2_second_pass.py [--size large] [--runs 3]

A tracked frame is encoded, looks at one prompted and six tracked frames and their pointers, is
decoded, decoded again for the trimap, and remembered; the matter isn't counted. Exits with 1 if
the second pass takes more than 5 %.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

from clips import machine

GOAL = 0.05


def seconds(call: Callable[[], Any], runs: int) -> float:
    """Return the median of some runs' CPU seconds, after one that doesn't count."""
    call()
    taken = []
    for _ in range(runs):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return sorted(taken)[runs // 2]


def steps(size: str) -> dict[str, Callable[[], Any]]:
    import torch

    from pullmatte.models.mam2.config import SIZES, MAM2Config
    from pullmatte.models.mam2.memory import assemble, select
    from pullmatte.models.mam2.mss import second_pass
    from pullmatte.models.mam2.network import MAM2Network
    from pullmatte.models.mam2.sam2 import without_memory
    from pullmatte.models.protocol import Memories

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = MAM2Config(sam2=SIZES[size])
    network = MAM2Network(config).eval().requires_grad_(False)
    image = torch.rand(1, 3, config.sam2.image_px, config.sam2.image_px)
    tokens, width = config.sam2.top_px**2, config.sam2.width
    entry = {"features": torch.randn(tokens, 64).bfloat16(), "pointer": torch.randn(width)}
    memories = Memories({0: entry}, dict.fromkeys(range(1, 20), entry))
    frame = network.encode(image)
    there = torch.ones(1, dtype=torch.bool)

    def condition() -> torch.Tensor:
        found = assemble(network.sam2, select(memories, 20, config.sam2), config.sam2)
        return network.condition(frame, found.memory, found.memory_position, found.pointer_tokens)

    conditioned = condition()
    first = network.decode(frame, conditioned, branch="tokens")
    return {
        "image encoder": lambda: network.encode(image),
        "memory attention": condition,
        "first pass": lambda: network.decode(frame, conditioned, branch="tokens"),
        "second pass": lambda: second_pass(
            network, frame, without_memory(network.sam2, frame.top), first, there
        ),
        "memory encoder": lambda: network.memory(
            frame, first.mask_logits, first.present, hard=False
        ),
    }


def main() -> int:
    import torch

    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="large")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with torch.inference_mode():
        taken = {name: seconds(call, options.runs) for name, call in steps(options.size).items()}
    whole = sum(taken.values())
    print(f"{machine()}; Hiera size {options.size}, 1024 px, float32, one thread\n")
    print("| step | CPU s | share |\n| --- | --: | --: |")
    for name, value in taken.items():
        print(f"| {name} | {value:.3f} | {value / whole:.1%} |")
    print(f"| tracked frame | {whole:.3f} | |")
    return int(taken["second pass"] > GOAL * whole)


if __name__ == "__main__":
    sys.exit(main())
