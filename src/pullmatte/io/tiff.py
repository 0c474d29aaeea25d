"""A small TIFF writer: 8 and 16 bits, straight or associated alpha, profile, description.

Pillow writes no 16-bit colour, and OpenImageIO stamps the time into every file, which would make
two runs of the same job differ.

Source: TIFF 6.0, sections 2 (structure), 14 (differencing predictor), 18 (ExtraSamples); ICC.1
annex B.4 (profile tag 34675); Adobe Photoshop TIFF technical notes (deflate, 8).
"""

import struct
import sys
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.unsignedinteger[Any]]

_STRIP_BYTES = 1 << 18
_TYPES = {"ascii": (2, 1), "short": (3, 2), "long": (4, 4), "undefined": (7, 1)}
_LIMIT = 2**32 - 2**20


def encode_tiff(
    pixels: Samples,
    *,
    associated: bool = False,
    icc: bytes | None = None,
    description: str = "",
) -> bytes:
    """Encode grey, RGB or RGBA samples, deflated, first page only.

    Args:
        pixels: `H W`, `H W 3` or `H W 4`, uint8 or uint16.
        associated: Whether the colours of `H W 4` are already multiplied by alpha.
        icc: Profile to embed unchanged.
        description: Text for ImageDescription.

    Returns:
        The file's bytes, the same for the same input.

    Raises:
        ValueError: More than the 4 GiB that TIFF can address.
    """
    samples = np.ascontiguousarray(pixels.reshape(*pixels.shape[:2], -1))
    height, width, channels = samples.shape
    rows = max(1, _STRIP_BYTES // (width * channels * samples.itemsize))
    strips = [_strip(samples[top : top + rows]) for top in range(0, height, rows)]
    if sum(map(len, strips)) > _LIMIT:
        raise ValueError("more than 4 GiB, which TIFF can't address; use PNG or EXR")
    entries: dict[int, tuple[str, list[int] | bytes]] = {
        256: ("long", [width]),
        257: ("long", [height]),
        258: ("short", [8 * samples.itemsize] * channels),
        259: ("short", [8]),
        262: ("short", [2 if channels >= 3 else 1]),
        274: ("short", [1]),
        277: ("short", [channels]),
        278: ("long", [rows]),
        279: ("long", [len(strip) for strip in strips]),
        284: ("short", [1]),
        305: ("ascii", b"pullmatte\0"),
        317: ("short", [2]),
    }
    if description:
        entries[270] = ("ascii", description.encode("utf-8", "replace") + b"\0")
    if channels == 4:
        entries[338] = ("short", [1 if associated else 2])
    if icc is not None:
        entries[34675] = ("undefined", icc)
    return _assemble(entries, strips)


def _strip(samples: Samples) -> bytes:
    """Subtract each pixel's left neighbour (modulo 2^bits), store little-endian, deflate."""
    step = samples.copy()
    step[:, 1:] -= samples[:, :-1]
    if sys.byteorder == "big":
        step = step.byteswap()
    packer = zlib.compressobj(1, strategy=zlib.Z_RLE)
    return packer.compress(step.tobytes()) + packer.flush()


def _assemble(entries: dict[int, tuple[str, list[int] | bytes]], strips: list[bytes]) -> bytes:
    body = bytearray(b"II*\0\0\0\0\0")
    offsets = []
    for strip in strips:
        offsets.append(len(body))
        body += strip
        body += b"\0" * (len(body) % 2)
    entries = {**entries, 273: ("long", offsets)}
    directory = [_entry(tag, *entries[tag], body) for tag in sorted(entries)]
    struct.pack_into("<I", body, 4, len(body))
    return bytes(body) + struct.pack("<H", len(directory)) + b"".join(directory) + b"\0\0\0\0"


def _entry(tag: int, kind: str, values: list[int] | bytes, body: bytearray) -> bytes:
    """Make one directory entry; values above 4 bytes go into the body."""
    code, size = _TYPES[kind]
    data = (
        values
        if isinstance(values, bytes)
        else b"".join(v.to_bytes(size, "little") for v in values)
    )
    head = struct.pack("<HHI", tag, code, len(data) // size)
    if len(data) <= 4:
        return head + data.ljust(4, b"\0")
    offset = len(body)
    body += data + b"\0" * (len(data) % 2)
    return head + struct.pack("<I", offset)
