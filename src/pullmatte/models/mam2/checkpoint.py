"""MAM2's weights: converting what was released, and loading what was converted.

A converted folder holds::

    config.json                      the network, as `MAM2Config.to_dict` gives it
    model.safetensors                its tensors by our names, or several files and their index
    manifest.json                    model, precision, which parts are trained, sha256 of all
    LICENSE.md                       licence and restrictions, with links
    matter/                          only if one was given: MEMatte's or ViTMatte's tensors

Source: SAM 2.1's released checkpoints; what is in them: `pullmatte.models.mam2.upstream`.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pullmatte.errors import WeightsError
from pullmatte.models import weights as files
from pullmatte.models.conversion import Read
from pullmatte.models.mam2.config import MAM2Config
from pullmatte.models.mam2.conversion import (
    choose_config,
    convert,
    find_tensors,
    make_empty,
    open_sam2,
    parse_config,
)
from pullmatte.models.mam2.kept_matter import load_matter
from pullmatte.models.mam2.model import MAM2Model
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.options import MAM2Options
from pullmatte.models.mam2.pdd import Choice
from pullmatte.models.mam2.sam2 import restore_constants
from pullmatte.models.protocol import TrimapMatter
from pullmatte.models.weights import (
    CONFIG,
    identify,
    keeps_matter,
    load_strictly,
    read_file,
    read_shards,
)

__all__ = ["build", "convert", "load_network", "read_config"]

_TRUNK_AND_MEMORY = ("sam2.vision_encoder.", "sam2.memory_attention.", "sam2.memory_encoder.")


def build(
    *,
    weights: Path,
    device: str = "cpu",
    dtype: str | None = None,
    matter: TrimapMatter | None = None,
    feed_previous: bool = True,
    believe_prompts: bool = True,
    mask_pointer: Choice = "single",
) -> MAM2Model:
    """Make the model from its weights.

    Args:
        weights: A converted folder, or a safetensors file with the released names.
        device: Where it runs, as torch names it.
        dtype: Precision of trunk, memory and a matter that lies in the folder; the weights' own
            when left out, except that a CPU runs them in float32: many are slow at all else.
        matter: Turns trimaps into alpha; it counts more than the one in the folder.
        feed_previous: As for `MAM2Options`, like the next.
        believe_prompts: See there.
        mask_pointer: See there.

    Raises:
        WeightsError: If the weights are missing, damaged, or another network's, or if no matter
            was given and none is in the folder.
    """
    kind: torch.dtype | None = None if dtype is None else getattr(torch, dtype)
    if kind is None and torch.device(device).type == "cpu":
        kind = torch.float32
    if matter is None and not keeps_matter(weights):
        raise WeightsError(
            f"{weights}: no matter is kept with it, which turns trimaps into alpha: choose one, "
            "or convert again with MEMatte's or ViTMatte's file as --also"
        )
    network = load_network(weights, kind).to(device)
    chosen = load_matter(weights, kind, device) if matter is None else matter
    return MAM2Model(network, chosen, MAM2Options(feed_previous, believe_prompts, mask_pointer))


def load_network(path: Path, dtype: torch.dtype | None = None) -> MAM2Network:
    """Load a network with its weights; they are mapped from the file, not copied.

    Args:
        path: A converted folder, or a safetensors file with the released names.
        dtype: Precision of trunk and memory, see `MAM2Network.run_in`; None takes the file's.

    Returns:
        The network on the CPU, in evaluation mode, without gradients.

    Raises:
        WeightsError: If the weights are missing, damaged, or another network's.
    """
    spec = identify(path)
    if path.is_dir():
        network = make_empty(read_config(path), str(path / CONFIG))
        tensors = read_shards(path)
    else:
        file = open_sam2(path, spec)
        network = make_empty(choose_config(spec, path, file.shapes)[0], str(path))
        mapped = read_file(path)
        tensors = {
            ours: mapped[origin.name] if isinstance(origin, Read) else origin
            for ours, origin in find_tensors(network, file).items()
        }
    restore_constants(network.sam2)
    load_strictly(network, _exact_outside(tensors), str(path))
    if dtype is not None:
        network.run_in(dtype)
    return network.eval().requires_grad_(False)


def _exact_outside(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring what isn't trunk or memory to float32, in whatever precision it was stored."""
    return {
        name: value
        if name.startswith(_TRUNK_AND_MEMORY) or not value.is_floating_point()
        else value.float()
        for name, value in tensors.items()
    }


def read_config(folder: Path) -> MAM2Config:
    """Read a converted folder's config.

    Raises:
        WeightsError: If it can't be read, or holds what no network can have.
    """
    return files.read_config(folder, parse_config)
