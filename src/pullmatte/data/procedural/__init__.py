"""Procedural mattes: objects with exact alpha by construction, as stills and as clips."""

from pullmatte.data.procedural.kinds import KINDS, Kind, make, make_clip

__all__ = ["KINDS", "Kind", "make", "make_clip"]
