"""What training looks at: images and clips with their true alpha, numbered and repeatable.

A source is asked by number and answers the same each time, on any process. So a run that goes on
needs no more of its data than the number at which it stopped, and processes share a source by
taking every n-th number.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Plane = NDArray[np.float32]
SampleKind = Literal["matting", "segmentation"]
SampleOpacity = Literal["opaque", "transparent"]


@dataclass(frozen=True, eq=False)
class Cutout:
    """An object without a background.

    Attributes:
        colour: `H W 3` float32 sRGB in [0, 1], straight: not multiplied by alpha, and of use
            where alpha is 0 too (it goes on smoothly there).
        alpha: `H W` float32 in [0, 1].
        kind: what it is, such as "hair" or "tuxpaint".
        opacity: "transparent" if nothing, or nearly nothing, of it is solid.
    """

    colour: Image
    alpha: Plane
    kind: str
    opacity: SampleOpacity = "opaque"


@dataclass(frozen=True, eq=False)
class CutoutClip:
    """A moving object without a background; as `Cutout`, with an axis of frames before.

    Attributes:
        colour: `T H W 3` float32 sRGB in [0, 1], straight.
        alpha: `T H W` float32 in [0, 1].
        kind: what it is.
        opacity: see `Cutout`.
    """

    colour: Image
    alpha: Plane
    kind: str
    opacity: SampleOpacity = "opaque"


@dataclass(frozen=True, eq=False)
class MattingSample:
    """A picture with the truth about one object in it.

    Attributes:
        image: `H W 3` float32 sRGB in [0, 1].
        alpha: `H W` float32 in [0, 1], of the object as it is seen; all 0 if it isn't there.
        kind: "segmentation" if the alpha is a mask, from which no trimap can be learnt.
        opacity: what the object is.
        name: from where it comes, to be told in a log.
    """

    image: Image
    alpha: Plane
    kind: SampleKind = "matting"
    opacity: SampleOpacity = "opaque"
    name: str = ""


@dataclass(frozen=True, eq=False)
class MattingClip:
    """A short clip with the truth about one object; as `MattingSample`, with an axis of frames.

    Attributes:
        images: `T H W 3` float32 sRGB in [0, 1].
        alphas: `T H W` float32 in [0, 1].
        kind: see `MattingSample`.
        opacity: see there.
        name: see there.
    """

    images: Image
    alphas: Plane
    kind: SampleKind = "matting"
    opacity: SampleOpacity = "opaque"
    name: str = ""


class SampleSource(Protocol):
    """Endless numbered samples."""

    def sample(self, number: int) -> MattingSample:
        """Return the sample of a number, 0 or more: the same each time it is asked."""


class ClipSource(Protocol):
    """Endless numbered clips."""

    def clip(self, number: int) -> MattingClip:
        """Return the clip of a number, 0 or more: the same each time it is asked."""
