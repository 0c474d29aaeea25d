"""What a tracked frame's alpha takes from the one before: a small network weighs both.

A prompter and a matter see a frame by itself, so what they take of a ground that moves behind glass
or smoke flickers. Here the previous alpha is offered twice, where it was and moved along with the
picture, and for each place the network says how much of either to take. It works at half the size
or less; what it changes there is added to the alpha of full size, which keeps its detail.

This is pullmatte's own; no paper has it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pullmatte.models.classical.flow import estimate_flow
from pullmatte.models.protocol import Image, Plane

Kept = dict[str, NDArray[Any]]
Bytes = NDArray[np.uint8]

LONG_SIDE_PX = 320
"""Of the pictures in which it works, at most."""
PICTURE, ALPHAS = "picture", "alphas"
"""Names of what is remembered of a frame: `h w 3` uint8, and `4 h w` float16: the alpha that came
out, the frame's own, and by how much own alphas have changed of late, along with the picture and
where they were."""
_PLANES, _OFFERED = 17, 3
_LATELY = 0.7
# Of what one can see through the ground's motion is seen, and would carry alpha off with it.
_LEAST_OWN = 0.15
_RADIUS = 3
_MOST_FLOW = 16.0
_FLOW_SCALE, _CHANGE_SCALE = 1 / 8, 4.0
_MARGIN_PX, _MULTIPLE_PX = 16, 8
# Less than 8 bits can tell is no change: what is whole stays whole.
_LEAST_CHANGE = 1 / 255


@dataclass(frozen=True, eq=False)
class AlphaFrame:
    """A frame at the size at which it is looked at.

    Attributes:
        picture: `B 3 h w` in [0, 1].
        own: `B 1 h w`, the frame's own alpha.
        alpha: `B 1 h w`, the alpha that came out.
        changes: `B 2 h w`, by how much own alphas have changed of late, as a mean that forgets:
            compared along with the picture, and in the same place.
    """

    picture: Tensor
    own: Tensor
    alpha: Tensor
    changes: Tensor


class AlphaMemory(nn.Module):
    """Says for each place how much of the previous alpha to take."""

    def __init__(self, width: int, inner: int = 48) -> None:
        """Build it.

        Args:
            width: Channels at its full size.
            inner: Channels at halves and quarters of that.
        """
        super().__init__()
        self.first = nn.Conv2d(_PLANES, width, 3, padding=1)
        self.halved = nn.Conv2d(width, inner, 3, stride=2, padding=1)
        self.quartered = nn.Conv2d(inner, inner, 3, stride=2, padding=1)
        self.near = nn.Conv2d(inner, inner, 3, padding=1)
        self.wide = nn.Conv2d(inner, inner, 3, padding=2, dilation=2)
        self.whole = nn.Linear(2 * inner, inner)
        self.from_quarter = nn.Conv2d(inner, inner, 1)
        self.from_half = nn.Conv2d(inner, width, 1)
        self.mix = nn.Conv2d(width, width, 3, padding=1)
        self.shares = nn.Conv2d(width, _OFFERED, 1)
        nn.init.normal_(self.shares.weight, std=0.05)
        assert self.shares.bias is not None
        with torch.no_grad():
            # It begins with mostly the frame's own.
            self.shares.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))

    def forward(self, planes: Tensor) -> Tensor:
        """Return shares of what is offered, `B 3 h w` that sum to 1, of `B 17 h w`."""
        fine = F.relu(self.first(planes))
        half = F.relu(self.halved(fine))
        maps = F.relu(self.quartered(half))
        maps = maps + F.relu(self.near(maps))
        maps = maps + F.relu(self.wide(maps))
        whole = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)
        maps = maps + self.whole(whole)[:, :, None, None]
        half = F.relu(half + _grown(self.from_quarter(maps), half))
        fine = F.relu(fine + _grown(self.from_half(half), fine))
        logits: Tensor = self.shares(F.relu(self.mix(fine)))
        return logits.softmax(1)

    def blend(
        self, picture: Tensor, own: Tensor, trimap: Tensor, flow: Tensor, before: AlphaFrame
    ) -> AlphaFrame:
        """Return this frame with the alpha that comes out.

        Args:
            picture: `B 3 h w` in [0, 1].
            own: `B 1 h w`, the frame's own alpha.
            trimap: `B 1 h w` in [0, 1].
            flow: `B 2 h w`, where each place lies in the frame before, (dx, dy) in pixels.
            before: The frame before.
        """
        seen = torch.cat([before.picture, before.alpha, before.own, before.changes[:, :1]], dim=1)
        shown, along, own_along, lately = torch.split(moved(seen, flow), [3, 1, 1, 1], dim=1)
        newest = torch.cat([(own - own_along).abs(), (own - before.own).abs()], dim=1)
        lately = torch.cat([lately, before.changes[:, 1:]], dim=1)
        changes = _LATELY * lately + (1 - _LATELY) * newest
        still, speed = before.alpha, flow.square().sum(1, keepdim=True).sqrt()
        apart = [(own - along).abs(), (own - still).abs(), own]
        means = _means(torch.cat(apart, dim=1))
        planes = [
            own,
            still - own,
            along - own,
            before.own - own,
            own_along - own,
            (picture - shown).abs().mean(1, keepdim=True) * _CHANGE_SCALE,
            (picture - before.picture).abs().mean(1, keepdim=True) * _CHANGE_SCALE,
            (trimap - 0.5).abs(),
            speed.clamp(max=_MOST_FLOW) * _FLOW_SCALE,
            means[:, :2],
            means[:, 2:] - own,
            picture - 0.5,
            changes * _CHANGE_SCALE,
        ]
        shares = self(torch.cat(planes, dim=1))
        taken = (shares * torch.cat([own, still, along], dim=1)).sum(1, keepdim=True)
        alpha = _LEAST_OWN * own + (1 - _LEAST_OWN) * taken
        return AlphaFrame(picture, own, alpha, changes)

    @staticmethod
    def begin(image: Image, alpha: Plane) -> Kept:
        """Return what the next frame looks at, if this one's alpha stands as it is.

        Args:
            image: `H W 3` in [0, 1].
            alpha: `H W` in [0, 1].
        """
        small = reduced(alpha)
        nothing = np.zeros_like(small)
        return _kept(_bytes(image), [small, small, nothing, nothing])

    @torch.inference_mode()
    def follow(
        self, image: Image, alpha: Plane, trimap: Plane | None, before: Mapping[str, Any]
    ) -> tuple[Plane, Kept]:
        """Return a frame's alpha, and what the next frame looks at.

        Args:
            image: `H W 3` in [0, 1].
            alpha: `H W` in [0, 1], the frame's own.
            trimap: `H W` in {0, 0.5, 1}; without one what isn't 0 or 1 in `alpha` is unknown.
            before: What this or `begin` returned for the frame before.
        """
        small, picture = reduced(alpha), _bytes(image)
        shown, last = np.asarray(before[PICTURE]), np.asarray(before[ALPHAS])
        # What isn't there has no alpha, whatever was; nor does another clip's frame count.
        if not small.any() or shown.shape != picture.shape:
            return alpha, self.begin(image, alpha)
        part = _around((small > 0) | (last[0] > 0))
        known = (alpha == 0) | (alpha == 1) if trimap is None else trimap != 0.5
        unknown = 0.5 * reduced(1 - known.astype(np.float32))
        device = self.shares.weight.device

        def cut(*planes: NDArray[Any]) -> Tensor:
            """Return parts of planes, `1 C h w`."""
            parts = np.stack([plane[part] for plane in planes]).astype(np.float32)
            return torch.from_numpy(parts)[None].to(device)

        def colours(pixels: Bytes) -> Tensor:
            return cut(*np.moveaxis(pixels, 2, 0)) / 255

        then = AlphaFrame(colours(shown), cut(last[1]), cut(last[0]), cut(*last[2:]))
        flow = np.moveaxis(estimate_flow(picture[part], shown[part], quick=True), 2, 0).copy()
        found = self.blend(
            colours(picture),
            cut(small),
            cut(unknown),
            torch.from_numpy(flow)[None].to(device),
            then,
        )
        change, changes = np.zeros_like(small), np.zeros((2, *small.shape), np.float32)
        change[part] = found.alpha[0, 0].cpu().numpy() - small[part]
        change[np.abs(change) < _LEAST_CHANGE] = 0
        changes[:, *part] = found.changes[0].cpu().numpy()
        size = alpha.shape[::-1]
        grown = cv2.resize(change, size, interpolation=cv2.INTER_LINEAR)
        kept = _kept(picture, [(small + change).clip(0, 1), small, *changes])
        return (alpha + grown).clip(0, 1).astype(np.float32), kept


def reduced(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring planes, `H W` or `H W C`, to the size at which alphas are compared."""
    height, width = plane.shape[:2]
    scale = min(0.5, LONG_SIDE_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)


def moved(planes: Tensor, flow: Tensor) -> Tensor:
    """Fetch planes, `B C h w`, from where a flow, `B 2 h w`, says that they were."""
    height, width = planes.shape[-2:]
    rows, columns = torch.meshgrid(
        torch.arange(height, device=flow.device, dtype=flow.dtype),
        torch.arange(width, device=flow.device, dtype=flow.dtype),
        indexing="ij",
    )
    x = (columns + flow[:, 0]) / max(1, width - 1) * 2 - 1
    y = (rows + flow[:, 1]) / max(1, height - 1) * 2 - 1
    where = torch.stack([x, y], dim=-1)
    return F.grid_sample(planes, where, mode="bilinear", padding_mode="border", align_corners=True)


def _kept(picture: Bytes, planes: Sequence[Plane]) -> Kept:
    return {PICTURE: picture, ALPHAS: np.stack(planes).astype(np.float16)}


def _bytes(image: Image) -> Bytes:
    small = reduced(np.asarray(image, np.float32))
    whole = np.rint(np.nan_to_num(small, nan=0.0).clip(0, 1) * 255)
    return np.asarray(whole, np.uint8)


def _around(there: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return rows and columns around all that is there, with some margin; it is somewhere."""
    found = []
    for axis, length in ((1, there.shape[0]), (0, there.shape[1])):
        places = np.flatnonzero(there.any(axis))
        low = max(0, int(places[0]) - _MARGIN_PX) // _MULTIPLE_PX * _MULTIPLE_PX
        high = int(places[-1]) + 1 + _MARGIN_PX
        high = min(length, -(-high // _MULTIPLE_PX) * _MULTIPLE_PX)
        found.append(slice(low, high))
    return found[0], found[1]


def _means(planes: Tensor) -> Tensor:
    """Return means over the square round each place, edges repeated."""
    side = 2 * _RADIUS + 1
    if planes.device.type == "cpu" and not planes.requires_grad:
        # Several times faster than pooling.
        found = [
            cv2.blur(plane, (side, side), borderType=cv2.BORDER_REPLICATE)
            for plane in planes.flatten(0, 1).contiguous().numpy()
        ]
        return torch.from_numpy(np.stack(found)).view_as(planes)
    framed = F.pad(planes, (_RADIUS, _RADIUS, _RADIUS, _RADIUS), mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(framed, (side, 1), 1), (1, side), 1)


def _grown(maps: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear")
