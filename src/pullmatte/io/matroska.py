"""The pixel shape in Matroska and WebM files, which FFmpeg's packet copy leaves out.

The muxer is given a long track name; its room is then taken for the display size, so that no
byte after the track's header moves.
"""

import os
from fractions import Fraction
from pathlib import Path
from typing import Final

from pullmatte.errors import WriteError
from pullmatte.io.clip import VideoInfo

ROOM: Final = "room for the display size".ljust(64, ".")
_SEGMENT: Final = b"\x18\x53\x80\x67"
_TRACKS: Final = b"\x16\x54\xae\x6b"
_ENTRY: Final = b"\xae"
_NAME: Final = b"\x53\x6e"
_VIDEO: Final = b"\xe0"
_DISPLAY: Final = {b"\x54\xb0": "width", b"\x54\xba": "height", b"\x54\xb2": "unit"}
_HEAD_BYTES: Final = 1 << 16


def set_pixel_aspect(path: Path, info: VideoInfo) -> None:
    """Write the display size into the video track of a file made with the track name `ROOM`.

    Args:
        path: The file; changed in place, its length stays.
        info: The clip's facts.

    Raises:
        WriteError: The file isn't built as expected.
    """
    with path.open("r+b") as file:
        head = file.read(_HEAD_BYTES)
        found = _find_entry(head)
        if found is None:
            raise WriteError(f"can't write the pixel shape into {path}: use .mov instead")
        start, end = found
        entry = _rebuilt(head[start:end], info)
        file.seek(start)
        file.write(entry)
        os.fsync(file.fileno())


def _find_entry(head: bytes) -> tuple[int, int] | None:
    """Where the children of the track with our name begin and end."""
    segment = _child(head, 0, len(head), _SEGMENT)
    tracks = _child(head, segment[1], len(head), _TRACKS) if segment else None
    position = tracks[1] if tracks else len(head)
    while tracks and position < tracks[2]:
        entry = _child(head, position, tracks[2], _ENTRY)
        if entry is None:
            return None
        if ROOM.encode() in head[entry[1] : entry[2]]:
            return entry[1], entry[2]
        position = entry[2]
    return None


def _rebuilt(entry: bytes, info: VideoInfo) -> bytes:
    """The same children, with the display size instead of the name, filled up with a void."""
    kept = b""
    for identity, begin, content, end in _children(entry):
        if identity == _NAME:
            continue
        kept += _video(entry[content:end], info) if identity == _VIDEO else entry[begin:end]
    spare = len(entry) - len(kept)
    # A void takes its identity, an eight-byte length and nothing else.
    return kept + b"\xec\x01" + (spare - 9).to_bytes(7, "big") + bytes(spare - 9)


def _video(content: bytes, info: VideoInfo) -> bytes:
    kept = b"".join(
        content[begin:end]
        for identity, begin, _, end in _children(content)
        if identity not in _DISPLAY
    )
    shown = Fraction(info.width) * info.sample_aspect_ratio
    # Whole numbers in the exact proportion; the unit says that only the proportion counts.
    values = {"width": shown.numerator, "height": info.height * shown.denominator, "unit": 3}
    for identity, key in _DISPLAY.items():
        size = 1 if key == "unit" else 4
        kept += identity + bytes([0x80 | size]) + values[key].to_bytes(size, "big")
    return _VIDEO + b"\x10" + len(kept).to_bytes(3, "big") + kept


def _children(data: bytes) -> list[tuple[bytes, int, int, int]]:
    """Identity, begin, begin of content and end of each element."""
    found, position = [], 0
    while position < len(data):
        identity, content, end = _element(data, position)
        found.append((identity, position, content, end))
        position = end
    return found


def _child(data: bytes, start: int, stop: int, wanted: bytes) -> tuple[int, int, int] | None:
    """Begin, begin of content and end of the first element of a kind."""
    position = start
    while position < min(stop, len(data) - 12):
        identity, content, end = _element(data, position)
        if identity == wanted:
            return position, content, end
        position = end
    return None


def _element(data: bytes, position: int) -> tuple[bytes, int, int]:
    width = 9 - data[position].bit_length()
    identity = data[position : position + width]
    position += width
    used = 9 - data[position].bit_length()
    length = int.from_bytes(data[position : position + used], "big") & ((1 << 7 * used) - 1)
    return identity, position + used, position + used + length
