"""Folders of the test sets of clips, read as one list of clips.

They are NOVM as it is built here, YoutubeMatte, and VideoMatte240K's composed test set.

Source: Robust Video Matting's evaluation for VideoMatte240K and MatAnyone's for YoutubeMatte: a
clip is a folder, of a folder for each kind of background, with folders of frames in it. NOVM itself
isn't public, so its layout isn't known.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pullmatte.data.layouts import read_plane
from pullmatte.data.set_files import Bytes, pictures_in, read_colours
from pullmatte.errors import DatasetError

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class ClipLayout:
    """Where a test set of clips keeps the frames of a clip.

    Attributes:
        name: a key of `CLIP_LAYOUTS`.
        title: the set's own name.
        images: names of the folder of frames, the first that is there counts.
        alphas: name of the folder of true alphas.
        terms: on what terms it may be used.
    """

    name: str
    title: str
    images: tuple[str, ...]
    alphas: str
    terms: str


CLIP_LAYOUTS: dict[str, ClipLayout] = {
    layout.name: layout
    for layout in (
        ClipLayout("novm", "NOVM, as pullmatte builds it", ("frames",), "alpha",
                   "as its manifest lists it"),
        ClipLayout("youtubematte", "YoutubeMatte", ("har",), "pha",
                   "for research only (MatAnyone's licence, S-Lab 1.0)"),
        ClipLayout("videomatte240k", "VideoMatte240K, composed", ("com", "rgb"), "pha",
                   "by agreement, for non-commercial use only"),
    )
}  # fmt: skip


@dataclass(frozen=True)
class TestClip:
    """A clip with the true alpha of one object.

    Attributes:
        name: its folder below the root.
        category: of the object, or of the background for sets that have two kinds; "" if neither.
        images: the frames' files.
        alphas: of the same frames.
    """

    __test__ = False

    name: str
    category: str
    images: tuple[Path, ...]
    alphas: tuple[Path, ...]

    def frames(self) -> Iterator[Bytes]:
        """Read the frames, `H W 3` uint8.

        Raises:
            DatasetError: One can't be read.
        """
        return map(read_colours, self.images)

    def truths(self) -> Iterator[Bytes]:
        """Read the true alphas, `H W` uint8.

        Raises:
            DatasetError: One can't be read.
        """
        return map(read_plane, self.alphas)


def open_test_clips(
    folder: str | Path, layout: str | None = None
) -> tuple[ClipLayout, list[TestClip]]:
    """Find a test set's clips and check that each frame has its alpha.

    Args:
        folder: the set's root: clips lie in it, or up to two folders deeper.
        layout: a key of `CLIP_LAYOUTS`; None looks which one fits.

    Returns:
        The layout, and at least one clip, in the order of their names.

    Raises:
        DatasetError: the folder fits no layout, or a file is missing.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DatasetError(f"No test set at {root}: give an existing folder.")
    if layout is not None and layout not in CLIP_LAYOUTS:
        raise DatasetError(f"Unknown layout {layout!r}. Known: {', '.join(CLIP_LAYOUTS)}.")
    for known in [CLIP_LAYOUTS[layout]] if layout else CLIP_LAYOUTS.values():
        found = [
            (each, images)
            for each in _folders(root, 3)
            if (images := _images(each, known)) is not None
        ]
        if found:
            categories = _categories(root)
            return known, [_clip(root, each, images, known, categories) for each, images in found]
    expected = " or ".join(
        f"{each.images[0]}/ and {each.alphas}/ ({each.title})"
        for each in ([CLIP_LAYOUTS[layout]] if layout else CLIP_LAYOUTS.values())
    )
    raise DatasetError(f"{root} holds no clips: expected folders with {expected}.")


def _folders(root: Path, depth: int) -> Iterator[Path]:
    yield root
    if depth:
        for each in sorted(path for path in root.iterdir() if path.is_dir()):
            yield from _folders(each, depth - 1)


def _images(folder: Path, layout: ClipLayout) -> Path | None:
    if not (folder / layout.alphas).is_dir():
        return None
    return next((folder / name for name in layout.images if (folder / name).is_dir()), None)


def _clip(
    root: Path, folder: Path, images: Path, layout: ClipLayout, categories: dict[str, str]
) -> TestClip:
    shown, truths = pictures_in(images), pictures_in(folder / layout.alphas)
    if not truths:
        raise DatasetError(f"No alphas in {folder / layout.alphas}: expected one for each frame.")
    # FTP-VM's form of VideoMatte240K names frames 0000_rgb.png.
    shown = {stem.removesuffix("_rgb"): path for stem, path in shown.items()}
    for stem in sorted(truths.keys() ^ shown.keys()):
        lacking = folder / layout.alphas if stem in shown else images
        raise DatasetError(f"Missing {lacking / stem}.png (or another image type): add it.")
    name = folder.relative_to(root).as_posix()
    category = categories.get(name, name.rpartition("/")[0])
    order = sorted(truths)
    return TestClip(name, category, tuple(shown[s] for s in order), tuple(truths[s] for s in order))


def _categories(root: Path) -> dict[str, str]:
    """Read which clip is of which category, if there is a manifest."""
    path = root / MANIFEST
    if not path.is_file():
        return {}
    try:
        clips = json.loads(path.read_text(encoding="utf-8"))["clips"]
        return {str(clip["name"]): str(clip["category"]) for clip in clips}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"Can't read {path}: expected the manifest of a benchmark.") from error
