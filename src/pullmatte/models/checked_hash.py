"""The hash of a file; and of a zip, as torch.save writes it, the checksums that it states.

torch maps such a file and never compares its checksums, so that a damaged one would be converted
without a word. Hashing reads every byte anyway: both are done in one pass.

Source: PKWARE, .ZIP file format specification 6.3, sections 4.3.7 and 4.4.7.
"""

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pullmatte.errors import WeightsError

_CHUNK_BYTES = 1 << 24
_LOCAL_HEADER = struct.Struct("<26xHH")


@dataclass
class _Record:
    """What lies in a zip from `start` to `end`, and the checksum of what was seen of it."""

    name: str
    start: int
    end: int
    stated: int
    found: int = 0


def hash_checked(path: Path, advance: Callable[[int], None] = lambda size_bytes: None) -> str:
    """Hash a file; if it is a zip, compare the checksums of what it holds.

    Args:
        path: The file.
        advance: Told how many bytes were read more.

    Returns:
        Its sha256.

    Raises:
        WeightsError: If a checksum differs.
        OSError: If it can't be read.
    """
    records = _records(path)
    digest = hashlib.sha256()
    position = first = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            first = _add(records, first, memoryview(chunk), position)
            position += len(chunk)
            advance(len(chunk))
    damaged = [record.name for record in records if record.found != record.stated]
    if damaged:
        more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        raise WeightsError(
            f"{path}: damaged: the checksum of {damaged[0]}{more} in it differs; fetch it again"
        )
    return digest.hexdigest()


def _records(path: Path) -> list[_Record]:
    """List what a zip holds as it is, in order of place; nothing if it isn't one."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        # torch.save leaves all of them zero when it was told not to compute any.
        if not any(entry.CRC for entry in entries):
            return []
        with path.open("rb") as file:
            found = [_locate(file, e) for e in entries if e.compress_type == zipfile.ZIP_STORED]
    except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError):
        return []
    return sorted(found, key=lambda record: record.start)


def _locate(file: BinaryIO, entry: zipfile.ZipInfo) -> _Record:
    """Find where an entry's bytes lie: behind its local header, whose length the list omits."""
    file.seek(entry.header_offset)
    lengths = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    start = entry.header_offset + _LOCAL_HEADER.size + sum(lengths)
    return _Record(entry.filename, start, start + entry.file_size, entry.CRC)


def _add(records: Sequence[_Record], first: int, chunk: memoryview, position: int) -> int:
    """Count a chunk in; return the first record that isn't over with it."""
    end = position + len(chunk)
    while first < len(records):
        record = records[first]
        if record.start >= end:
            break
        part = chunk[max(0, record.start - position) : max(0, record.end - position)]
        record.found = zlib.crc32(part, record.found)
        if record.end > end:
            break
        first += 1
    return first
