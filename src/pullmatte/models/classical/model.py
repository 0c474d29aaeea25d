"""The classical engine behind the models' common protocol."""

from dataclasses import dataclass, field, fields
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PromptError
from pullmatte.models.classical.adaptive_trimap import BandConfig, contour_distance, make_trimap
from pullmatte.models.classical.closed_form import SolverConfig, solve_alpha
from pullmatte.models.classical.flow import estimate_flow, fetch, inconsistent
from pullmatte.models.classical.grabcut import cut
from pullmatte.models.classical.hints import Hints, lay_hints, mask_prior
from pullmatte.models.protocol import BoolMask, Image, Memory, Opacity, Plane, Prediction
from pullmatte.prompts import Prompt


@dataclass(frozen=True)
class ClassicalConfig:
    """What can be set of the classical engine.

    Attributes:
        working_side_px: Long side of the copy on which masks are found.
        iterations: Rounds of colour model and graph cut on an image.
        track_iterations: The same on a tracked frame.
        band: Widths of the unknown band.
        solver: How alpha is solved.
    """

    working_side_px: int = 640
    iterations: int = 4
    track_iterations: int = 1
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
            return bytes_
        height, width = self.image.shape[:2]
        size = (max(1, round(width * self.scale)), max(1, round(height * self.scale)))
        return np.asarray(cv2.resize(bytes_, size, interpolation=cv2.INTER_AREA), np.uint8)


class ClassicalModel:
    """GrabCut, an adaptive trimap and closed-form matting; optical flow for clips."""

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
        rows, columns = encoded.small.shape[:2]
        hints = lay_hints(prompt, columns, rows, encoded.scale)
        mask = cut(encoded.small, hints, self.config.iterations)
        return self._from_mask(encoded, mask)

    def remember(
        self, encoded: Encoded, prediction: Prediction, memory: Memory | None = None
    ) -> Memory:
        """Keep a frame's working copy and its alpha; the size doesn't grow with the clip.

        Args:
            encoded: The frame.
            prediction: What was said of it.
            memory: What was known before; it is replaced.
        """
        rows, columns = encoded.small.shape[:2]
        alpha = cv2.resize(prediction.alpha, (columns, rows), interpolation=cv2.INTER_AREA)
        return {"image": encoded.small, "alpha": np.round(alpha * 255).astype(np.uint8)}

    def track(
        self,
        encoded: Encoded,
        memory: Memory,
        *,
        prompt: Prompt | None = None,
        opacity: Opacity = "auto",
    ) -> Prediction:
        """Matte on this frame the object that `memory` knows, corrected by `prompt`.

        Args:
            encoded: The frame.
            memory: What `remember` gave on a frame before or after this one.
            prompt: A correction on this frame, if any.
            opacity: As for `predict`.

        Raises:
            PromptError: If the prompt or the memory doesn't fit the frame.
        """
        if prompt is not None and prompt.trimap is not None:
            return self.predict(encoded, prompt, opacity=opacity)
        if memory["image"].shape != encoded.small.shape:
            raise PromptError(
                f"frame of {encoded.small.shape[1]}x{encoded.small.shape[0]} after one of "
                f"{memory['image'].shape[1]}x{memory['image'].shape[0]}: give frames of one size"
            )
        known = memory["alpha"].astype(np.float32) / 255
        if not (known > 0.5).any():
            return self._without_memory(encoded, prompt, opacity)
        to_memory = estimate_flow(encoded.small, memory["image"])
        from_memory = estimate_flow(memory["image"], encoded.small)
        warped = fetch(known, to_memory)
        doubtful = inconsistent(to_memory, from_memory)
        mask = self._recut(encoded, warped, doubtful, prompt)
        return self._from_mask(encoded, mask)

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
        prior, inner, outer = mask_prior(mask, reach=0.06)
        hints = Hints(1 / (1 + np.exp(-prior)), inner & ~doubtful, outer & ~doubtful)
        if prompt is not None and not prompt.is_empty:
            rows, columns = mask.shape
            said = lay_hints(prompt, columns, rows, encoded.scale)
            odds = hints.prior / (1 - hints.prior) * said.prior / (1 - said.prior)
            hints = Hints(
                (odds / (1 + odds)).astype(np.float32),
                (hints.foreground & ~said.background) | said.foreground,
                (hints.background & ~said.foreground) | said.background,
            )
        return cut(encoded.small, hints, self.config.track_iterations)

    def _from_mask(self, encoded: Encoded, mask: BoolMask) -> Prediction:
        trimap = make_trimap(encoded.small, mask, config=self.config.band)
        height, width = encoded.image.shape[:2]
        if trimap.shape != (height, width):
            size = (width, height)
            trimap = cv2.resize(trimap, size, interpolation=cv2.INTER_LINEAR)
            trimap = np.where((trimap > 0) & (trimap < 1), 0.5, trimap).astype(np.float32)
            signed = cv2.resize(contour_distance(mask), size, interpolation=cv2.INTER_LINEAR)
            mask = signed > 0
        alpha = solve_alpha(encoded.image, trimap, config=self.config.solver)
        return Prediction(alpha=alpha, mask=mask, trimap=trimap)

    def _from_trimap(self, encoded: Encoded, trimap: Plane) -> Prediction:
        alpha = solve_alpha(encoded.image, trimap, config=self.config.solver)
        return Prediction(alpha=alpha, mask=alpha > 0.5, trimap=trimap.copy())


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
