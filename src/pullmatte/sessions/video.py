"""A session on one clip: prompts on any frame, for any object; mattes stream out in order.

Each object is tracked forward from its first prompt, each later prompt correcting it on the way,
and backward from its first prompt to the start of the clip. Only the backward part has to wait:
it is made first and put into a store.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pullmatte.errors import PromptError
from pullmatte.matte import Matte
from pullmatte.models.protocol import Image, Memory, Model, Opacity, Prediction
from pullmatte.prompts import DEFAULT_OBJECT, Box, FramePrompt, Mask, Prompt, PromptFile, Trimap
from pullmatte.sessions.clip import FrameSource
from pullmatte.sessions.image import clip_for_model, make_matte, or_whole_frame
from pullmatte.sessions.store import AlphaStore, MemoryStore, pack, unpack

Direction = Literal["both", "forward", "backward"]
State = dict[str, NDArray[Any]]


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
    image: Image
    mattes: dict[str, Matte]


class VideoSession:
    """One clip with its prompts. It holds one frame at a time."""

    def __init__(
        self,
        model: Model,
        clip: FrameSource,
        *,
        foreground: bool = True,
        store: AlphaStore | None = None,
    ) -> None:
        """Begin without prompts; nothing is decoded yet."""
        self.clip = clip
        self._model = model
        self._with_foreground = foreground
        self._store = store or MemoryStore()
        self._entries: list[FramePrompt] = []
        self._memories: dict[str, Memory] = {}
        self._foregrounds: dict[str, Any] = {}
        self._opacity: Opacity = "auto"
        self._prepared: tuple[Direction, int] | None = None

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
        """
        spans = {name: self._stored_span(name, direction) for name in self._require_objects()}
        first = self.frames_behind(direction)
        self._opacity = opacity
        if resume is not None:
            first = self._restore(resume)
        else:
            self._memories = {}
        for frame in self.clip.frames(0, first, reverse=True):
            encoded = self._model.encode(clip_for_model(frame.image))
            for name, stop in spans.items():
                if frame.index < stop:
                    prediction = self._advance(name, frame.index, encoded)
                    self._store.put(name, frame.index, pack(prediction))
            yield frame.index
        self._memories = {}
        self._prepared = (direction, len(self._entries))

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
            PromptError: If there is no prompt at all.
        """
        names = self._require_objects()
        spans = {name: self._stored_span(name, direction) for name in names}
        start, self._opacity = 0, opacity
        if resume is not None:
            start = self._restore(resume)
        else:
            if any(spans.values()) and self._prepared != (direction, len(self._entries)):
                for _ in self.prepare(direction, opacity=opacity):
                    pass
            self._memories, self._foregrounds = {}, {}
        for frame in self.clip.frames(start):
            encoded = _Lazy(self._model, frame.image)
            mattes = {
                name: self._matte(
                    name,
                    frame.image,
                    self._prediction(name, frame.index, encoded, spans[name], direction),
                )
                for name in names
            }
            yield FrameMattes(frame.index, frame.time_s, frame.image, mattes)

    def frames_behind(self, direction: Direction = "both") -> int:
        """Count the frames that `prepare` has to make."""
        return max(self._stored_span(name, direction) for name in self._require_objects())

    def state(self, next_frame: int) -> State:
        """Return all that tracking remembers, as named arrays of constant size.

        Args:
            next_frame: For `propagate`, the first frame still to be done; for `prepare`, the
                number of frames still to be done.
        """
        state: State = {"next_frame": np.array(next_frame)}
        for name, memory in self._memories.items():
            state |= {f"memory/{name}/{key}": value for key, value in memory.items()}
        for name, stable in self._foregrounds.items():
            state |= {f"foreground/{name}/{key}": value for key, value in stable.state().items()}
        return state

    def _restore(self, state: State) -> int:
        memories: dict[str, dict[str, NDArray[Any]]] = {}
        foregrounds: dict[str, dict[str, NDArray[Any]]] = {}
        for path, value in state.items():
            kind, _, rest = path.partition("/")
            name, _, key = rest.rpartition("/")
            if kind == "memory":
                memories.setdefault(name, {})[key] = value
            elif kind == "foreground":
                foregrounds.setdefault(name, {})[key] = value
        self._memories = dict(memories)
        self._foregrounds = {}
        for name, arrays in foregrounds.items():
            self._stable(name).restore(arrays)
        return int(state["next_frame"])

    def _require_objects(self) -> tuple[str, ...]:
        names = self.prompts.objects
        if not names:
            raise PromptError(
                "no prompt yet: call prompt() with a point, box, mask or trimap first"
            )
        return names

    def _prompted(self, name: str) -> list[int]:
        return sorted({entry.frame for entry in self._entries if entry.object == name})

    def _prompt_at(self, name: str, frame: int) -> Prompt | None:
        return self.prompts.on_frame(frame).get(name)

    def _stored_span(self, name: str, direction: Direction) -> int:
        """Return how many of the first frames are made by the backward pass."""
        prompted = self._prompted(name)
        if direction == "both":
            # The prompted frame is part of it: tracking backward starts there.
            return prompted[0] + 1 if prompted[0] > 0 else 0
        return prompted[-1] + 1 if direction == "backward" else 0

    def _prediction(
        self, name: str, frame: int, encoded: "_Lazy", stored: int, direction: Direction
    ) -> Prediction:
        prompted = self._prompted(name)
        at_first = direction == "both" and frame == prompted[0]
        if frame < stored and not at_first:
            return unpack(self._store.get(name, frame))
        if frame < prompted[0] or direction == "backward":
            return _absent(encoded.image)
        return self._advance(name, frame, encoded.get())

    def _advance(self, name: str, frame: int, encoded: Any) -> Prediction:
        """Predict or track `name` on this frame and remember it."""
        said, memory = self._prompt_at(name, frame), self._memories.get(name)
        if memory is None:
            assert said is not None
            prediction = self._model.predict(encoded, said, opacity=self._opacity)
        else:
            prediction = self._model.track(encoded, memory, prompt=said, opacity=self._opacity)
        self._memories[name] = self._model.remember(encoded, prediction, memory)
        return prediction

    def _stable(self, name: str) -> Any:
        from pullmatte.sessions.foreground import StableForeground

        return self._foregrounds.setdefault(name, StableForeground())

    def _matte(self, name: str, image: Image, prediction: Prediction) -> Matte:
        if not self._with_foreground:
            return make_matte(image, prediction, foreground=False)
        colour = self._stable(name).update(image, prediction.alpha)
        return Matte(
            prediction.alpha,
            image,
            mask=prediction.mask,
            trimap=prediction.trimap,
            foreground=colour,
        )


class _Lazy:
    """Encodes a frame when the first object needs it, and not at all when none does."""

    def __init__(self, model: Model, image: Image) -> None:
        self.image = image
        self._model = model
        self._encoded: Any = None

    def get(self) -> Any:
        if self._encoded is None:
            self._encoded = self._model.encode(clip_for_model(self.image))
        return self._encoded


def _absent(image: Image) -> Prediction:
    """Return the prediction of an object that isn't there."""
    height, width = image.shape[:2]
    nothing = np.zeros((height, width), np.float32)
    return Prediction(alpha=nothing, mask=nothing > 0, trimap=nothing)
