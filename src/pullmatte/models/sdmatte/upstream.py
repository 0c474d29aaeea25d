"""Names: what the released files call a tensor, and what we call it.

Nothing else in the package knows the released names. Forms that are understood: detectron2's and
DDP's prefixes, transformers 4 (``text_encoder.text_model.``) and 5 (without ``text_model.``), and
the autoencoder's attention as diffusers named it before 2023.

Source: the released SDMatte code's state dict; `state_dict` of its 1316 tensors.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from pullmatte.errors import WeightsError

_RENAMED = {
    "unet.aux_conv_in.": "visual_prompt.projection.",
    "unet.time_embedding.": "opacity_embedding.mlp.",
    "unet.bbox_embedding.": "coordinate_embedding.box.",
    "unet.point_embedding.": "coordinate_embedding.points.",
    "vae.": "codec.vae.",
}
_TEXT = "text_encoder."
_TEXT_4 = "text_encoder.text_model."
_WRAPPERS = ("module.", "_orig_mod.")
_OLD_ATTENTION = {
    "query": "to_q",
    "key": "to_k",
    "value": "to_v",
    "proj_attn": "to_out.0",
}
_OLD = re.compile(r"^(vae\..*\.attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)$")
# Counters and tables that older libraries saved beside the weights.
_IDLE = re.compile(r"(^|\.)(position_ids|num_batches_tracked)$")


@dataclass(frozen=True)
class SortedNames:
    """The names of a released file, sorted.

    Attributes:
        network: Our name of each tensor of the network -> its name in the file.
        text_encoder: Name within the text encoder, without prefix -> its name in the file.
        unknown: Names in the file that belong to neither.
    """

    network: dict[str, str] = field(default_factory=dict)
    text_encoder: dict[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def to_ours(released: str) -> str:
    """Turn a released name (`clean`ed) into ours; text encoder names stay as they are."""
    for theirs, ours in _RENAMED.items():
        if released.startswith(theirs):
            return ours + released[len(theirs) :]
    return released


def to_released(ours: str) -> str:
    """Turn a name of ours back into the released one."""
    for theirs, mine in _RENAMED.items():
        if ours.startswith(mine):
            return theirs + ours[len(mine) :]
    return ours


def clean(name: str) -> str:
    """Bring a name from any known library version into the form of the released files."""
    shortened = True
    while shortened:
        shortened = False
        for wrapper in _WRAPPERS:
            if name.startswith(wrapper):
                name, shortened = name[len(wrapper) :], True
    if name.startswith(_TEXT) and not name.startswith(_TEXT_4):
        name = _TEXT_4 + name[len(_TEXT) :]
    old = _OLD.match(name)
    return f"{old[1]}.{_OLD_ATTENTION[old[2]]}.{old[3]}" if old else name


def remap(names: Iterable[str]) -> SortedNames:
    """Sort the names of a file.

    Args:
        names: As they stand in the file.

    Returns:
        What belongs to the network, what to the text encoder, and what to neither.

    Raises:
        WeightsError: If two names mean the same tensor.
    """
    network: dict[str, str] = {}
    text_encoder: dict[str, str] = {}
    unknown = []
    for name in names:
        released = clean(name)
        if _IDLE.search(released):
            continue
        if released.startswith(_TEXT_4):
            kind, key = text_encoder, released[len(_TEXT_4) :]
        elif released.startswith(("unet.", "vae.")):
            kind, key = network, to_ours(released)
        else:
            unknown.append(name)
            continue
        if key in kind:
            raise WeightsError(f"{kind[key]} and {name} are the same tensor: give one of them")
        kind[key] = name
    return SortedNames(network, text_encoder, tuple(unknown))
