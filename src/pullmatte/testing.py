"""Stand-ins for tests of everything that isn't a model. Public: use them for your own tests."""

from collections.abc import Mapping
from math import ceil, floor
from types import MappingProxyType

import numpy as np

from pullmatte.models import ModelSpec
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
from pullmatte.sessions.load import Matter

_SPEC = ModelSpec(
    name="fake",
    summary="a deterministic stand-in without weights, for tests",
    builder="pullmatte.testing:FakeModel",
    licence="Apache-2.0",
    commercial_use=True,
)


class FakeModel:
    """Mattes by a rule that a test can restate: brightness inside the prompted region.

    The region is where the trimap isn't 0; else the mask, or the box (all pixels it touches); and
    squares of 17 pixels around points, put in or taken out, one after the other. Alpha is the
    image's mean brightness in the region, 0 elsewhere. The region stays where it is from frame to
    frame; on a tracked frame points alone correct it, anything else replaces it.
    """

    memory_spans: Mapping[str, int] = MappingProxyType({"region": 1})
    prompted_ahead = False

    def encode(self, image: Image) -> Image:
        """Keep the image as it is."""
        return image

    def predict(self, encoded: Image, prompt: Prompt, *, opacity: Opacity = "auto") -> Prediction:
        """Return brightness inside the prompted region; `opacity` makes no difference."""
        height, width = encoded.shape[:2]
        return self._inside(encoded, _region(prompt, width, height))

    def remember(self, encoded: Image, prediction: Prediction) -> Entry:
        """Keep the region."""
        mask = prediction.alpha > 0 if prediction.mask is None else prediction.mask
        return {"region": mask.copy()}

    def track(
        self,
        encoded: Image,
        memories: Memories,
        frame: int,
        *,
        prompt: Prompt | None = None,
        before: Entry | None = None,
        opacity: Opacity = "auto",
    ) -> Prediction:
        """Return brightness inside the region of the frame before, or the newly prompted one."""
        height, width = encoded.shape[:2]
        region = np.array(nearest(memories, frame)["region"])
        return self._inside(encoded, _region(prompt or Prompt(), width, height, region))

    def _inside(self, image: Image, region: BoolMask) -> Prediction:
        # Three additions: over ten times faster than a mean along the last axis.
        alpha: Plane = (image[..., 0] + image[..., 1] + image[..., 2]) / np.float32(3)
        alpha = np.clip(np.where(region, alpha, np.float32(0)), 0, 1)
        return Prediction(alpha=alpha, mask=region, trimap=region * np.float32(0.5))


def _region(prompt: Prompt, width: int, height: int, known: BoolMask | None = None) -> BoolMask:
    if prompt.trimap is not None:
        return prompt.trimap.array > 0
    region = np.zeros((height, width), bool) if known is None else known
    if prompt.mask is not None:
        region = prompt.mask.array.copy()
    elif prompt.box is not None:
        box = prompt.box
        region = np.zeros((height, width), bool)
        region[floor(box.y0) : ceil(box.y1), floor(box.x0) : ceil(box.x1)] = True
    for point in prompt.points:
        x, y = int(point.x), int(point.y)
        region[max(0, y - 8) : y + 9, max(0, x - 8) : x + 9] = point.label == 1
    return region


class FakeMatter(Matter):
    """A `Matter` around `FakeModel`: what `pullmatte.load` returns, without a model."""

    def __init__(self) -> None:
        super().__init__(_SPEC, FakeModel())
