"""What training never sees: seeds and cut-outs that are kept for measuring."""

import hashlib
import re
from pathlib import PurePath

HELD_OUT_SHARE = 8
"""One file in so many is held out."""

HELD_OUT_SEEDS = range(2**40, 2**40 + 10_000)
"""Seeds of what is made for measuring. Seeds and numbers of training's sources are below 2**32."""

_ENDING = re.compile(r"([\s_\-.]+[a-z]|[\s_\-.]*\d+)+$")


def is_held_out(name: str | PurePath) -> bool:
    """Say whether training must leave a file alone.

    It follows from the file's name alone, so it holds in any folder and on any machine. Numbers and
    single letters at its end don't count: frames of one animation and variants of one plant are
    on the same side. A name that is nothing but a number goes with its folder's name.

    Args:
        name: of the file, with its folder or without, with its suffix or without.
    """
    path = PurePath(name)
    stem = path.stem.lower()
    if stem.isdigit() and path.parent.name:
        stem = path.parent.name.lower()
    family = _ENDING.sub("", stem) or stem
    digest = hashlib.sha256(family.encode("utf-8")).digest()
    return digest[0] % HELD_OUT_SHARE == 0
