"""A model on clips with true alphas: a box on frame 0, then it tracks, and every frame counts."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pullmatte.data.clip_layouts import TestClip
from pullmatte.errors import DatasetError
from pullmatte.eval.protocols import find_protocol, measure_frames, quantise
from pullmatte.eval.summary import Mean, summarise
from pullmatte.sessions.load import Matter


@dataclass(frozen=True)
class ClipResult:
    """A model's values on a clip.

    Attributes:
        clip: which.
        frames: a list of values, one for each frame, for each metric of the protocol.
        seconds: of processor time, for everything but reading and measuring.
    """

    clip: TestClip
    frames: Mapping[str, Sequence[float]]
    seconds: float


def measure_clip(
    matter: Matter, clip: TestClip, protocol: str = "vm-hr", *, steady: float = 0.0
) -> ClipResult:
    """Prompt with the tight box of alpha > 0 on frame 0, track, and measure.

    Args:
        matter: the loaded model.
        clip: what it sees.
        protocol: a key of `PROTOCOLS`.
        steady: as for `Matter.open_video`.

    Raises:
        DatasetError: A file can't be read, or the object isn't in frame 0.
    """
    find_protocol(protocol)
    truths = np.stack(list(clip.truths()))
    rows, columns = np.nonzero(truths[0])
    if not len(rows):
        raise DatasetError(f"{clip.name}: frame 0 has no alpha above 0, so it gives no box.")
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    images = [image.astype(np.float32) / np.float32(255) for image in clip.frames()]
    began = time.process_time()
    shot = matter.open_video(images, foreground=False, steady=steady)
    shot.prompt(frame=0, box=tuple(map(int, box)))
    alphas = [frame.mattes["object"].alpha for frame in shot.propagate()]
    seconds = time.process_time() - began
    found = np.stack([quantise(protocol, alpha) for alpha in alphas])
    return ClipResult(clip, measure_frames(protocol, found, truths), seconds)


def by_category(
    results: Sequence[ClipResult], protocol: str = "vm-hr"
) -> dict[str, dict[str, float]]:
    """Average clips of each category, and all of them, as the protocol's source does.

    Args:
        results: at least one.
        protocol: what they were measured by.

    Returns:
        For each category and at last for "all" the mean of each metric.
    """
    mean = find_protocol(protocol).mean
    how: Mean = "sheet" if mean == "sheet" else "clip"
    groups: dict[str, list[Mapping[str, Sequence[float]]]] = {}
    for result in results:
        groups.setdefault(result.clip.category, []).append(result.frames)
    table = {name: summarise(groups[name], how) for name in sorted(groups)}
    return {**table, "all": summarise([result.frames for result in results], how)}


def spread(clips: Sequence[TestClip], most: int | None) -> list[TestClip]:
    """Choose some clips so that as many categories as possible are among them.

    Args:
        clips: all of them.
        most: how many; None for all.
    """
    places: dict[str, int] = {}
    ranked = []
    for clip in clips:
        places[clip.category] = places.get(clip.category, -1) + 1
        ranked.append((places[clip.category], clip))
    chosen = sorted(ranked, key=lambda pair: pair[0])[:most]
    return [clip for _, clip in chosen]
