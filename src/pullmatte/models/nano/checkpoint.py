"""nano's weights: one file in the package, or a folder of the same form.

A folder holds::

    config.json           the prompter, as `MAM2Config.to_dict` gives it
    model.safetensors     tensors of both networks, "prompter." and "matter." before their names
    manifest.json         model, precision, sha256 of the tensors
"""

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from pullmatte.errors import WeightsError
from pullmatte.models import weights as files
from pullmatte.models.mam2.config import MAM2Config
from pullmatte.models.mam2.model import MAM2Model
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.options import MAM2Options
from pullmatte.models.mam2.sam2 import restore_constants
from pullmatte.models.nano.config import NANO, sized
from pullmatte.models.nano.matter import NanoMatter
from pullmatte.models.nano.matter_network import MatterNetwork
from pullmatte.models.protocol import TrimapMatter

TENSORS = "model.safetensors"
PROMPTER, MATTER = "prompter.", "matter."
# It learnt from boxes more than from clicks.
_CLICKS = 5
_LEAST_SURE = 0.7
# Opaque things of real photos come up to 0.94, water before clutter from 0.98.
_SEEN_THROUGH_FROM = 0.975
_SETTLE = 0.15


def build(
    *,
    weights: Path,
    device: str = "cpu",
    matter: TrimapMatter | None = None,
    feed_previous: bool = True,
    believe_prompts: bool = True,
    remember_alpha: bool = True,
) -> MAM2Model:
    """Make the model from its weights.

    Args:
        weights: The folder.
        device: Where it runs, as torch names it.
        matter: Turns trimaps into alpha in place of nano's own.
        feed_previous: As for `MAM2Options`, like the next.
        believe_prompts: See there, like the next.
        remember_alpha: See there.

    Raises:
        WeightsError: If the weights are missing, damaged, or another network's.
    """
    network, own = load_networks(weights)
    chosen = NanoMatter(own.to(device)) if matter is None else matter
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    options = nano_options(feed_previous, believe_prompts, remember_alpha)
    return MAM2Model(network, chosen, options)


def nano_options(
    feed_previous: bool = True, believe_prompts: bool = True, remember_alpha: bool = True
) -> MAM2Options:
    """Return nano's choices; arguments as for `MAM2Options`."""
    return MAM2Options(
        feed_previous,
        believe_prompts,
        clicks_for_box=_CLICKS,
        least_sure=_LEAST_SURE,
        seen_through_from=_SEEN_THROUGH_FROM,
        settle=_SETTLE,
        keep_whole=True,
        remember_alpha=remember_alpha,
    )


def load_networks(folder: Path) -> tuple[MAM2Network, MatterNetwork]:
    """Load both networks, in float32, on the CPU.

    Raises:
        WeightsError: If the weights are missing, damaged, or another network's.
    """
    config = files.read_config(folder, MAM2Config.from_dict)
    _check_sum(folder)
    tensors = files.read_shards(folder)
    with torch.device("meta"):
        network, matter = MAM2Network(config), MatterNetwork()
    restore_constants(network.sam2)
    for module, prefix in ((network, PROMPTER), (matter, MATTER)):
        own = {
            name.removeprefix(prefix): value.float() if value.is_floating_point() else value
            for name, value in tensors.items()
            if name.startswith(prefix)
        }
        files.load_strictly(module, own, f"{folder}: {prefix[:-1]}")
    return network, matter


def save_networks(network: MAM2Network, matter: MatterNetwork, folder: Path) -> None:
    """Write both networks in float16, at nano's own side whatever they were trained at.

    Args:
        network: The prompter.
        matter: The matter.
        folder: Made if it isn't there; its files are replaced one by one.

    Raises:
        WeightsError: If a number is beyond float16, or none; nothing is written then.
    """
    from safetensors.torch import save_file

    tensors = {**_named(network, PROMPTER), **_named(matter, MATTER)}
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise WeightsError(f"{name}: not all of it is finite in float16: train it otherwise")
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / f"{TENSORS}.part")
    # It writes for the owner alone; what is installed must be readable by all.
    (folder / f"{TENSORS}.part").chmod(0o644)
    (folder / f"{TENSORS}.part").replace(folder / TENSORS)
    total = hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest()
    config = sized(NANO.sam2.image_px, network.config).to_dict()
    manifest = {"model": "nano", "dtype": "float16", "files": {TENSORS: total}}
    for name, content in ((files.CONFIG, config), (files.MANIFEST, manifest)):
        part = folder / f"{name}.part"
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        part.replace(folder / name)


def _named(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    return {
        prefix + name: (value.half() if value.is_floating_point() else value).contiguous().clone()
        for name, value in module.state_dict().items()
    }


def _check_sum(folder: Path) -> None:
    said = files.read_manifest(folder).get("files", {}).get(TENSORS)
    try:
        found = hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(f"{folder / TENSORS}: can't be read: {error}") from error
    if said != found:
        raise WeightsError(
            f"{folder / TENSORS}: sha256 is {found}, {files.MANIFEST} says {said}: install again"
        )
