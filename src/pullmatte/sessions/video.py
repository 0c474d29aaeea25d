"""A session on one clip: prompts on any frame, for any object; mattes stream out in order.

Each object is tracked forward from its first prompt, each later prompt correcting it on the way,
and backward from its first prompt to the start of the clip. Only the backward part has to wait:
it is made first and put into a store. Each pass goes by the prompts that were given when it began.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pullmatte.errors import PromptError
from pullmatte.matte import Matte
from pullmatte.models.protocol import Image, Opacity, Plane, Prediction, VideoModel
from pullmatte.prompts import DEFAULT_OBJECT, Box, FramePrompt, Mask, Prompt, PromptFile, Trimap
from pullmatte.sessions.clip import Frame, FrameSource
from pullmatte.sessions.finishing import Finish, Finisher, finish_frame
from pullmatte.sessions.image import clip_for_model, or_whole_frame
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
        held_out: The clip's own alpha, `H W`, which no matte exceeds; None without one.
    """

    index: int
    time_s: float
    image: Image = field(repr=False)
    mattes: dict[str, Matte]
    held_out: Plane | None = field(default=None, repr=False)


class VideoSession:
    """One clip with its prompts. It holds one frame at a time, and keeps no results.

    Each pass computes the whole clip. To keep results, correct them, and have computed again only
    what a correction touches, see `pullmatte.sessions.editing.EditSession`.
    """

    def __init__(
        self,
        model: VideoModel,
        clip: FrameSource,
        *,
        foreground: bool = True,
        store: AlphaStore | None = None,
        finish: Finish | None = None,
    ) -> None:
        """Begin without prompts; nothing is decoded yet."""
        self.clip = clip
        self._model = model
        self._finish = Finish(foreground=foreground) if finish is None else finish
        self._store = MemoryStore() if store is None else store
        self._entries: list[FramePrompt] = []
        self._given: dict[tuple[str, int], Plane] = {}
        self._tracker: Tracker | None = None
        self._said = 0
        self._prepared: tuple[Direction, Opacity, int] | None = None
        self._behind: Tracker | None = None

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
        self._said += 1

    def give(self, alpha: ArrayLike, *, frame: int = 0, object: str = DEFAULT_OBJECT) -> None:  # noqa: A002
        """Give an object's alpha on a frame, yours or another model's; it stands as it is.

        The object is tracked from there as from a prompt. With an image model's matte of the first
        frame this is the paper's automatic mode.

        Args:
            alpha: `H W` in [0, 1], of the clip's size.
            frame: Frame number, from 0.
            object: Name of the object.

        Raises:
            PromptError: If it doesn't fit the clip.

        Source: Matting Anything 2, section 4.3 and table 3.
        """
        plane = as_given_alpha(alpha, self.clip.size)
        check_place(object, frame, len(self.clip))
        self._given[object, frame] = plane
        self._said += 1

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
        self._prepared, self._behind = None, None
        if resume is None:
            left = max(spans.values())
            self._look_ahead(tracker)
        else:
            left = tracker.restore(resume, self._finisher)
        for frame in self.clip.frames(0, left, reverse=True):
            encoded = _Lazy(self._model, frame.image)
            for name, stop in spans.items():
                if frame.index < stop:
                    prediction = tracker.advance(name, frame.index, encoded.get(), reverse=True)
                    self._store.put(name, frame.index, pack(prediction))
            yield frame.index
        self._prepared = self._key(direction, opacity)
        self._behind = tracker

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
        key = self._key(direction, opacity)
        if resume is None and self.frames_behind(direction) and self._prepared != key:
            for _ in self.prepare(direction, opacity=opacity):
                pass
        self._tracker = tracker = Tracker(self._model, plan)
        start = 0
        if resume is not None:
            start = tracker.restore(resume, self._finisher)
        elif self._behind is not None and self._prepared == key:
            tracker.recall_prompted(self._behind)
        else:
            self._look_ahead(tracker)
        for frame in self.clip.frames(start):
            mattes = self._mattes(tracker, frame)
            yield FrameMattes(frame.index, frame.time_s, frame.image, mattes, frame.alpha)

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
        return Plan.of(self._entries, self.clip.size, direction, opacity, self._given)

    def _key(self, direction: Direction, opacity: Opacity) -> tuple[Direction, Opacity, int]:
        return direction, opacity, self._said

    def _finisher(self) -> Finisher:
        return Finisher(self._finish)

    def _look_ahead(self, tracker: Tracker) -> None:
        """Remember all origins beforehand, if the model looks at them and there are several."""
        if not self._model.prompted_ahead:
            return
        wanted: dict[int, list[str]] = {}
        for name, frames in tracker.plan.origins.items():
            for frame in frames if len(frames) > 1 else ():
                wanted.setdefault(frame, []).append(name)
        for at, names in sorted(wanted.items()):
            for ahead in self.clip.frames(at, at + 1):
                encoded = self._model.encode(clip_for_model(ahead.image))
                for name in names:
                    tracker.look_ahead(name, at, encoded)

    def _mattes(self, tracker: Tracker, frame: Frame) -> dict[str, Matte]:
        encoded = _Lazy(self._model, frame.image)
        names = tracker.plan.names
        predictions = {n: self._prediction(tracker, n, frame.index, encoded) for n in names}
        return finish_frame(
            self._finish,
            {name: tracker.output(name, self._finisher) for name in names},
            frame.image,
            predictions,
            held_out=frame.alpha,
            hold={name: tracker.plan.is_prompted(name, frame.index) for name in names},
        )

    def _prediction(self, tracker: Tracker, name: str, frame: int, encoded: "_Lazy") -> Prediction:
        plan, first = tracker.plan, tracker.plan.first(name)
        # Both passes hold the first origin: the forward one has to start there again.
        again = plan.direction == "both" and frame == first
        if frame < plan.behind(name) and not again:
            return unpack(self._store.get(name, frame))
        if frame < first or plan.direction == "backward":
            return absent(encoded.image)
        return tracker.advance(name, frame, encoded.get())


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


def absent(image: Image) -> Prediction:
    """Return the prediction of an object that isn't there."""
    height, width = image.shape[:2]
    nothing = np.zeros((height, width), np.float32)
    return Prediction(alpha=nothing, mask=nothing > 0, trimap=nothing.copy())


def as_given_alpha(alpha: ArrayLike, size: tuple[int, int]) -> Plane:
    """Take a caller's alpha, in 16 bits as it will be kept.

    Raises:
        PromptError: If it isn't one, or has another size than the clip.
    """
    plane = np.asarray(alpha)
    if plane.dtype.kind not in "fub" or plane.ndim != 2:
        raise PromptError(
            f"alpha of shape {plane.shape}, {plane.dtype}: give height x width floats in [0, 1], "
            "or unsigned integers of full range"
        )
    if plane.shape != (size[1], size[0]):
        raise PromptError(
            f"alpha of {plane.shape[1]}x{plane.shape[0]}, the clip has {size[0]}x{size[1]}: give "
            "one of the clip's size"
        )
    if plane.dtype.kind == "u":
        plane = plane / np.iinfo(plane.dtype).max
    if not np.isfinite(plane).all() or plane.min() < 0 or plane.max() > 1:
        raise PromptError("alpha with values outside of [0, 1]: give opacities")
    return unpack({"alpha": np.rint(plane.astype(np.float64) * 65535).astype(np.uint16)}).alpha


def check_place(name: str, frame: int, frame_count: int) -> None:
    """Refuse an object name or a frame number that can't be.

    Raises:
        PromptError: If it can't.
    """
    place = FramePrompt(Prompt(), name, frame)
    PromptFile((place,)).check(1, 1, frame_count)
