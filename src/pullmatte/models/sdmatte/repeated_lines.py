"""Encode a prompt map with its repeated rows and columns computed once.

In a box's map all rows above the box are equal, as are those through it and those below it, and so
are its columns. A convolution changes such a run only at its two ends, by one line each. So of
every run only its ends are kept, as many lines as convolutions follow, and one line that stands for
all those between. On this small grid the encoder's convolutions give exactly what they give on the
full map; group norms and attention count each line as often as it stands in the map. Before each
halving the kept lines of the next level are chosen anew and their neighbours looked up.

Source: SDMatte, section 3.1: visual prompts pass the autoencoder like images.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

from pullmatte.models.sdmatte.autoencoder_strips import (
    encode_mean,
    middle,
    posterior_mean,
    resnets,
)
from pullmatte.models.sdmatte.group_moments import Counts, group_affine
from pullmatte.models.sdmatte.strip_convolution import convolve

Run = tuple[int, int]
# Above this share of the full map's pixels at full size the detour doesn't pay.
_WORTHWHILE = 0.8


@dataclass(frozen=True, eq=False)
class Lines:
    """The kept rows, or columns, of a map.

    Attributes:
        size: How many lines the full map has.
        runs: (begin, end) of equal neighbouring lines, at this level's beginning.
        kept: Full indices of the kept lines.
        counts: How many lines each kept one stands for, float64.
        place: `size`, for each line of the full map the kept one that equals it.
    """

    size: int
    runs: tuple[Run, ...]
    kept: Tensor
    counts: Tensor
    place: Tensor

    @classmethod
    def keeping(cls, size: int, runs: tuple[Run, ...], convolutions: int) -> "Lines":
        """Choose the lines for a number of 3x3 convolutions that follow.

        Args:
            size: Lines of the full map.
            runs: Its runs of equal lines, in order, without overlap.
            convolutions: As many lines are kept at each end of a run.

        Returns:
            The choice; the first and the last line are always kept.
        """
        stands_for = torch.arange(size)
        for begin, end in runs:
            stands_for[begin + convolutions : max(begin, end - convolutions)] = begin + convolutions
        kept, place, counts = torch.unique(stands_for, return_inverse=True, return_counts=True)
        return cls(size, runs, kept, counts.double(), place)

    def halved(self, before: int, after: int) -> "Lines":
        """Choose the lines of the next level.

        Args:
            before: 3x3 convolutions on this level, before the halving.
            after: Those on the next one.

        Returns:
            The choice among `size // 2` lines, each made of the lines 2i, 2i+1 and 2i+2.
        """
        shrunk = ((begin + before, end - before) for begin, end in self.runs)
        runs = tuple(((begin + 1) // 2, (end - 1) // 2) for begin, end in shrunk)
        lasting = tuple(run for run in runs if run[1] - run[0] > 1)
        return Lines.keeping(self.size // 2, lasting, after)

    def sources(self, halved: "Lines") -> Tensor:
        """Return the places of lines 2i, 2i+1, 2i+2 of all lines i of the next level, flat.

        A line behind the last is zero: its place is one behind the last kept line.
        """
        lines = 2 * halved.kept[:, None] + torch.arange(3)
        behind = torch.tensor([len(self.kept)])
        return torch.cat([self.place, behind])[lines].flatten()


@torch.no_grad()
def encode_mean_of_map(vae: AutoencoderKL, prompt_map: Tensor) -> Tensor:
    """Encode prompt maps as grey images to the mean of the posterior.

    Args:
        vae: The autoencoder, on the CPU; float32, bfloat16 or float16.
        prompt_map: `B 1 H W` in [-1, 1]; H and W are multiples of 8.

    Returns:
        `B 4 H/8 W/8`, not scaled: `encode_mean` of the maps repeated to 3 channels, up to rounding.
    """
    return torch.stack([_encode_one(vae, item) for item in prompt_map.to(vae.dtype)])


def _encode_one(vae: AutoencoderKL, plane: Tensor) -> Tensor:
    depths = _depths(vae)
    rows = Lines.keeping(plane.shape[1], equal_neighbours(plane[0]), depths[0])
    columns = Lines.keeping(plane.shape[2], equal_neighbours(plane[0].T), depths[0])
    if len(rows.kept) * len(columns.kept) > _WORTHWHILE * plane.numel():
        return encode_mean(vae, plane.expand(1, 3, -1, -1))[0]
    x = plane[0][rows.kept][:, columns.kept, None].expand(-1, -1, 3)
    return _encode_lines(vae, x, rows, columns)


def _encode_lines(vae: AutoencoderKL, x: Tensor, rows: Lines, columns: Lines) -> Tensor:
    encoder, depths = vae.encoder, _depths(vae)
    x = convolve(x, encoder.conv_in)
    for level, block in enumerate(encoder.down_blocks):
        x = resnets(block.resnets, x, (rows.counts, columns.counts))
        for downsampler in block.downsamplers or ():
            before, after = depths[level : level + 2]
            next_rows, next_columns = rows.halved(before, after), columns.halved(before, after)
            x = halve_lines(
                x, downsampler.conv, rows.sources(next_rows), columns.sources(next_columns)
            )
            rows, columns = next_rows, next_columns
    counts: Counts = (rows.counts, columns.counts)
    x = middle(encoder.mid_block, x, counts)
    x = convolve(x, encoder.conv_out, group_affine(x, encoder.conv_norm_out, counts))
    return posterior_mean(vae, x[rows.place][:, columns.place])


def _depths(vae: AutoencoderKL) -> list[int]:
    """Return how many 3x3 convolutions of stride 1 each level has; the last has the middle too."""
    encoder = vae.encoder
    depths = [2 * len(block.resnets) for block in encoder.down_blocks]
    depths[0] += 1
    depths[-1] += 2 * len(encoder.mid_block.resnets) + 1
    return depths


def equal_neighbours(plane: Tensor) -> tuple[Run, ...]:
    """Return the runs, (begin, end), of two and more equal rows that follow each other."""
    changes = (plane[1:] != plane[:-1]).any(dim=1).nonzero().flatten() + 1
    edges = [0, *changes.tolist(), plane.shape[0]]
    return tuple((a, b) for a, b in pairwise(edges) if b - a > 1)


def halve_lines(x: Tensor, layer: nn.Conv2d, rows: Tensor, columns: Tensor) -> Tensor:
    """Apply a halving 3x3 convolution where each result's three rows and columns are given.

    Args:
        x: `R C K`, kept lines only.
        layer: A 3x3 convolution of stride 2 with zeros right and below.
        rows: `3r` indices into the rows of x; the number of its rows means a row of zeros.
        columns: `3c`, the same for its columns.

    Returns:
        `r c L`.
    """
    padded = F.pad(x, (0, 0, 0, 1, 0, 1))
    windows = padded[rows.view(-1, 1, 3, 1), columns.view(1, -1, 1, 3)]
    kernel = layer.weight.permute(0, 2, 3, 1).flatten(1)
    return F.linear(windows.flatten(2), kernel, layer.bias)
