"""Pictures for the page: what an upload is, frames for display, alphas that are there already.

Nothing here needs a model, so the server does it by itself while the model works.
"""

import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import ReadError
from pullmatte.io.clip import Clip
from pullmatte.io.image import FORMATS, encode_image, load_picture
from pullmatte.io.video import open_video
from pullmatte.web.projects import Kind, Project

Array = NDArray[np.float32]
QUALITY = 92
_CLIPS_OPEN = 3
_PICTURES_KEPT = 2
_FTYP_PICTURES = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"}
_PICTURES = (
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0"),
    *(b"MM\0+", b"v/1\x01", b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"),
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
)
_VIDEO_SUFFIXES = {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".ts", ".mts", ".mxf", ".mpg"}


def kind_of(head: bytes) -> Kind | None:
    """Tell by its first bytes what a file claims to be; None for what can't be either.

    Args:
        head: At least 200 bytes, if the file has so many.
    """
    if head[4:8] == b"ftyp":
        return "image" if head[8:12] in _FTYP_PICTURES else "video"
    if head[:4] == b"\x1a\x45\xdf\xa3" or head[4:8] in (b"moov", b"mdat", b"wide", b"free"):
        return "video"
    if head[:4] == b"RIFF":
        return "image" if head[8:12] == b"WEBP" else "video"
    if head.startswith(_PICTURES):
        return "image"
    streams = (b"\0\0\x01\xba", b"\0\0\x01\xb3", b"\x06\x0e\x2b\x34")
    packets = head[:1] == b"G" and head[188:189] == b"G"
    return "video" if packets or head.startswith(streams) else None


def suffix_of(name: str, kind: Kind) -> str:
    """Return the suffix under which an upload is kept: its own, if that is a known one."""
    suffix = Path(name).suffix.lower()
    known = {*FORMATS, ".heic", ".heif", ".gif", ".bmp"} if kind == "image" else _VIDEO_SUFFIXES
    return suffix if suffix in known else (".png" if kind == "image" else ".mp4")


def as_jpeg(image: Array, *, height: int | None = None, icc: bytes | None = None) -> bytes:
    """Encode a picture for display, smaller if asked for."""
    import cv2

    if height is not None and height < image.shape[0]:
        width = max(1, round(image.shape[1] * height / image.shape[0]))
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        image = small.astype(np.float32, copy=False)
    if icc is not None:
        return encode_image(".jpg", image=image.clip(0, 1), icc=icc)
    pixels = np.rint(image[..., ::-1].clip(0, 1) * 255).astype(np.uint8)
    how = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    return bytes(cv2.imencode(".jpg", pixels, how)[1])


def as_grey_png(alpha: NDArray[np.floating]) -> bytes:
    """Encode an alpha in [0, 1] as 8-bit grey, quickly."""
    import cv2

    levels = np.rint(alpha * 255).astype(np.uint8)
    how = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    return bytes(cv2.imencode(".png", levels, how)[1])


class Media:
    """Frames of projects as the page shows them; a few clips stay open."""

    def __init__(self, max_pixels: int) -> None:
        """Start with none open.

        Args:
            max_pixels: Refuse pictures that declare more.
        """
        self._max_pixels = max_pixels
        self._clips: OrderedDict[Path, Clip] = OrderedDict()
        self._pictures: OrderedDict[Path, tuple[Array, bytes | None]] = OrderedDict()
        # A clip is decoded by one thread at a time.
        self._lock = threading.Lock()

    def measure(self, path: Path, kind: Kind) -> Project:
        """Open an upload, and say what it is.

        Returns:
            A project without id and name.

        Raises:
            ReadError: If it isn't what it claims to be, is damaged or too large.
        """
        if kind == "image":
            picture = load_picture(path, max_pixels=self._max_pixels)
            width, height = picture.size
            return Project("", "", kind, path.suffix, width, height)
        with open_video(path) as clip:
            info = clip.info
            if info.width * info.height > self._max_pixels:
                raise ReadError(
                    f"frames of {info.width}x{info.height} pixels: give a clip of at most "
                    f"{self._max_pixels} pixels a frame"
                )
            next(iter(clip.frames(0, 1)))
            return Project(
                "",
                "",
                kind,
                path.suffix,
                *clip.size,
                frames=len(clip),
                fps=float(info.average_rate),
                has_audio=info.has_audio,
            )

    def frame(self, path: Path, project: Project, index: int, height: int | None) -> bytes:
        """Return a frame, or the photo, as JPEG.

        Raises:
            ReadError: If there is no such frame.
        """
        if not 0 <= index < project.frames:
            raise ReadError(f"frame {index}: there are frames 0 to {project.frames - 1}")
        with self._lock:
            if project.kind == "image":
                image, icc = self._picture(path)
            else:
                image, icc = self._clip(path).frame(index).image, None
        return as_jpeg(image, height=height, icc=icc)

    def forget(self, folder: Path) -> None:
        """Close what is open of a folder."""
        with self._lock:
            for path in [path for path in self._clips if folder in path.parents]:
                self._clips.pop(path).close()
            for path in [path for path in self._pictures if folder in path.parents]:
                del self._pictures[path]

    def close(self) -> None:
        """Close everything."""
        with self._lock:
            while self._clips:
                self._clips.popitem()[1].close()
            self._pictures.clear()

    def _picture(self, path: Path) -> tuple[Array, bytes | None]:
        if path not in self._pictures:
            picture = load_picture(path, max_pixels=self._max_pixels)
            self._pictures[path] = picture.image, picture.icc
        self._pictures.move_to_end(path)
        while len(self._pictures) > _PICTURES_KEPT:
            self._pictures.popitem(last=False)
        return self._pictures[path]

    def _clip(self, path: Path) -> Clip:
        if path not in self._clips:
            self._clips[path] = open_video(path)
        self._clips.move_to_end(path)
        while len(self._clips) > _CLIPS_OPEN:
            self._clips.popitem(last=False)[1].close()
        return self._clips[path]


def grey_bytes(plane: NDArray[np.unsignedinteger]) -> bytes:
    """Encode stored levels, of 8 or 16 bits, as 8-bit grey."""
    return as_grey_png(plane.astype(np.float32) / np.iinfo(plane.dtype).max)
