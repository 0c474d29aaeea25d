"""What a user chooses for a photo."""

from dataclasses import dataclass
from pathlib import Path

from pullmatte.jobs.look import Look, Looked
from pullmatte.models.protocol import Opacity

SIDES = ("trimap", "mask", "foreground", "alpha")


@dataclass(frozen=True)
class ImageOptions(Looked):
    """How a matte is written.

    Attributes:
        only_alpha: Write the alpha alone, as a grey picture.
        background: Composite over this colour, ``"checker"`` or picture instead of cutting out.
        foreground: Estimate the object's own colours; else the photo's stand in.
        opacity: Whether the object is opaque, transparent, or to be found out.
        caption: The object in words, for models that read any.
        premultiplied: Write colour multiplied by alpha; None: EXR yes, everything else no.
        bit_depth: 8 or 16; None keeps the photo's own.
        sides: Further pictures to write beside the result: any of `SIDES`.
        look: Edits of the edge, for every kind of result, and what lies behind it.
    """

    only_alpha: bool = False
    background: str | Path | None = None
    foreground: bool = True
    opacity: Opacity = "auto"
    caption: str | None = None
    premultiplied: bool | None = None
    bit_depth: int | None = None
    sides: tuple[str, ...] = ()
    look: Look | None = None
