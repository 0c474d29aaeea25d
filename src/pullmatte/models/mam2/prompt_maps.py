"""Prompts as pictures: what a small network is told of an object, at three scales.

SAM 2 says a box as two tokens; a network with a hundredth of its weights finds the object sooner
if it is drawn the box, and shown which colours are found inside it more than around it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pullmatte.models.mam2.features import EmbeddedPrompt
from pullmatte.models.mam2.quick_layers import convolved, halved_precision

_BINS = 12
_RADIUS = 0.02
_OUTSIDE_REACH = 0.5
_PRIOR = 2.0
MAPS = 12
"""Planes: box, box given, clicks in, clicks out, mask, mask given, two of colour, the image."""


class PromptMaps(nn.Module):
    """Turns what was said into maps that are added to a frame's features."""

    def __init__(self, width: int) -> None:
        """Build it for top maps of `width` channels."""
        super().__init__()
        fine, middle = width // 8, width // 4
        self.first = nn.Conv2d(MAPS, 2 * fine, 3, padding=1)
        self.to_fine = nn.Conv2d(2 * fine, fine, 1)
        self.second = nn.Conv2d(2 * fine, 2 * middle, 3, stride=2, padding=1)
        self.to_middle = nn.Conv2d(2 * middle, middle, 1)
        self.third = nn.Conv2d(2 * middle, width, 3, stride=2, padding=1)
        self.to_top = nn.Conv2d(width, width, 1)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return `K C h w`, `K C/4 2h 2w` and `K C/8 4h 4w` of planes, `K MAPS 4h 4w`."""
        kind = maps.dtype
        fine = F.gelu(convolved(self.first, halved_precision(maps)))
        middle = F.gelu(convolved(self.second, fine))
        top = F.gelu(convolved(self.third, middle))
        fine, middle, top = (each.to(kind) for each in (fine, middle, top))
        return self.to_top(top), self.to_middle(middle), self.to_fine(fine)

    def embed(
        self,
        sparse: Tensor,
        base: Tensor,
        image: Tensor,
        side_px: int,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        mask_logits: Tensor | None = None,
        masked: Tensor | None = None,
    ) -> EmbeddedPrompt:
        """Embed what was said of `K` objects.

        Args:
            sparse: `K N C` or `1 1 C`, its tokens.
            base: `1 C h w`, added to the top map.
            image: `K 3 4h 4w` or `1 3 4h 4w`, in [0, 1].
            side_px: Side of the square in which points are counted.
            points: As for `sam2.embed_prompt`, like the next two.
            labels: See there.
            mask_logits: See there.
            masked: `K` bool, for which of them the mask counts; None for all.
        """
        planes = prompt_planes(image, side_px, points, labels, mask_logits, masked)
        top, middle, fine = self(planes.to(self.first.weight.dtype))
        return EmbeddedPrompt(sparse, base + top, middle, fine)


@torch.no_grad()
def prompt_planes(
    image: Tensor,
    side_px: int,
    points: Tensor | None = None,
    labels: Tensor | None = None,
    mask_logits: Tensor | None = None,
    masked: Tensor | None = None,
) -> Tensor:
    """Draw what was said of `K` objects, `K MAPS h w`; arguments as for `PromptMaps.embed`."""
    given = max(len(image), *(len(each) for each in (points, mask_logits) if each is not None), 0)
    image = image.float().expand(given, -1, -1, -1)
    height, width = image.shape[-2:]
    zero = image.new_zeros(given, 1, height, width)
    box, boxed, clicks_in, clicks_out = zero, zero, zero, zero
    if points is not None and labels is not None:
        scaled = points.float() / side_px
        box, boxed = _boxes(scaled, labels, height, width)
        clicks_in = _discs(scaled, labels == 1, height, width)
        clicks_out = _discs(scaled, labels == 0, height, width)
    mask = zero if mask_logits is None else torch.sigmoid(mask_logits.float())
    if mask.shape[-2:] != (height, width):
        mask = F.interpolate(mask, (height, width), mode="bilinear", antialias=True)
    counts = zero if mask_logits is None else zero + 1
    if masked is not None:
        counts = counts * masked[:, None, None, None]
    mask = mask * counts
    if points is None and mask_logits is None:
        # Nothing was said, so of no colour anything is known.
        colours = zero.expand(-1, 2, -1, -1)
    else:
        colours = colour_evidence(image, *_seeds(box, boxed, clicks_in, clicks_out, mask, counts))
    shown = (box, boxed, clicks_in, clicks_out, mask, counts, colours, image - 0.5)
    planes = torch.cat([each.expand(given, -1, -1, -1) for each in shown], dim=1)
    # The last plane lets convolutions tell the picture's edge from its inside.
    return torch.cat([planes, zero + 1], dim=1)


def _boxes(points: Tensor, labels: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Fill each object's box, with its rim's cells in part: `K 1 h w`, and whether it has one."""
    upper, lower = ((points * (labels == label)[..., None]).sum(dim=1) for label in (2, 3))
    has = (labels == 2).any(dim=1) & (labels == 3).any(dim=1)
    covers = []
    for axis, count in ((1, height), (0, width)):
        edges = torch.arange(count, device=points.device, dtype=torch.float32)
        first, last = upper[:, axis, None] * count, lower[:, axis, None] * count
        covers.append((torch.minimum(last, edges + 1) - torch.maximum(first, edges)).clamp(0, 1))
    filled = covers[0][:, None, :, None] * covers[1][:, None, None, :]
    given = has.float()[:, None, None, None]
    return filled * given, given.expand_as(filled)


def _discs(points: Tensor, chosen: Tensor, height: int, width: int) -> Tensor:
    """Draw a soft spot at each chosen point, `K 1 h w`."""
    rows, columns = (
        (torch.arange(count, device=points.device) + 0.5) / count for count in (height, width)
    )
    squared = (points[..., 1, None, None] - rows[:, None]) ** 2 + (
        points[..., 0, None, None] - columns
    ) ** 2
    spots = torch.exp(-squared / (2 * _RADIUS**2)) * chosen[..., None, None]
    return spots.amax(dim=1, keepdim=True)


def _seeds(
    box: Tensor, boxed: Tensor, clicks_in: Tensor, clicks_out: Tensor, mask: Tensor, masked: Tensor
) -> tuple[Tensor, Tensor]:
    """Weigh each place as a sample of the object's colours, and of the others', `K 1 h w`."""
    inside = torch.maximum(torch.maximum(box * boxed, clicks_in), mask * masked)
    # Where nothing says what is outside, everything is a weak sample of it.
    nearby = F.avg_pool2d(box, 9, stride=1, padding=4) if box.any() else box
    outside = boxed * (1 - box) * (_OUTSIDE_REACH + (nearby > 0))
    outside = torch.maximum(outside, masked * (1 - mask))
    nothing = ((boxed + masked) == 0).float() * (clicks_in.amax((2, 3), keepdim=True) > 0)
    outside = outside + nothing * 0.2
    outside = outside + 4 * clicks_out
    inside = inside * (1 - clicks_out)
    # Clicks in a box or mask are surer than what it merely holds.
    return inside + 4 * clicks_in * (boxed + masked).clamp(max=1), outside


def colour_evidence(image: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
    """Say of each place whether its colour is the object's: twice, as GrabCut does.

    Args:
        image: `K 3 h w` in [0, 1].
        inside: `K 1 h w`, at least 0, how far a place is a sample of the object.
        outside: `K 1 h w`, the same for all else.

    Returns:
        `K 2 h w` in [-1, 1]; 0 where nothing is known. The second is made from samples weighed
        by the first.
    """
    spots = (image.clamp(0, 1) * (_BINS - 1)).flatten(2)
    low = spots.floor().clamp(max=_BINS - 2)
    share = spots - low
    # The eight corners of a colour's cell, red slowest: place and weight are sums and products.
    steps = torch.tensor([_BINS * _BINS, _BINS, 1], device=image.device)
    base = (low.long() * steps[:, None]).sum(1, keepdim=True)
    bits = [[at & 1, at >> 1 & 1, at >> 2] for at in range(8)]
    corners = (torch.tensor(bits, device=image.device) * steps).sum(1)
    index = base + corners[None, :, None]
    red, green, blue = torch.stack([1 - share, share], dim=1).unbind(2)
    pairs = (red[:, None] * green[:, :, None]).flatten(1, 2)
    weight = (pairs[:, None] * blue[:, :, None]).flatten(1, 2)
    first = _likelihood(index, weight, inside, outside)
    surer = inside * (0.05 + first.clamp(min=0))
    second = _likelihood(index, weight, surer, outside + inside * 0.5 * (-first).clamp(min=0))
    shape = image[:, :1].shape
    return torch.cat([first.reshape(shape), second.reshape(shape)], dim=1)


def _likelihood(index: Tensor, weight: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
    """Compare colours' shares among the samples: `K 1 h w` in [-1, 1]."""
    shares = []
    for samples in (inside, outside):
        flat = samples.flatten(2)
        counts = flat.new_zeros(len(flat), _BINS**3)
        counts.scatter_add_(1, index.flatten(1), (weight * flat).flatten(1))
        volume = counts.reshape(-1, 1, _BINS, _BINS, _BINS)
        volume = F.avg_pool3d(volume, 3, stride=1, padding=1, count_include_pad=False)
        spread = (0.5 * counts + 0.5 * volume.flatten(1)) / flat.sum(2).clamp(min=1e-3)
        shares.append((spread.gather(1, index.flatten(1)).reshape(index.shape) * weight).sum(1))
    known = ((inside.sum((1, 2, 3)) > 0) & (outside.sum((1, 2, 3)) > 0)).float()
    prior = _PRIOR / index.shape[-1] / 16
    odds = (shares[0] - shares[1]) / (shares[0] + shares[1] + prior)
    return (odds * known[:, None]).reshape(inside.shape)
