"""What a session needs to know of a clip, and a clip that is in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from numpy.typing import ArrayLike

from pullmatte.errors import ReadError
from pullmatte.models.protocol import Image
from pullmatte.sessions.image import as_image


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


class ArrayClip:
    """A clip whose frames are in memory already."""

    def __init__(self, images: Sequence[ArrayLike], fps: float = 25.0) -> None:
        """Take `T` images of one size, shown at `fps` frames a second.

        Raises:
            ReadError: If there is none, or they differ in size.
        """
        self._images = [as_image(image) for image in images]
        self._fps = fps
        if not self._images:
            raise ReadError("clip without frames: give at least one image")
        sizes = {image.shape for image in self._images}
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
            yield ArrayFrame(index, index / self._fps, self._images[index])
