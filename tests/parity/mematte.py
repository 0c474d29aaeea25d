"""Runs the recorded MEMatte cases through our network: full, cap20, patch, train."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from pullmatte.models.mematte.config import MEMatteConfig
from pullmatte.models.mematte.network import MEMatteNetwork, Output, fill_up, normalise
from pullmatte.models.weights import load_strictly

TINY = MEMatteConfig(width=48, heads=3, window=7, pretrained_px=112)
CASES = {
    "full": {},
    "cap20": {"most_tokens": 20},
    "patch": {"tile_px": 512, "released_tiles": True},
}


def run_case(file: Path, case: str) -> dict[str, Tensor]:
    """Run one case.

    Args:
        file: safetensors with weights under ``w.`` and inputs.
        case: Its name; "train" runs one block as in training.

    Returns:
        What was recorded, by the names after ``out.<case>.``, ``mid.`` or ``train.``.
    """
    tensors = load_file(Path(file))
    network = MEMatteNetwork(TINY)
    weights = {name[2:]: value for name, value in tensors.items() if name.startswith("w.")}
    load_strictly(network, weights)
    network.eval()
    with torch.inference_mode():
        if case == "train":
            block = network.backbone.blocks[2]
            made = block.softly(tensors["mid.block0"], tensors["train.policy"])
            return {"block2_from_block0": made}
        output = network(tensors["in.image"], tensors["in.trimap"], **CASES[case])
        return recorded_names(output) | _intermediates(network, tensors)


def recorded_names(output: Output) -> dict[str, Tensor]:
    """Give the parts of an output their recorded names."""
    named = {"phas": output.alpha, "features": output.features}
    for at, route in enumerate(output.routes):
        named[f"router{at}.logprob"] = route.scores
        named[f"router{at}.keep"] = route.kept[..., None].float()
    return named


def _intermediates(network: MEMatteNetwork, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Go through the backbone once more, block by block."""
    backbone = network.backbone
    named = {"padded_input": fill_up(normalise(tensors["in.image"], tensors["in.trimap"]))}
    tokens = named["patch_embed"] = backbone.patch_embed(named["padded_input"])
    tokens = tokens + backbone.positions(tokens.shape[1], tokens.shape[2])
    named["pos_added"] = tokens
    routers = iter(backbone.routers)
    for at, block in enumerate(backbone.blocks):
        routed = at in TINY.global_blocks
        kept = [next(routers)(tokens, TINY.most_tokens).kept] if routed else []
        tokens = named[f"block{at}"] = block(tokens, *kept)
    return named
