"""What a tracked frame's alpha takes from the one before: a small network weighs both.

A prompter and a matter see a frame by itself, so what they take of a ground that moves behind glass
or smoke flickers. Here the previous alpha is offered twice, where it was and moved along with the
picture, and beside them what the network makes of the frame, which it sees compared with the clean
plate of its ground. For each place it says how much of each to take. It works at half the size or
less; what it changes there is added to the alpha of full size, which keeps its detail, except that
what is taken of the previous alpha from the same place brings along its own, if that is alike.

This is pullmatte's own; no paper has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pullmatte.models.mam2 import clean_plate
from pullmatte.models.mam2.alpha_frames import (
    ALPHAS,
    DETAIL,
    PICTURE,
    AlphaStep,
    Bytes,
    Kept,
    SeenFrame,
    grown,
    whole,
)
from pullmatte.models.protocol import Image, Plane

_CHANCES = 3
_PLANES, _OFFERED = 17 + clean_plate.PLANES + _CHANCES, 4
_LATELY = 0.7
_RADIUS = 3
_MOST_FLOW = 16.0
# Of the previous alpha that is nearer to what comes out: it was trained on things that hurry more.
_LEAST_LAST = 0.25
# Where a frame's own alpha knows of nothing, what was there goes within a few frames.
_NOTHING, _OWN_OF_NOTHING = 0.01, 0.3
# From doubt to so little of it that the frame's own alpha stands, which is hardly ever wrong then.
_DOUBTED, _SURE = 0.9, 0.98
_FLOW_SCALE, _CHANGE_SCALE = 1 / 8, 4.0
_MARGIN_PX, _MULTIPLE_PX = 16, 8
# Detail that differs by more is no flicker, but another leaf.
_FLICKER = 0.15
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

    def __init__(self, width: int, inner: int = 64) -> None:
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
        self.shares = nn.Conv2d(width, _OFFERED + 1, 1)
        nn.init.normal_(self.shares.weight, std=0.05)
        assert self.shares.bias is not None
        with torch.no_grad():
            # It begins with mostly the frame's own.
            self.shares.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0]))

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh what is offered.

        Args:
            planes: `B 29 h w`.

        Returns:
            Shares, `B 4 h w` that sum to 1, and what it thinks itself, `B 1 h w`: by how much its
            logit differs from one that follows from the frame's own alpha.
        """
        fine = _bent(self.first(planes))
        half = _bent(self.halved(fine))
        maps = _bent(self.quartered(half))
        maps = maps + _bent(self.near(maps))
        maps = maps + _bent(self.wide(maps))
        whole = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)
        maps = maps + self.whole(whole)[:, :, None, None]
        half = _bent(half + _enlarged(self.from_quarter(maps), half))
        fine = _bent(fine + _enlarged(self.from_half(half), fine))
        found = self.shares(_bent(self.mix(fine)))
        return found[:, :_OFFERED].softmax(1), found[:, _OFFERED:]

    def blend(
        self,
        picture: Tensor,
        own: Tensor,
        trimap: Tensor,
        flow: Tensor,
        ground: Tensor,
        chances: Tensor,
        before: AlphaFrame,
    ) -> tuple[AlphaFrame, Tensor]:
        """Return this frame with the alpha that comes out, and how much of the one before stayed.

        The latter is `B 1 h w` in [0, 1]: the share that was taken where it was.

        Args:
            picture: `B 3 h w` in [0, 1].
            own: `B 1 h w`, the frame's own alpha.
            trimap: `B 1 h w` in [0, 1].
            flow: `B 2 h w`, where each place lies in the frame before, (dx, dy) in pixels.
            ground: `B 9 h w`, as `compared` has it.
            chances: `B 3 h w`, as `chances_of` has it.
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
            ground,
            chances,
        ]
        shares, thought = self(torch.cat(planes, dim=1))
        offered = own, still, along
        thought = torch.sigmoid(2 * thought + 4 * (own - 0.5))
        thought, nearby = _within(thought, own, torch.cat(offered, dim=1))
        taken = (shares * torch.cat([*offered, thought], dim=1)).sum(1, keepdim=True)
        stays = (still - taken).abs() <= (along - taken).abs()
        last = torch.where(stays, still, along)
        taken = taken + _LEAST_LAST * (last - taken)
        own_share = torch.maximum(_stands(chances), _OWN_OF_NOTHING * (nearby < _NOTHING))
        alpha = taken + own_share * (own - taken)
        stayed = shares[:, 1:2] * (1 - _LEAST_LAST) + _LEAST_LAST * stays
        return AlphaFrame(picture, own, alpha, changes), stayed * (1 - own_share)

    @staticmethod
    def begin(image: Image, alpha: Plane, trimap: Plane | None = None) -> Kept:
        """Return what the next frame looks at, if this one's alpha stands as it is.

        Args:
            image: `H W 3` in [0, 1].
            alpha: `H W` in [0, 1].
            trimap: As for `follow`.
        """
        seen = SeenFrame.of(image, alpha, trimap)
        return seen.kept(seen.begun())

    @staticmethod
    def hold(image: Image, alpha: Plane, trimap: Plane | None, before: Mapping[str, Any]) -> Kept:
        """Return what `begin` does, but keep the ground that was seen before.

        Args:
            image: `H W 3` in [0, 1].
            alpha: `H W` in [0, 1], which stands as it is.
            trimap: As for `follow`.
            before: What this, `begin` or `follow` returned for the frame before.
        """
        seen = SeenFrame.of(image, alpha, trimap)
        if np.shape(before[PICTURE]) != seen.picture.shape:
            return AlphaMemory.begin(image, alpha, trimap)
        step = AlphaStep.since(seen, before, (slice(None), slice(None)))
        if step.cut:
            return seen.kept(seen.begun())
        return seen.kept(step.plate.seen(seen.picture, seen.ground))

    @torch.inference_mode()
    def follow(
        self,
        image: Image,
        alpha: Plane,
        trimap: Plane | None,
        before: Mapping[str, Any],
        logits: tuple[Tensor, Tensor | None] | None = None,
    ) -> tuple[Plane, Kept]:
        """Return a frame's alpha, and what the next frame looks at.

        Args:
            image: `H W 3` in [0, 1].
            alpha: `H W` in [0, 1], the frame's own.
            trimap: `H W` in {0, 0.5, 1}; without one what isn't 0 or 1 in `alpha` is unknown.
            before: What this, `begin` or `hold` returned for the frame before.
            logits: Of the frame's mask and trimap; see `chances_of`.
        """
        seen = SeenFrame.of(image, alpha, trimap)
        # What isn't there has no alpha, whatever was; nor does another clip's frame count.
        if not seen.own.any() or np.shape(before[DETAIL]) != alpha.shape:
            return alpha, self.hold(image, alpha, trimap, before)
        last = whole(before[ALPHAS])
        part = _around((seen.own > 0) | (last[0] > 0))
        step = AlphaStep.since(seen, before, part)
        if step.cut:
            return alpha, seen.kept(seen.begun())
        device = self.shares.weight.device

        def cut(*planes: NDArray[Any]) -> Tensor:
            """Return parts of planes, `1 C h w`."""
            parts = np.stack([plane[part] for plane in planes]).astype(np.float32)
            return torch.from_numpy(parts)[None].to(device)

        def colours(pixels: Bytes) -> Tensor:
            return cut(*np.moveaxis(pixels, 2, 0)) / 255

        found, stayed = self.blend(
            colours(seen.picture),
            cut(seen.own),
            cut(seen.trimap),
            torch.from_numpy(np.moveaxis(step.flow, 2, 0).copy())[None].to(device),
            torch.from_numpy(step.compared(seen, part))[None].to(device),
            chances_of(seen.own, logits)[None, :, *part].to(device),
            AlphaFrame(colours(step.shown), cut(last[1]), cut(last[0]), cut(*last[2:])),
        )
        change, share, *_ = planes = np.zeros((4, *seen.own.shape), np.float32)
        change[part] = found.alpha[0, 0].cpu().numpy() - seen.own[part]
        change[np.abs(change) < _LEAST_CHANGE] = 0
        share[part] = stayed[0, 0].cpu().numpy()
        planes[2:, *part] = found.changes[0].cpu().numpy()
        large = _at_full_size(part, seen.own.shape, alpha.shape)
        detail, new = seen.detail.copy(), alpha + grown(change, alpha)
        apart = whole(np.asarray(before[DETAIL])[large]) - detail[large]
        finer = _finer(apart, grown(share, alpha)[large])
        detail[large] += finer
        new[large] += finer
        plate = step.plate.seen(seen.picture, seen.ground)
        kept = seen.kept(plate, (seen.own + change).clip(0, 1), planes[2:], detail)
        return new.clip(0, 1), kept


def chances_of(own: Plane, logits: tuple[Tensor, Tensor | None] | None) -> Tensor:
    """Return chances of being in the mask, surely ground, and surely object: `3 h w`.

    Args:
        own: `h w`, a frame's alpha, from which they are taken if nobody tells.
        logits: `1 1 s s` and `1 3 s s`, of mask and trimap, over the whole frame.
    """
    mask, trimap = (None, None) if logits is None else logits
    if mask is None or trimap is None:
        said = np.stack([own > 0.5, own < 0.01, own > 0.99]).astype(np.float32)
        return torch.from_numpy(said)
    # Resized one by one, and not by torch, which takes longer than for all the rest.
    planes = [mask[0, 0].float(), *trimap[0].float().softmax(0)[::2]]
    inside, ground, solid = (torch.from_numpy(grown(each.cpu().numpy(), own)) for each in planes)
    return torch.stack([inside.sigmoid(), ground, solid])


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


def _finer(apart: Plane, share: Plane) -> Plane:
    """Return what detail changes, if it was apart by so much and such a share of it stays."""
    apart = np.where(np.abs(apart) < _LEAST_CHANGE, 0, apart)
    return np.asarray(share * apart / (1 + np.square(apart / _FLICKER)), np.float32)


def _stands(chances: Tensor) -> Tensor:
    """Return how far a frame's own alpha stands, by how sure its prompter is of a place."""
    sure = torch.maximum(chances[:, 1:2], chances[:, 2:])
    return ((sure - _DOUBTED) / (_SURE - _DOUBTED)).clamp(0, 1)


def _within(thought: Tensor, own: Tensor, together: Tensor) -> tuple[Tensor, Tensor]:
    """Keep a thought within what is offered nearby; return it, and the greatest own alpha there.

    Far from all that is there nothing appears, and within what is whole nothing goes. Where all
    that is offered is alike there is nothing to mend.
    """
    least, most = together.amin(1, keepdim=True), together.amax(1, keepdim=True)
    planes = torch.cat([-least, most, own, most - least], dim=1)
    low, high, nearby, spread = _greatest(planes).chunk(4, dim=1)
    return thought.clamp(-low, high).clamp(own - spread, own + spread), nearby


def _at_full_size(
    part: tuple[slice, slice], small: tuple[int, ...], large: tuple[int, ...]
) -> tuple[slice, slice]:
    """Return the rows and columns of a plane of full size that a part of a small one shows."""
    rows, columns = (
        slice(each.start * many // few, -(-each.stop * many // few))
        for each, few, many in zip(part, small, large, strict=True)
    )
    return rows, columns


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


def _greatest(planes: Tensor) -> Tensor:
    """Return the greatest of the square round each place."""
    side = 2 * _RADIUS + 1
    if planes.device.type == "cpu" and not planes.requires_grad:
        # Several times faster than pooling.
        square = np.ones((side, side), np.uint8)
        found = [cv2.dilate(plane, square) for plane in planes.flatten(0, 1).contiguous().numpy()]
        return torch.from_numpy(np.stack(found)).view_as(planes)
    across = F.max_pool2d(planes, (1, side), 1, (0, _RADIUS))
    return F.max_pool2d(across, (side, 1), 1, (_RADIUS, 0))


def _bent(maps: Tensor) -> Tensor:
    return F.leaky_relu(maps, 0.1)


def _enlarged(maps: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear")
