"""The training set of `free_art` in memory, without what is held out for measuring."""

from dataclasses import dataclass
from pathlib import Path

from pullmatte.data.cutouts import Bytes, StoredCutout, read_backgrounds, read_cutouts
from pullmatte.data.held_out import is_held_out
from pullmatte.data.moving_scenes import ClipScenes, ClipSettings
from pullmatte.data.procedural import KINDS
from pullmatte.data.samples import SampleOpacity
from pullmatte.data.scenes import SceneSettings, SceneSource, procedural_makers
from pullmatte.errors import DatasetError

FAVOURED = {"tuxpaint": 6, "portraits": 4}
"""Kinds of photographed or painted things that are drawn as if there were so many times more."""
FINE_KINDS = ("hair", "strands", "fur", "wool", "bust", "yarn", "lace", "net", "basket", "leaves")
"""Procedural kinds that the matter sees more often."""
MADE_PX = (192, 416)


@dataclass(frozen=True, eq=False)
class Art:
    """Cut-outs and backgrounds.

    Attributes:
        cutouts: With kinds.
        backgrounds: `H W 3` each.
    """

    cutouts: list[StoredCutout]
    backgrounds: list[Bytes]


def read_art(folder: Path) -> Art:
    """Read what `free_art.fetch_art` wrote; what is held out is left alone.

    Raises:
        DatasetError: If there are no cut-outs or no backgrounds, or one can't be read.
    """
    for part in ("cutouts", "backgrounds"):
        if not (folder / part).is_dir():
            raise DatasetError(
                f"{folder}: no folder {part!r} in it; make it with 'pullmatte data art --out "
                f"{folder}'"
            )
    held_out = lambda path: is_held_out(path.relative_to(folder).as_posix())  # noqa: E731
    return Art(
        read_cutouts(folder / "cutouts", leave=held_out),
        read_backgrounds(folder / "backgrounds", leave=held_out),
    )


def of_opacity(art: Art, opacity: SampleOpacity) -> Art:
    """Return the cut-outs of an opacity alone, and all backgrounds."""
    return Art([each for each in art.cutouts if each.opacity == opacity], art.backgrounds)


def scenes(art: Art, settings: SceneSettings, opacity: SampleOpacity | None = None) -> SceneSource:
    """Compose scenes for the prompter: the art, and procedural things, of an opacity or all."""
    makers = procedural_makers(_kinds(opacity), *MADE_PX)
    return SceneSource(art.cutouts, art.backgrounds, settings, makers=makers, favoured=FAVOURED)


def fine_scenes(art: Art, settings: SceneSettings) -> SceneSource:
    """Compose scenes for the matter: larger, and hair, nets and the like more often."""
    solid = [name for name, kind in KINDS.items() if kind.opacity == "opaque"]
    rest = [name for name, kind in KINDS.items() if kind.opacity != "opaque"]
    makers = procedural_makers([*2 * solid, *rest, *3 * FINE_KINDS], 320, 640)
    return SceneSource(art.cutouts, art.backgrounds, settings, makers=makers, favoured=FAVOURED)


def moving_scenes(
    art: Art, settings: ClipSettings, opacity: SampleOpacity | None = None
) -> ClipScenes:
    """Compose clips for the memory; as `scenes`."""
    makers = procedural_makers(_kinds(opacity), *MADE_PX)
    return ClipScenes(art.cutouts, art.backgrounds, settings, makers=makers, favoured=FAVOURED)


def _kinds(opacity: SampleOpacity | None) -> list[str]:
    return [name for name, kind in KINDS.items() if opacity in (None, kind.opacity)]
