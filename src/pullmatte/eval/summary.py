"""Means over clips: three published ways to turn frame values into one number."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pullmatte.errors import PullmatteError

Mean = Literal["clip", "sheet", "pooled"]
FrameValues = Mapping[str, Sequence[float]]

MEANS: tuple[Mean, ...] = ("clip", "sheet", "pooled")
SHEET_COLUMNS = 700


def summarise(
    per_clip_frames: Mapping[str, FrameValues] | Sequence[FrameValues], mean: Mean = "clip"
) -> dict[str, float]:
    """Average the frame values of several clips.

    Args:
        per_clip_frames: for each clip what `measure_frames` gives.
        mean: "clip" averages each clip, then the clips. "sheet" is the published spreadsheets'
            mean: over clips for each frame index, then over the first 700 indices, so late
            frames of long clips weigh more. "pooled" counts all frames alike.

    Returns:
        One mean for each metric. "clip" also gives `dtssd_without_frame0`, where the literal 0 of
        each clip's first frame is left out.

    Raises:
        PullmatteError: there are no clips, their metrics differ or the mean is unknown.

    Source: Robust Video Matting's evaluation, which writes the spreadsheet.
    """
    given = per_clip_frames
    clips = list(given.values() if isinstance(given, Mapping) else given)
    if mean not in MEANS:
        raise PullmatteError(f"Unknown mean {mean!r}. Known: {', '.join(MEANS)}.")
    if not clips or any(set(clip) != set(clips[0]) for clip in clips):
        raise PullmatteError("Give at least one clip, and the same metrics for every clip.")
    summary = {metric: _average([clip[metric] for clip in clips], mean) for metric in clips[0]}
    if mean == "clip" and "dtssd" in summary:
        later = [clip["dtssd"][1:] for clip in clips if len(clip["dtssd"]) > 1]
        summary["dtssd_without_frame0"] = _average(later, mean)
    return summary


def _average(lists: Sequence[Sequence[float]], mean: Mean) -> float:
    if mean == "pooled":
        return mean_of([value for values in lists for value in values])
    if mean == "clip":
        return mean_of([mean_of(values) for values in lists])
    columns = min(SHEET_COLUMNS, max(len(values) for values in lists))
    return mean_of([
        mean_of([values[at] for values in lists if len(values) > at]) for at in range(columns)
    ])


def mean_of(values: Sequence[float]) -> float:
    """Average plain numbers.

    Args:
        values: any count of them.

    Returns:
        The mean; NaN for none, or if one of them is NaN.
    """
    return math.fsum(values) / len(values) if len(values) else math.nan
