"""nano's own answers on composed clips, from which parts of it learn."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pullmatte.data.samples import MattingClip
from pullmatte.models.mam2.model import MAM2Model
from pullmatte.models.mam2.prompter import Encoded
from pullmatte.models.protocol import Entry, Memories, Prediction
from pullmatte.prompts import Box, Prompt

_LEAST_ALPHA = 1 / 255


def tracked_frames(model: MAM2Model, clip: MattingClip) -> Iterator[tuple[Encoded, Prediction]]:
    """Let a model track an object by a tight box on a clip's first frame.

    Args:
        model: It.
        clip: If nothing is there on its first frame, the whole of that is the box.

    Yields:
        Each frame, and what is found on it.
    """
    prompted: dict[int, Entry] = {}
    tracked: dict[int, Entry] = {}
    for at, image in enumerate(clip.images):
        encoded = model.encode(np.ascontiguousarray(image, np.float32))
        if at == 0:
            found = model.predict(encoded, Prompt(box=_tight_box(clip.alphas[0])))
        else:
            found = model.track(encoded, Memories(prompted, tracked), at)
        (tracked if at else prompted)[at] = model.remember(encoded, found)
        yield encoded, found


def _tight_box(alpha: NDArray[np.float32]) -> Box | None:
    rows, columns = np.nonzero(alpha > _LEAST_ALPHA)
    if not len(rows):
        return None
    return Box(*map(int, (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)))
