"""Pictures in and out: files, bytes, streams, PIL images and arrays to numpy, and back to files.

Formats in: PNG, JPEG, WebP, TIFF, AVIF, BMP, GIF (first frame), JPEG 2000, PNM, EXR, and HEIC with
the extra ``heic``. Orientation is applied, 16 bits stay 16 bits, profiles are kept.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import ReadError
from pullmatte.io.atomic import shown
from pullmatte.io.color import linear_to_srgb
from pullmatte.io.encoding import FORMATS, encode_image, suggest_bit_depth, write_image

if TYPE_CHECKING:
    from PIL import Image

    from pullmatte.io.decoding import Samples

    Source = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | NDArray[Any]

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "Picture",
    "encode_image",
    "load_picture",
    "read_image",
    "read_mask",
    "read_trimap",
    "suggest_bit_depth",
    "write_image",
]

Array = NDArray[np.float32]

MAX_PIXELS = 400_000_000
_MAX_BYTES = 1 << 32
# Between the levels 1 and 2 (253 and 254) of 8 bits, so that 16-bit files are judged alike.
_BACKGROUND_END = 1.5 / 255
_FOREGROUND_START = 253.5 / 255


@dataclass(frozen=True)
class Picture:
    """A picture with what must survive until the output.

    Attributes:
        image: `H W 3` float32, encoded as sRGB or as its profile says, straight under alpha, in
            [0, 1]; only EXR may exceed 1 (highlights).
        alpha: `H W` float32 in [0, 1], straight, or None if the source has none.
        bit_depth: 8, 16, or 32 for floats.
        icc: The RGB profile, byte for byte, or None for sRGB.
        path: Where it came from, if from a file.
    """

    image: Array
    alpha: Array | None
    bit_depth: int
    icc: bytes | None = None
    path: Path | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        height, width = self.image.shape[:2]
        return width, height


def load_picture(
    source: "Source",
    *,
    max_pixels: int = MAX_PIXELS,
) -> Picture:
    """Load a picture with its alpha, bit depth and profile.

    Grey becomes RGB (a GRAY profile is applied, as it can't be put on RGB); CMYK becomes sRGB
    through its profile; a profile of another kind than the pixels is dropped. Lone mattes in EXR
    and float TIFFs are taken as they are.

    Args:
        source: A path, the file's bytes, a binary stream, a PIL image, or an array `H W`,
            `H W 1`, `H W 3` or `H W 4` of bool, uint8, uint16 or floats in [0, 1].
        max_pixels: Refuse pictures that declare more pixels.

    Returns:
        The upright picture; its arrays belong to the caller.

    Raises:
        ReadError: Missing, unreadable, no image, truncated, too large, or NaN in it.
        MissingDependency: It is HEIC and pi-heif isn't installed.
    """
    samples, path = _samples(source, max_pixels)
    pixels, alpha = _to_unit(samples.pixels), samples.alpha
    icc = samples.icc
    if samples.linear:
        pixels = np.maximum(linear_to_srgb(pixels), 0)
    if icc is not None and pixels.shape[2] == 1:
        from pullmatte.io.profiles import colour_space, grey_to_srgb

        if colour_space(icc) == "GRAY":
            pixels, icc = grey_to_srgb(pixels, icc), None
    image = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    image = np.ascontiguousarray(image, np.float32)
    unit = None if alpha is None else np.ascontiguousarray(_to_unit(alpha))
    return Picture(image, unit, samples.bit_depth, icc, path)


def read_image(
    source: "Source",
    *,
    max_pixels: int = MAX_PIXELS,
) -> Array:
    """Read a picture's colours alone.

    Args:
        source: As for `load_picture`.
        max_pixels: Refuse pictures that declare more pixels.

    Returns:
        `H W 3` float32 in [0, 1], upright; an EXR's highlights are clipped at 1.

    Raises:
        ReadError: As for `load_picture`.
        MissingDependency: It is HEIC and pi-heif isn't installed.
    """
    return np.minimum(load_picture(source, max_pixels=max_pixels).image, 1)


def read_mask(
    source: "Source",
    *,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.bool_]:
    """Read a rough mask.

    The object is where alpha > 0.5 if there is an alpha that varies (a cut-out); otherwise where
    the brightest of R, G, B is > 0.5. In an integer source without any value above 1, the value 1
    is the object (a 0/1 label map). Profiles are ignored: mask values are data, not colours.

    Args:
        source: As for `load_picture`.
        max_pixels: Refuse pictures that declare more pixels.

    Returns:
        `H W` bool.

    Raises:
        ReadError: As for `load_picture`.
        MissingDependency: It is HEIC and pi-heif isn't installed.
    """
    samples, _ = _samples(source, max_pixels)
    if samples.alpha is not None and np.ptp(samples.alpha) > 0:
        return np.ascontiguousarray(_to_unit(samples.alpha) > 0.5)
    brightest = samples.pixels.max(axis=2)
    if brightest.dtype != np.float32 and brightest.max() == 1:
        return np.ascontiguousarray(brightest == 1)
    return np.ascontiguousarray(_to_unit(brightest) > 0.5)


def read_alpha(
    source: "Source",
    *,
    max_pixels: int = MAX_PIXELS,
) -> Array:
    """Read a finished alpha: that of a cut-out if it varies, otherwise the grey picture itself.

    Profiles are ignored: opacities are data, not colours.

    Args:
        source: As for `load_picture`.
        max_pixels: Refuse pictures that declare more pixels.

    Returns:
        `H W` float32 in [0, 1].

    Raises:
        ReadError: As for `load_picture`.
        MissingDependency: It is HEIC and pi-heif isn't installed.
    """
    samples, _ = _samples(source, max_pixels)
    if samples.alpha is not None and np.ptp(samples.alpha) > 0:
        return np.ascontiguousarray(_to_unit(samples.alpha).clip(0, 1))
    return np.ascontiguousarray(_to_unit(samples.pixels.max(axis=2)).clip(0, 1))


def read_trimap(
    source: "Source",
    *,
    max_pixels: int = MAX_PIXELS,
) -> Array:
    """Read a trimap: black is background, white is foreground, all else is unknown.

    Of 8 bits 0 and 1 count as black, 254 and 255 as white; other depths alike. Colours are
    averaged; alpha and profiles are ignored.

    Args:
        source: As for `load_picture`.
        max_pixels: Refuse pictures that declare more pixels.

    Returns:
        `H W` float32 in {0, 0.5, 1}.

    Raises:
        ReadError: As for `load_picture`, or it looks like labels 0, 1, 2.
        MissingDependency: It is HEIC and pi-heif isn't installed.
    """
    samples, path = _samples(source, max_pixels)
    if samples.pixels.dtype != np.float32 and 0 < samples.pixels.max() <= 2:
        top = int(samples.pixels.max())
        name = "the trimap" if path is None else shown(path)
        raise ReadError(
            f"can't use {name}: its values end at {top}, expected black 0, grey 128, white 255; "
            "multiply labels 0, 1, 2 by 127.5"
        )
    grey = _to_unit(samples.pixels).mean(axis=2)
    trimap = np.full(grey.shape, 0.5, np.float32)
    trimap[grey <= _BACKGROUND_END] = 0
    trimap[grey >= _FOREGROUND_START] = 1
    return trimap


def _samples(source: Any, max_pixels: int) -> tuple["Samples", Path | None]:
    from PIL import Image

    from pullmatte.io.decoding import decode, from_pillow

    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels), None
    if isinstance(source, Image.Image):
        try:
            return from_pillow(source, "the PIL image", max_pixels), None
        except (OSError, SyntaxError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ReadError(f"can't read the PIL image: {reason}; get a whole copy") from error
    if isinstance(source, bytes | bytearray | memoryview):
        return decode(bytes(source), "the image data", max_pixels), None
    if isinstance(source, str | os.PathLike):
        path = Path(os.fsdecode(source))
        return decode(_read_file(path), shown(path), max_pixels), path
    if hasattr(source, "read"):
        return decode(_read_stream(source), "the image stream", max_pixels), None
    kind = type(source).__name__
    raise ReadError(f"can't read a {kind}: expected a path, bytes, stream, PIL image or array")


def _read_file(path: Path) -> bytes:
    name = shown(path)
    try:
        if path.is_dir():
            raise ReadError(f"can't read {name}: it is a folder, expected an image file; name one")
        with path.open("rb") as stream:
            return _read_stream(stream, name)
    except FileNotFoundError as error:
        raise ReadError(
            f"can't read {name}: no such file, expected an image; check the path"
        ) from error
    except PermissionError as error:
        raise ReadError(f"can't read {name}: no permission; change its access rights") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ReadError(f"can't read {name}: {reason}; check the path") from error


def _read_stream(stream: Any, name: str = "the image stream") -> bytes:
    try:
        data = stream.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ReadError(f"can't read {name}: {reason}; open it again in binary mode") from error
    if not isinstance(data, bytes):
        raise ReadError(f"can't read {name}: it gives text, expected bytes; open it in mode 'rb'")
    if len(data) > _MAX_BYTES:
        raise ReadError(f"can't read {name}: more than 4 GiB, expected an image file")
    return data


def _from_array(array: NDArray[Any], max_pixels: int) -> "Samples":
    from pullmatte.io.decoding import Samples

    pixels = array[..., None] if array.ndim == 2 else array
    if pixels.ndim != 3 or pixels.shape[2] not in {1, 3, 4} or 0 in pixels.shape:
        raise ReadError(f"array of shape {array.shape}: expected H W, H W 1, H W 3 or H W 4")
    if pixels.shape[0] * pixels.shape[1] > max_pixels:
        raise ReadError(f"array of shape {array.shape}: expected at most {max_pixels:,} pixels")
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    elif np.issubdtype(pixels.dtype, np.floating):
        pixels = pixels.astype(np.float32)
        if not (np.isfinite(pixels).all() and pixels.min() >= -1e-3 and pixels.max() <= 1 + 1e-3):
            raise ReadError(
                "float array with values beyond [0, 1] or NaN: divide 8-bit data by 255"
            )
    elif pixels.dtype not in {np.dtype(np.uint8), np.dtype(np.uint16)}:
        raise ReadError(f"array of {array.dtype}: expected bool, uint8, uint16 or floats in [0, 1]")
    depth = {1: 8, 2: 16, 4: 32}[pixels.dtype.itemsize]
    alpha = pixels[..., 3] if pixels.shape[2] == 4 else None
    return Samples(pixels[..., :3], alpha, depth)


def _to_unit(values: NDArray[Any]) -> Array:
    """Scale integers to [0, 1] and copy; floats are left to their limits elsewhere."""
    if np.issubdtype(values.dtype, np.integer):
        return (values / np.float32(np.iinfo(values.dtype).max)).astype(np.float32)
    return values.astype(np.float32)
