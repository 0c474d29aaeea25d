"""nano's weights as the start of a training."""

import torch

from pullmatte.errors import PullmatteError
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.nano.checkpoint import load_networks
from pullmatte.models.nano.config import NANO, sized
from pullmatte.models.nano.matter_network import MatterNetwork
from pullmatte.models.weights import resolve

Networks = tuple[MAM2Network, MatterNetwork]


def start_nano(name: str, size_px: int, *, afresh_seed: int | None = None) -> Networks:
    """Load nano for training at a side of the square.

    Args:
        name: "nano", or a folder of its form.
        size_px: The square's side.
        afresh_seed: Start from random weights but for the trunk's; None keeps all.

    Raises:
        PullmatteError: If it is another model.
    """
    spec, folder = resolve(name)
    if spec.name != "nano" or folder is None:
        raise PullmatteError(f"--start {name!r} is {spec.name}: give nano, or a folder of its form")
    known, matter = load_networks(folder)
    with torch.random.fork_rng():
        torch.manual_seed(afresh_seed or 0)
        # Weights from elsewhere may be of another size than today's.
        network = MAM2Network(sized(size_px, known.config if afresh_seed is None else NANO))
        fresh = MatterNetwork(matter.config)
    if afresh_seed is None:
        network.load_state_dict(known.state_dict())
        fresh.load_state_dict(matter.state_dict())
    else:
        trunk = known.sam2.vision_encoder.backbone.state_dict()
        network.sam2.vision_encoder.backbone.load_state_dict(trunk)
    return network, fresh
