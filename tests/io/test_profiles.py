"""Grey and CMYK profiles, judged by lcms."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from pullmatte.io.image import load_picture, read_mask
from pullmatte.io.profiles import colour_space, grey_to_srgb

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def build_profile(kind: bytes, space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Make a small ICC version 2 (4 for parametric curves) profile."""
    start = 132 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12s4s", start + len(body), b"", 0x04200000, kind, space, pcs, b"", b"acsp"
    )
    return (
        head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061) + b"\0" * 48 + table + body
    )


def grey_profile(curve: bytes) -> bytes:
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    return build_profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": white, b"kTRC": curve})


def parametric(kind: int, *numbers: float) -> bytes:
    fixed = [round(number * 65536) for number in numbers]
    return b"para\0\0\0\0" + struct.pack(f">HH{len(fixed)}i", kind, 0, *fixed)


TABLE = np.rint((np.linspace(0, 1, 32) ** 1.7) * 65535).astype(int)
CURVES = {
    "linear": b"curv\0\0\0\0\0\0\0\0",
    "gamma": b"curv\0\0\0\0" + struct.pack(">IH", 1, 563),
    "table": b"curv\0\0\0\0" + struct.pack(">I32H", 32, *TABLE),
    "para0": parametric(0, 1.8),
    "para1": parametric(1, 2.0, 1.2, -0.2),
    "para2": parametric(2, 2.0, 0.9**0.5 - 0.05, 0.05, 0.1),
    "para3": parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    "para4": parametric(4, 2.4, 0.94582, 0.05, 0.07, 0.04, 0.01, 0.0),
}


@pytest.mark.parametrize("name", CURVES)
def test_grey_profile_is_applied_as_lcms_does(name: str) -> None:
    icc = grey_profile(CURVES[name])
    stream = io.BytesIO()
    Image.fromarray(RAMP).save(stream, "PNG", icc_profile=icc)
    picture = load_picture(stream.getvalue())
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    target = ImageCms.createProfile("sRGB")
    oracle = ImageCms.profileToProfile(
        Image.fromarray(RAMP),
        source,
        target,
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.NOOPTIMIZE,  # its quick path interpolates coarsely near black
    )
    assert picture.icc is None
    assert np.abs(picture.image * 255 - np.asarray(oracle)).max() <= 0.52


def test_grey_profile_leaves_masks_alone() -> None:
    stream = io.BytesIO()
    Image.fromarray(RAMP).save(stream, "PNG", icc_profile=grey_profile(CURVES["linear"]))
    assert (read_mask(stream.getvalue()) == (RAMP > 127)).all()


@pytest.mark.parametrize("curve", [b"what", b"curv", parametric(3, 1.0), parametric(9), b""])
def test_broken_grey_profile_changes_nothing(curve: bytes) -> None:
    grey = np.linspace(0, 1, 9, dtype=np.float32)[None]
    assert (grey_to_srgb(grey, grey_profile(curve)) == grey).all()


def cmyk_profile() -> bytes:
    """Only cyan darkens; the other inks do nothing, which no built-in conversion would think."""
    identity = bytes(range(256))
    grid = b"".join(bytes([0 if corner & 8 else 255, 128, 128]) for corner in range(16))
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + identity * 4 + grid + identity * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    return build_profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": white, b"A2B0": lut, b"A2B1": lut})


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_converted_through_its_profile(kind: str) -> None:
    inks = np.zeros((16, 32, 4), np.uint8)
    inks[:, :16, 0] = inks[:, 16:, 1] = 255
    stream = io.BytesIO()
    Image.fromarray(inks, "CMYK").save(stream, kind, icc_profile=cmyk_profile())
    picture = load_picture(stream.getvalue())
    assert picture.icc is None
    assert picture.image[:, :14].max() < 0.03
    assert picture.image[:, 18:].min() > 0.97


def test_colour_space_of_a_profile_is_read() -> None:
    assert colour_space(cmyk_profile()) == "CMYK"
    assert colour_space(grey_profile(b"")) == "GRAY"
    assert colour_space(None) is None
    assert colour_space(b"x" * 200) is None
