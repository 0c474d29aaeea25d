"""From weights on the disk to a network that can learn."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from pullmatte.errors import WeightsError
from pullmatte.models import MODELS
from pullmatte.models.mam2 import checkpoint as mam2_checkpoint
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mematte import checkpoint as mematte_checkpoint
from pullmatte.models.mematte.config import MEMatteConfig
from pullmatte.models.mematte.network import MEMatteNetwork
from pullmatte.models.sdmatte import checkpoint as sdmatte_checkpoint
from pullmatte.models.sdmatte.config import LITESDMATTE, SDMATTE
from pullmatte.models.sdmatte.network import SDMatteNetwork
from pullmatte.models.sdmatte.starting_weights import start_from_stable_diffusion
from pullmatte.models.sdmatte.text_embedding import embed_empty
from pullmatte.models.weights import MANIFEST, read_file, resolve
from pullmatte.train.draws import torch_generator
from pullmatte.train.mematte import start_from_teacher

_DIFFUSERS = "diffusion_pytorch_model.safetensors"
_TEXT_PREFIX = "text_model."


def learnable(network: nn.Module) -> None:
    """Make float32 copies of a network's weights, which may lie in a file, and let it learn."""
    for value in [*network.parameters(), *network.buffers()]:
        value.data = value.data.to(torch.float32 if value.is_floating_point() else value.dtype)
        value.data = value.data.clone()
    network.train()


def start_mam2(name: str) -> MAM2Network:
    """Load MAM2, or SAM 2.1, which gets a trimap branch that starts as its mask branch.

    Args:
        name: A model's name, or a folder or file of weights.

    Raises:
        WeightsError: If the weights are missing, damaged, or another model's.
    """
    network = mam2_checkpoint.load_network(_weights(name, "mam2"), torch.float32)
    learnable(network)
    if network.config.has_trimap_branch:
        return network
    config = replace(network.config, trimap="pdd", second_pass="mss")
    whole = MAM2Network(config)
    lacking, unexpected = whole.load_state_dict(network.state_dict(), strict=False)
    assert not unexpected
    assert all("trimap_branch" in each for each in lacking)
    whole.start_trimap_branch()
    return whole


def start_matter(
    name: str, teacher: str | None = None
) -> tuple[MEMatteNetwork, MEMatteNetwork | None]:
    """Load MEMatte or ViTMatte, or make a MEMatte of a teacher.

    Args:
        name: A model's name, or a folder or file of weights; with the teacher's the student
            starts with its weights, and routers by chance.
        teacher: ViTMatte's, whose features the student keeps; None for no teacher.

    Returns:
        The student, and the teacher.

    Raises:
        WeightsError: If the weights are missing, damaged, or another model's.
    """
    if teacher is None:
        network = mematte_checkpoint.load_network(_weights(name, "matte"), torch.float32)
        learnable(network)
        return network, None
    asked = mematte_checkpoint.load_network(_weights(teacher, "vitmatte"), torch.float32)
    learnable(asked)
    if name != teacher:
        network = mematte_checkpoint.load_network(_weights(name, "mematte"), torch.float32)
        learnable(network)
        return network, asked
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        student = MEMatteNetwork(MEMatteConfig.from_dict(asked.config.to_dict() | {"routed": True}))
    start_from_teacher(student, asked)
    return student, asked


def start_sdmatte(name: str, *, lite: bool = False, seed: int = 0) -> SDMatteNetwork:
    """Load SDMatte, or start one from Stable Diffusion 2.

    Args:
        name: A model's name, a folder or file of its weights, or a folder of diffusers' with
            ``unet``, ``vae`` and ``text_encoder``; for LiteSDMatte with BK-SDM's U-Net and TAESD.
        lite: Whether it is LiteSDMatte.
        seed: Of the layers that Stable Diffusion doesn't have.

    Raises:
        WeightsError: If the weights are missing, damaged, or another model's.
    """
    folder = Path(name).expanduser()
    if not (folder / "unet").is_dir() or (folder / MANIFEST).is_file():
        network = sdmatte_checkpoint.load_network(_weights(name, "sdmatte"), torch.float32)
        learnable(network)
        return network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SDMatteNetwork(LITESDMATTE if lite else SDMATTE)
    text = read_file(folder / "text_encoder" / "model.safetensors")
    start_from_stable_diffusion(
        network,
        read_file(folder / "unet" / _DIFFUSERS),
        read_file(folder / "vae" / _DIFFUSERS),
        embed_empty({key.removeprefix(_TEXT_PREFIX): value for key, value in text.items()}),
        torch_generator(seed),
    )
    learnable(network)
    return network


def model_of(name: str) -> str:
    """Return the name of the model whose weights something is.

    Raises:
        UnknownModel: If it is none.
    """
    return resolve(name)[0].name


def _weights(name: str, family: str) -> Path:
    """Find weights, and refuse another family's."""
    spec, path = resolve(name)
    if family not in spec.name or path is None:
        fitting = [each for each in MODELS if family in each]
        raise WeightsError(
            f"{name}: weights of {spec.name!r}; give those of {' or '.join(fitting)}"
        )
    return path
