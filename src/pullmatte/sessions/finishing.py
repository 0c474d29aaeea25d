"""From predictions to mattes, frame by frame: steadiness in time, overlaps, colours.

Nothing of it changes what is tracked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PullmatteError
from pullmatte.matte import Matte
from pullmatte.models.protocol import Image, Plane, Prediction
from pullmatte.sessions.image import make_matte

_STEADY, _COLOUR = "steady", "colour"


@dataclass(frozen=True)
class Finish:
    """How mattes are finished.

    Attributes:
        foreground: Whether they estimate the object's own colours.
        steady: How strongly alpha is steadied in time where it is uncertain, from 0 (not at all)
            to less than 1.
        sum_to_one: Whether the alphas of several objects share a pixel that they claim together
            more than once.
    """

    foreground: bool = True
    steady: float = 0.0
    sum_to_one: bool = False

    def __post_init__(self) -> None:
        """Refuse strengths out of range."""
        if not 0 <= self.steady < 1:
            raise PullmatteError(f"steady {self.steady}: give a number from 0 to less than 1")


class Finisher:
    """Finishes one object's mattes, in the order of its frames; its memory has a constant size."""

    def __init__(self, finish: Finish) -> None:
        """Begin without a previous frame."""
        self._finish = finish
        self._filter: Any = None
        self._colour: Any = None
        if finish.steady > 0:
            from pullmatte.sessions.steady_alpha import SteadyAlpha

            self._filter = SteadyAlpha(strength=finish.steady)
        if finish.foreground:
            from pullmatte.sessions.foreground import StableForeground

            self._colour = StableForeground()

    def steady(self, image: Image, prediction: Prediction, *, hold: bool) -> Prediction:
        """Steady an alpha.

        Args:
            image: The frame, `H W 3` float32.
            prediction: What was said of the object.
            hold: Whether it must stay as it is: the user has said something on this frame.
        """
        if self._filter is None:
            return prediction
        image = np.clip(image, 0, 1)
        alpha = self._filter.update(image, prediction.alpha, prediction.trimap, hold=hold)
        return replace(prediction, alpha=alpha)

    def matte(self, image: Image, prediction: Prediction) -> Matte:
        """Make the matte, with colours if they are wanted."""
        if self._colour is None:
            return make_matte(image, prediction, foreground=False)
        return Matte(
            prediction.alpha,
            image,
            mask=prediction.mask,
            trimap=prediction.trimap,
            foreground=self._colour.update(image, prediction.alpha),
        )

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what is remembered, as named arrays of constant size."""
        parts = ((_STEADY, self._filter), (_COLOUR, self._colour))
        return {
            f"{kind}/{name}": value
            for kind, part in parts
            if part is not None
            for name, value in part.state().items()
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Remember what `state` returned."""
        for kind, part in ((_STEADY, self._filter), (_COLOUR, self._colour)):
            kept = {
                path.partition("/")[2]: value
                for path, value in arrays.items()
                if path.partition("/")[0] == kind
            }
            if part is not None and kept:
                part.restore(kept)


def finish_frame(
    finish: Finish,
    finishers: Mapping[str, Finisher],
    image: Image,
    predictions: Mapping[str, Prediction],
    *,
    held_out: Plane | None = None,
    hold: Mapping[str, bool] | None = None,
) -> dict[str, Matte]:
    """Finish all objects of a frame.

    Args:
        finish: How.
        finishers: One for each object; they must have seen the frames before.
        image: The frame, `H W 3` float32.
        predictions: Object name → what was said of it.
        held_out: Alpha of the clip itself: what it makes transparent stays so.
        hold: Object name → whether its alpha must not be steadied.
    """
    hold = hold or {}
    steadied = {
        name: finishers[name].steady(image, prediction, hold=hold.get(name, False))
        for name, prediction in predictions.items()
    }
    if finish.sum_to_one:
        shared = share_overlaps({name: each.alpha for name, each in steadied.items()})
        steadied = {name: replace(p, alpha=shared[name]) for name, p in steadied.items()}
    if held_out is not None:
        steadied = {
            name: replace(p, alpha=np.minimum(p.alpha, held_out)) for name, p in steadied.items()
        }
    return {name: finishers[name].matte(image, each) for name, each in steadied.items()}


def share_overlaps(alphas: Mapping[str, Plane]) -> dict[str, Plane]:
    """Scale alphas down where together they exceed 1, so that they can be laid over each other.

    Args:
        alphas: Object name → `H W` float32 in [0, 1].

    Returns:
        The same names; where the sum was at most 1 nothing changes.
    """
    planes = list(alphas.values())
    if len(planes) < 2:
        return {name: alpha.copy() for name, alpha in alphas.items()}
    total = np.maximum(np.sum(planes, axis=0, dtype=np.float32), np.float32(1))
    return {name: (alpha / total).astype(np.float32) for name, alpha in alphas.items()}
