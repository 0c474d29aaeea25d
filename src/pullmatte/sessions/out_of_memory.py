"""Telling that memory ran out; every library says so in its own way."""

import errno

OUT_OF_MEMORY = "out of memory: give a smaller image, or close other programs"

_SAID = (
    "out of memory",
    "not enough memory",
    "insufficient memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's own, the system's, torch's or OpenCV's.

    torch raises a plain RuntimeError on a CPU, and OpenCV an error derived from nothing else, so
    the text decides; neither library is imported.
    """
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if not isinstance(error, RuntimeError) and type(error).__module__ != "cv2":
        return False
    said = str(error).lower()
    return any(words in said for words in _SAID)
