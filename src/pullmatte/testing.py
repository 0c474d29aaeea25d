"""Stand-ins for tests of everything that isn't a model. Public: use them for your own tests."""

from typing import Any

import numpy as np

from pullmatte.models import ModelSpec
from pullmatte.models.protocol import BoolMask, Image, Memory, Opacity, Plane, Prediction
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

    The region is the trimap's known and unknown part, else the mask, else the box, else squares
    of 17 pixels around the positive points; squares around negative points are taken out. Alpha is
    the image's mean brightness in the region, 0 elsewhere. The region stays where it is from frame
    to frame.
    """

    def encode(self, image: Image) -> Image:
        """Keep the image as it is."""
        return image

    def predict(self, encoded: Image, prompt: Prompt, *, opacity: Opacity = "auto") -> Prediction:
        """Return brightness inside the prompted region; `opacity` makes no difference."""
        height, width = encoded.shape[:2]
        return self._inside(encoded, _region(prompt, width, height))

    def remember(
        self, encoded: Image, prediction: Prediction, memory: Memory | None = None
    ) -> Memory:
        """Keep the region."""
        assert prediction.mask is not None
        return {"region": prediction.mask}

    def track(
        self,
        encoded: Image,
        memory: Memory,
        *,
        prompt: Prompt | None = None,
        opacity: Opacity = "auto",
    ) -> Prediction:
        """Return brightness inside the remembered region, or the newly prompted one."""
        if prompt is not None:
            return self.predict(encoded, prompt)
        return self._inside(encoded, np.asarray(memory["region"]))

    def _inside(self, image: Image, region: BoolMask) -> Prediction:
        alpha: Plane = image.mean(axis=2, dtype=np.float32)
        alpha = np.clip(np.where(region, alpha, np.float32(0)), 0, 1)
        return Prediction(alpha=alpha, mask=region, trimap=region * np.float32(0.5))


def _region(prompt: Prompt, width: int, height: int) -> BoolMask:
    region = np.zeros((height, width), bool)
    if prompt.trimap is not None:
        return prompt.trimap.array > 0
    if prompt.mask is not None:
        region |= prompt.mask.array
    elif prompt.box is not None:
        box = prompt.box
        region[int(box.y0) : round(box.y1), int(box.x0) : round(box.x1)] = True
    for point in prompt.points:
        x, y = int(point.x), int(point.y)
        region[max(0, y - 8) : y + 9, max(0, x - 8) : x + 9] = point.label == 1
    return region


class FakeMatter(Matter):
    """A `Matter` around `FakeModel`: what `pullmatte.load` returns, without a model."""

    def __init__(self, **_options: Any) -> None:
        super().__init__(_SPEC, FakeModel())
