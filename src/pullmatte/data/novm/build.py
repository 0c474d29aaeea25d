"""Builds the benchmarks: `novm` from footage with alpha, `novm-free` from nothing but numbers.

Source: MAM2, section 4.2: foregrounds with alpha mattes composed over dynamic backgrounds.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from pullmatte.data.held_out import HELD_OUT_SEEDS, is_held_out
from pullmatte.data.moving_grounds import (
    VIDEO_SUFFIXES,
    Ground,
    Size,
    ground_frames,
    list_grounds,
)
from pullmatte.data.novm.backdrops import made_backdrop
from pullmatte.data.novm.categories import (
    CATEGORIES,
    CLIPS_PER_CATEGORY,
    OWN,
    Object,
    licence_of,
    objects_of,
)
from pullmatte.data.novm.staging import staged
from pullmatte.data.novm.writing import MANIFEST, ClipRecord, write_clip, write_manifest
from pullmatte.data.procedural.layer import Appearance
from pullmatte.data.set_files import Bytes, read_rgba
from pullmatte.errors import DatasetError, ReadError

Progress = Callable[[int, int], None]
SEEDS_PER_CATEGORY = 100


def build_novm_free(
    out: Path,
    *,
    size: Size = (512, 288),
    frames: int = 24,
    cutouts: Path | None = None,
    backgrounds: Path | None = None,
    foregrounds: bool = False,
    clips: int | None = None,
    progress: Progress | None = None,
) -> list[ClipRecord]:
    """Build the benchmark of free and procedural clips: ten categories, five clips each.

    Args:
        out: a folder that holds no benchmark yet.
        size: width and height.
        frames: of each clip.
        cutouts: a folder of RGBA pictures; those that `is_held_out` stand in for some animals,
            plants and vehicles.
        backgrounds: a folder of clips or pictures for every other clip; those that are held out
            are used, or all if none is. The other backgrounds are made.
        foregrounds: whether the objects' colours are written, too.
        clips: the first so many, a category after the other in turns; None for all.
        progress: is told of each clip that is done, and how many there are.

    Returns:
        What the manifest lists.

    Raises:
        DatasetError: The folder holds a benchmark, or an input can't be used.
        WriteError: A file can't be written.
    """
    _check(out, size, frames)
    grounds = _held_out_grounds(backgrounds)
    plan = [(name, at) for at in range(CLIPS_PER_CATEGORY) for name in CATEGORIES][:clips]
    objects = {name: objects_of(name, cutouts) for name in dict(plan)}
    records = []
    for done, (category, at) in enumerate(plan, 1):
        seed = HELD_OUT_SEEDS[list(CATEGORIES).index(category) * SEEDS_PER_CATEGORY + at]
        ground = grounds[done // 2 % len(grounds)] if grounds and (done + at) % 2 else None
        folder = out / f"{category}_{at:02d}"
        record = _build_clip(
            folder, category, objects[category][at], ground, seed, frames, size, foregrounds
        )
        records.append(record)
        if progress:
            progress(done, len(plan))
    write_manifest(out, "novm-free", size, records)
    return records


def build_novm(
    foregrounds: Path,
    backgrounds: Path,
    out: Path,
    *,
    size: Size = (1920, 1080),
    frames: int | None = None,
    seed: int = 0,
    with_foregrounds: bool = False,
    progress: Progress | None = None,
) -> list[ClipRecord]:
    """Compose footage with alpha over moving backgrounds, as MAM2's benchmark was made.

    Args:
        foregrounds: holds folders of numbered RGBA frames, or videos with alpha; a folder around
            them names their category.
        backgrounds: holds clips or pictures; they are taken in turns.
        out: a folder that holds no benchmark yet.
        size: width and height; foregrounds are fitted in.
        frames: of each clip, at most; None for as many as its foreground has.
        seed: of where backgrounds begin and how cameras move.
        with_foregrounds: whether the objects' colours are written, too.
        progress: is told of each clip that is done, and how many there are.

    Returns:
        What the manifest lists.

    Raises:
        DatasetError: The folder holds a benchmark, or an input can't be used.
        WriteError: A file can't be written.
    """
    _check(out, size, 1 if frames is None else frames)
    shots, grounds = list_grounds(foregrounds), list_grounds(backgrounds)
    still = [shot.name for shot in shots if not shot.moves]
    if still:
        raise DatasetError(
            f"{foregrounds / still[0]} is a single picture: expected folders of numbered RGBA "
            "frames or videos with alpha."
        )
    order = np.random.default_rng(seed).permutation(len(grounds))
    records = []
    for at, shot in enumerate(shots):
        ground = grounds[int(order[at % len(grounds)])]
        total = _length(shot.path) if frames is None else min(frames, _length(shot.path))
        below = ground_frames(ground, total, size, np.random.default_rng([seed, at]))
        name = shot.name.rpartition(".")[0] if shot.path.is_file() else shot.name
        clip = name.replace("/", "_")
        count = write_clip(
            out / clip, _footage(shot.path, total, size), below, foregrounds=with_foregrounds
        )
        category = name.partition("/")[0] if "/" in name else "all"
        licences = (licence_of(shot.path), licence_of(ground.path))
        records.append(
            ClipRecord(clip, category, shot.name, ground.name, licences, seed, count, "opaque")
        )
        if progress:
            progress(at + 1, len(shots))
    write_manifest(out, "novm", size, records)
    return records


def _held_out_grounds(folder: Path | None) -> list[Ground]:
    """List a folder's held-out backgrounds, or all if none is, in an order of their own."""
    every = list_grounds(folder) if folder else []
    held = [each for each in every if is_held_out(each.name)] or every
    order = np.random.default_rng(HELD_OUT_SEEDS[-1]).permutation(len(held))
    return [held[at] for at in order]


def _build_clip(
    folder: Path,
    category: str,
    shown: Object,
    ground: Ground | None,
    seed: int,
    frames: int,
    size: Size,
    foregrounds: bool,
) -> ClipRecord:
    looks = staged(
        shown.design,
        frames,
        size,
        np.random.default_rng(seed),
        crossing=shown.crossing,
        filling=shown.filling,
        speed=shown.speed,
    )
    # A generator of its own: the object stays as it is when the background changes.
    below = _below(ground, frames, size, np.random.default_rng([seed, 1]))
    count = write_clip(folder, looks, below, foregrounds=foregrounds)
    licences = (shown.licence, licence_of(ground.path) if ground else OWN)
    back = ground.name if ground else "procedural"
    return ClipRecord(
        folder.name, category, shown.source, back, licences, seed, count, shown.opacity
    )


def _check(out: Path, size: Size, frames: int) -> None:
    if (out / MANIFEST).exists():
        raise DatasetError(f"{out} holds a benchmark already: give another folder, or delete it.")
    if min(size) < 32 or frames < 1:
        raise DatasetError(
            f"{size[0]}x{size[1]} pixels, {frames} frames: give 32 pixels or more, and 1 frame or "
            "more."
        )


def _below(
    ground: Ground | None, frames: int, size: Size, rng: np.random.Generator
) -> Iterator[Bytes]:
    if ground is None:
        return made_backdrop(frames, size, rng)
    return ground_frames(ground, frames, size, rng)


def _length(path: Path) -> int:
    if path.is_dir():
        return len(_frames_of(path))
    from pullmatte.io.video import open_video

    try:
        with open_video(path) as clip:
            if not clip.info.has_alpha:
                raise DatasetError(f"{path} has no alpha: expected footage with a matte.")
            return len(clip)
    except ReadError as error:
        raise DatasetError(f"Can't use {path} as a foreground: {error}") from error


def _frames_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() not in VIDEO_SUFFIXES)


def _footage(path: Path, frames: int, size: Size) -> Iterator[Appearance]:
    """Show a foreground's frames, fitted into the canvas."""
    if path.is_dir():
        for each in _frames_of(path)[:frames]:
            yield _fitted(read_rgba(each), size)
        return
    from pullmatte.io.video import open_video

    with open_video(path) as clip:
        for frame in clip.frames(0, frames):
            assert frame.alpha is not None
            rgba = np.dstack([frame.image, frame.alpha])
            yield _fitted(np.rint(rgba * 255).astype(np.uint8), size)


def _fitted(rgba: Bytes, size: Size) -> Appearance:
    """Fit a frame into the canvas, its sides kept, in the middle."""
    height, width = rgba.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    inner = (min(size[0], round(width * scale)), min(size[1], round(height * scale)))
    alpha = rgba[..., 3:].astype(np.float32) / 255
    whole = np.dstack([rgba[..., :3] * alpha, alpha * 255])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = whole if scale == 1 else cv2.resize(whole, inner, interpolation=how)
    straight = small[..., :3] / np.maximum(small[..., 3:], 1e-3)
    canvas = np.zeros((size[1], size[0], 4), np.float32)
    top, left = (size[1] - inner[1]) // 2, (size[0] - inner[0]) // 2
    inside = canvas[top : top + inner[1], left : left + inner[0]]
    inside[..., :3], inside[..., 3] = np.clip(straight, 0, 1), small[..., 3] / 255
    return Appearance(canvas[..., :3], canvas[..., 3])
