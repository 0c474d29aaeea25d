"""Whether one can see through an object: a small network that looks at what the trunk sees there.

How sure the decoder is of foreground tells most cases, but not water before a motley ground, all of
which it may take for the object.

This is pullmatte's own; no paper has it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pullmatte.models.mam2.pdd import Decoded

CELLS = 8
_FINER = 2
_MARGIN, _LEAST_MARGIN = 0.1, 0.01
_DECODED, _SAID = 3, 5
SharesBox = tuple[float, float, float, float]
"""x0, y0, x1, y1 in shares of the square's side."""


class OpacityJudge(nn.Module):
    """Says how likely it is that one can see through an object."""

    def __init__(self, trunk: int, width: int) -> None:
        """Build it.

        Args:
            trunk: Channels of the trunk's map.
            width: Its own.
        """
        super().__init__()
        self.mix = nn.Conv2d(trunk + _DECODED * _FINER**2, width, 1)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.verdict = nn.Linear(2 * width + _SAID, 1)

    def forward(self, maps: Tensor, said: Tensor) -> Tensor:
        """Return logits, `B`, of what `judged_maps` returns."""
        maps = F.gelu(self.mix(maps))
        maps = maps + F.gelu(self.first(maps))
        maps = F.gelu(self.second(maps))
        parts = [maps.mean((2, 3)), maps.amax((2, 3)), said]
        verdict: Tensor = self.verdict(torch.cat(parts, dim=1))
        return verdict[:, 0]

    def chance(self, trunk: Tensor, decoded: Decoded, box: SharesBox | None) -> float:
        """Return the chance, in [0, 1], that one can see through it; arguments as `judged_maps`."""
        seen = judged_maps(trunk, decoded, box)
        return 0.0 if seen is None else float(torch.sigmoid(self(*seen))[0])


def judged_maps(
    trunk: Tensor, decoded: Decoded, box: SharesBox | None
) -> tuple[Tensor, Tensor] | None:
    """Cut out of a picture's maps what the judge looks at.

    Args:
        trunk: `1 C h w`, the trunk's map at a sixteenth of the size.
        decoded: What the first decoder says, of one object; with trimap.
        box: The prompt's; without one, that of what was decoded.

    Returns:
        `1 C+12 8 8` and `1 5`; None where there is no object.
    """
    assert decoded.trimap_logits is not None, "the judge looks at trimaps"
    chances = torch.softmax(decoded.trimap_logits.float(), dim=1)
    box = box or _box_of(chances)
    if box is None:
        return None
    x0, y0, x1, y1 = box
    across, down = _MARGIN * (x1 - x0) + _LEAST_MARGIN, _MARGIN * (y1 - y0) + _LEAST_MARGIN
    wide = x0 - across, y0 - down, x1 + across, y1 + down
    answer = torch.cat([chances[:, 1:], torch.sigmoid(decoded.mask_logits.float())], dim=1)
    fine = F.pixel_unshuffle(cut_out(answer, wide, CELLS * _FINER), _FINER)
    maps = torch.cat([cut_out(trunk.float(), wide, CELLS), fine], dim=1)
    sure, quality, score = chances[0, 2].amax(), decoded.quality[0, 0], decoded.score[0, 0] / 10
    said = [sure, quality, score, sure.new_tensor(x1 - x0), sure.new_tensor(y1 - y0)]
    return maps, torch.stack([each.float() for each in said])[None]


def cut_out(maps: Tensor, box: SharesBox, cells: int) -> Tensor:
    """Return the means of maps, `1 C h w`, in `cells` by `cells` parts of a box: `1 C cells cells`.

    Each is of two by two samples; beyond the picture its edge repeats.
    """
    columns, rows = (
        2 * (torch.linspace(0, 1, 4 * cells + 1, device=maps.device)[1::2] * (high - low) + low) - 1
        for low, high in ((box[0], box[2]), (box[1], box[3]))
    )
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    found = F.grid_sample(maps, grid[None], align_corners=False, padding_mode="border")
    return F.avg_pool2d(found, 2)


def _box_of(chances: Tensor) -> SharesBox | None:
    """Return the box of what is more object than not, of `1 3 h w`."""
    cells = (chances[0, 0] < 0.5).nonzero()
    if not len(cells):
        return None
    height, width = chances.shape[-2:]
    (y0, x0), (y1, x1) = cells.amin(0).tolist(), (cells.amax(0) + 1).tolist()
    return x0 / width, y0 / height, x1 / width, y1 / height
