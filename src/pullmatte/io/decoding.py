"""Bytes of an image file to upright samples, nothing converted that could lose precision."""

import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from pullmatte.errors import MissingDependency, ReadError
from pullmatte.io import exr, png, profiles
from pullmatte.io.color import unpremultiply

# An allow-list: Pillow's other plugins run programs (EPS) or claim files that have no signature.
_PILLOW = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "DIB", "GIF", "TIFF", "PPM", "JPEG2000")
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"}
_RAW = {".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw"}
_KNOWN = "PNG, JPEG, WebP, TIFF, AVIF, BMP, GIF, EXR or HEIC"
_ORIENTATION = 0x0112
_DESCRIPTION = 0x010E
# Without these, asking Pillow for the orientation would decode all pixels.
_PNG_TAGS = (b"eXIf", b"XML:com.adobe.xmp", b"Raw profile type exif")
_pillow_lock = threading.Lock()


@dataclass(frozen=True)
class Samples:
    """Upright samples as the file has them.

    Attributes:
        pixels: `H W 1` or `H W 3`, uint8, uint16 or float32 (then in [0, 1], or linear).
        alpha: `H W` of the same type, straight, or None.
        bit_depth: 8, 16 or 32 (float).
        icc: The profile that fits the pixels, or None.
        linear: Whether the pixels are scene-linear (EXR).
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None
    bit_depth: int
    icc: bytes | None = None
    linear: bool = False


def decode(data: bytes, name: str, max_pixels: int) -> Samples:
    """Decode a whole image file; its content, not its name, decides the format.

    Args:
        data: The file's bytes.
        name: What to call it in messages; its suffix only tells camera raw from TIFF.
        max_pixels: Refuse files that declare more pixels, before decoding them.

    Returns:
        Samples with the orientation already applied.

    Raises:
        ReadError: Empty, no image, truncated, damaged or too large.
        MissingDependency: It is HEIC and pi-heif isn't installed.
    """
    if not data:
        raise ReadError(f"can't read {name}: it is empty, expected {_KNOWN}")
    if Path(name).suffix.lower() in _RAW:
        raise ReadError(f"can't read {name}: a camera raw file; develop it to 16-bit TIFF first")
    try:
        return _decoder(data)(data, name, max_pixels)
    except (ReadError, MissingDependency):
        raise
    except MemoryError as error:
        raise ReadError(f"can't read {name}: too little memory for it; shrink it first") from error
    except Exception as error:  # decoders raise a dozen unrelated classes on damaged files
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ReadError(
            f"can't read {name}: truncated or damaged ({reason}); get a whole copy"
        ) from error


def from_pillow(image: Image.Image, name: str, max_pixels: int) -> Samples:
    """Take the samples of a PIL image, applying its EXIF orientation.

    Args:
        image: Any mode; it isn't modified.
        name: What to call it in messages.
        max_pixels: Refuse larger images.

    Returns:
        Upright samples.

    Raises:
        ReadError: Too large or without pixels.
    """
    _check_size(*image.size, name, max_pixels)
    icc = image.info.get("icc_profile")
    pixels, alpha = _split(_plain(image, icc))
    pixels = _check_floats(pixels, name)
    space = profiles.colour_space(icc)
    fits = space == "RGB" or (space == "GRAY" and pixels.shape[2] == 1)
    depth = {1: 8, 2: 16, 4: 32}[pixels.dtype.itemsize]
    samples = Samples(pixels, alpha, depth, icc if fits else None)
    orientation, description = _metadata(image)
    said = (image.info.get("Alpha") == "premultiplied", "Alpha: premultiplied" in description)
    if any(said) and alpha is not None:
        samples = _straighten(samples)
    return _upright(samples, orientation)


def _decoder(data: bytes) -> Callable[[bytes, str, int], Samples]:
    if data[:4] == exr.MAGIC:
        return _decode_exr
    if data[:4] in _TIFF_MAGIC:
        return _decode_tiff
    if data[:8] == png.MAGIC:
        return _decode_png
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS and b"avif" not in data[8:40]:
        return _decode_heif
    return _decode_pillow


def _decode_pillow(data: bytes, name: str, max_pixels: int) -> Samples:
    return from_pillow(_open_pillow(data, name, max_pixels), name, max_pixels)


def _open_pillow(data: bytes, name: str, max_pixels: int) -> ImageFile.ImageFile:
    with _unlimited_pillow():
        Image.init()
        try:
            image = Image.open(BytesIO(data), formats=_PILLOW)
        except UnidentifiedImageError as error:
            raise ReadError(
                f"can't read {name}: no image or a broken one, expected {_KNOWN}"
            ) from error
    _check_size(*image.size, name, max_pixels)
    image.load()
    return image


@contextmanager
def _unlimited_pillow() -> Iterator[None]:
    """Lift Pillow's own size limit and warnings (we check sizes ourselves), then restore them."""
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if width * height == 0:
        raise ReadError(f"can't read {name}: it is {width}x{height} pixels, expected at least 1x1")
    if width * height > max_pixels:
        raise ReadError(
            f"can't read {name}: it declares {width}x{height} pixels, expected at most "
            f"{max_pixels:,} in all; shrink it, or raise max_pixels"
        )


def _decode_png(data: bytes, name: str, max_pixels: int) -> Samples:
    """Leave 16 bits to OpenImageIO, and 2 and 4, whose transparent grey Pillow misses."""
    png.check_complete(data)
    if png.bit_depth(data) in {1, 8}:
        return _decode_pillow(data, name, max_pixels)
    with _unlimited_pillow():
        header = Image.open(BytesIO(data), formats=("PNG",))
    _check_size(*header.size, name, max_pixels)
    tagged = any(tag in data for tag in _PNG_TAGS)
    orientation = _metadata(header)[0] if tagged else 1
    samples, _, _ = _decode_oiio(data, name, max_pixels, ".png")
    if header.info.get("Alpha") == "premultiplied" and samples.alpha is not None:
        samples = _straighten(samples)
    return _upright(samples, orientation)


def _decode_tiff(data: bytes, name: str, max_pixels: int) -> Samples:
    samples, orientation, attributes = _decode_oiio(data, name, max_pixels, ".tif")
    if attributes["photometric"] in {5, 8, 9}:  # CMYK and the two Labs
        return _decode_pillow(data, name, max_pixels)
    if attributes["associated"] and samples.alpha is not None:
        samples = _straighten(samples)
    return _upright(samples, orientation)


def _decode_oiio(
    data: bytes, name: str, max_pixels: int, suffix: str
) -> tuple[Samples, int, dict[str, Any]]:
    import OpenImageIO as oiio

    hint = oiio.ImageSpec()
    hint.attribute("oiio:UnassociatedAlpha", 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"picture{suffix}")
        path.write_bytes(data)
        source = oiio.ImageInput.open(str(path), hint)
        if source is None:
            raise ValueError(oiio.geterror().replace(str(path), "file"))
        try:
            spec = source.spec()
            _check_size(spec.width, spec.height, name, max_pixels)
            base = {oiio.UINT8: oiio.UINT8, oiio.UINT16: oiio.UINT16}
            wanted = base.get(spec.format.basetype, oiio.FLOAT)
            pixels = source.read_image(0, 0, 0, spec.nchannels, wanted)
            problem = source.geterror().replace(str(path), "file")
            if pixels is None:
                raise ValueError(problem)
        finally:
            source.close()
    pixels = pixels.reshape(spec.height, spec.width, spec.nchannels)
    attributes = {
        "photometric": spec.get_int_attribute("tiff:PhotometricInterpretation", 2),
        "associated": not spec.get_int_attribute("oiio:UnassociatedAlpha", 0),
    }
    profile = spec.getattribute("ICCProfile")
    icc = None if profile is None else np.asarray(profile, np.uint8).tobytes()
    return _sort(pixels, spec, icc, name), spec.get_int_attribute("Orientation", 1), attributes


def _sort(pixels: NDArray[Any], spec: Any, icc: bytes | None, name: str) -> Samples:
    """Tell colour from alpha; a fourth channel of unstated meaning counts as straight alpha."""
    pixels = _check_floats(pixels, name)
    count = pixels.shape[2]
    colours = 3 if count >= 3 else 1
    place = spec.alpha_channel if spec.alpha_channel >= 0 else colours
    alpha = pixels[..., place].copy() if colours <= place < count else None
    space = profiles.colour_space(icc)
    fits = space == "RGB" or (space == "GRAY" and colours == 1)
    depth = {1: 8, 2: 16, 4: 32}[pixels.dtype.itemsize]
    return Samples(pixels[..., :colours], alpha, depth, icc if fits else None)


def _check_floats(pixels: NDArray[Any], name: str) -> NDArray[Any]:
    """Hold float samples (not EXR's) to [0, 1]; integers pass."""
    if pixels.dtype != np.float32:
        return pixels
    if not np.isfinite(pixels).all():
        raise ReadError(f"can't read {name}: it holds NaN or infinity, expected values in [0, 1]")
    limited: NDArray[np.float32] = np.clip(pixels, 0, 1)
    return limited


def _decode_exr(data: bytes, name: str, max_pixels: int) -> Samples:
    picture = exr.read_exr(data, max_pixels=max_pixels, name=name)
    if picture.image is None:
        matte = picture.alpha
        if matte is None:
            names = ", ".join(picture.mattes)[:120]
            raise ReadError(
                f"can't read {name}: it holds only the mattes {names}, expected colours"
            )
        return Samples(np.clip(matte, 0, 1)[..., None], None, 32)
    image, alpha = picture.image, picture.alpha
    if alpha is not None:
        image = unpremultiply(image, alpha) if picture.associated else image
        alpha = np.clip(alpha, 0, 1)
    return Samples(image, alpha, 32, linear=True)


def _decode_heif(data: bytes, name: str, max_pixels: int) -> Samples:
    try:
        import pi_heif
    except ImportError as error:
        raise MissingDependency(
            f"can't read {name}: HEIC needs pi-heif; run: pip install 'pullmatte[heic]'"
        ) from error
    opened = pi_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=False, hdr_to_16bit=True)
    width, height = opened.size
    _check_size(width, height, name, max_pixels)
    # libheif has turned the picture already; its EXIF orientation must not turn it again.
    pixels = np.array(opened)
    if opened.premultiplied_alpha:
        raise ReadError(f"can't read {name}: HEIC with premultiplied alpha; save it as PNG first")
    depth = opened.info.get("bit_depth", 8)
    if pixels.dtype == np.uint16:
        # libheif's 10 and 12 bits are shifted up, which leaves white short of 65535.
        top = ((1 << depth) - 1) << (16 - depth)
        pixels = np.minimum(np.rint(pixels * (65535 / top)), 65535).astype(np.uint16)
    icc = opened.info.get("icc_profile")
    count = pixels.shape[2] if pixels.ndim == 3 else 1
    pixels = pixels.reshape(*pixels.shape[:2], count)
    alpha = pixels[..., -1] if count in {2, 4} else None
    colours = pixels[..., : count - 1] if alpha is not None else pixels
    fits = profiles.colour_space(icc) == "RGB" and count >= 3
    return Samples(colours, alpha, 8 * pixels.dtype.itemsize, icc if fits else None)


def _plain(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Bring the rarer modes to one that numpy and `_split` know."""
    if image.mode == "CMYK":
        return profiles.cmyk_to_srgb(image, icc)
    if image.mode == "LAB":
        return profiles.lab_to_srgb(image)
    if image.has_transparency_data and image.mode not in {"LA", "RGBA"}:
        grey = image.mode in {"1", "L", "La"}
        return (image.convert("L") if image.mode == "1" else image).convert(
            "LA" if grey else "RGBA"
        )
    if image.mode in {"P", "PA", "YCbCr", "HSV", "RGBX"}:
        return image.convert("RGB")
    return image.convert("L") if image.mode == "1" else image


def _split(image: Image.Image) -> tuple[NDArray[Any], NDArray[Any] | None]:
    pixels = np.array(image)
    if image.mode.startswith("I"):  # 16-bit grey; Pillow keeps some of it in 32 bits
        pixels = np.clip(pixels, 0, 65535).astype(np.uint16)
    if image.mode in {"LA", "RGBA"}:
        return pixels[..., :-1], pixels[..., -1]
    return pixels.reshape(*pixels.shape[:2], -1), None


def _metadata(image: Image.Image) -> tuple[int, str]:
    """Read orientation (EXIF's or XMP's) and description; damaged metadata counts as none."""
    try:
        with _unlimited_pillow():
            exif = image.getexif()
            orientation, description = exif.get(_ORIENTATION, 1), exif.get(_DESCRIPTION, "")
    except Exception:
        return 1, ""
    return orientation if isinstance(orientation, int) else 1, str(description)


def _upright(samples: Samples, orientation: int) -> Samples:
    """Apply an EXIF orientation, 1 to 8; others count as 1."""
    alpha = None if samples.alpha is None else _turn(samples.alpha, orientation)
    return replace(samples, pixels=_turn(samples.pixels, orientation), alpha=alpha)


def _turn(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    turned = pixels
    if orientation in {5, 6, 7, 8}:
        turned = turned.swapaxes(0, 1)
    if orientation in {2, 3, 6, 7}:
        turned = turned[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        turned = turned[::-1]
    return turned


def _straighten(samples: Samples) -> Samples:
    """Divide associated colours by alpha; integers become float32, whose 24 bits hold them."""
    assert samples.alpha is not None
    top = np.float32(np.iinfo(samples.pixels.dtype).max if samples.bit_depth < 32 else 1)
    alpha = (samples.alpha / top).astype(np.float32)
    pixels = np.clip(unpremultiply((samples.pixels / top).astype(np.float32), alpha), 0, 1)
    return replace(samples, pixels=pixels, alpha=alpha)
