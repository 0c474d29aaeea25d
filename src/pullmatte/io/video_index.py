"""One pass over a file's packets: which frames there are, when, and where decoding can start."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from pullmatte.errors import ReadError

_BOXES: Final = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid", b"moof"}
_EBML: Final = b"\x1a\x45\xdf\xa3"
_SEGMENT: Final = b"\x18\x53\x80\x67"


@dataclass(frozen=True)
class StreamIndex:
    """Where the frames of a stream are.

    Attributes:
        pts: Timestamps of all frames in order, in ``time_base`` units.
        time_base: Seconds per unit.
        keys: Frame number of each frame at which decoding can start, rising.
        seek_to: Timestamp to seek to for each of ``keys``.
        last_duration: Duration of the last frame in ``time_base`` units.
        ordinal: Frames carry no usable timestamps: they are counted from the start instead.
    """

    pts: tuple[int, ...]
    time_base: Fraction
    keys: tuple[int, ...]
    seek_to: tuple[int, ...]
    last_duration: int
    ordinal: bool = False


def scan(container: InputContainer, stream: VideoStream) -> StreamIndex | None:
    """List a stream's frames from its packets, without decoding.

    Args:
        container: An opened file at its start; it is read to its end.
        stream: The stream to list.

    Returns:
        The index, or None if packets lack unique timestamps and frames must be counted by decoding.

    Raises:
        av.FFmpegError: The file can't be read.
    """
    packets: list[tuple[int, int, bool, int]] = []
    by_pts = "matroska" in container.format.name
    for packet in container.demux(stream):
        if packet.size == 0 or packet.is_discard or packet.is_corrupt:
            continue
        if stream.codec_context.name == "vp8" and _hidden_vp8(packet):
            continue
        if packet.pts is None:
            return None
        target = packet.pts if by_pts or packet.dts is None else min(packet.pts, packet.dts)
        packets.append((packet.pts, target, packet.is_keyframe, packet.duration or 0))
    packets.sort()
    times = tuple(entry[0] for entry in packets)
    if len(set(times)) != len(times):
        return None
    keys = [(number, entry[1]) for number, entry in enumerate(packets) if entry[2]]
    gap = times[-1] - times[-2] if len(times) > 1 else 1
    return StreamIndex(
        pts=times,
        time_base=stream.time_base or Fraction(1, 1000),
        keys=tuple(key[0] for key in keys),
        seek_to=tuple(key[1] for key in keys),
        last_duration=(packets[-1][3] if packets else 0) or gap,
    )


def count_by_decoding(container: InputContainer, stream: VideoStream) -> StreamIndex:
    """List the frames of a stream whose packets don't tell their times (AVI, raw streams).

    Args:
        container: A freshly opened file.
        stream: The stream to list.

    Returns:
        An ordinal index, with the decoded frames' times if these rise, else at the nominal rate.

    Raises:
        av.FFmpegError: The file can't be decoded.
    """
    times = [frame.pts for packet in container.demux(stream) for frame in packet.decode()]
    known = [pts for pts in times if pts is not None]
    rising = all(first < second for first, second in itertools.pairwise(known))
    if known and len(known) == len(times) and rising and stream.time_base:
        gap = known[-1] - known[-2] if len(known) > 1 else 1
        return StreamIndex(tuple(known), stream.time_base, (0,), (0,), gap, ordinal=True)
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    frames = tuple(range(len(times)))
    return StreamIndex(frames, 1 / Fraction(rate), (0,), (0,), 1, ordinal=True)


def from_first(index: StreamIndex, decoded: list[int | None]) -> StreamIndex | None:
    """Check the index by the first decoded frames, and leave out what no decoder can show.

    A stream that was cut begins in an open GOP: its leading frames lack their references.

    Args:
        index: The index by packets.
        decoded: Timestamps of the first few frames that were really decoded.

    Returns:
        The index from the first of them on; None if packets and frames disagree about the times.
    """
    if index.ordinal:
        return index
    if not decoded or decoded[0] not in index.pts:
        return None
    first = index.pts.index(decoded[0])
    if tuple(decoded) != index.pts[first : first + len(decoded)]:
        return None
    kept = [
        (key - first, target)
        for key, target in zip(index.keys, index.seek_to, strict=True)
        if key >= first
    ]
    return StreamIndex(
        index.pts[first:],
        index.time_base,
        tuple(key for key, _ in kept),
        tuple(target for _, target in kept),
        index.last_duration,
    )


def refuse_cut_off(path: Path, whole_frames: int) -> None:
    """Refuse a file whose header promises more bytes than there are.

    Args:
        path: An MP4, MOV, Matroska, WebM or AVI file; others pass.
        whole_frames: How many whole frames were found, for the message.

    Raises:
        ReadError: The end of the file is missing.
    """
    if is_cut_off(path):
        raise ReadError(
            f"{path} is cut off: it stops after frame {whole_frames - 1} "
            f"({whole_frames} whole frames), its header promises more; copy or export it again"
        )


def is_cut_off(path: Path) -> bool:
    """Whether the file's outer structure reaches beyond its end.

    Args:
        path: Any file.

    Returns:
        True only if the file declares its size (MP4, MOV, Matroska, WebM, AVI) and is shorter.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        if head[:4] == _EBML:
            return _matroska_end(head) > size
        if head[:4] == b"RIFF":
            return int.from_bytes(head[4:8], "little") + 8 > size
        offset = 0
        while head[4:8] in _BOXES and offset < size:
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if length < 8:
                return False
            offset += length
            file.seek(offset)
            head = file.read(16)
        return offset > size


def _matroska_end(head: bytes) -> int:
    """Where the Segment element ends, or 0 if it doesn't say."""
    length, used = _vint(head[4:])
    start = 4 + used + length
    if head[start : start + 4] != _SEGMENT:
        return 0
    length, used = _vint(head[start + 4 :])
    unknown = length == (1 << (7 * used)) - 1
    return 0 if unknown else start + 4 + used + length


def _vint(data: bytes) -> tuple[int, int]:
    """Decode an EBML variable-length size: value and bytes used."""
    if not data or data[0] == 0:
        return 0, 1
    used = 9 - data[0].bit_length()
    value = int.from_bytes(data[:used], "big") & ((1 << (7 * used)) - 1)
    return value, used


def _hidden_vp8(packet: av.Packet[VideoStream]) -> bool:
    """VP8 keeps alternate reference frames, which are never shown, in packets of their own."""
    return not bytes(packet)[0] >> 4 & 1
