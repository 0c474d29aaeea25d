"""nano's matter behind the protocol for trimaps: tiles where a picture is unknown."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pullmatte.errors import PullmatteError
from pullmatte.models.mematte.model import part_of
from pullmatte.models.nano.colour_hints import colour_hints
from pullmatte.models.nano.local_fit import polished
from pullmatte.models.nano.matter_network import MULTIPLE_PX, MatterNetwork, folded
from pullmatte.models.protocol import BoolMask, Image, Plane

MARGIN_PX = 64
"""How far round the unknown pixels the network looks."""
TILE_PX = 1024
OVERLAP_PX = 128
_TINY = 1e-6


class NanoMatter:
    """Turns trimaps into alpha.

    Attributes:
        network: With its weights, where it runs.
    """

    def __init__(self, network: MatterNetwork) -> None:
        """Take a network with its weights."""
        self.network = network.eval().requires_grad_(False)
        self._folded = folded(self.network)
        self._folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def matte(self, image: Image, trimap: Plane) -> Plane:
        """Work out the unknown pixels of a trimap.

        Args:
            image: `H W 3` float32 in [0, 1].
            trimap: `H W` float32 in {0, 0.5, 1}.

        Returns:
            `H W` float32 in [0, 1], equal to the trimap where that is known. Without unknown
            pixels the network isn't run.

        Raises:
            PullmatteError: If the network's answer isn't finite.
        """
        alpha: Plane = trimap.astype(np.float32, copy=True)
        unknown = trimap == 0.5
        if not unknown.any():
            return alpha
        whole = part_of(unknown, MARGIN_PX)
        unknown = unknown[whole]
        picture, levels = self._tensors(image[whole], trimap[whole])
        # Of the whole part: colours far from a tile count in it, and tiles then agree.
        hints = colour_hints(picture, levels)
        total, weight = (np.zeros(picture.shape[-2:], np.float32) for _ in range(2))
        for rows, columns in _tiles(unknown, total.shape):
            part = (..., rows, columns)
            seen = self._folded.refine(picture[part], levels[part], hints.part(rows, columns))
            ramp = _ramp(seen.shape[-2:])
            total[rows, columns] += seen[0, 0].cpu().numpy() * ramp
            weight[rows, columns] += ramp
        mixed = torch.from_numpy(total / np.maximum(weight, _TINY))[None, None].to(picture)
        found = polished(picture, levels, torch.where(levels == 0.5, mixed, levels))[0, 0]
        height, width = unknown.shape
        made: Plane = found[:height, :width].cpu().numpy()
        if not np.isfinite(made).all():
            raise PullmatteError(
                "the network's answer isn't finite: load it with dtype float32, or check the "
                "weights"
            )
        alpha[whole][unknown] = made[unknown]
        return alpha

    def _tensors(self, image: Image, trimap: Plane) -> tuple[Tensor, Tensor]:
        """Return picture and trimap, padded to sides that the network takes."""
        device = next(self.network.parameters()).device
        more = [(0, -side % MULTIPLE_PX) for side in trimap.shape]
        picture = torch.from_numpy(np.pad(image, [*more, (0, 0)], mode="edge")).to(device)
        levels = torch.from_numpy(np.pad(trimap, more, mode="edge")).to(device)
        # Channels stay last: convolutions are faster so.
        return picture.permute(2, 0, 1)[None], levels[None, None]


def _tiles(unknown: BoolMask, shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Yield overlapping tiles in which something is unknown."""
    for rows in _stretches(shape[0]):
        for columns in _stretches(shape[1]):
            if unknown[rows, columns].any():
                yield rows, columns


def _stretches(length: int) -> Iterator[slice]:
    """Cut a length, a multiple of `MULTIPLE_PX` like all the rest, into overlapping stretches."""
    count = max(1, -(-(length - OVERLAP_PX) // (TILE_PX - OVERLAP_PX)))
    side = -(-(length + (count - 1) * OVERLAP_PX) // count)
    side = min(length, -(-side // MULTIPLE_PX) * MULTIPLE_PX)
    for at in range(count):
        begin = min(at * (side - OVERLAP_PX), length - side)
        yield slice(begin, begin + side)


def _ramp(shape: tuple[int, ...]) -> Plane:
    """Weigh a tile's pixels by their distance from its edge."""
    rows, columns = (
        np.minimum(np.minimum(np.arange(size) + 1, size - np.arange(size)), OVERLAP_PX)
        for size in shape
    )
    return np.asarray(np.outer(rows, columns) / OVERLAP_PX**2, np.float32)
