"""One pass of a clip through a model: what was said before it began, and what it remembers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PromptError
from pullmatte.models.protocol import Opacity, Plane, Prediction, VideoModel
from pullmatte.prompts import FramePrompt, Prompt, PromptFile
from pullmatte.sessions.image import check_opacity, or_whole_frame
from pullmatte.sessions.recall import Recall
from pullmatte.sessions.second_stage import trimap_from_alpha

Direction = Literal["both", "forward", "backward"]
State = dict[str, NDArray[Any]]
GivenAlphas = Mapping[tuple[str, int], Plane]
"""Object and frame → an alpha that stands as it is."""


def stands_alone(prompt: Prompt) -> bool:
    """Tell a statement, which says by itself what the object is, from clicks that correct."""
    return prompt.box is not None or prompt.mask is not None or prompt.trimap is not None


@dataclass(frozen=True)
class Plan:
    """What a pass does: prompts and settings as they were when it began.

    Attributes:
        prompts: Frame → object → prompt; whole frames stand in it as boxes.
        names: The objects, in the order of their first prompt.
        origins: Object → the frames on which it is found without looking at others: those with a
            box, a mask, a trimap or a given alpha; where there is none, that of the prompt which
            was given first.
        direction: Which way to track from the prompted frames.
        opacity: Whether the objects are opaque, transparent, or to be found out.
        given: Alphas that stand as they are.
    """

    prompts: dict[int, dict[str, Prompt]]
    names: tuple[str, ...]
    origins: dict[str, tuple[int, ...]]
    direction: Direction
    opacity: Opacity
    given: GivenAlphas = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        entries: Sequence[FramePrompt],
        size: tuple[int, int],
        direction: Direction,
        opacity: Opacity,
        given: GivenAlphas | None = None,
    ) -> Self:
        """Sort out what was said.

        Args:
            entries: All prompts so far.
            size: Width and height of the clip, in pixels.
            direction: Which way to track.
            opacity: Kind of the objects.
            given: Alphas that stand as they are.

        Raises:
            PromptError: If nothing was said, or a setting isn't known.
        """
        check_opacity(opacity)
        if direction not in get_args(Direction):
            raise PromptError(f"direction {direction!r}: use {', '.join(get_args(Direction))}")
        given = dict(given or {})
        if not entries and not given:
            raise PromptError(
                "no prompt yet: call prompt() with a point, box, mask or trimap first"
            )
        said = PromptFile(tuple(entries))
        prompts = {
            frame: {name: or_whole_frame(prompt, *size) for name, prompt in by_name.items()}
            for frame, by_name in said.frames().items()
        }
        names = tuple(dict.fromkeys((*said.objects, *(name for name, _ in given))))
        origins = {name: _origins(name, entries, prompts, given) for name in names}
        return cls(prompts, names, origins, direction, opacity, given)

    def prompt(self, name: str, frame: int) -> Prompt | None:
        """Return what was said about an object on a frame."""
        return self.prompts.get(frame, {}).get(name)

    def is_prompted(self, name: str, frame: int) -> bool:
        """Whether anything was said about an object on a frame, or its alpha given."""
        return name in self.prompts.get(frame, ()) or (name, frame) in self.given

    def prompted(self, name: str) -> list[int]:
        """Return all such frames, rising."""
        said = {frame for frame, by_name in self.prompts.items() if name in by_name}
        return sorted(said | {frame for given, frame in self.given if given == name})

    def is_origin(self, name: str, frame: int) -> bool:
        """Whether an object is found on a frame without looking at others."""
        return frame in self.origins[name]

    def first(self, name: str) -> int:
        """Return an object's first origin."""
        return self.origins[name][0]

    def last(self, name: str) -> int:
        """Return an object's last origin."""
        return self.origins[name][-1]

    def behind(self, name: str) -> int:
        """Return how many of the first frames are made by the backward pass."""
        if self.direction == "both":
            # The first origin is part of it: tracking backward starts there.
            return self.first(name) + 1 if self.first(name) > 0 else 0
        return self.last(name) + 1 if self.direction == "backward" else 0


def _origins(
    name: str,
    entries: Sequence[FramePrompt],
    prompts: Mapping[int, Mapping[str, Prompt]],
    given: GivenAlphas,
) -> tuple[int, ...]:
    frames = {frame for frame, said in prompts.items() if name in said}
    alone = {frame for frame in frames if stands_alone(prompts[frame][name])}
    alone |= {frame for known, frame in given if known == name}
    if not alone:
        alone = {next(entry.frame for entry in entries if entry.object == name)}
        start = prompts[min(alone)][name]
        if not any(point.label for point in start.points):
            others = [other for by_name in prompts.values() for other in by_name if other != name]
            known = f"; the others are {', '.join(dict.fromkeys(others))}" if others else ""
            raise PromptError(
                f"all clicks on {name!r} exclude, so nothing tells where it is: give a click, box, "
                f"mask or trimap that includes it, or the name of the object meant{known}"
            )
    return tuple(sorted(alone))


class Tracker:
    """Carries each object from frame to frame, in either direction."""

    def __init__(self, model: VideoModel, plan: Plan) -> None:
        """Begin without memory."""
        self.plan = plan
        self._model = model
        self._recalls: dict[str, Recall] = {}
        self._outputs: dict[str, Any] = {}

    def recall(self, name: str) -> Recall:
        """Return what is remembered of an object."""
        if name not in self._recalls:
            self._recalls[name] = Recall(self._model.memory_spans)
        return self._recalls[name]

    def recall_prompted(self, other: "Tracker") -> None:
        """Remember the prompted frames that another pass has come by."""
        for name, recall in other._recalls.items():
            for frame, entry in recall.prompted.items():
                self.recall(name).add(frame, entry, prompted=True)

    def look_ahead(self, name: str, frame: int, encoded: Any) -> None:
        """Remember an origin before the pass reaches it."""
        prediction = find(self._model, self.plan, name, frame, encoded)
        self.recall(name).add(frame, self._model.remember(encoded, prediction), prompted=True)

    def advance(self, name: str, frame: int, encoded: Any, *, reverse: bool = False) -> Prediction:
        """Predict or track an object on the next frame of the pass, and remember it."""
        plan, recall = self.plan, self.recall(name)
        if plan.is_origin(name, frame):
            prediction = find(self._model, plan, name, frame, encoded)
        else:
            assert not recall.is_empty, "an object's pass begins on one of its origins"
            prediction = self._model.track(
                encoded,
                recall.memories(frame, reverse=reverse),
                frame,
                prompt=plan.prompt(name, frame),
                opacity=plan.opacity,
            )
        entry = self._model.remember(encoded, prediction)
        recall.add(frame, entry, prompted=plan.is_prompted(name, frame))
        return prediction

    def output(self, name: str, make: Any) -> Any:
        """Return what makes an object's final mattes, made by `make` when first asked for."""
        if name not in self._outputs:
            self._outputs[name] = make()
        return self._outputs[name]

    def state(self) -> State:
        """Return all that is remembered, as named arrays."""
        state: State = {}
        for name, recall in self._recalls.items():
            kept = recall.arrays()
            state |= {f"memory/{name}/{key}": value for key, value in kept.items()}
        for name, output in self._outputs.items():
            state |= {f"output/{name}/{key}": value for key, value in output.state().items()}
        return state

    def restore(self, state: State, make: Any) -> int:
        """Remember what `state` holds.

        Args:
            state: What `state` returned.
            make: Makes what makes an object's final mattes.

        Returns:
            The frame that it says to go on with.

        Raises:
            PromptError: If it isn't a state, or is one of other objects.
        """
        if "next_frame" not in state:
            raise PromptError('state without "next_frame": give what VideoSession.state returned')
        found: dict[str, dict[str, State]] = {"memory": {}, "output": {}}
        for path, value in state.items():
            kind, _, rest = path.partition("/")
            name, _, key = rest.partition("/")
            if kind in found:
                found[kind].setdefault(name, {})[key] = np.asarray(value)
        unknown = sorted({name for kind in found.values() for name in kind} - {*self.plan.names})
        if unknown:
            raise PromptError(
                f"state knows of {unknown[0]!r}, the prompts don't: give the same prompts as in "
                "the run that saved it"
            )
        for name, arrays in found["memory"].items():
            self.recall(name).restore(arrays)
        for name, arrays in found["output"].items():
            self.output(name, make).restore(arrays)
        return int(state["next_frame"])


def find(model: VideoModel, plan: Plan, name: str, frame: int, encoded: Any) -> Prediction:
    """Find an object on one of its origins, without looking at other frames."""
    alpha = plan.given.get((name, frame))
    if alpha is not None:
        return as_prediction(alpha)
    said = plan.prompt(name, frame)
    assert said is not None, "an origin is a prompted frame"
    return model.predict(encoded, said, opacity=plan.opacity)


def as_prediction(alpha: Plane) -> Prediction:
    """Take an alpha from elsewhere as a prediction."""
    return Prediction(alpha=alpha.copy(), mask=alpha > 0.5, trimap=trimap_from_alpha(alpha))
