"""What lies behind the subject: background, pop and text of a look, for photos and clips."""

from bisect import bisect_right
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from pullmatte.errors import ReadError
from pullmatte.io.atomic import shown
from pullmatte.io.clip import Clip
from pullmatte.io.image import load_picture
from pullmatte.io.video import open_video
from pullmatte.jobs.blending import fit_plate
from pullmatte.jobs.edge import edited
from pullmatte.jobs.look import Look
from pullmatte.jobs.naming import is_photo
from pullmatte.jobs.plates import blurred_plate, popped, uncovered_plate
from pullmatte.jobs.text_layer import text_layer
from pullmatte.jobs.video_options import VideoOptions
from pullmatte.matte import Matte, make_background
from pullmatte.models.protocol import Image, Plane

# Matroska and WebM round times to milliseconds.
TIME_TOLERANCE_S = 1e-3


class Backdrop:
    """Lays subjects over what a look puts behind them; to be used in a ``with`` block."""

    def __init__(self, look: Look, size: tuple[int, int], *, moving: bool = False) -> None:
        """Load what is needed for frames of one size.

        Args:
            look: With a background.
            size: Width and height in pixels.
            moving: Whether frames of a clip are going to be laid, so that a video may lie behind.

        Raises:
            ReadError: If the background's file can't be read.
            PullmatteError: If the text can't be drawn.
        """
        self._look, self._size = look, size
        self._text = None if look.text is None else text_layer(size, look.text)
        self._still: Image | None = None
        self._moving: _Loop | None = None
        path, word = look.path, look.background
        if path is not None and moving and not is_photo(path):
            self._moving = _Loop(path, size)
        elif path is not None:
            picture = load_picture(path)
            self._still = self._written(fit_plate(picture.image, size[::-1]))
        elif word not in ("blur", "original"):
            self._still = self._written(make_background(word, *size))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._moving is not None:
            self._moving.close()

    def lay(self, matte: Matte, time_s: float = 0.0, limit: Plane | None = None) -> Image:
        """Edit a matte's edge, and lay its subject over the backdrop.

        Args:
            matte: As the model made it.
            time_s: Since the clip's first frame; frames are best laid in order.
            limit: As for `edited`.

        Returns:
            `H W 3` float32.

        Raises:
            ReadError: If a frame of the background can't be read.
        """
        subject = edited(matte, self._look, limit)
        return subject.composite(self._plate(matte, subject, time_s))

    def _plate(self, matte: Matte, subject: Matte, time_s: float) -> Image:
        if self._still is not None:
            return self._still
        if self._moving is not None:
            return self._written(self._moving.at(time_s))
        plate = uncovered_plate(matte.image, matte.alpha, subject.foreground)
        if self._look.background == "blur":
            plate = blurred_plate(plate, matte.alpha, self._look.blur_px)
        return self._written(popped(plate, self._look.pop) if self._look.pop else plate)

    def _written(self, plate: Image) -> Image:
        """Write the text on a plate."""
        if self._text is None:
            return plate
        alpha = self._text[..., 3:]
        return self._text[..., :3] * alpha + plate * (1 - alpha)


def open_backdrop(
    stack: ExitStack, options: VideoOptions, size: tuple[int, int]
) -> Backdrop | None:
    """Open what lies behind the subject of a clip's composite; it is closed with the stack.

    Returns:
        None, if the result is no composite.

    Raises:
        ReadError: If the background's file can't be read.
        PullmatteError: If the text can't be drawn.
    """
    if not options.is_composite:
        return None
    return stack.enter_context(Backdrop(options.whole_look, size, moving=True))


class _Loop:
    """A clip as background: its frames by time, from the start again when it ends."""

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        try:
            self._clip: Clip = open_video(path)
        except ReadError as error:
            what = f"background {shown(path)} is no picture, and as a clip"
            raise ReadError(f"{what}: {error}") from error
        info = self._clip.info
        self._times_s = [info.time_of(index) - info.time_of(0) for index in range(len(self._clip))]
        self._duration_s = self._times_s[-1] + float(info.last_duration * info.time_base)
        self._size = size
        self._index, self._plate = -1, make_background((0, 0, 0), 1, 1)

    def at(self, time_s: float) -> Image:
        """Return the frame that is shown then, fitted."""
        within = max(0.0, time_s + TIME_TOLERANCE_S) % self._duration_s
        index = max(0, bisect_right(self._times_s, within) - 1)
        if index != self._index:
            self._plate = fit_plate(self._clip.frame(index).image, self._size[::-1])
            self._index = index
        return self._plate

    def close(self) -> None:
        self._clip.close()
