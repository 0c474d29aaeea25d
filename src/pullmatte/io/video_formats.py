"""Which codec, pixel format and colour tags an output file gets."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pullmatte.errors import UnsupportedFormat
from pullmatte.io.clip import VideoInfo
from pullmatte.io.yuv import (
    FULL,
    LIMITED,
    RGB_MATRIX,
    UNSPECIFIED,
    ColorTags,
    effective_matrix,
)

Content: TypeAlias = Literal["cutout", "alpha", "opaque"]

# The first codec of a suffix is its default.
_CODECS: Final[dict[str, tuple[str, ...]]] = {
    ".mov": ("prores", "h264"),
    ".mkv": ("ffv1", "vp9", "prores", "h264"),
    ".webm": ("vp9",),
    ".mp4": ("h264",),
    ".m4v": ("h264",),
}
_MUXERS: Final = {".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".mp4": "mp4", ".m4v": "mp4"}
_WITH_ALPHA: Final = {"prores", "vp9", "ffv1"}
_INSTEAD: Final = (
    "use .mov (ProRes 4444), .webm (VP9) or .mkv (FFV1), or --only-alpha or --bg for a clip "
    "without alpha"
)


@dataclass(frozen=True)
class Encoding:
    """How a file is encoded.

    Attributes:
        codec: Our name: "prores", "vp9", "ffv1" or "h264".
        encoder: FFmpeg's encoder.
        pixel_format: FFmpeg's name of the format that is fed to it.
        muxer: FFmpeg's container format.
        options: Encoder options.
        tags: Colour tags to encode by and to write.
        threads: Encoder threads, 0 = one per core. Fixed where the count changes the bytes.
        tag: Container's four-letter code, where it must be named.
    """

    codec: str
    encoder: str
    pixel_format: str
    muxer: str
    options: tuple[tuple[str, str], ...]
    tags: ColorTags
    threads: int = 0
    tag: str | None = None


def choose_encoding(
    destination: Path, info: VideoInfo, content: Content, codec: str | None = None
) -> Encoding:
    """Decide how to write a file, from its suffix.

    Args:
        destination: The output; its suffix names the container.
        info: The clip whose frames are written.
        content: "cutout" (colour and alpha), "alpha" (a grey matte) or "opaque" (colour).
        codec: "prores", "vp9", "ffv1" or "h264"; None takes the suffix's usual one.

    Returns:
        The encoding.

    Raises:
        UnsupportedFormat: The container is unknown, or can't hold the codec or the alpha.
    """
    suffix = destination.suffix.lower()
    known = _CODECS.get(suffix)
    if known is None:
        if content == "cutout" and suffix in {".avi", ".wmv", ".mpg", ".mpeg", ".ts", ".flv"}:
            raise UnsupportedFormat(f"{destination.name}: {suffix} can't hold alpha; {_INSTEAD}")
        raise UnsupportedFormat(
            f"{destination.name}: {suffix or 'no suffix'} is not a known output, expected "
            f"{', '.join(_CODECS)} or a sequence such as name.%04d.png; change the suffix"
        )
    chosen = codec or known[0]
    if content == "cutout" and chosen not in _WITH_ALPHA:
        raise UnsupportedFormat(f"{destination.name}: H.264 can't hold alpha; {_INSTEAD}")
    if chosen not in known:
        raise UnsupportedFormat(
            f"{destination.name}: {suffix} is not written with codec {chosen}, expected "
            f"{' or '.join(known)}; choose one of these or another suffix"
        )
    build = {"prores": _prores, "vp9": _vp9, "ffv1": _ffv1, "h264": _h264}[chosen]
    return replace(build(info, content), muxer=_MUXERS[suffix])


def _prores(info: VideoInfo, content: Content) -> Encoding:
    tags = _yuv_tags(info)
    # Untagged ProRes is guessed at by every player in its own way.
    if tags.matrix == UNSPECIFIED:
        tags = ColorTags(1, 1, 1)
    tags = replace(tags, range=LIMITED)
    if content == "cutout":
        deep = (("alpha_bits", "16"), ("profile", "4444"), ("vendor", "apl0"))
        return Encoding("prores", "prores_ks", "yuva444p10le", "mov", deep, tags, tag="ap4h")
    if info.width % 2:
        # The encoder has no chroma of its own for the last column of an odd width in 4:2:2.
        full = (("profile", "4444"), ("vendor", "apl0"))
        return Encoding("prores", "prores_ks", "yuv444p10le", "mov", full, tags, tag="ap4h")
    options: tuple[tuple[str, str], ...] = (("profile", "hq"), ("vendor", "apl0"))
    if content == "alpha":
        options = (*options, ("bits_per_mb", "8192"))
    return Encoding("prores", "prores_ks", "yuv422p10le", "mov", options, tags, tag="apch")


def _vp9(info: VideoInfo, content: Content) -> Encoding:
    options = (
        ("auto-alt-ref", "0"),
        ("lag-in-frames", "0"),
        ("b", "0"),
        ("crf", "18"),
        ("deadline", "good"),
        ("cpu-used", "5"),
        ("row-mt", "0"),
        ("tile-columns", "2"),
        ("g", "120"),
    )
    pixels = "yuva420p" if content == "cutout" else "yuv420p"
    return Encoding("vp9", "libvpx-vp9", pixels, "webm", options, _yuv_tags(info), threads=4)


def _ffv1(info: VideoInfo, content: Content) -> Encoding:
    depth = 10 if info.bit_depth <= 10 else 12 if info.bit_depth == 12 else 16
    mark = "a" if content == "cutout" else ""
    tags = _yuv_tags(info)
    if content == "alpha":
        pixels, tags = f"gray{depth}le", replace(tags, range=FULL)
    elif info.color.matrix == RGB_MATRIX:
        pixels, tags = f"gbr{mark}p{depth}le", replace(info.color, range=FULL)
    else:
        pixels = f"yuv{mark}444p{depth}le"
    options: tuple[tuple[str, str], ...] = (("level", "3"), ("g", "1"), ("slicecrc", "1"))
    if min(info.width, info.height) >= 32:
        options += (("slices", "4"),)
    return Encoding("ffv1", "ffv1", pixels, "matroska", options, tags)


def _h264(info: VideoInfo, content: Content) -> Encoding:
    even = info.width % 2 == 0 and info.height % 2 == 0
    tags = _yuv_tags(info)
    if content == "alpha":
        tags = replace(tags, range=LIMITED)
    options = (("crf", "14"), ("preset", "faster"), ("bf", "0"))
    # 4:2:0 needs even sizes; 4:4:4 keeps odd ones exact.
    pixels = "yuv420p" if even else "yuv444p"
    return Encoding("h264", "libx264", pixels, "mp4", options, tags, threads=4)


def _yuv_tags(info: VideoInfo) -> ColorTags:
    """The source's tags, made to fit Y'CbCr code values."""
    tags = info.color
    if tags.matrix == RGB_MATRIX:
        return replace(tags, matrix=1, range=LIMITED)
    if tags.matrix == UNSPECIFIED and info.rotation in {90, 270}:
        # The rule for untagged clips goes by the stored height, which turning changes.
        return replace(tags, matrix=effective_matrix(tags, info.width))
    return tags
