"""ICC profiles: which to keep, and how grey and CMYK pixels become sRGB."""

import struct
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from pullmatte.io.color import linear_to_srgb

_SIGNATURE = b"acsp"


def colour_space(icc: bytes | None) -> str | None:
    """Tell what pixels a profile is for.

    Args:
        icc: The profile's bytes, or None.

    Returns:
        ``"RGB"``, ``"GRAY"``, ``"CMYK"``, ``"Lab"`` ...; None if there is none or it is damaged.
    """
    if icc is None or len(icc) < 132 or icc[36:40] != _SIGNATURE:
        return None
    return icc[16:20].decode("latin-1").strip()


def grey_to_srgb(grey: NDArray[np.float32], icc: bytes) -> NDArray[np.float32]:
    """Turn grey values with a GRAY profile into sRGB grey values.

    A GRAY profile can't be put on RGB pixels, so its tone curve is applied instead. A profile
    whose curve can't be read changes nothing.

    Args:
        grey: `H W` float32 in [0, 1], encoded as the profile says.
        icc: A profile whose `colour_space` is ``"GRAY"``.

    Returns:
        `H W` float32 in [0, 1], sRGB-encoded.

    Source: ICC.1:2022, 8.3.4 (monochrome input), 10.6 curveType, 10.18 parametricCurveType.
    """
    try:
        linear = _tone_curve(grey, _tag(icc, b"kTRC"))
    except (KeyError, struct.error, ValueError, ZeroDivisionError):
        return grey
    return np.clip(linear_to_srgb(linear), 0, 1)


def cmyk_to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Convert CMYK pixels, through their profile if there is a sound one.

    Args:
        image: Mode CMYK, 0 = no ink.
        icc: The embedded profile or None.

    Returns:
        Mode RGB, sRGB-encoded.
    """
    return _through_profile(image, icc) if colour_space(icc) == "CMYK" else image.convert("RGB")


def lab_to_srgb(image: Image.Image) -> Image.Image:
    """Convert CIE L*a*b* (D50) pixels to mode RGB, sRGB-encoded.

    Args:
        image: Mode LAB.

    Returns:
        Mode RGB.
    """
    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(*profiles, "LAB", "RGB")
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None
    return converted


def _through_profile(image: Image.Image, icc: bytes | None) -> Image.Image:
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(BytesIO(icc or b"")),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError):
        return image.convert("RGB")
    assert converted is not None
    return converted


def _tag(icc: bytes, name: bytes) -> bytes:
    (count,) = struct.unpack_from(">I", icc, 128)
    for index in range(min(count, 100)):
        signature, offset, size = struct.unpack_from(">4sII", icc, 132 + 12 * index)
        if signature == name:
            return icc[offset : offset + size]
    raise KeyError(name)


def _tone_curve(value: NDArray[np.float32], tag: bytes) -> NDArray[np.float32]:
    if tag[:4] == b"para":
        return _parametric_curve(value, tag)
    if tag[:4] != b"curv":
        raise ValueError(f"curve of type {tag[:4]!r}")
    (count,) = struct.unpack_from(">I", tag, 8)
    if count == 0:
        return value
    table = np.array(struct.unpack_from(f">{count}H", tag, 12), np.float64)
    if count == 1:
        return np.power(value, np.float32(table[0] / 256))
    return np.interp(value, np.linspace(0, 1, count), table / 65535).astype(np.float32)


def _parametric_curve(value: NDArray[np.float32], tag: bytes) -> NDArray[np.float32]:
    """Apply Y = (a X + b)^g + e from X = d upwards, and c X + f below."""
    (kind,) = struct.unpack_from(">H", tag, 8)
    given = (1, 3, 4, 5, 7)[kind] if kind < 5 else 0
    if not given:
        raise ValueError(f"parametric curve of kind {kind}")
    numbers = [number / 65536 for number in struct.unpack_from(f">{given}i", tag, 12)]
    g, a, b = (*numbers, 1.0, 0.0) if kind == 0 else numbers[:3]
    c, d = numbers[3:5] if kind >= 3 else (0.0, -b / a)
    e, f = numbers[5:7] if kind == 4 else (0.0, 0.0)
    if kind == 2:
        e = f = numbers[3]
    bent = np.power(np.maximum(a * value + b, 0), g) + e
    return np.where(value >= d, bent, c * value + f).astype(np.float32)
