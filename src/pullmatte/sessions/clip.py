"""What a session needs to know of a clip, and a clip that is in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Protocol, runtime_checkable

import numpy as np

from pullmatte.errors import ReadError
from pullmatte.matte import as_image
from pullmatte.models.protocol import Image, Plane


class Frame(Protocol):
    """One frame of a clip."""

    @property
    def index(self) -> int:
        """Frame number, from 0."""
        ...

    @property
    def time_s(self) -> float:
        """When it is shown, in seconds."""
        ...

    @property
    def image(self) -> Image:
        """`H W 3` float32 in [0, 1]."""
        ...

    @property
    def alpha(self) -> Plane | None:
        """`H W` float32 in [0, 1]: what the clip itself makes transparent, if anything."""
        ...


@runtime_checkable
class FrameSource(Protocol):
    """A clip, as far as a session needs to know it."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        ...

    def __len__(self) -> int:
        """Count the frames."""
        ...

    def frames(
        self, start: int = 0, stop: int | None = None, *, reverse: bool = False
    ) -> Iterator[Frame]:
        """Hand out frames ``start`` to ``stop`` (exclusive), the last first if `reverse`."""
        ...


@dataclass(frozen=True)
class ArrayFrame:
    """A frame of an `ArrayClip`."""

    index: int
    time_s: float
    image: Image
    alpha: Plane | None = None


class ArrayClip:
    """A clip whose frames are in memory already."""

    def __init__(self, images: Sequence[Any], fps: float = 25.0) -> None:
        """Take `T` images of one size, shown at `fps` frames a second.

        Raises:
            ReadError: If there is none, one isn't an image, or they differ in size.
        """
        self._images = [_kept(image, number) for number, image in enumerate(images)]
        self._fps = fps
        if not self._images:
            raise ReadError("clip without frames: give at least one image")
        sizes = {image.shape[:2] for image in self._images}
        if len(sizes) > 1:
            raise ReadError(f"frames of different sizes {sorted(sizes)}: give images of one size")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self._images[0].shape[:2]
        return width, height

    def __len__(self) -> int:
        return len(self._images)

    def frames(
        self, start: int = 0, stop: int | None = None, *, reverse: bool = False
    ) -> Iterator[ArrayFrame]:
        """Hand out frames ``start`` to ``stop`` (exclusive), the last first if `reverse`."""
        numbers = range(start, len(self) if stop is None else min(stop, len(self)))
        for index in reversed(numbers) if reverse else numbers:
            yield ArrayFrame(index, index / self._fps, as_image(self._images[index]))


def _kept(image: Any, number: int) -> Any:
    """Check a frame; integers stay as they are until shown, as floats take up to 4 times more."""
    try:
        if isinstance(image, np.ndarray) and image.dtype.kind == "u" and image.ndim in (2, 3):
            as_image(image[:1, :1])
            return image
        return as_image(image)
    except ReadError as error:
        raise ReadError(f"frame {number}: {error}") from error


def as_clip(clip: Any) -> FrameSource:
    """Take whatever a caller calls a clip as one.

    Args:
        clip: What `pullmatte.open_video` returns, `T H W 3` numbers, or a list of images of one
            size, each as for `as_image`.

    Raises:
        ReadError: If it isn't a clip.
    """
    if isinstance(clip, FrameSource):
        return clip
    if isinstance(clip, str | bytes | PathLike):
        raise ReadError("clip given as a path: open it with pullmatte.open_video first")
    shape = getattr(clip, "shape", None)
    if shape is not None and len(shape) != 4:
        raise ReadError(f"clip of shape {tuple(shape)}: give frames x height x width x 3")
    try:
        return ArrayClip(list(clip))
    except TypeError as error:
        raise ReadError(f"clip of type {type(clip).__name__}: give a list of images") from error
