"""nano's matter behind the protocol for trimaps: windows where a picture is unknown."""

import hashlib
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from pullmatte.errors import PullmatteError
from pullmatte.models.mam2.told import Edges, Told
from pullmatte.models.mematte.model import part_of
from pullmatte.models.nano.colour_hints import colour_hints
from pullmatte.models.nano.local_fit import polished
from pullmatte.models.nano.matter_network import MULTIPLE_PX, MatterNetwork, folded
from pullmatte.models.protocol import BoolMask, Image, Kept, Plane

MARGIN_PX = 8
"""How far round the unknown pixels the network looks."""
TILE_PX = 1024
OVERLAP_PX = 128
WINDOW_PX, WINDOW_OVERLAP_PX = 640, 64
"""Larger pictures are worked out in windows of so much at most, on their own each."""
WINDOWS_KEPT = 48
_TINY = 1e-6
Part = tuple[slice, slice]


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

    def matte(self, image: Image, trimap: Plane) -> Plane:
        """Work out the unknown pixels of a trimap; see `matte_again`."""
        return self.matte_again(image, trimap, None)

    def matte_again(
        self, image: Image, trimap: Plane, kept: Kept | None, told: Told | None = None
    ) -> Plane:
        """Work out the unknown pixels of a trimap, window by window.

        Args:
            image: `H W 3` float32 in [0, 1].
            trimap: `H W` float32 in {0, 0.5, 1}.
            kept: What windows gave before, of the same image; it is added to. A window of which
                the same is known isn't worked out again, which changes no result. None keeps
                nothing.
            told: What the prompter knows beside the trimap; None where that is a person's.

        Returns:
            `H W` float32 in [0, 1], equal to the trimap where that is known. Without unknown
            pixels the network isn't run.

        Raises:
            PullmatteError: If the network's answer isn't finite.
        """
        alpha: Plane = trimap.astype(np.float32, copy=True)
        unknown = trimap == 0.5
        total, weight = (np.zeros(trimap.shape, np.float32) for _ in range(2))
        for reach, window in windows(trimap, unknown):
            found = self._kept(image, trimap, reach, window, kept, told)
            ramp = _ramp(found.shape, WINDOW_OVERLAP_PX)
            total[reach] += found * ramp
            weight[reach] += ramp
        alpha[unknown] = (total / np.maximum(weight, _TINY))[unknown]
        return alpha

    def _kept(
        self,
        image: Image,
        trimap: Plane,
        reach: Part,
        window: Part,
        kept: Kept | None,
        told: Told | None,
    ) -> Plane:
        """Return what a window gives within its reach."""
        if kept is None:
            return self._window(image, trimap, reach, window, told)
        known = hashlib.blake2b((2 * trimap[window]).astype(np.uint8).tobytes())
        if told is not None:
            x, y, _ = _shares(window, trimap.shape)
            known.update(told.cells(x, y).cpu().numpy().tobytes())
        key = (_edges(reach), _edges(window), known.digest())
        found = kept.pop(key, None)
        if found is None:
            found = self._window(image, trimap, reach, window, told)
        # The newest are last.
        kept[key] = found
        while len(kept) > WINDOWS_KEPT:
            del kept[next(iter(kept))]
        return found

    @torch.inference_mode()
    def _window(
        self, image: Image, trimap: Plane, reach: Part, window: Part, told: Told | None
    ) -> Plane:
        """Work out the unknown pixels of a window; its reach is returned."""
        seen = trimap[window]
        alpha: Plane = seen.astype(np.float32, copy=True)
        unknown = seen == 0.5
        whole = part_of(unknown, MARGIN_PX)
        known = [level for level in (0.0, 1.0) if (seen == level).any()]
        if not all((seen[whole] == level).any() for level in known):
            whole = (slice(0, seen.shape[0]), slice(0, seen.shape[1]))
        unknown = unknown[whole]
        picture, levels = self._tensors(image[window][whole], seen[whole])
        heard = None if told is None else told.window(*_shares(_moved(whole, window), trimap.shape))
        # Of the whole part: colours far from a tile count in it, and tiles then agree.
        hints = colour_hints(picture, levels)
        total, weight = (np.zeros(picture.shape[-2:], np.float32) for _ in range(2))
        for rows, columns in _tiles(unknown, total.shape):
            part = (..., rows, columns)
            part_alpha = self._folded.refine(
                picture[part],
                levels[part],
                hints.part(rows, columns),
                None if heard is None else heard.part(rows, columns),
            )
            ramp = _ramp(part_alpha.shape[-2:], OVERLAP_PX)
            total[rows, columns] += part_alpha[0, 0].cpu().numpy() * ramp
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
        return alpha[_within(reach, window)].copy()

    def _tensors(self, image: Image, trimap: Plane) -> tuple[Tensor, Tensor]:
        """Return picture and trimap, padded to sides that the network takes."""
        device = next(self.network.parameters()).device
        more = [(0, -side % MULTIPLE_PX) for side in trimap.shape]
        picture = torch.from_numpy(np.pad(image, [*more, (0, 0)], mode="edge")).to(device)
        levels = torch.from_numpy(np.pad(trimap, more, mode="edge")).to(device)
        # Channels stay last: convolutions are faster so.
        return picture.permute(2, 0, 1)[None], levels[None, None]


def windows(trimap: Plane, unknown: BoolMask) -> Iterator[tuple[Part, Part]]:
    """Yield the windows in which something is unknown.

    Args:
        trimap: `H W`.
        unknown: `H W`, where it is 0.5.

    Yields:
        What a window speaks for; neighbours' overlap. And what it looks at, which is more: so
        much that whatever class the trimap knows at all is seen.
    """
    classes = [trimap == level for level in (0.0, 1.0)]
    classes = [each for each in classes if each.any()]
    shape = trimap.shape
    rows, columns = (_cut(side) for side in shape)
    for row in rows:
        for column in columns:
            reach = (row, column)
            if not unknown[reach].any():
                continue
            margin = MARGIN_PX
            window = _grown(reach, margin, shape)
            while not all(each[window].any() for each in classes):
                margin *= 2
                window = _grown(reach, margin, shape)
            yield reach, window


def _cut(length: int) -> list[slice]:
    count = max(1, -(-length // WINDOW_PX))
    edges = [round(length * at / count) for at in range(count + 1)]
    more = WINDOW_OVERLAP_PX // 2
    return [slice(max(0, begin - more), min(length, end + more)) for begin, end in pairwise(edges)]


def _grown(part: Part, margin_px: int, shape: tuple[int, ...]) -> Part:
    rows, columns = (
        slice(max(0, each.start - margin_px), min(side, each.stop + margin_px))
        for each, side in zip(part, shape, strict=True)
    )
    return rows, columns


def _within(part: Part, window: Part) -> Part:
    rows, columns = (
        slice(each.start - outer.start, each.stop - outer.start)
        for each, outer in zip(part, window, strict=True)
    )
    return rows, columns


def _edges(part: Part) -> tuple[int, ...]:
    return tuple(edge for each in part for edge in (each.start, each.stop))


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


def _moved(part: Part, window: Part) -> Part:
    """Return a window's part as one of the picture."""
    rows, columns = (
        slice(each.start + outer.start, each.stop + outer.start)
        for each, outer in zip(part, window, strict=True)
    )
    return rows, columns


def _shares(part: Part, shape: tuple[int, ...]) -> tuple[Edges, Edges, tuple[int, int]]:
    """Return a part's edges across and down in shares of a picture of `shape`, and its size.

    It is filled up as `_tensors` does.
    """
    edges, size = [], []
    for cut, length in zip(part, shape, strict=True):
        side = -(-(cut.stop - cut.start) // MULTIPLE_PX) * MULTIPLE_PX
        edges.append((cut.start / length, (cut.start + side) / length))
        size.append(side)
    return edges[1], edges[0], (size[0], size[1])


def _ramp(shape: tuple[int, ...], overlap_px: int) -> Plane:
    """Weigh a tile's pixels by their distance from its edge."""
    rows, columns = (
        np.minimum(np.minimum(np.arange(size) + 1, size - np.arange(size)), overlap_px)
        for size in shape
    )
    return np.asarray(np.outer(rows, columns) / overlap_px**2, np.float32)
