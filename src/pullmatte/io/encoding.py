"""Arrays to image files: rounding, alpha, profile and text, each format by one small function."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import UnsupportedFormat, WriteError
from pullmatte.io.atomic import replacing, shown
from pullmatte.io.color import premultiply

Array = NDArray[np.float32]
Samples = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class Page:
    """Rounded samples on their way into a file.

    Attributes:
        pixels: `H W`, `H W 3` or `H W 4`, uint8 or uint16.
        icc: Profile to embed, or None.
        text: What to store as text.
        associated: Whether colours are multiplied by alpha.
        quality: 1 to 100, or None for the format's usual.
    """

    pixels: Samples
    icc: bytes | None
    text: dict[str, str]
    associated: bool
    quality: int | None


@dataclass(frozen=True)
class Format:
    """What a file type can hold.

    Attributes:
        name: As people call it.
        alpha: Whether it holds alpha.
        bit_depths: Bits per sample that we write.
        encode: From a page to bytes; None for EXR, which takes floats.
    """

    name: str
    alpha: bool
    bit_depths: tuple[int, ...]
    encode: Callable[[Page], bytes] | None


def write_image(
    destination: str | os.PathLike[str],
    *,
    image: Array | None = None,
    alpha: Array | None = None,
    bit_depth: int | None = None,
    icc: bytes | None = None,
    premultiplied: bool | None = None,
    metadata: Mapping[str, str] | None = None,
    quality: int | None = None,
) -> None:
    """Write a picture, a cut-out or a grey matte; the format follows the file name.

    Args:
        destination: Where to; it appears whole or not at all.
        image: `H W 3` float32 in [0, 1], straight colours, sRGB or as ``icc`` says. None: the
            alpha is written as a grey matte (in EXR as channel A).
        alpha: `H W` float32 in [0, 1]; None: no alpha.
        bit_depth: 8 or 16; None for 8. EXR always has half floats. `suggest_bit_depth` turns a
            source's depth into one that the format holds.
        icc: Profile to embed unchanged, not used for grey mattes and EXR.
        premultiplied: Whether to store colours multiplied by alpha; None for the format's habit:
            EXR premultiplied, all others straight. The file says which.
        metadata: Text to store (PNG text, TIFF and EXIF description, EXR attributes).
        quality: 1 to 100 for JPEG, AVIF and lossy WebP; None: 95, 90 (with alpha 100) and
            lossless WebP.

    Raises:
        UnsupportedFormat: An unknown suffix, or a format without alpha or that depth.
        WriteError: The arrays don't fit together, or the disk refuses.
    """
    path = Path(destination)
    data = encode_image(
        path.suffix,
        image=image,
        alpha=alpha,
        bit_depth=bit_depth,
        icc=icc,
        premultiplied=premultiplied,
        metadata=metadata,
        quality=quality,
        name=shown(path),
    )
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def encode_image(
    format: str,  # noqa: A002
    *,
    image: Array | None = None,
    alpha: Array | None = None,
    bit_depth: int | None = None,
    icc: bytes | None = None,
    premultiplied: bool | None = None,
    metadata: Mapping[str, str] | None = None,
    quality: int | None = None,
    name: str = "the output",
) -> bytes:
    """Make the bytes that `write_image` writes, for a stream.

    Args:
        format: A suffix: ``png``, ``.webp``, ``TIFF`` ...
        image: As for `write_image`.
        alpha: As for `write_image`.
        bit_depth: As for `write_image`.
        icc: As for `write_image`.
        premultiplied: As for `write_image`.
        metadata: As for `write_image`.
        quality: As for `write_image`.
        name: What to call the output in messages.

    Returns:
        The file's bytes, the same for the same input.

    Raises:
        UnsupportedFormat: An unknown format, or one without alpha or that depth.
        WriteError: The arrays don't fit together.
    """
    kind = _format(format, name)
    _check_arrays(image, alpha, name)
    if image is not None and alpha is not None and not kind.alpha:
        raise UnsupportedFormat(
            f"can't write {name}: {kind.name} holds no alpha; use .png, .webp, .tif or .exr"
        )
    if kind.encode is None:
        from pullmatte.io.exr import encode_exr

        multiply = premultiplied is not False
        return encode_exr(
            image=image, alpha=alpha, premultiplied=multiply, metadata=metadata, name=name
        )
    depth = bit_depth or 8
    if depth not in kind.bit_depths:
        known = " or ".join(map(str, kind.bit_depths))
        raise UnsupportedFormat(
            f"can't write {name}: {kind.name} holds {known} bits, not {depth}; "
            "use .png or .tif for 16, .exr for floats"
        )
    page = _make_page(image, alpha, depth, bool(premultiplied), icc, metadata, quality)
    try:
        return kind.encode(page)
    except (OSError, ValueError, RuntimeError, TypeError, MemoryError) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise WriteError(f"can't write {name}: {kind.name} refuses it ({reason})") from error


def suggest_bit_depth(destination: str | os.PathLike[str], source_bit_depth: int) -> int | None:
    """Choose the depth that keeps a source's precision as far as the output's format can.

    Args:
        destination: The output's name; its suffix counts.
        source_bit_depth: 8, 16 or 32, as in `Picture`.

    Returns:
        8 or 16 for `write_image`; None for EXR, which has its own.

    Raises:
        UnsupportedFormat: An unknown suffix.
    """
    kind = _format(Path(destination).suffix, shown(destination))
    if kind.encode is None:
        return None
    return 16 if source_bit_depth > 8 and 16 in kind.bit_depths else 8


def to_integers(values: Array, bit_depth: int) -> Samples:
    """Round [0, 1] to the nearest of 2^bits - 1 steps; values beyond are clipped.

    Args:
        values: Any shape, float32.
        bit_depth: 8 or 16.

    Returns:
        The same shape, uint8 or uint16.
    """
    top = (1 << bit_depth) - 1
    scaled = np.clip(values, 0, 1) * np.float32(top)
    rounded: Samples = np.floor(scaled + np.float32(0.5)).astype(f"uint{bit_depth}")
    return rounded


def _format(suffix: str, name: str) -> Format:
    found = FORMATS.get("." + suffix.lower().lstrip("."))
    if found is None:
        given = repr(suffix) if suffix else "no suffix"
        raise UnsupportedFormat(
            f"can't write {name}: {given} names no known format; use one of {', '.join(FORMATS)}"
        )
    return found


def _check_arrays(image: Array | None, alpha: Array | None, name: str) -> None:
    if image is None and alpha is None:
        raise WriteError(f"can't write {name}: neither image nor alpha was given")
    if image is not None and (image.ndim != 3 or image.shape[2] != 3):
        raise WriteError(f"can't write {name}: image of shape {image.shape}, expected H W 3")
    if alpha is not None and alpha.ndim != 2:
        raise WriteError(f"can't write {name}: alpha of shape {alpha.shape}, expected H W")
    if image is not None and alpha is not None and image.shape[:2] != alpha.shape:
        raise WriteError(
            f"can't write {name}: image of {image.shape[:2]} and alpha of {alpha.shape} pixels, "
            "expected the same size"
        )
    for key, values in (("image", image), ("alpha", alpha)):
        if values is None:
            continue
        if not np.issubdtype(values.dtype, np.floating):
            raise WriteError(
                f"can't write {name}: {key} is {values.dtype}, expected floats in [0, 1]"
            )
        if values.size == 0 or not np.isfinite(values).all():
            raise WriteError(f"can't write {name}: {key} is empty or holds NaN or infinity")


def _make_page(
    image: Array | None,
    alpha: Array | None,
    bit_depth: int,
    premultiplied: bool,
    icc: bytes | None,
    metadata: Mapping[str, str] | None,
    quality: int | None,
) -> Page:
    text = {key: str(value) for key, value in (metadata or {}).items()}
    text["Software"] = "pullmatte"
    if image is None:
        assert alpha is not None
        return Page(to_integers(alpha, bit_depth), None, text, False, quality)
    if alpha is None:
        return Page(to_integers(image, bit_depth), icc, text, False, quality)
    text["Alpha"] = "premultiplied" if premultiplied else "straight"
    colour = premultiply(image, alpha) if premultiplied else image
    return Page(
        to_integers(np.dstack([colour, alpha]), bit_depth), icc, text, premultiplied, quality
    )


def _encode_png(page: Page) -> bytes:
    from pullmatte.io.png import encode_png

    return encode_png(page.pixels, icc=page.icc, text=page.text)


def _encode_tiff(page: Page) -> bytes:
    from pullmatte.io.tiff import encode_tiff

    described = _description(page)
    return encode_tiff(page.pixels, associated=page.associated, icc=page.icc, description=described)


def _encode_jpeg(page: Page) -> bytes:
    return _encode_pillow(page, "JPEG", quality=page.quality or 95, subsampling=0, optimize=True)


def _encode_webp(page: Page) -> bytes:
    # exact: the colour under alpha 0 stays; it is part of a straight cut-out.
    if page.quality is not None:
        return _encode_pillow(page, "WEBP", quality=page.quality, exact=True)
    # For lossless files quality means effort: this is twice as fast as usual at the same size.
    return _encode_pillow(page, "WEBP", lossless=True, quality=25, method=1, exact=True)


def _encode_avif(page: Page) -> bytes:
    # One quality serves colour and alpha; below 100 the matte would be lossy.
    usual = 90 if page.pixels.ndim == 3 and page.pixels.shape[2] == 3 else 100
    return _encode_pillow(page, "AVIF", quality=page.quality or usual, subsampling="4:4:4", speed=8)


def _encode_pillow(page: Page, name: str, **options: Any) -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x010E] = _description(page)
    exif[0x0131] = "pullmatte"
    if page.icc is not None:
        options["icc_profile"] = page.icc
    stream = BytesIO()
    Image.fromarray(page.pixels).save(stream, name, exif=exif.tobytes(), **options)
    return stream.getvalue()


def _description(page: Page) -> str:
    return "; ".join(f"{key}: {value}" for key, value in page.text.items() if key != "Software")


_PNG = Format("PNG", True, (8, 16), _encode_png)
_TIFF = Format("TIFF", True, (8, 16), _encode_tiff)
_JPEG = Format("JPEG", False, (8,), _encode_jpeg)

FORMATS: dict[str, Format] = {
    ".png": _PNG,
    ".webp": Format("WebP", True, (8,), _encode_webp),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".exr": Format("EXR", True, (16,), None),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".avif": Format("AVIF", True, (8,), _encode_avif),
}
