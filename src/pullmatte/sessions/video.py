"""A session on one clip: prompts on any frame, for any object; mattes stream out in order.

Each object is tracked forward from its first prompt, each later prompt correcting it on the way,
and backward from its first prompt to the start of the clip. Only the backward part has to wait:
it is made first and put into a store. Each pass goes by the prompts that were given when it began.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pullmatte.matte import Matte
from pullmatte.models.protocol import Image, Opacity, Plane, Prediction, VideoModel
from pullmatte.prompts import DEFAULT_OBJECT, Box, FramePrompt, Mask, Prompt, PromptFile, Trimap
from pullmatte.sessions.clip import FrameSource
from pullmatte.sessions.image import clip_for_model, make_matte, or_whole_frame
from pullmatte.sessions.store import AlphaStore, MemoryStore, pack, unpack
from pullmatte.sessions.tracking import Direction, Plan, State, Tracker

__all__ = ["Direction", "FrameMattes", "State", "VideoSession"]


@dataclass(frozen=True)
class FrameMattes:
    """What `VideoSession.propagate` hands out for each frame.

    Attributes:
        index: Frame number, from 0.
        time_s: When it is shown, in seconds.
        image: `H W 3` float32 in [0, 1].
        mattes: Object name → matte. An object that isn't there has alpha 0.
    """

    index: int
    time_s: float
    image: Image = field(repr=False)
    mattes: dict[str, Matte]


class VideoSession:
    """One clip with its prompts. It holds one frame at a time."""

    def __init__(
        self,
        model: VideoModel,
        clip: FrameSource,
        *,
        foreground: bool = True,
        store: AlphaStore | None = None,
    ) -> None:
        """Begin without prompts; nothing is decoded yet."""
        self.clip = clip
        self._model = model
        self._with_foreground = foreground
        self._store = MemoryStore() if store is None else store
        self._entries: list[FramePrompt] = []
        self._tracker: Tracker | None = None
        # Prompts are only ever added, so their number tells whether there are new ones.
        self._prepared: tuple[Direction, Opacity, int] | None = None

    @property
    def prompts(self) -> PromptFile:
        """All prompts so far, as they would be saved."""
        return PromptFile(tuple(self._entries), size=self.clip.size)

    def prompt(
        self,
        *,
        frame: int = 0,
        object: str = DEFAULT_OBJECT,  # noqa: A002 - the public API's word
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: "Box | tuple[float, float, float, float] | ArrayLike | None" = None,
        mask: "Mask | ArrayLike | None" = None,
        trimap: "Trimap | ArrayLike | None" = None,
    ) -> None:
        """Say something about an object on a frame. Without any part: the whole frame is its box.

        It counts from the next call of `propagate`; passes that run go on as they began.

        Args:
            frame: Frame number, from 0.
            object: Name of the object.
            points: `N 2` pairs (x, y) in pixels, or `Point` objects.
            labels: `N` values 1 (include) or 0 (exclude); all 1 when left out.
            box: ``x0, y0, x1, y1`` in pixels.
            mask: `H W` rough mask.
            trimap: `H W` in {0, 0.5, 1}.

        Raises:
            PromptError: If it doesn't fit the clip, or names a frame that doesn't exist.
        """
        said = Prompt.of(points=points, labels=labels, box=box, mask=mask, trimap=trimap)
        said = or_whole_frame(said, *self.clip.size)
        self.add(PromptFile((FramePrompt(said, object, frame),)))

    def add(self, prompts: PromptFile) -> None:
        """Add all prompts of a file.

        Raises:
            PromptError: If one doesn't fit the clip; then none is added.
        """
        prompts.check(*self.clip.size, frame_count=len(self.clip))
        self._entries.extend(prompts.prompts)

    def prepare(
        self,
        direction: Direction = "both",
        *,
        opacity: Opacity = "auto",
        resume: State | None = None,
    ) -> Iterator[int]:
        """Make the part that is tracked backward, and put it into the store.

        `propagate` does this by itself; call it to watch the progress or to save `state`.

        Args:
            direction: As for `propagate`.
            opacity: As for `propagate`.
            resume: A `state` saved while this generator ran, with the same prompts and store.

        Yields:
            The number of each frame that is done, falling.

        Raises:
            PromptError: If there is no prompt at all, a setting isn't known, or `resume` belongs
                to other prompts.
        """
        plan = self._plan(direction, opacity)
        self._tracker = tracker = Tracker(self._model, plan)
        spans = {name: plan.behind(name) for name in plan.names}
        left = max(spans.values()) if resume is None else tracker.restore(resume)
        key = (direction, opacity, len(self._entries))
        self._prepared = None
        for frame in self.clip.frames(0, left, reverse=True):
            encoded = self._model.encode(clip_for_model(frame.image))
            for name, stop in spans.items():
                if frame.index < stop:
                    prediction = tracker.advance(name, frame.index, encoded)
                    self._store.put(name, frame.index, pack(prediction))
            yield frame.index
        self._prepared = key

    def propagate(
        self,
        direction: Direction = "both",
        *,
        opacity: Opacity = "auto",
        resume: State | None = None,
    ) -> Iterator[FrameMattes]:
        """Matte every frame of the clip, in order, one at a time.

        Args:
            direction: ``"both"`` tracks forward from each object's first prompt and backward
                before it; ``"forward"`` leaves the frames before the first prompt empty;
                ``"backward"`` tracks backward from the last prompt and leaves the rest empty.
            opacity: As for `ImageSession.predict`.
            resume: A `state` saved between two frames of an earlier run with the same prompts and
                store; it goes on with the frame after.

        Yields:
            Each frame with the mattes of all objects.

        Raises:
            PromptError: If there is no prompt at all, a setting isn't known, or `resume` belongs
                to other prompts.
            ReadError: If the store lacks what `resume` needs, or a frame can't be read.
        """
        plan = self._plan(direction, opacity)
        prepared = (direction, opacity, len(self._entries))
        if resume is None and self.frames_behind(direction) and self._prepared != prepared:
            for _ in self.prepare(direction, opacity=opacity):
                pass
        self._tracker = tracker = Tracker(self._model, plan)
        start = 0 if resume is None else tracker.restore(resume)
        for frame in self.clip.frames(start):
            encoded = _Lazy(self._model, frame.image)
            mattes = {
                name: self._matte(
                    tracker,
                    name,
                    frame.image,
                    _held_out(self._prediction(tracker, name, frame.index, encoded), frame.alpha),
                )
                for name in plan.names
            }
            yield FrameMattes(frame.index, frame.time_s, frame.image, mattes)

    def frames_behind(self, direction: Direction = "both") -> int:
        """Count the frames that `prepare` has to make."""
        plan = self._plan(direction, "auto")
        return max(plan.behind(name) for name in plan.names)

    def state(self, next_frame: int) -> State:
        """Return all that tracking remembers, as named arrays of constant size.

        Args:
            next_frame: For `propagate`, the first frame still to be done; for `prepare`, the
                number of frames still to be done.
        """
        state: State = {"next_frame": np.array(next_frame)}
        return state if self._tracker is None else state | self._tracker.state()

    def _plan(self, direction: Direction, opacity: Opacity) -> Plan:
        return Plan.of(self._entries, self.clip.size, direction, opacity)

    def _prediction(self, tracker: Tracker, name: str, frame: int, encoded: "_Lazy") -> Prediction:
        plan, first = tracker.plan, tracker.plan.first(name)
        # Both passes hold the first prompted frame: the forward one has to start there again.
        again = plan.direction == "both" and frame == first
        if frame < plan.behind(name) and not again:
            return unpack(self._store.get(name, frame))
        if frame < first or plan.direction == "backward":
            return _absent(encoded.image)
        return tracker.advance(name, frame, encoded.get())

    def _matte(self, tracker: Tracker, name: str, image: Image, prediction: Prediction) -> Matte:
        if not self._with_foreground:
            return make_matte(image, prediction, foreground=False)
        colour = tracker.foreground(name).update(image, prediction.alpha)
        return Matte(
            prediction.alpha,
            image,
            mask=prediction.mask,
            trimap=prediction.trimap,
            foreground=colour,
        )


class _Lazy:
    """Encodes a frame when the first object needs it, and not at all when none does."""

    def __init__(self, model: VideoModel, image: Image) -> None:
        self.image = image
        self._model = model
        self._encoded: Any = None

    def get(self) -> Any:
        if self._encoded is None:
            self._encoded = self._model.encode(clip_for_model(self.image))
        return self._encoded


def _held_out(prediction: Prediction, alpha: Plane | None) -> Prediction:
    """Keep transparent what the source made transparent already."""
    if alpha is None:
        return prediction
    return replace(prediction, alpha=np.minimum(prediction.alpha, alpha))


def _absent(image: Image) -> Prediction:
    """Return the prediction of an object that isn't there."""
    height, width = image.shape[:2]
    nothing = np.zeros((height, width), np.float32)
    return Prediction(alpha=nothing, mask=nothing > 0, trimap=nothing.copy())
