"""Giving back the pages of a mapped weights file, once what is in them was copied.

A mapped file's pages count as the process's memory from when they are read until the mapping ends,
and that is when the last tensor of the file goes. Where most tensors are copied on the way, to
another precision or layout, a network would so weigh twice what it is.
"""

import ctypes
import mmap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_MAPS = Path("/proc/self/maps")
_DONT_NEED = 4


class MappedPages:
    """The parts of memory that are mapped weights files, as they are now; none but on Linux."""

    def __init__(self) -> None:
        """Look where they are."""
        self._ranges: list[tuple[int, int]] = []
        if not _MAPS.is_file():
            return
        for line in _MAPS.read_text(encoding="utf-8", errors="replace").splitlines():
            place, *_, name = line.split(maxsplit=5)
            if name.endswith(".safetensors"):
                begin, end = (int(part, 16) for part in place.split("-"))
                self._ranges.append((begin, end))

    def drop(self, tensor: "Tensor") -> int:
        """Give back the pages that hold this tensor and nothing else; they'd be read anew.

        Args:
            tensor: Any; only what lies in a mapped weights file, and isn't changed, is given back.

        Returns:
            How many bytes were given back.
        """
        begin = tensor.data_ptr()
        end = begin + tensor.numel() * tensor.element_size()
        if not any(low <= begin and end <= high for low, high in self._ranges):
            return 0
        begin, end = (
            -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE,
            end // mmap.PAGESIZE * mmap.PAGESIZE,
        )
        if begin >= end:
            return 0
        advise = ctypes.CDLL(None, use_errno=True).madvise
        done = advise(
            ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), ctypes.c_int(_DONT_NEED)
        )
        return 0 if done else end - begin
