"""MAM2 without its matter: from a prompt, or from memories, to mask, trimap and pointer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pullmatte.errors import PromptError
from pullmatte.models.mam2.features import Features
from pullmatte.models.mam2.memory import (
    LOGITS,
    POINTER,
    Selection,
    as_tensor,
    assemble,
)
from pullmatte.models.mam2.mss import decode_tracked
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.options import MAM2Options
from pullmatte.models.mam2.pdd import Branch, Choice, Decoded, held
from pullmatte.models.mam2.pieces import without_stray_pieces
from pullmatte.models.mam2.prompt_tensors import Square
from pullmatte.models.mam2.sam2 import without_memory
from pullmatte.models.mam2.see_through import surest_foreground
from pullmatte.models.mam2.settling import moved_places
from pullmatte.models.protocol import BoolMask, Entry, Image, Kept, Opacity
from pullmatte.prompts import Box, Prompt, box_round

_PREFIXES_KEPT = 32
PRESENT, HARD, SQUARE_LOGITS = "present", "hard", "square_logits"
TRIMAP_LOGITS, TOLD_LOGITS = "trimap_logits", "told_logits"
SEEN_THROUGH = "seen_through"
ONE_PIECE = "one_piece"
"""Names of an entry's arrays, `1` bool: whether the object is one that can be seen through; whether
its mask was one piece."""


@dataclass(frozen=True, eq=False)
class Fed:
    """What a prompt gave that another click may follow.

    Attributes:
        logits: The mask's, `1 1 4h 4w`.
        trimap_logits: `1 3 4h 4w`, if they were decoded.
        told_logits: `1 1 4h 4w`, the mask as a matter was told of it, if they were.
    """

    logits: Tensor
    trimap_logits: Tensor | None
    told_logits: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Encoded:
    """A picture, encoded once.

    Attributes:
        image: It, `H W 3` float32 in [0, 1]: the matter looks at it.
        square: How it lies on the network's square.
        features: What the network made of it.
        fed: Prompt → what was decoded from it. That follows from the prompt, so whether it is
            there makes a difference of time alone; so it is with the next.
        kept: The matter's work.
    """

    image: Image
    square: Square
    features: Features
    fed: dict[Prompt, Fed] = field(default_factory=dict)
    kept: Kept = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Found:
    """One object on a frame, before its matte; the axis `K` is 1.

    Attributes:
        mask_logits: `1 1 4h 4w`, of the first pass.
        pointer: `1 C`, of the first pass.
        present: `1 1` bool.
        trimap_logits: `1 3 4h 4w`; None if no trimap was decoded.
        hard: Whether its mask is remembered as 0 and 1: something was said on the frame.
        square_logits: `1 1 S S`, of a user's mask, which is known better than `mask_logits`.
        seen_through: Whether it is an object that one can see through.
        told_logits: `1 1 4h 4w`, the mask as a matter is told of it, if not as it is.
    """

    mask_logits: Tensor
    pointer: Tensor
    present: Tensor
    trimap_logits: Tensor | None
    hard: bool
    square_logits: Tensor | None = None
    seen_through: bool = False
    told_logits: Tensor | None = None

    @property
    def best_logits(self) -> Tensor:
        """The mask logits as finely as they are known."""
        return self.mask_logits if self.square_logits is None else self.square_logits

    def carried(self) -> Mapping[str, Any]:
        """Return what is remembered of it."""
        return {
            LOGITS: self.mask_logits,
            POINTER: self.pointer,
            PRESENT: self.present,
            HARD: self.hard,
            SQUARE_LOGITS: self.square_logits,
            TRIMAP_LOGITS: self.trimap_logits,
            SEEN_THROUGH: self.seen_through,
            TOLD_LOGITS: self.best_logits if self.told_logits is None else self.told_logits,
        }


class Prompter:
    """Finds objects with SAM 2 and PDD, and tracks them with MSS.

    Source: MAM2, sections 3.3 to 3.5; prompts as SAM 2 has them.
    """

    def __init__(self, network: MAM2Network, options: MAM2Options) -> None:
        """Take a network that is ready to run."""
        self.network = network
        self.options = options

    def encode(self, image: Image) -> Encoded:
        """Encode a picture, `H W 3` float32 in [0, 1]."""
        height, width = image.shape[:2]
        square = Square(width, height, self.network.config.sam2.image_px)
        features = self.network.encode(square.image(image, self.network.device))
        return Encoded(image, square, features)

    def find(self, encoded: Encoded, prompt: Prompt, opacity: Opacity = "auto") -> Found:
        """Find the prompted object without memory.

        Args:
            encoded: The picture.
            opacity: Which decoder's turn it is where there are two; with "auto" the first says.
            prompt: Points, box and mask count. A mask alone stands as it is, and only the trimap
                is decoded; with a box or clicks it is what they begin with. Nothing said means
                the whole picture as a box.

        Raises:
            PromptError: If the prompt doesn't fit the picture.
        """
        prompt.check(encoded.square.width, encoded.square.height)
        if prompt.is_empty:
            prompt = Prompt(box=Box(0, 0, encoded.square.width, encoded.square.height))
        if prompt.mask is not None and prompt.box is None and not prompt.points:
            return self._from_mask_alone(encoded, prompt.mask.array, opacity)
        prompt = self._with_box(encoded, prompt)
        fed = self._fed(encoded, prompt)
        previous = None if fed is None else fed.logits
        decoded = self._decode(encoded, prompt, previous)
        found = self._settled(self._found(decoded, prompt), fed)
        self._feed(encoded, prompt, found)
        if not self._seen_through(encoded, decoded, opacity, prompt.box):
            return found
        network = self.network.for_see_through()
        again = self._decode(encoded, prompt, previous, network=network)
        return self._found(again, prompt, seen_through=True)

    def _from_mask_alone(self, encoded: Encoded, mask: BoolMask, opacity: Opacity) -> Found:
        """Take a mask as it stands, and decode its trimap where that is learnt."""
        found = self.from_mask(encoded, mask)
        if not self.network.config.has_trimap_branch:
            return found
        free = self._free(encoded)

        def decoded(network: MAM2Network) -> Decoded:
            return network.decode(
                encoded.features, free, mask_logits=found.mask_logits, choose="single"
            )

        shown = decoded(self.network)
        through = self._seen_through(encoded, shown, opacity)
        if through:
            shown = decoded(self.network.for_see_through())
        return replace(found, trimap_logits=shown.trimap_logits, seen_through=through)

    def from_mask(self, encoded: Encoded, mask: BoolMask) -> Found:
        """Take a mask, `H W` bool, for the object, as SAM 2 does; without a trimap."""
        plane = encoded.square.mask(mask, self.network.device)
        made = self.network.from_mask(encoded.features, plane, choose=self.options.mask_pointer)
        return Found(
            mask_logits=made.mask_logits,
            pointer=made.pointer,
            present=made.present,
            trimap_logits=None,
            hard=True,
            square_logits=made.square_logits,
        )

    def _seen_through(
        self, encoded: Encoded, decoded: Decoded, opacity: Opacity, box: Box | None = None
    ) -> bool:
        """Say whether what was decoded is for the second decoder, if there is one."""
        second = self.network.see_through
        if second is None or opacity == "opaque":
            return False
        if opacity == "transparent":
            return True
        if decoded.trimap_logits is None:
            return False
        if surest_foreground(decoded.trimap_logits) < self.options.least_sure:
            return True
        trunk = encoded.features.trunk
        if second.judge is None or trunk is None:
            return False
        shares = None if box is None else encoded.square.shares(box)
        return second.judge.chance(trunk, decoded, shares) > self.options.seen_through_from

    def track(
        self,
        encoded: Encoded,
        selection: Selection,
        clicks: Prompt,
        before: Entry | None,
        opacity: Opacity = "auto",
    ) -> Found:
        """Find on a frame what memories know.

        Args:
            encoded: The frame.
            selection: Memories, at least one.
            clicks: A correction by points, or nothing. It is decoded with memory and with the
                mask that it corrects. Where there is no such mask, a click in the object is
                decoded as on a first frame.
            before: What is remembered of the frame from before; else that mask is decoded first.
            opacity: As for `find`; with "auto" what was found on the prompted frames says.

        Raises:
            PromptError: If memories or clicks don't fit.
        """
        clicks.check(encoded.square.width, encoded.square.height)
        through = self._remembered_through(selection, opacity)
        whole = self.options.keep_whole and not through and clicks.is_empty
        whole = whole and self._share_of(selection, ONE_PIECE) == 1
        network = self.network.for_see_through() if through else self.network
        tokens = assemble(network.sam2, selection, network.config.sam2)
        conditioned = network.condition(
            encoded.features, tokens.memory, tokens.memory_position, tokens.pointer_tokens
        )
        previous = None
        if clicks.points and self.options.feed_previous:
            previous = self._previous(network, encoded, conditioned, before)
            if not bool((previous > 0).any()):
                if _claims(clicks):
                    return self.find(encoded, clicks, opacity)
                previous = None
        points, labels = encoded.square.points(clicks, network.device)
        decoded = decode_tracked(
            network,
            encoded.features,
            conditioned,
            points=points,
            labels=labels,
            mask_logits=previous,
            choose=_choice(clicks),
            believed=_claims(clicks) and self.options.believe_prompts,
            mend=without_stray_pieces if whole else None,
        )
        return self._found(decoded, clicks, seen_through=through)

    def _remembered_through(self, selection: Selection, opacity: Opacity) -> bool:
        """Say whether prompted frames knew the object as one that can be seen through."""
        if self.network.see_through is None or opacity == "opaque":
            return False
        return opacity == "transparent" or self._share_of(selection, SEEN_THROUGH) > 0.5

    def _share_of(self, selection: Selection, name: str) -> float:
        """Return on how many of the prompted frames an array of `1` bool is set, in [0, 1]."""
        flags = [
            float(as_tensor(entry[name], self.network.device).float().mean())
            for age, entry in selection.spatial
            if age == 0 and name in entry
        ]
        return sum(flags) / len(flags) if flags else 0.0

    def _previous(
        self, network: MAM2Network, encoded: Encoded, conditioned: Tensor, before: Entry | None
    ) -> Tensor:
        """Return the mask logits that clicks on a tracked frame correct."""
        if before is None or LOGITS not in before:
            decoded = network.decode(encoded.features, conditioned, branch="tokens")
            return held(decoded.mask_logits, decoded.present)
        logits = as_tensor(before[LOGITS], self.network.device).float()
        side = self.network.config.sam2.mask_px
        if tuple(logits.shape) != (side, side):
            raise PromptError(
                f"memory {LOGITS!r} of shape {tuple(logits.shape)}, expected {(side, side)}: "
                "it is of another model or size; track from its prompts again"
            )
        return logits[None, None]

    def _fed(self, encoded: Encoded, prompt: Prompt) -> Fed | None:
        """Return what was found without a prompt's last click, or None.

        Each click is decoded with the mask of the clicks before it. All of that follows from the
        prompt alone, so the same prompt gives the same, whatever was asked before it.
        """
        fed = None
        if prompt.mask is not None:
            fed = Fed(self.from_mask(encoded, prompt.mask.array).mask_logits, None)
        if not self.options.feed_previous:
            return fed
        branch: Branch = "on" if self.options.settle else "tokens"
        for count in range(0 if prompt.box is not None else 1, len(prompt.points)):
            part = replace(prompt, points=prompt.points[:count])
            if part not in encoded.fed:
                shown = None if fed is None else fed.logits
                decoded = self._decode(encoded, part, shown, branch=branch)
                self._feed(encoded, part, self._settled(self._found(decoded, part), fed))
            fed = encoded.fed[part]
        return fed

    def _settled(self, found: Found, fed: Fed | None) -> Found:
        """Leave the trimap, and what a matter is told, as it was where a click hardly moves it."""
        if not self.options.settle or fed is None:
            return found
        if fed.trimap_logits is None or fed.told_logits is None or found.trimap_logits is None:
            return found
        moved = moved_places(found.trimap_logits, fed.trimap_logits, self.options.settle)
        return replace(
            found,
            trimap_logits=torch.where(moved, found.trimap_logits, fed.trimap_logits),
            told_logits=torch.where(moved, found.mask_logits, fed.told_logits),
        )

    def _with_box(self, encoded: Encoded, prompt: Prompt) -> Prompt:
        """Add a box round enough clicks; an object reaches beyond those that are spread over it."""
        inside = [(point.x, point.y) for point in prompt.points if point.label == 1]
        enough = self.options.clicks_for_box
        if not enough or len(inside) < enough or prompt.box or prompt.mask:
            return prompt
        x0, y0, x1, y1 = box_round(inside, (encoded.square.width, encoded.square.height))
        return replace(prompt, box=Box(x0, y0, x1, y1))

    def _feed(self, encoded: Encoded, prompt: Prompt, found: Found) -> None:
        """Keep what a prompt gave: the next is likely to be the same and one click more."""
        if len(encoded.fed) >= _PREFIXES_KEPT:
            del encoded.fed[next(iter(encoded.fed))]
        told = found.mask_logits if found.told_logits is None else found.told_logits
        logits = held(found.mask_logits, found.present)
        encoded.fed[prompt] = Fed(logits, found.trimap_logits, told)

    def _decode(
        self,
        encoded: Encoded,
        prompt: Prompt,
        previous: Tensor | None,
        branch: Branch = "on",
        network: MAM2Network | None = None,
    ) -> Decoded:
        points, labels = encoded.square.points(prompt, self.network.device)
        return (network or self.network).decode(
            encoded.features,
            self._free(encoded),
            points=points,
            labels=labels,
            mask_logits=previous,
            choose=_choice(prompt),
            branch=branch,
        )

    def _free(self, encoded: Encoded) -> Tensor:
        return without_memory(self.network.sam2, encoded.features.top)

    def _found(self, decoded: Decoded, prompt: Prompt, *, seen_through: bool = False) -> Found:
        believed = _claims(prompt) and self.options.believe_prompts
        present = torch.ones_like(decoded.present) if believed else decoded.present
        return Found(
            mask_logits=decoded.mask_logits,
            pointer=self.network.pointer(decoded, present),
            present=present,
            trimap_logits=decoded.trimap_logits,
            hard=not prompt.is_empty,
            seen_through=seen_through,
        )


def _claims(prompt: Prompt) -> bool:
    """Whether a prompt says that the object is there."""
    inside = any(point.label == 1 for point in prompt.points)
    return inside or prompt.box is not None or prompt.mask is not None


def _choice(prompt: Prompt) -> Choice:
    """One click or none may mean several things; a box's corners count as two."""
    return "best" if len(prompt.points) + 2 * (prompt.box is not None) <= 1 else "stable"
