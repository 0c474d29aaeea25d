"""One pass of a clip through a model: what was said before it began, and what it remembers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PromptError
from pullmatte.models.protocol import Memory, Opacity, Prediction, VideoModel
from pullmatte.prompts import FramePrompt, Prompt, PromptFile
from pullmatte.sessions.image import check_opacity, or_whole_frame

Direction = Literal["both", "forward", "backward"]
State = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Plan:
    """What a pass does: prompts and settings as they were when it began.

    Attributes:
        prompts: Frame → object → prompt; whole frames stand in it as boxes.
        names: The objects, in the order of their first prompt.
        direction: Which way to track from the prompted frames.
        opacity: Whether the objects are opaque, transparent, or to be found out.
    """

    prompts: dict[int, dict[str, Prompt]]
    names: tuple[str, ...]
    direction: Direction
    opacity: Opacity

    @classmethod
    def of(
        cls,
        entries: Sequence[FramePrompt],
        size: tuple[int, int],
        direction: Direction,
        opacity: Opacity,
    ) -> Self:
        """Sort out what was said.

        Args:
            entries: All prompts so far.
            size: Width and height of the clip, in pixels.
            direction: Which way to track.
            opacity: Kind of the objects.

        Raises:
            PromptError: If nothing was said, or a setting isn't known.
        """
        check_opacity(opacity)
        if direction not in get_args(Direction):
            raise PromptError(f"direction {direction!r}: use {', '.join(get_args(Direction))}")
        if not entries:
            raise PromptError(
                "no prompt yet: call prompt() with a point, box, mask or trimap first"
            )
        said = PromptFile(tuple(entries))
        prompts = {
            frame: {name: or_whole_frame(prompt, *size) for name, prompt in by_name.items()}
            for frame, by_name in said.frames().items()
        }
        return cls(prompts, said.objects, direction, opacity)

    def prompt(self, name: str, frame: int) -> Prompt | None:
        """Return what was said about an object on a frame."""
        return self.prompts.get(frame, {}).get(name)

    def first(self, name: str) -> int:
        """Return the first frame on which something was said about an object."""
        return min(frame for frame, said in self.prompts.items() if name in said)

    def last(self, name: str) -> int:
        """Return the last such frame."""
        return max(frame for frame, said in self.prompts.items() if name in said)

    def behind(self, name: str) -> int:
        """Return how many of the first frames are made by the backward pass."""
        if self.direction == "both":
            # The prompted frame is part of it: tracking backward starts there.
            return self.first(name) + 1 if self.first(name) > 0 else 0
        return self.last(name) + 1 if self.direction == "backward" else 0


class Tracker:
    """Carries each object from frame to frame, in either direction."""

    def __init__(self, model: VideoModel, plan: Plan) -> None:
        """Begin without memory."""
        self.plan = plan
        self._model = model
        self._memories: dict[str, Memory] = {}
        self._foregrounds: dict[str, Any] = {}

    def advance(self, name: str, frame: int, encoded: Any) -> Prediction:
        """Predict or track an object on the next frame of the pass, and remember it."""
        said, memory = self.plan.prompt(name, frame), self._memories.get(name)
        opacity = self.plan.opacity
        if memory is None:
            assert said is not None, "an object's pass begins on a prompted frame"
            prediction = self._model.predict(encoded, said, opacity=opacity)
        else:
            prediction = self._model.track(encoded, memory, prompt=said, opacity=opacity)
        self._memories[name] = self._model.remember(encoded, prediction, memory)
        return prediction

    def foreground(self, name: str) -> Any:
        """Return the object's `StableForeground`."""
        from pullmatte.sessions.foreground import StableForeground

        if name not in self._foregrounds:
            self._foregrounds[name] = StableForeground()
        return self._foregrounds[name]

    def state(self) -> State:
        """Return all that is remembered, as named arrays."""
        state: State = {}
        for name, memory in self._memories.items():
            state |= {f"memory/{name}/{key}": value for key, value in memory.items()}
        for name, stable in self._foregrounds.items():
            state |= {f"foreground/{name}/{key}": value for key, value in stable.state().items()}
        return state

    def restore(self, state: State) -> int:
        """Remember what `state` holds.

        Returns:
            The frame that it says to go on with.

        Raises:
            PromptError: If it isn't a state, or is one of other objects.
        """
        if "next_frame" not in state:
            raise PromptError('state without "next_frame": give what VideoSession.state returned')
        found: dict[str, dict[str, State]] = {"memory": {}, "foreground": {}}
        for path, value in state.items():
            kind, _, rest = path.partition("/")
            name, _, key = rest.rpartition("/")
            if kind in found:
                found[kind].setdefault(name, {})[key] = np.asarray(value)
        unknown = sorted((found["memory"].keys() | found["foreground"].keys()) - {*self.plan.names})
        if unknown:
            raise PromptError(
                f"state knows of {unknown[0]!r}, the prompts don't: give the same prompts as in "
                "the run that saved it"
            )
        self._memories = dict(found["memory"])
        for name, arrays in found["foreground"].items():
            self.foreground(name).restore(arrays)
        return int(state["next_frame"])
