"""Decoded and encodable FFmpeg frames as numpy planes, at their full bit depth."""

import re
import sys
from typing import Any, Final

import av
import cv2
import numpy as np
import numpy.typing as npt

from pullmatte.errors import ReadError
from pullmatte.io.yuv import (
    FULL,
    LIMITED,
    ColorTags,
    FloatArray,
    as_float,
    effective_matrix,
    rgb_from_yuv,
    yuv_from_rgb,
)

# One component per plane, native byte order, samples in the low bits: read without help.
_DIRECT: Final = re.compile(
    r"(yuv(a|j)?4(20|22|44|40|11|10)p|gray|gbra?p)((9|10|12|14|16)le)?|gbra?pf32le|grayf32le"
)
_SUBSAMPLED: Final = {(1, 1): "444", (2, 1): "422", (2, 2): "420", (4, 1): "411", (1, 2): "440"}


def tags_of(frame: av.VideoFrame) -> ColorTags:
    """Read the colour tags that a decoded frame carries.

    Args:
        frame: A decoded frame.

    Returns:
        Its tags; the old ``yuvj`` formats count as full range.
    """
    span = FULL if frame.format.name.startswith("yuvj") else int(frame.color_range)
    return ColorTags(int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace), span)


def bit_depth_of(frame: av.VideoFrame) -> int:
    """Bits of a frame's first component: 8, 9, 10, 12, 14, 16 or 32 (float)."""
    return max(int(part.bits) for part in frame.format.components)


def has_alpha(frame: av.VideoFrame) -> bool:
    """Whether a frame's format has an alpha component (or a palette that may hold one)."""
    return frame.format.name == "pal8" or any(part.is_alpha for part in frame.format.components)


def frame_to_arrays(frame: av.VideoFrame, tags: ColorTags) -> tuple[FloatArray, FloatArray | None]:
    """Convert a decoded frame.

    Args:
        frame: Any software pixel format.
        tags: The tags to read it by (a stream's may be fuller than a frame's).

    Returns:
        Image ``H W 3`` and alpha ``H W`` (None if the format has none), float32 in [0, 1].

    Raises:
        ReadError: The pixel format or the colour matrix can't be read.
    """
    frame = _readable(frame)
    name = frame.format.name
    bits = bit_depth_of(frame)
    parts = frame.format.components
    planes = [_plane_view(frame, part.plane, bits) for part in parts]
    alpha = _unit(planes.pop(), bits) if parts[-1].is_alpha else None
    full = tags.range == FULL or name.startswith("yuvj")
    if len(planes) == 1:
        level = _gray(planes[0], bits, limited=tags.range == LIMITED)
        return as_float(cv2.merge([level, level, level])).reshape(*level.shape, 3), alpha
    if frame.format.is_rgb:
        image = _unit(cv2.merge(planes).reshape(*planes[0].shape, 3), bits)
        return image, alpha
    matrix = effective_matrix(tags, frame.height) or 1
    luma, blue, red = planes
    return rgb_from_yuv((luma, blue, red), matrix=matrix, bits=bits, full=full), alpha


def arrays_to_frame(
    pixel_format: str, image: FloatArray | None, alpha: FloatArray | None, tags: ColorTags
) -> av.VideoFrame:
    """Build a frame for an encoder.

    Args:
        pixel_format: A planar FFmpeg name: ``yuv(a)4xxp...``, ``gbr(a)p...`` or ``gray...``.
        image: ``H W 3`` float32 in [0, 1]; None puts ``alpha`` as grey into the picture.
        alpha: ``H W`` float32 in [0, 1]; goes into the alpha plane if the format has one.
        tags: Tags to encode by and to write on the frame (matrix must be specified for YUV).

    Returns:
        The frame, without a timestamp.
    """
    source = image if image is not None else alpha
    assert source is not None, "a frame needs an image or an alpha"
    height, width = source.shape[:2]
    frame = av.VideoFrame(width, height, pixel_format)
    parts = frame.format.components
    bits = int(parts[0].bits)
    if image is None:
        planes = _gray_planes(frame, source, bits, limited=tags.range == LIMITED)
    elif frame.format.is_rgb:
        planes = [_codes(image[..., channel], bits) for channel in range(3)]
    else:
        across = 1 << (frame.format.chroma_width(2) == 1)
        down = 1 << (frame.format.chroma_height(2) == 1)
        matrix = effective_matrix(tags, height) or 1
        planes = list(
            yuv_from_rgb(
                image,
                matrix=matrix,
                bits=bits,
                full=tags.range == FULL,
                subsampling=(across, down),
            )
        )
    if parts[-1].is_alpha:
        opaque = alpha if image is not None else None
        planes.append(
            _codes(opaque if opaque is not None else np.ones((height, width), np.float32), bits)
        )
    for part, plane in zip(parts, planes, strict=True):
        _plane_view(frame, part.plane, bits)[...] = plane
    _tag(frame, tags)
    return frame


def _tag(frame: av.VideoFrame, tags: ColorTags) -> None:
    frame.color_primaries = tags.primaries
    frame.color_trc = tags.transfer
    frame.colorspace = tags.matrix
    frame.color_range = tags.range


def _gray_planes(
    frame: av.VideoFrame, level: FloatArray, bits: int, *, limited: bool
) -> list[FloatArray]:
    """The planes of a grey picture: luma alone, equal RGB, or luma with neutral chroma."""
    if frame.format.is_rgb:
        return [_codes(level, bits)] * 3
    span, offset = (219 << (bits - 8), 16 << (bits - 8)) if limited else ((1 << bits) - 1, 0)
    luma: FloatArray = np.clip(level, 0.0, 1.0) * np.float32(span) + np.float32(offset + 0.5)
    if len(frame.format.components) in {1, 2}:
        return [luma]
    chroma = np.full(
        (frame.format.components[1].height, frame.format.components[1].width),
        1 << (bits - 1),
        np.float32,
    )
    return [luma, chroma, chroma]


def _codes(values: FloatArray, bits: int) -> FloatArray:
    """[0, 1] to code values plus the half that makes truncation round."""
    top = np.float32((1 << bits) - 1)
    coded: FloatArray = np.clip(values, 0.0, 1.0) * top
    coded += np.float32(0.5)
    return coded


def _unit(codes: npt.NDArray[Any], bits: int) -> FloatArray:
    if codes.dtype == np.float32:
        return np.array(codes, np.float32, order="C")
    unit: FloatArray = np.multiply(codes, np.float32(1.0 / ((1 << bits) - 1)), dtype=np.float32)
    return unit


def _gray(codes: npt.NDArray[Any], bits: int, *, limited: bool) -> FloatArray:
    level = _unit(codes, bits)
    if not limited:
        return level
    top = ((1 << bits) - 1) / (219 << (bits - 8))
    level *= np.float32(top)
    level -= np.float32(16.0 / 219.0)
    clipped: FloatArray = np.clip(level, 0.0, 1.0, out=level)
    return clipped


def _plane_view(frame: av.VideoFrame, index: int, bits: int) -> npt.NDArray[Any]:
    """A view of one plane without the padding at the end of its lines."""
    plane = frame.planes[index]
    kind = np.float32 if bits == 32 else np.uint16 if bits > 8 else np.uint8
    rows = np.frombuffer(plane, dtype=kind).reshape(plane.height, -1)  # type: ignore[call-overload]
    return rows[:, : plane.width]  # type: ignore[no-any-return]


def _readable(frame: av.VideoFrame) -> av.VideoFrame:
    """Bring packed, big-endian and palette formats into one component per plane, losslessly."""
    name = frame.format.name
    if _DIRECT.fullmatch(name) and sys.byteorder == "little":
        return frame
    try:
        return frame.reformat(format=_planar_twin(frame))
    except (av.FFmpegError, ValueError) as error:
        raise ReadError(
            f"pixel format {name} can't be read: expected RGB, grey or Y'CbCr samples; "
            "convert the clip, for example to ProRes or FFV1"
        ) from error


def _planar_twin(frame: av.VideoFrame) -> str:
    shape = frame.format
    depth = bit_depth_of(frame)
    bits = next((size for size in (8, 10, 12, 16) if size >= depth), 16)
    suffix = "" if bits == 8 else f"{bits}le"
    mark = "a" if has_alpha(frame) else ""
    if shape.name.startswith(("ya8", "ya16")) or shape.name == "pal8" or shape.is_rgb:
        return f"gbr{mark}p{suffix}"
    if len(shape.components) < 3:
        return f"gray{suffix}"
    ratio = (64 // shape.chroma_width(64), 64 // shape.chroma_height(64))
    return f"yuv{mark}{_SUBSAMPLED.get(ratio, '444')}p{suffix}"
