"""What a recipe learns from, as a person names it: own frames, the papers' sets, or both mixed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pullmatte.data.clip_sets import FootageSettings, open_clip_set
from pullmatte.data.image_sets import StillSettings, open_image_set
from pullmatte.data.samples import SampleOpacity
from pullmatte.data.scenes import SceneSettings
from pullmatte.data.set_files import list_files
from pullmatte.data.training_sets import TRAINING_SETS, TrainingSet
from pullmatte.errors import DatasetError, PullmatteError
from pullmatte.train.frames import FrameFolder
from pullmatte.train.selective_supervision import DATA_KINDS, DataKind
from pullmatte.train.sources import MixedClips, MixedSource

GROUPS: dict[str, tuple[str, ...]] = {
    "sdmatte-set-1": (
        "composition-1k",
        "distinctions-646",
        "am2k",
        "am2k-foregrounds",
        "uhrsd",
        "refmatte",
    ),
    "sdmatte-set-2": (
        "composition-1k",
        "distinctions-646",
        "am2k",
        "am2k-foregrounds",
        "coco-matte",
    ),
    "mam2-sets": tuple(name for name, each in TRAINING_SETS.items() if "mam2" in each.used_by),
    "mematte-sets": tuple(
        name for name, each in TRAINING_SETS.items() if "mematte" in each.used_by
    ),
}
"""Sets that a paper trains on; below the folder given there is one for each, of its name."""
_MOST = {"refmatte": 10_000, "p3m-10k": 1_000}
_SHARED = {"am2k-foregrounds": "am2k"}
_KINDS: dict[str, DataKind] = {
    "cutouts": "image_matting",
    "photos": "image_matting",
    "masks": "image_segmentation",
    "clips": "video_matting",
    "clip cutouts": "video_matting",
    "clip masks": "video_segmentation",
}


@dataclass(frozen=True)
class Wanted:
    """How data shall be.

    Attributes:
        size_px: Side of pictures that sets are made to.
        frames: Frames of a clip.
        seed: Of all chance.
        opacity: Of the objects in own frames.
        backgrounds: Pictures that foregrounds are composed over.
        duplicated: Compose half of the pictures with the foreground twice, of which the second
            isn't asked for: SDMatte's section 4.1.
    """

    size_px: int = 512
    frames: int = 4
    seed: int = 0
    opacity: SampleOpacity = "opaque"
    backgrounds: Path | None = None
    duplicated: bool = False


def open_sources(texts: Sequence[str], wanted: Wanted) -> dict[DataKind, Any]:
    """Open and mix data.

    Args:
        texts: Each ``[WHAT=]FOLDER[:WEIGHT]``. WHAT is a kind of data, for own frames; or a
            training set's name; or one of `GROUPS`. Without it they are own frames with mattes.
        wanted: How.

    Returns:
        For each kind of data that there is a `SampleSource` or a `ClipSource`.

    Raises:
        PullmatteError: If a text, a folder or a set won't do.
    """
    found: dict[DataKind, list[tuple[Any, float]]] = {}
    for text in texts:
        what, folder, weight = read_text(text)
        for name, place in _members(what, folder):
            kind, source, usual = _open(name, place, wanted)
            found.setdefault(kind, []).append((source, usual if weight is None else weight))
    return {
        kind: MixedSource(sources, wanted.seed)
        if kind.startswith("image")
        else MixedClips(sources, wanted.seed)
        for kind, sources in found.items()
    }


def read_text(text: str) -> tuple[str, Path, float | None]:
    """Take ``[WHAT=]FOLDER[:WEIGHT]`` apart.

    Raises:
        PullmatteError: If WHAT isn't known.
    """
    what, equals, rest = text.partition("=")
    what, rest = (what, rest) if equals else ("image_matting", text)
    known = [*DATA_KINDS, *TRAINING_SETS, *GROUPS]
    if what not in known:
        raise PullmatteError(f"--data {text!r}: give one of {', '.join(known)} before '='")
    folder, colon, weight = rest.rpartition(":")
    try:
        share = float(weight) if colon else None
    except ValueError:
        # A colon of the folder's own, as in C:\\frames.
        folder, share, colon = rest, None, ""
    return what, Path(folder if colon else rest).expanduser(), share


def _members(what: str, folder: Path) -> list[tuple[str, Path]]:
    if what not in GROUPS:
        return [(what, folder)]
    return [(name, folder / _SHARED.get(name, name)) for name in GROUPS[what]]


def _open(name: str, folder: Path, wanted: Wanted) -> tuple[DataKind, Any, float]:
    """Return kind, source, and weight, which is the number of samples in an epoch."""
    if name in TRAINING_SETS:
        known = TRAINING_SETS[name]
        return _KINDS[known.content], *_open_set(known, folder, wanted)
    kind: DataKind = next(each for each in DATA_KINDS if each == name)
    frames = FrameFolder(
        folder, wanted.opacity, kind=kind, clip_frames=wanted.frames, seed=wanted.seed
    )
    if kind.startswith("video") and not frames.clips:
        raise DatasetError(f"{folder}: no {wanted.frames} frames with mattes follow one another")
    return kind, frames, 1.0


def _open_set(known: TrainingSet, folder: Path, wanted: Wanted) -> tuple[Any, float]:
    backgrounds = wanted.backgrounds
    if known.content.startswith("clip"):
        footage = FootageSettings(wanted.size_px, wanted.frames, wanted.seed)
        return open_clip_set(known.name, folder, footage, backgrounds=backgrounds), 1.0
    scenes = SceneSettings(most_distractors=1, like_chance=1.0) if wanted.duplicated else None
    source = open_image_set(
        known.name,
        folder,
        StillSettings(size_px=wanted.size_px, seed=wanted.seed),
        backgrounds=backgrounds if known.content == "cutouts" else None,
        scenes=scenes,
        most=_MOST.get(known.name),
    )
    count = min(len(list_files(folder, known)), _MOST.get(known.name, 10**9))
    return source, float(count * known.repeats)
