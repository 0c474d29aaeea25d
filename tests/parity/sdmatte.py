"""Runs the recorded SDMatte and LiteSDMatte cases through our network.

`run_case(file, case)` works for every case whose inputs stand in the file, with or without
recorded outputs: box, mask, trimap, auto, and each ``in.<case>.point_mask``.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from pullmatte.models.sdmatte.config import AutoencoderConfig, SDMatteConfig, UNetConfig
from pullmatte.models.sdmatte.network import Output, PromptBatch, SDMatteNetwork
from pullmatte.models.sdmatte.upstream import to_ours
from pullmatte.models.weights import load_strictly

RECORD = Path(__file__).resolve().parents[3] / "shared" / "parity" / "sdmatte"
# Recorded name → input names of the map and its coordinates, and our kind.
CASES = {
    "box": ("in.bbox_mask", "in.bbox_coords", "box"),
    "mask": ("in.mask", "in.mask_coords", "mask"),
    "trimap": ("in.trimap", "in.trimap_coords", "trimap"),
    "auto": ("in.auto_mask", "in.auto_coords", "auto"),
}
RECORDED = {
    "tiny_sdmatte": ("box", "mask", "point10", "point11", "auto"),
    "tiny_litesdmatte": ("box", "point10"),
}


def run_case(file: Path, case: str, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Run one case.

    Args:
        file: safetensors with weights under official names, and inputs.
        case: its name.
        dtype: Precision of network and inputs.

    Returns:
        Alpha and all that stands between, under their recorded names.
    """
    file = Path(file)
    tensors = load_file(file)
    network = build(file, tensors).to(dtype)
    tensors = {name: t.to(dtype) for name, t in tensors.items() if name.startswith("in.")}
    with torch.inference_mode():
        # Our network takes [0, 1]; the record holds [-1, 1].
        latent = network.encode_image((tensors["in.image"] + 1) / 2)
        return recorded_names(network(latent, prompts_of(tensors, case)))


def build(file: Path, tensors: dict[str, Tensor]) -> SDMatteNetwork:
    """Build the network of a file, with the file's weights."""
    network = SDMatteNetwork(config_of(file, tensors))
    weights = {
        name: tensor.float()
        for name, tensor in tensors.items()
        if not name.startswith(("in.", "out."))
    }
    ours = {to_ours(name): tensor for name, tensor in weights.items()}
    load_strictly(network, ours | {"text_embedding": tensors["in.text_embed"].float()})
    return network.eval()


def config_of(file: Path, tensors: dict[str, Tensor]) -> SDMatteConfig:
    """Read the sizes that stand beside the file, or the record's, and take the rest as released."""
    beside = file.parent / "tiny_configs.json"
    record = json.loads((beside if beside.is_file() else RECORD / beside.name).read_text())
    is_lite = "vae.quant_conv.weight" not in tensors
    unet, vae = (record["litesdmatte" if is_lite else "sdmatte"][part] for part in ("unet", "vae"))
    return SDMatteConfig(
        unet=UNetConfig(
            channels=tuple(unet["block_out_channels"]),
            heads=tuple(unet["attention_head_dim"]),
            layers_per_block=unet["layers_per_block"],
            context_width=unet["cross_attention_dim"],
            norm_groups=unet["norm_num_groups"],
        ),
        autoencoder=_autoencoder(vae, is_lite=is_lite),
        size_px=tensors["in.image"].shape[-1],
    )


def _autoencoder(vae: dict[str, Any], *, is_lite: bool) -> AutoencoderConfig:
    if is_lite:
        channels = tuple(vae["encoder_block_out_channels"])
        return AutoencoderConfig(kind="tiny", channels=channels, scale=vae["scaling_factor"])
    return AutoencoderConfig(
        channels=tuple(vae["block_out_channels"]),
        layers_per_block=vae["layers_per_block"],
        norm_groups=vae["norm_num_groups"],
    )


def prompts_of(tensors: dict[str, Tensor], case: str) -> PromptBatch:
    """Read a case's prompts; the recorded flag is 1 for transparent, ours 1 for opaque."""
    points = (f"in.{case}.point_mask", f"in.{case}.point_coords", "points")
    values, coordinates, kind = CASES.get(case, points)
    maps = (tensors[values] + 1) / 2
    return PromptBatch(
        maps=maps,
        kinds=(kind,) * len(maps),  # type: ignore[arg-type]
        coordinates=tuple(tensors[coordinates]),
        opacity=1 - tensors["in.is_trans"],
    )


def recorded_names(output: Output) -> dict[str, Tensor]:
    """Give the parts of an output their recorded names."""
    named = {
        "alpha": output.alpha,
        "temb": output.condition,
        "unet_input": output.unet_input,
        "unet_output": output.unet_output,
        "decoder_output": output.decoded,
    }
    if output.bias is not None:
        named["attention_bias"] = output.bias
    if output.visual_tokens is not None:
        named["visual_embed_first4"] = output.visual_tokens[:, :4]
        named["visual_embed_sum_tokens"] = output.visual_tokens.sum(dim=1)
    return named
