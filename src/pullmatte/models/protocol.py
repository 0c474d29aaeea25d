"""The small protocol behind which every model stands.

A *prompter* turns image + prompt into mask + trimap, a *matter* turns image + trimap into alpha;
a model may hold one of each, or go from prompt to alpha in one step. Image sessions see only
`Model`; what a model can do beyond that stands in the protocols after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
Memory = Mapping[str, NDArray[Any]]
"""What tracking carries from frame to frame: named arrays, so that any run can be checkpointed."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of one object on one frame.

    Attributes:
        alpha: `H W` float32 in [0, 1].
        mask: `H W` bool, where the model makes one.
        trimap: `H W` float32 in {0, 0.5, 1}, where the model makes one.
        opacity: What the model took the object for, where it makes that difference.
    """

    alpha: Plane
    mask: BoolMask | None = None
    trimap: Plane | None = None
    opacity: KnownOpacity | None = None


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
    """A model that also tracks through a clip; its spec says ``video=True``."""

    def remember(
        self, encoded: Any, prediction: Prediction, memory: Memory | None = None
    ) -> Memory:
        """Return what the next frame needs to know of this one; `memory` is what was known."""
        ...

    def track(
        self,
        encoded: Any,
        memory: Memory,
        *,
        prompt: Prompt | None = None,
        opacity: Opacity = "auto",
    ) -> Prediction:
        """Matte on this frame the object that `memory` knows, corrected by `prompt` if given."""
        ...
