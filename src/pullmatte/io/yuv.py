"""Exact maths between R'G'B' and the Y'CbCr code values that video files hold.

Codes are those of ITU-T H.273, as FFmpeg uses them. Nothing here touches gamma: an image keeps the
transfer curve of its file.
"""

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from pullmatte.errors import ReadError

Plane: TypeAlias = npt.NDArray[Any]
FloatArray: TypeAlias = npt.NDArray[np.float32]

UNSPECIFIED: Final = 2
RGB_MATRIX: Final = 0
LIMITED: Final = 1
FULL: Final = 2

# Luma weights (red, blue) per matrix code; Source: ITU-T H.273 (07/2024), table 4.
LUMA_WEIGHTS: Final[dict[int, tuple[float, float]]] = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.470 BG, the same numbers as BT.601
    6: (0.299, 0.114),  # BT.601
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020 non-constant luminance
    10: (0.2627, 0.0593),  # constant luminance: near enough for what exists in files
}


@dataclass(frozen=True)
class ColorTags:
    """How a file says its code values are meant, as H.273 codes (2 = unspecified).

    Attributes:
        primaries: Colour primaries, for example 1 = BT.709, 9 = BT.2020.
        transfer: Transfer curve, for example 1 = BT.709, 13 = sRGB, 16 = PQ.
        matrix: Y'CbCr matrix, for example 0 = RGB, 1 = BT.709, 6 = BT.601, 9 = BT.2020.
        range: 0 = unspecified, 1 = limited (16..235 at 8 bits), 2 = full.
    """

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    range: int = 0


UNTAGGED: Final = ColorTags()


def effective_matrix(tags: ColorTags, height: int) -> int:
    """The matrix to compute with: the file's own, else BT.709 from 720 lines on, BT.601 below.

    Args:
        tags: The file's tags.
        height: Stored lines of the picture.

    Returns:
        An H.273 matrix code that `LUMA_WEIGHTS` has, or 0 for RGB.

    Raises:
        ReadError: The matrix is one that can't be computed with here (YCgCo, ICtCp, ...).
    """
    if tags.matrix in LUMA_WEIGHTS or tags.matrix == RGB_MATRIX:
        return tags.matrix
    if tags.matrix in {UNSPECIFIED, 3}:
        return 1 if height >= 720 else 6
    raise ReadError(
        f"colour matrix code {tags.matrix} is not supported: expected RGB, BT.601, BT.709, "
        "SMPTE 240M or BT.2020; convert the clip to BT.709 first"
    )


def code_scale(bits: int, full: bool) -> tuple[float, float, float, float]:
    """Offsets and spans of the code values.

    Args:
        bits: Bits of a sample, 8 to 16.
        full: Full range instead of limited.

    Returns:
        Luma offset, luma span, chroma offset, chroma span, in code values.
    """
    unit = float(1 << (bits - 8))
    if full:
        top = float((1 << bits) - 1)
        return 0.0, top, 128.0 * unit, top
    return 16.0 * unit, 219.0 * unit, 128.0 * unit, 224.0 * unit


@lru_cache(maxsize=64)
def decode_affine(matrix: int, bits: int, full: bool) -> npt.NDArray[np.float64]:
    """The affine map from (Y', Cb, Cr) code values to R'G'B' in [0, 1].

    Args:
        matrix: H.273 matrix code, a key of `LUMA_WEIGHTS`.
        bits: Bits of a sample.
        full: Full range instead of limited.

    Returns:
        3 x 4, for `cv2.transform`.
    """
    red, blue = LUMA_WEIGHTS[matrix]
    green = 1.0 - red - blue
    luma_0, luma, chroma_0, chroma = code_scale(bits, full)
    to_rgb = np.array([
        [1.0, 0.0, 2.0 - 2.0 * red],
        [1.0, -2.0 * blue * (1.0 - blue) / green, -2.0 * red * (1.0 - red) / green],
        [1.0, 2.0 - 2.0 * blue, 0.0],
    ])
    linear = to_rgb / np.array([luma, chroma, chroma])
    shift = -linear @ np.array([luma_0, chroma_0, chroma_0])
    return np.column_stack([linear, shift])


@lru_cache(maxsize=64)
def encode_affine(matrix: int, bits: int, full: bool) -> npt.NDArray[np.float64]:
    """The affine map from R'G'B' in [0, 1] to (Y', Cb, Cr) code values, not yet rounded.

    Args:
        matrix: H.273 matrix code, a key of `LUMA_WEIGHTS`.
        bits: Bits of a sample.
        full: Full range instead of limited.

    Returns:
        3 x 4, for `cv2.transform`.
    """
    back = decode_affine(matrix, bits, full)
    linear = np.linalg.inv(back[:, :3])
    return np.column_stack([linear, -linear @ back[:, 3]])


def rgb_from_yuv(
    planes: tuple[Plane, Plane, Plane], *, matrix: int, bits: int, full: bool
) -> FloatArray:
    """Decode three planes, subsampled or not.

    Chroma is put back to full size bilinearly, with the siting that MPEG-2, H.264 and H.265 take
    unless told otherwise: on the left column, between the rows.

    Args:
        planes: Y', Cb and Cr code values, ``H W`` and chroma of any subsampling.
        matrix: H.273 matrix code, a key of `LUMA_WEIGHTS`.
        bits: Bits of a sample.
        full: Full range instead of limited.

    Returns:
        ``H W 3`` float32 in [0, 1]; what lies outside of the RGB cube is clipped.
    """
    shape = planes[0].shape
    luma = _buffer("luma", shape)
    np.copyto(luma, planes[0], casting="unsafe")
    chroma = _buffer("chroma", (*planes[1].shape, 2))
    chroma[..., 0], chroma[..., 1] = planes[1], planes[2]
    wide = upsample_chroma(chroma, shape)
    packed = _buffer("packed", (*shape, 3))
    cv2.merge([luma, wide], dst=packed)
    image = as_float(cv2.transform(packed, decode_affine(matrix, bits, full))).reshape(*shape, 3)
    return np.clip(image, 0.0, 1.0, out=image)


def yuv_from_rgb(
    image: FloatArray, *, matrix: int, bits: int, full: bool, subsampling: tuple[int, int]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Encode into code values that only need truncation to an integer type.

    Args:
        image: ``H W 3`` float32 in [0, 1]; not changed.
        matrix: H.273 matrix code, a key of `LUMA_WEIGHTS`.
        bits: Bits of a sample.
        full: Full range instead of limited.
        subsampling: How many pixels share a chroma sample, (across, down): (2, 2) is 4:2:0.

    Returns:
        Y', Cb and Cr as float32 in [0.5, 2**bits - 0.5]: the half for rounding is already in.
    """
    rows = encode_affine(matrix, bits, full)
    half = np.array([0.0, 0.0, 0.0, 0.5])
    coded = []
    for number, row in enumerate(rows):
        # One channel at a time: splitting an interleaved result costs more than the sums.
        plane = as_float(cv2.transform(image, (row + half)[None])).reshape(image.shape[:2])
        plane = downsample_chroma(plane, subsampling) if number else plane
        coded.append(np.clip(plane, 0.5, (1 << bits) - 0.5, out=plane))
    return coded[0], coded[1], coded[2]


def upsample_chroma(chroma: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Bring chroma to the size of luma, bilinearly, samples sited left and between rows.

    Args:
        chroma: ``h w 2`` float32.
        shape: Luma's ``(H, W)``.

    Returns:
        ``H W 2`` float32; valid until this thread's next call.
    """
    height, width = shape[:2]
    rows, columns = chroma.shape[:2]
    down, across = -(-height // rows), -(-width // columns)
    if down > 1:
        # OpenCV's resize is centred, which is what "between the rows" means.
        tall = _buffer("tall", (rows * down, columns, 2))
        cv2.resize(chroma, (columns, rows * down), dst=tall, interpolation=cv2.INTER_LINEAR)
        chroma = tall[:height]
    if across > 1:
        following = _buffer("following", chroma.shape)
        following[:, :-1], following[:, -1] = chroma[:, 1:], chroma[:, -1]
        phases = [chroma]
        for phase in range(1, across):
            between = _buffer(f"between {phase}", chroma.shape)
            share = phase / across
            cv2.addWeighted(chroma, 1.0 - share, following, share, 0.0, dst=between)
            phases.append(between)
        # Planes merged as channels lie in memory as interleaved columns.
        wide = _buffer("wide", (height, columns, 2 * across))
        cv2.merge(phases, dst=wide)
        chroma = wide.reshape(height, columns * across, 2)[:, :width]
    return chroma


class _Buffers(threading.local):
    """Scratch arrays of one thread: fresh pages for each frame cost more than the sums."""

    def __init__(self) -> None:
        self.arrays: dict[str, FloatArray] = {}


_BUFFERS: Final = _Buffers()


def _buffer(name: str, shape: tuple[int, ...]) -> FloatArray:
    array = _BUFFERS.arrays.get(name)
    if array is None or array.shape != shape:
        array = _BUFFERS.arrays[name] = np.empty(shape, np.float32)
    return array


def downsample_chroma(plane: FloatArray, subsampling: tuple[int, int]) -> FloatArray:
    """Filter and decimate one chroma plane, sited left and between rows.

    Args:
        plane: ``H W`` float32.
        subsampling: How many pixels share a sample, (across, down), each 1 or 2.

    Returns:
        The smaller plane, sizes rounded up.
    """
    across, down = subsampling
    if down == 2:
        below = plane[1::2]
        if plane.shape[0] % 2:
            below = np.vstack([below, plane[-1:]])
        plane = (plane[0::2] + below) * np.float32(0.5)
    if across == 2:
        kernel = np.array([0.25, 0.5, 0.25])
        smooth = cv2.sepFilter2D(plane, -1, kernel, np.ones(1), borderType=cv2.BORDER_REPLICATE)
        plane = np.ascontiguousarray(as_float(smooth).reshape(plane.shape)[:, ::2])
    return plane


def as_float(array: Plane) -> FloatArray:
    """Tell the type checker what OpenCV's stubs leave open; nothing is copied.

    Args:
        array: A float32 array.

    Returns:
        The same array.
    """
    return array
