"""HEIC, read through the optional pi-heif; the file is put together here from one HEVC frame."""

import io
import struct
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from pullmatte.errors import MissingDependency, ReadError
from pullmatte.io.image import load_picture

# One thread: with more, a busy machine now and then gives the muxer a packet it can't place.
X265 = "lossless=1:log-level=none:frame-threads=1:pools=none"
HEADER = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def hevc(pixels: np.ndarray, pixel_format: str) -> tuple[bytes, bytes]:
    """Encode one frame; return the decoder's configuration box and the coded picture."""
    height, width = pixels.shape[:2]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        quiet = {"x265-params": X265, "preset": "ultrafast"}
        stream = container.add_stream("libx265", rate=1, options=quiet)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.time_base = Fraction(1, 1)
        kind = "rgb24" if pixels.dtype == np.uint8 else "rgb48le"
        frame = av.VideoFrame.from_ndarray(pixels, format=kind)
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    data = buffer.getvalue()
    start = data.index(b"hvcC") - 4
    config = data[start : start + struct.unpack_from(">I", data, start)[0]]
    start = data.index(b"mdat") - 4
    return config, data[start + 8 : start + struct.unpack_from(">I", data, start)[0]]


def heic(pixels: np.ndarray, *, quarter_turns: int = 0, pixel_format: str = "yuv444p") -> bytes:
    config, picture = hevc(pixels, pixel_format)
    size = box(b"ispe", struct.pack(">III", 0, pixels.shape[1], pixels.shape[0]))
    properties = box(b"ipco", config, size, box(b"irot", bytes([quarter_turns])))
    linked = box(b"ipma", struct.pack(">IIHBBBB", 0, 1, 1, 3, 0x81, 2, 0x83))

    def meta(offset: int) -> bytes:
        return box(
            b"meta",
            b"\0\0\0\0",
            box(b"hdlr", struct.pack(">II4s12sx", 0, 0, b"pict", b"")),
            box(b"pitm", struct.pack(">IH", 0, 1)),
            box(b"iinf", struct.pack(">IH", 0, 1), box(b"infe", b"\2\0\0\0\0\1\0\0hvc1\0")),
            box(b"iprp", properties, linked),
            box(b"iloc", struct.pack(">IBBHHHHII", 0, 0x44, 0, 1, 1, 0, 1, offset, len(picture))),
        )

    offset = len(HEADER) + len(meta(0)) + 8
    return HEADER + meta(offset) + box(b"mdat", picture)


@pytest.fixture(scope="module")
def ramp() -> np.ndarray:
    if "libx265" not in av.codecs_available:
        pytest.skip("this PyAV has no HEVC encoder: no HEIC file can be made")
    pytest.importorskip("pi_heif", reason="HEIC is an optional extra")
    grey = np.linspace(0, 1, 64 * 96).reshape(64, 96)
    return np.repeat(grey[..., None], 3, axis=2)


def test_heic_is_read(ramp: np.ndarray) -> None:
    picture = load_picture(heic(np.rint(ramp * 255).astype(np.uint8)))
    assert (picture.size, picture.bit_depth, picture.alpha) == ((96, 64), 8, None)
    assert np.abs(picture.image - ramp).max() < 3 / 255


def test_heic_is_turned_once(ramp: np.ndarray) -> None:
    picture = load_picture(heic(np.rint(ramp * 255).astype(np.uint8), quarter_turns=3))
    assert np.abs(picture.image - np.rot90(ramp, 3)).max() < 3 / 255


def test_heic_of_10_bits_keeps_them_and_its_white(ramp: np.ndarray) -> None:
    deep = np.rint(ramp * 65535).astype(np.uint16)
    picture = load_picture(heic(deep, pixel_format="yuv444p10le"))
    assert picture.bit_depth == 16
    assert picture.image.max() == pytest.approx(1, abs=2e-3)
    assert len(np.unique(picture.image[..., 1])) > 300


def test_broken_heic_is_one_line() -> None:
    pytest.importorskip("pi_heif", reason="HEIC is an optional extra")
    with pytest.raises(ReadError, match="truncated or damaged") as caught:
        load_picture(HEADER + bytes(100))
    assert "\n" not in str(caught.value)


def test_missing_reader_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(MissingDependency, match=r"pip install 'pullmatte\[heic\]'"):
        load_picture(HEADER + bytes(100))
