"""Which memories a frame looks at, and how they are put together for the memory attention.

Of prompted frames all lend their spatial memory, wherever they are; of tracked ones the last six.
Pointers come from the prompted frames that the run has passed and from the last fifteen tracked.

Source: SAM 2, memory bank; `Sam2VideoModel._gather_memory_frame_outputs` and
`_get_object_pointers`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Sam2VideoModel

from pullmatte.errors import PromptError
from pullmatte.models.mam2.config import MEMORY_WIDTH, SAM2Config
from pullmatte.models.mam2.sam2 import memory_positions, pointer_positions
from pullmatte.models.protocol import Entry, Memories

FEATURES, POINTER, LOGITS = "features", "pointer", "logits"
"""Names of an entry's arrays: `(h w) 64` bfloat16, `C` float32, `4h 4w` float16."""
Aged = tuple[tuple[int, Entry], ...]


class DeviceArray:
    """A tensor that stays where it is, and that `np.asarray` turns into numpy's.

    Numpy has no bfloat16: its 16 bits become an int16.

    Attributes:
        tensor: It.
    """

    def __init__(self, tensor: Tensor) -> None:
        """Hold a tensor, apart from whatever it was a part of."""
        self.tensor = tensor.detach().contiguous()

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        return tuple(self.tensor.shape)

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        return self.tensor.nbytes

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        bits = self.tensor
        if bits.dtype == torch.bfloat16:
            bits = bits.view(torch.int16)
        found: NDArray[Any] = bits.cpu().numpy()
        return np.array(found, dtype=dtype, copy=bool(copy) or None)


def as_tensor(value: Any, device: torch.device) -> Tensor:
    """Read an entry's array, whether it was kept on the device or came back as numpy's.

    Args:
        value: A tensor, a `DeviceArray`, or an array; int16 stands for bfloat16.
        device: Where it is needed.
    """
    if isinstance(value, DeviceArray):
        return value.tensor.to(device, non_blocking=True)
    if isinstance(value, Tensor):
        return value.to(device)
    array = np.asarray(value)
    tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    if tensor.dtype == torch.int16:
        tensor = tensor.view(torch.bfloat16)
    return tensor.to(device)


@dataclass(frozen=True)
class Selection:
    """What a frame looks at, with how many frames ago it was.

    Attributes:
        spatial: Entries whose spatial memory counts; an age of 0 means a prompted frame.
        pointers: Entries whose pointer counts, with their true age.
    """

    spatial: Aged
    pointers: Aged

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to look at."""
        return not self.spatial


@dataclass(frozen=True, eq=False)
class MemoryTokens:
    """What the memory attention reads; its arguments, see `sam2.attend_memory`.

    Attributes:
        memory: `K m 64`.
        memory_position: `K m 64`.
        pointer_tokens: How many of the last are parts of pointers.
    """

    memory: Tensor
    memory_position: Tensor
    pointer_tokens: int


def select(memories: Memories, frame: int, config: SAM2Config) -> Selection:
    """Choose what a frame looks at.

    Args:
        memories: What is known of other frames.
        frame: The frame's number.
        config: How much counts.
    """
    step = 1 if memories.reverse else -1
    near = nearest_prompted(memories.prompted, frame, config.most_prompted)
    # A prompted frame too many counts as if it had been tracked.
    others = {at: e for at, e in memories.prompted.items() if at not in near} | dict(
        memories.tracked
    )
    spatial = [(0, memories.prompted[at]) for at in sorted(near)]
    for age in range(config.spatial_span, 0, -1):
        entry = others.get(frame + step * age, {})
        if FEATURES in entry:
            spatial.append((age, entry))
    passed = [at for at in sorted(memories.prompted) if (frame - at) * -step >= 0]
    pointers = [(abs(frame - at), memories.prompted[at]) for at in passed]
    for age in range(1, config.most_pointers):
        entry = memories.tracked.get(frame + step * age, {})
        if POINTER in entry:
            pointers.append((age, entry))
    return Selection(tuple(spatial), tuple(pointers))


def nearest_prompted(frames: Iterable[int], frame: int, most: int) -> set[int]:
    """Choose prompted frames: the nearest on each side, then whichever are nearest.

    Args:
        frames: Their numbers.
        frame: From where.
        most: How many; 0 for all.

    Source: SAM 2, `_select_closest_cond_frames`.
    """
    known = sorted(frames)
    if not most or len(known) <= most:
        return set(known)
    before, after = [at for at in known if at < frame], [at for at in known if at >= frame]
    chosen = {*before[-1:], *after[:1]}
    rest = sorted((at for at in known if at not in chosen), key=lambda at: abs(at - frame))
    return chosen | set(rest[: max(0, most - len(chosen))])


def assemble(model: Sam2VideoModel, selection: Selection, config: SAM2Config) -> MemoryTokens:
    """Put memories together, those of one object, or of `K` if their arrays have such an axis.

    Args:
        model: SAM 2.
        selection: What to look at; not empty.
        config: What SAM 2 is like.

    Raises:
        PromptError: If an entry isn't one of this model.
    """
    device = model.no_memory_embedding.device
    spatial = [
        _read(entry, FEATURES, (config.memory_tokens, MEMORY_WIDTH), device)
        for _, entry in selection.spatial
    ]
    ages = [age for age, _ in selection.spatial]
    parts = [torch.cat(spatial, dim=1).float()]
    places = [memory_positions(model, ages, device, config.memory_pool).flatten(0, 1)]
    pointer_tokens = 0
    if selection.pointers:
        pointers = torch.stack(
            [_read(entry, POINTER, (config.width,), device) for _, entry in selection.pointers],
            dim=1,
        )
        split = config.width // MEMORY_WIDTH
        aged = torch.tensor([age for age, _ in selection.pointers], device=device)
        parts.append(pointers.float().reshape(len(pointers), -1, MEMORY_WIDTH))
        place = pointer_positions(model, aged, config.most_pointers).float()
        places.append(place.repeat_interleave(split, dim=0))
        pointer_tokens = parts[1].shape[1]
    memory = torch.cat(parts, dim=1)
    return MemoryTokens(memory, torch.cat(places).expand(len(memory), -1, -1), pointer_tokens)


def _read(
    entry: Mapping[str, Any], name: str, shape: tuple[int, ...], device: torch.device
) -> Tensor:
    """Read an entry's array as `K ...`."""
    if name not in entry:
        raise PromptError(f"memory without {name!r}: give what this model's remember() returned")
    tensor = as_tensor(entry[name], device)
    if tuple(tensor.shape[-len(shape) :]) != shape:
        raise PromptError(
            f"memory {name!r} of shape {tuple(tensor.shape)}, expected {shape}: it is of another "
            "model or size; track from its prompts again"
        )
    return tensor.reshape(-1, *shape)
