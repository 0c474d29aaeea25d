"""MAM2 behind the models' common protocol: photos and frames in, mattes out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from pullmatte.errors import PromptError, PullmatteError
from pullmatte.models.mam2.alpha_frames import ALPHAS, DETAIL, GROUND, PICTURE
from pullmatte.models.mam2.alpha_memory import AlphaMemory
from pullmatte.models.mam2.mask_band import mask_band
from pullmatte.models.mam2.memory import (
    FEATURES,
    LOGITS,
    POINTER,
    DeviceArray,
    select,
)
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.options import MAM2Options
from pullmatte.models.mam2.pdd import held
from pullmatte.models.mam2.pieces import is_one_piece
from pullmatte.models.mam2.prompter import (
    HARD,
    ONE_PIECE,
    PRESENT,
    SEEN_THROUGH,
    SQUARE_LOGITS,
    TOLD_LOGITS,
    TRIMAP_LOGITS,
    Encoded,
    Found,
    Prompter,
)
from pullmatte.models.mam2.see_through import without_doubted_foreground
from pullmatte.models.mam2.told import Told
from pullmatte.models.protocol import (
    BoolMask,
    Entry,
    Image,
    KeepingMatter,
    Memories,
    Opacity,
    Plane,
    Prediction,
    TrimapMatter,
)
from pullmatte.prompts import Prompt


class MAM2Model:
    """MAM2: a prompter made of a network, and any matter.

    Attributes:
        network: It, with its weights, where and in the precision in which it runs.
        matter: Turns trimaps into alpha.

    Source: MAM2, sections 3.1, 3.4 and 3.5; prompts and memories as SAM 2 has them.
    """

    prompted_ahead = True

    def __init__(
        self, network: MAM2Network, matter: TrimapMatter, options: MAM2Options | None = None
    ) -> None:
        """Put a network and a matter together."""
        self.network = network.eval().requires_grad_(False)
        self.matter = matter
        self._prompter = Prompter(self.network, options or MAM2Options())

    @property
    def options(self) -> MAM2Options:
        """What was chosen."""
        return self._prompter.options

    def matte(self, image: Image, trimap: Plane) -> Plane:
        """Work out the unknown pixels of a trimap, as its matter does; see `TrimapMatter`."""
        return self.matter.matte(image, trimap)

    @property
    def memory_spans(self) -> Mapping[str, int]:
        """On how many frames after its own each array of an entry is looked at."""
        config = self.network.config.sam2
        pointers, span = config.most_pointers - 1, config.spatial_span
        spans = {FEATURES: span, POINTER: pointers, LOGITS: 0}
        # Only prompted frames are asked, but what nobody looks at isn't kept of them either.
        spans |= {SEEN_THROUGH: 1} if self._tells_apart else {}
        spans |= {ONE_PIECE: 1} if self.options.keep_whole else {}
        followed = () if self._alphas is None else (PICTURE, GROUND, ALPHAS, DETAIL)
        spans |= dict.fromkeys(followed, 1)
        return MappingProxyType(spans)

    @property
    def _alphas(self) -> AlphaMemory | None:
        return self.network.alpha_memory if self.options.remember_alpha else None

    @property
    def _tells_apart(self) -> bool:
        return self.network.see_through is not None

    @property
    def dtype(self) -> str:
        """Precision of the large parts, as torch names it."""
        return str(self.network.dtype).removeprefix("torch.")

    @torch.inference_mode()
    def encode(self, image: Image) -> Encoded:
        """Encode a picture, `H W 3` float32 in [0, 1]."""
        return self._prompter.encode(image)

    @torch.inference_mode()
    def propose(self, image: Image, prompt: Prompt) -> tuple[BoolMask, Plane]:
        """Return mask and trimap of the prompted object; the matter isn't asked.

        Args:
            image: `H W 3` float32 in [0, 1].
            prompt: As for `predict`, but without a trimap.

        Raises:
            PromptError: If the prompt doesn't fit the image, or is a trimap.
        """
        if prompt.trimap is not None:
            raise PromptError("a trimap was given, nothing is left to propose: matte it")
        encoded = self._prompter.encode(image)
        return self._outline(encoded, self._prompter.find(encoded, prompt), "auto")

    @torch.inference_mode()
    def predict(self, encoded: Encoded, prompt: Prompt, *, opacity: Opacity = "auto") -> Prediction:
        """Matte the prompted object of an encoded picture.

        Args:
            encoded: What `encode` gave.
            prompt: What was said. A trimap goes to the matter as it is. A mask alone stands as
                it is; with clicks or a box it is where they begin. Nothing said means the whole
                picture as a box.
            opacity: Of a "transparent" object nothing is known to be foreground.

        Raises:
            PromptError: If the prompt doesn't fit the picture.
        """
        if prompt.trimap is not None:
            return self._by_trimap(encoded, prompt)
        return self._finish(encoded, self._prompter.find(encoded, prompt, opacity), opacity)

    def predict_many(
        self, encoded: Encoded, prompts: Sequence[Prompt], *, opacity: Opacity = "auto"
    ) -> list[Prediction]:
        """Matte several objects of an encoded picture, one after the other.

        Nearly all of the work is `encode` and the matter's, which has one object at a time.
        """
        return [self.predict(encoded, prompt, opacity=opacity) for prompt in prompts]

    @torch.inference_mode()
    def told(self, encoded: Encoded, prediction: Prediction) -> Told | None:
        """Return what the matter was told beside the trimap; None if the network made none.

        Args:
            encoded: The frame.
            prediction: What was said of it, by this model and a prompt without a trimap.
        """
        return _told(encoded, prediction.carried)

    @torch.inference_mode()
    def remember(self, encoded: Encoded, prediction: Prediction) -> Entry:
        """Return what other frames may need to know of this one.

        The first pass's mask is remembered and never the trimap. Of a prediction by anyone else
        its mask is, as if a person had given it.

        Args:
            encoded: The frame.
            prediction: What was said of it.

        Returns:
            "features", `(h w) 64` bfloat16; "pointer", `C`; "logits", `4h 4w` float16; of networks
            that tell such objects apart "seen_through", `1` bool; with `keep_whole` "one_piece",
            `1` bool; of networks that remember alphas what `AlphaMemory.begin` says. Most stay on
            the network's device until numpy asks for them.
        """
        known = prediction.carried
        if POINTER not in known:
            mask = prediction.alpha > 0.5 if prediction.mask is None else prediction.mask
            known = self._prompter.from_mask(encoded, mask).carried()
        logits = known[LOGITS] if known[SQUARE_LOGITS] is None else known[SQUARE_LOGITS]
        features = self.network.memory(encoded.features, logits, known[PRESENT], hard=known[HARD])
        entry: dict[str, Any] = {
            FEATURES: DeviceArray(features[0]),
            POINTER: DeviceArray(known[POINTER][0].float()),
            LOGITS: DeviceArray(held(known[LOGITS], known[PRESENT])[0, 0].half()),
        }
        if self._tells_apart:
            entry[SEEN_THROUGH] = DeviceArray(torch.tensor([known[SEEN_THROUGH]]))
        if self.options.keep_whole:
            entry[ONE_PIECE] = DeviceArray(torch.tensor([is_one_piece(known[LOGITS])]))
        if self._alphas is not None:
            followed = prediction.carried.get(ALPHAS)
            entry |= followed or self._alphas.begin(
                encoded.image, prediction.alpha, prediction.trimap
            )
        return entry

    @torch.inference_mode()
    def track(
        self,
        encoded: Encoded,
        memories: Memories,
        frame: int,
        *,
        prompt: Prompt | None = None,
        before: Entry | None = None,
        opacity: Opacity = "auto",
    ) -> Prediction:
        """Matte on this frame the object that `memories` know.

        Args:
            encoded: The frame.
            memories: Of other frames.
            frame: The frame's number.
            prompt: A box, a mask or a trimap says by itself what the object is, and memories
                aren't asked. Clicks alone correct what those lead to, or stand by themselves too
                where that is nothing.
            before: What is remembered of this frame from before the clicks; the mask that they
                correct is then not made again.
            opacity: As for `predict`.

        Raises:
            PromptError: If the prompt or the memories don't fit the frame or the network.
        """
        said = prompt or Prompt()
        selection = select(memories, frame, self.network.config.sam2)
        alone = said.box is not None or said.mask is not None or said.trimap is not None
        if alone or (selection.is_empty and not said.is_empty):
            return self.predict(encoded, said, opacity=opacity)
        if selection.is_empty:
            raise PromptError(f"frame {frame}: nothing is known of the object; prompt it first")
        found = self._prompter.track(encoded, selection, said, before, opacity)
        prediction = self._finish(encoded, found, opacity)
        last = _last(memories, frame)
        if self._alphas is None or DETAIL not in last:
            return prediction
        seen = encoded.image, prediction.alpha, prediction.trimap, last
        if said.is_empty:
            logits = found.best_logits, found.trimap_logits
            alpha, kept = self._alphas.follow(*seen, logits)
        else:
            # What somebody has just said stands as it is.
            alpha, kept = prediction.alpha, self._alphas.hold(*seen)
        return replace(prediction, alpha=alpha, carried={**prediction.carried, ALPHAS: kept})

    def _by_trimap(self, encoded: Encoded, prompt: Prompt) -> Prediction:
        """Matte a user's trimap; what is more foreground than not becomes the mask."""
        prompt.check(encoded.square.width, encoded.square.height)
        assert prompt.trimap is not None, "its caller looked"
        trimap = prompt.trimap.array
        alpha = self._matted(encoded, trimap, None)
        alpha = np.where(trimap == 0.5, alpha, trimap).astype(np.float32)
        return Prediction(alpha=alpha, mask=alpha > 0.5, trimap=trimap.copy())

    def _outline(self, encoded: Encoded, found: Found, opacity: Opacity) -> tuple[BoolMask, Plane]:
        """Bring mask and trimap to the picture's size."""
        square = encoded.square
        if not bool(found.present.all()):
            nothing = np.zeros((square.height, square.width), np.float32)
            return nothing > 0, nothing
        logits: Plane = square.restored(found.best_logits)[0].cpu().numpy()
        if not np.isfinite(logits).all():
            raise PullmatteError(
                "the network's answer isn't finite: load it with dtype float32, or check the "
                "weights"
            )
        if found.trimap_logits is None:
            config = self.network.config
            trimap = mask_band(logits, share=config.band_share, doubt=config.band_doubt)
        else:
            # On tracked frames a network is less sure of anything, and would flicker.
            told = found.hard and self.network.see_through is None
            least = self.options.least_sure if told else 0.0
            sure = without_doubted_foreground(found.trimap_logits, least)
            trimap = square.restored_trimap(sure)
        if opacity == "transparent":
            trimap = np.where(trimap == 1, np.float32(0.5), trimap)
        return logits > 0, trimap

    def _matted(self, encoded: Encoded, trimap: Plane, told: Told | None) -> Plane:
        if isinstance(self.matter, KeepingMatter):
            return self.matter.matte_again(encoded.image, trimap, encoded.kept, told)
        return self.matter.matte(encoded.image, trimap)

    def _finish(self, encoded: Encoded, found: Found, opacity: Opacity) -> Prediction:
        mask, trimap = self._outline(encoded, found, opacity)
        unknown = bool((trimap == 0.5).any())
        carried = found.carried()
        told = _told(encoded, carried)
        alpha = self._matted(encoded, trimap, told) if unknown else trimap.copy()
        return Prediction(alpha=alpha, mask=mask, trimap=trimap, carried=carried)


def _told(encoded: Encoded, known: Mapping[str, Any]) -> Told | None:
    if known.get(TRIMAP_LOGITS) is None:
        return None
    seen_through = known[SEEN_THROUGH]
    return Told.of(encoded.features, known[TOLD_LOGITS], known[TRIMAP_LOGITS], seen_through)


def _last(memories: Memories, frame: int) -> Entry:
    """Return what is remembered of the frame that the run has just come from, if anything."""
    at = frame + 1 if memories.reverse else frame - 1
    found: Entry = {**memories.prompted.get(at, {}), **memories.tracked.get(at, {})}
    return found
