"""Procedural mattes: objects with exact alpha by construction, as stills and as clips."""

from pullmatte.data.procedural.blur import defocused, motion_blurred
from pullmatte.data.procedural.kinds import KINDS, Kind, make, make_clip

__all__ = ["KINDS", "Kind", "defocused", "make", "make_clip", "motion_blurred"]
