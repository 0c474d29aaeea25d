"""The small protocol behind which every model stands.

A *prompter* turns image + prompt into mask + trimap, a *matter* turns image + trimap into alpha;
a model may hold one of each, or go from prompt to alpha in one step. Image sessions see only
`Model`; what a model can do beyond that stands in the protocols after it.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pullmatte.prompts import Prompt

Image = NDArray[np.float32]
"""`H W 3` float32 in [0, 1], display-encoded."""
Plane = NDArray[np.float32]
"""`H W` float32 in [0, 1]: an alpha, or a trimap in {0, 0.5, 1}."""
BoolMask = NDArray[np.bool_]
"""`H W` bool."""
KnownOpacity = Literal["opaque", "transparent"]
Opacity = Literal["auto", "opaque", "transparent"]
Entry = Mapping[str, Any]
"""What is remembered of one object on one frame: named arrays, numpy's or what `np.asarray` turns
into numpy's, so that any run can be stopped, kept on disk and gone on with."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of one object on one frame.

    Attributes:
        alpha: `H W` float32 in [0, 1].
        mask: `H W` bool, where the model makes one.
        trimap: `H W` float32 in {0, 0.5, 1}, where the model makes one.
        opacity: What the model took the object for, where it makes that difference.
        carried: What the same model's `remember` needs of this frame beyond the above; nobody
            else looks into it, and it isn't kept.
    """

    alpha: Plane
    mask: BoolMask | None = None
    trimap: Plane | None = None
    opacity: KnownOpacity | None = None
    carried: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Memories:
    """What a model is told of one object's other frames when it tracks it on a frame.

    Attributes:
        prompted: Frame number → entry, of all frames on which something was said about it, before
            or after the frame that is tracked.
        tracked: Frame number → entry, of the frames that the run has just passed, the nearest
            last. Only as many as the model's `memory_spans` say, and of each entry only the
            arrays that reach so far.
        reverse: Whether the run goes from late frames to early ones.
    """

    prompted: Mapping[int, Entry] = field(default_factory=dict)
    tracked: Mapping[int, Entry] = field(default_factory=dict)
    reverse: bool = False


class Prompter(Protocol):
    """Turns image + prompt into mask + trimap."""

    def propose(self, image: Image, prompt: Prompt) -> tuple[BoolMask, Plane]:
        """Return mask (`H W` bool) and trimap (`H W` in {0, 0.5, 1}) of the prompted object."""
        ...


class TrimapMatter(Protocol):
    """Turns image + trimap into alpha."""

    def matte(self, image: Image, trimap: Plane) -> Plane:
        """Return alpha, `H W` float32 in [0, 1], equal to the trimap where that is known."""
        ...


Kept = dict[Hashable, Plane]
"""What a matter keeps of its work on an image."""


@runtime_checkable
class KeepingMatter(TrimapMatter, Protocol):
    """A matter that needn't do again what a changed trimap leaves as it was."""

    def matte_again(
        self, image: Image, trimap: Plane, kept: Kept | None, told: Any = None
    ) -> Plane:
        """Return alpha as `matte` does.

        Args:
            image: As for `matte`, like the next.
            trimap: See there.
            kept: Of the same image, used and added to.
            told: What its own model knows beside the trimap, if it knows anything.
        """
        ...


class Model(Protocol):
    """Everything that a session on an image asks of a model."""

    def encode(self, image: Image) -> Any:
        """Prepare an image once, for any number of prompts."""
        ...

    def predict(self, encoded: Any, prompt: Prompt, *, opacity: Opacity = "auto") -> Prediction:
        """Matte the prompted object of an encoded image."""
        ...


@runtime_checkable
class BatchModel(Model, Protocol):
    """A model that mattes several objects of one image in a single pass."""

    def predict_many(
        self, encoded: Any, prompts: Sequence[Prompt], *, opacity: Opacity = "auto"
    ) -> list[Prediction]:
        """Matte several objects; the same answers, in order, as `predict` gives one by one."""
        ...


class CaptionModel(Model, Protocol):
    """A model that also takes a description in words; its spec says ``captions=True``."""

    def predict(
        self,
        encoded: Any,
        prompt: Prompt,
        *,
        opacity: Opacity = "auto",
        caption: str | None = None,
    ) -> Prediction:
        """Matte the prompted object, helped by a caption such as ``"the boy on the left"``."""
        ...


@runtime_checkable
class VideoModel(Model, Protocol):
    """A model that also tracks through a clip; its spec says ``video=True``.

    The session keeps what is remembered, an entry for each frame, and hands out what `track` may
    look at; so memory is bounded by `memory_spans` whatever the length of the clip.
    """

    memory_spans: Mapping[str, int]
    """Name of an entry's array → on how many frames after its own `track` looks at it, unless
    something was said on its frame: those are looked at from everywhere. 0: only a correction of
    the frame itself does."""
    prompted_ahead: bool
    """Whether `track` also looks at prompted frames that the run hasn't reached yet."""

    def remember(self, encoded: Any, prediction: Prediction) -> Entry:
        """Return what other frames may need to know of this one.

        Args:
            encoded: The frame.
            prediction: What was said of it: by this model's `predict` or `track`, or, with
                nothing `carried`, by anyone else.
        """
        ...

    def track(
        self,
        encoded: Any,
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
            frame: The frame's number; those of `memories` count in the same way.
            prompt: A correction on this frame, if any.
            before: What is remembered of this very frame from before the correction, if anything.
            opacity: As for `predict`.
        """
        ...


def nearest(memories: Memories, frame: int) -> Entry:
    """Return the entry of the nearest frame that a run has come from.

    Args:
        memories: What is known of other frames; at least one of them.
        frame: The frame that the run has reached.
    """
    known = {**memories.prompted, **memories.tracked}
    passed = {at: entry for at, entry in known.items() if (at > frame) == memories.reverse}
    return min((passed or known).items(), key=lambda item: abs(item[0] - frame))[1]
