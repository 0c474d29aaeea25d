"""The classical engine behind the models' common protocol."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PromptError
from pullmatte.models.classical.adaptive_trimap import BandConfig, contour_distance, make_trimap
from pullmatte.models.classical.closed_form import SolverConfig, solve_alpha
from pullmatte.models.classical.corrections import place_clicks
from pullmatte.models.classical.flow import estimate_flow, fetch, inconsistent
from pullmatte.models.classical.grabcut import cut
from pullmatte.models.classical.hints import Hints, lay_hints, mask_prior
from pullmatte.models.classical.hypotheses import choose, shifted
from pullmatte.models.classical.rejected import drop_fragments, drop_rejected
from pullmatte.models.protocol import (
    BoolMask,
    Entry,
    Image,
    Memories,
    Opacity,
    Plane,
    Prediction,
    nearest,
)
from pullmatte.prompts import Prompt


@dataclass(frozen=True)
class ClassicalConfig:
    """What can be set of the classical engine.

    Attributes:
        working_side_px: Long side of the copy on which masks are found.
        search_side_px: Long side of the thumbnail on which the object is looked for.
        refine_iterations: Rounds of GrabCut that bring its contour to the working copy.
        track_iterations: Rounds of GrabCut on a tracked frame.
        track_reach: How far a contour may be off after the flow has carried it, as a share of
            the square root of the object's area.
        doubt_reach: The same where the flow is in doubt.
        calm: Pull of a tracked frame's alpha to that which the flow brought; steadies the edge.
        one_sided_pull: Pull to the colours' likelihood under a trimap with only one known side.
        band: Widths of the unknown band.
        solver: How alpha is solved.
    """

    working_side_px: int = 640
    search_side_px: int = 320
    refine_iterations: int = 2
    track_iterations: int = 1
    track_reach: float = 0.03
    doubt_reach: float = 0.15
    calm: float = 0.02
    one_sided_pull: float = 0.02
    band: BandConfig = field(default_factory=BandConfig)
    solver: SolverConfig = field(default_factory=SolverConfig)


@dataclass(frozen=True, eq=False)
class Encoded:
    """An image with its working copy.

    Attributes:
        image: `H W 3` float32 in [0, 1].
        scale: Size of the working copy over that of the image.
    """

    image: Image
    scale: float

    @cached_property
    def small(self) -> NDArray[np.uint8]:
        """The working copy, `h w 3` uint8."""
        bytes_ = np.clip(self.image * 255 + 0.5, 0, 255).astype(np.uint8)
        if self.scale == 1:
            return np.asarray(bytes_, np.uint8)
        height, width = self.image.shape[:2]
        size = (max(1, round(width * self.scale)), max(1, round(height * self.scale)))
        return np.asarray(cv2.resize(bytes_, size, interpolation=cv2.INTER_AREA), np.uint8)


class ClassicalModel:
    """GrabCut, an adaptive trimap and closed-form matting; optical flow for clips."""

    memory_spans: Mapping[str, int] = MappingProxyType({"image": 1, "alpha": 1})
    prompted_ahead = False

    def __init__(self, config: ClassicalConfig | None = None) -> None:
        """Take a configuration; the defaults when left out."""
        self.config = config or ClassicalConfig()

    def encode(self, image: Image) -> Encoded:
        """Prepare an image, `H W 3` float32 in [0, 1]."""
        return Encoded(image, min(1.0, self.config.working_side_px / max(image.shape[:2])))

    def predict(self, encoded: Encoded, prompt: Prompt, *, opacity: Opacity = "auto") -> Prediction:
        """Matte the prompted object of an encoded image; an empty prompt means the whole frame.

        Args:
            encoded: What `encode` gave.
            prompt: What was said; a trimap stands above all else.
            opacity: Taken for the protocol's sake; this engine makes no use of it.

        Raises:
            PromptError: If the prompt doesn't fit the image.
        """
        height, width = encoded.image.shape[:2]
        prompt.check(width, height)
        if prompt.trimap is not None:
            return self._from_trimap(encoded, prompt.trimap.array)
        mask, likelihood = self._search(encoded, prompt)
        return self._from_mask(encoded, mask, likelihood)

    def matte(self, image: Image, trimap: Plane) -> Plane:
        """Turn a trimap into alpha; known pixels stay.

        Args:
            image: `H W 3` float32 in [0, 1].
            trimap: `H W` float32 in {0, 0.5, 1}.
        """
        if not (trimap == 0.5).any():
            return trimap.astype(np.float32, copy=True)
        return self._from_trimap(self.encode(image), trimap).alpha

    def _search(self, encoded: Encoded, prompt: Prompt) -> tuple[BoolMask, Plane]:
        """Find the object on a thumbnail, then its contour on the working copy."""
        rows, columns = encoded.small.shape[:2]
        shrink = min(1.0, self.config.search_side_px / max(rows, columns))
        size = (max(1, round(columns * shrink)), max(1, round(rows * shrink)))
        thumbnail = np.asarray(
            cv2.resize(encoded.small, size, interpolation=cv2.INTER_AREA), np.uint8
        )
        scale = encoded.scale * shrink
        bounded = prompt.box is not None or prompt.mask is not None
        outline = replace(prompt, points=()) if bounded else prompt
        hints = lay_hints(outline, *size, scale)
        beyond = lay_hints(outline, *size, scale, beyond=0.35)
        wide = beyond if hints.boxed else shifted(hints, -1.4)
        choice = choose(thumbnail, hints, wide, place_clicks(prompt, *size, scale))
        signed = cv2.resize(contour_distance(choice.mask), (columns, rows))
        likelihood = np.asarray(cv2.resize(choice.likelihood, (columns, rows)), np.float32)
        mask = np.asarray(signed > 0, np.bool_)
        if self.config.refine_iterations == 0 or not mask.any():
            return mask, likelihood
        limits = replace(prompt, mask=None) if prompt.points else prompt  # clicks outbid a mask
        said = lay_hints(limits, columns, rows, encoded.scale)
        prior, inner, outer = mask_prior(mask, reach=0.04)
        refined = Hints(
            (1 / (1 + np.exp(-prior))).astype(np.float32),
            (inner & ~said.background) | said.foreground,
            (outer & ~said.foreground) | said.background,
        )
        mask = cut(encoded.small, refined, self.config.refine_iterations)
        return drop_rejected(mask, prompt, encoded.scale), likelihood

    def remember(self, encoded: Encoded, prediction: Prediction) -> Entry:
        """Keep a frame's working copy and its alpha.

        Args:
            encoded: The frame.
            prediction: What was said of it.
        """
        rows, columns = encoded.small.shape[:2]
        alpha = cv2.resize(prediction.alpha, (columns, rows), interpolation=cv2.INTER_AREA)
        return {"image": encoded.small, "alpha": np.round(alpha * 255).astype(np.uint8)}

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
        """Matte on this frame the object that `memories` know, corrected by `prompt`.

        Args:
            encoded: The frame.
            memories: What `remember` gave on other frames; the nearest on the run's way counts.
            frame: The frame's number.
            prompt: A correction on this frame, if any.
            before: Taken for the protocol's sake.
            opacity: As for `predict`.

        Raises:
            PromptError: If the prompt or the memory doesn't fit the frame.
        """
        if prompt is not None and prompt.trimap is not None:
            return self.predict(encoded, prompt, opacity=opacity)
        memory = nearest(memories, frame)
        if memory["image"].shape != encoded.small.shape:
            raise PromptError(
                f"frame of {encoded.small.shape[1]}x{encoded.small.shape[0]} after one of "
                f"{memory['image'].shape[1]}x{memory['image'].shape[0]}: give frames of one size"
            )
        known = np.asarray(memory["alpha"], np.float32) / np.float32(255)
        if not (known > 0.5).any():
            return self._without_memory(encoded, prompt, opacity)
        to_memory = estimate_flow(encoded.small, memory["image"])
        from_memory = estimate_flow(memory["image"], encoded.small)
        warped = fetch(known, to_memory)
        doubtful = inconsistent(to_memory, from_memory)
        mask = self._recut(encoded, warped, doubtful, prompt)
        calm = self.config.calm if prompt is None or prompt.is_empty else 0.0
        pull = np.where(doubtful, 0, calm).astype(np.float32)
        return self._from_mask(encoded, mask, None, (warped, pull))

    def _without_memory(
        self, encoded: Encoded, prompt: Prompt | None, opacity: Opacity
    ) -> Prediction:
        if prompt is not None and not prompt.is_empty:
            return self.predict(encoded, prompt, opacity=opacity)
        zeros = np.zeros(encoded.image.shape[:2], np.float32)
        return Prediction(alpha=zeros, mask=zeros > 0, trimap=zeros.copy())

    def _recut(
        self, encoded: Encoded, warped: Plane, doubtful: BoolMask, prompt: Prompt | None
    ) -> BoolMask:
        """Cut again in a band round the warped contour."""
        mask = warped > 0.5
        if not mask.any() and (prompt is None or prompt.is_empty):
            return mask
        prior, inner, outer = mask_prior(mask, reach=self.config.track_reach)
        chance = (1 / (1 + np.exp(-prior))).astype(np.float32)
        # Where the flow is in doubt the contour may be further off, but not anywhere.
        _, deep, far = mask_prior(mask, reach=self.config.doubt_reach)
        hints = Hints(chance, (inner & ~doubtful) | deep, (outer & ~doubtful) | far)
        if prompt is not None and not prompt.is_empty:
            rows, columns = mask.shape
            said = lay_hints(prompt, columns, rows, encoded.scale)
            odds = hints.prior / (1 - hints.prior) * said.prior / (1 - said.prior)
            hints = Hints(
                (odds / (1 + odds)).astype(np.float32),
                (hints.foreground & ~said.background) | said.foreground,
                (hints.background & ~said.foreground) | said.background,
            )
        before, mask = mask, cut(encoded.small, hints, self.config.track_iterations)
        if prompt is None:
            return drop_fragments(mask, before)
        return drop_rejected(mask, prompt, encoded.scale)

    def _from_mask(
        self,
        encoded: Encoded,
        mask: BoolMask,
        likelihood: Plane | None = None,
        pull: tuple[Plane, Plane] | None = None,
    ) -> Prediction:
        trimap = make_trimap(encoded.small, mask, likelihood, self.config.band)
        height, width = encoded.image.shape[:2]
        if trimap.shape != (height, width):
            size = (width, height)
            large = cv2.resize(trimap, size, interpolation=cv2.INTER_LINEAR)
            trimap = np.where((large > 0) & (large < 1), 0.5, large).astype(np.float32)
            signed = cv2.resize(contour_distance(mask), size, interpolation=cv2.INTER_LINEAR)
            mask = np.asarray(signed > 0, np.bool_)
        prior, weight = (None, None) if pull is None else (_resized(p, trimap) for p in pull)
        alpha = solve_alpha(encoded.image, trimap, prior, weight, self.config.solver)
        return Prediction(alpha=alpha, mask=mask, trimap=trimap)

    def _from_trimap(self, encoded: Encoded, trimap: Plane) -> Prediction:
        """Matte a user's trimap; where a side is wholly unknown, colour and place stand in for it.

        Without known foreground (smoke, glass) the colour line model alone would answer 0
        everywhere, and without known background 1.
        """
        prior, weight = None, None
        if not (trimap == 1).any() or not (trimap == 0).any():
            _, prior = self._search(encoded, _prompt_from(trimap))
            prior = _resized(prior, trimap)
            weight = np.full(trimap.shape, self.config.one_sided_pull, np.float32)
        alpha = solve_alpha(encoded.image, trimap, prior, weight, self.config.solver)
        return Prediction(alpha=alpha, mask=alpha > 0.5, trimap=trimap.copy())


def _resized(plane: Plane, like: Plane) -> Plane:
    """Bring a plane to the size of another."""
    if plane.shape == like.shape:
        return plane
    size = (like.shape[1], like.shape[0])
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _prompt_from(trimap: Plane) -> Prompt:
    """Say with a box what a trimap without a known side says."""
    rows, columns = np.nonzero(trimap.any(axis=1))[0], np.nonzero(trimap.any(axis=0))[0]
    return Prompt.of(box=(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))


def build(**options: object) -> ClassicalModel:
    """Make the model.

    Args:
        **options: Fields of `ClassicalConfig`; those of a device or precision have no meaning here
            and are not taken.

    Raises:
        TypeError: If an option isn't a field of `ClassicalConfig`.
    """
    known = {f.name for f in fields(ClassicalConfig)}
    unknown = sorted(set(options) - known)
    if unknown:
        raise TypeError(f"unknown option {unknown[0]!r}: known are {', '.join(sorted(known))}")
    return ClassicalModel(ClassicalConfig(**options))  # type: ignore[arg-type]
