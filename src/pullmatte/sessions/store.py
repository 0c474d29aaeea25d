"""Where predictions wait that were made before their turn to be handed out.

A clip prompted in its middle is matted backward from there first; those predictions are put here
and got again when the frames are handed out in order.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import ReadError
from pullmatte.models.protocol import Plane, Prediction

Planes = dict[str, NDArray[Any]]
"""Named `H W` planes of unsigned integers."""
_FULL = np.float32(65535)
_TRIMAP_FULL = np.float32(254)


class AlphaStore(Protocol):
    """Put and get planes by object and frame; what comes out is what went in."""

    def put(self, name: str, frame: int, planes: Planes) -> None:
        """Keep the planes of object `name` on a frame."""
        ...

    def get(self, name: str, frame: int) -> Planes:
        """Return what was put.

        Raises:
            ReadError: If nothing was.
        """
        ...


class MemoryStore:
    """Keeps everything in memory; for clips that fit."""

    def __init__(self) -> None:
        self._planes: dict[tuple[str, int], Planes] = {}

    def put(self, name: str, frame: int, planes: Planes) -> None:
        """Keep the planes of object `name` on a frame."""
        self._planes[name, frame] = planes

    def get(self, name: str, frame: int) -> Planes:
        """Return what was put.

        Raises:
            ReadError: If nothing was.
        """
        try:
            return self._planes[name, frame]
        except KeyError:
            raise ReadError(
                f"nothing is stored of {name!r} on frame {frame}: give the store that the "
                "stopped run filled, or begin without its state"
            ) from None


def pack(prediction: Prediction) -> Planes:
    """Turn a prediction into integer planes: alpha in 16 bits, mask and trimap in 8."""
    planes: Planes = {"alpha": np.rint(prediction.alpha.clip(0, 1) * _FULL).astype(np.uint16)}
    if prediction.mask is not None:
        planes["mask"] = prediction.mask.astype(np.uint8) * np.uint8(255)
    if prediction.trimap is not None:
        planes["trimap"] = np.rint(prediction.trimap * _TRIMAP_FULL).astype(np.uint8)
    return planes


def unpack(planes: Planes) -> Prediction:
    """Undo `pack`.

    Raises:
        ReadError: If there is no alpha among the planes.
    """
    if "alpha" not in planes:
        raise ReadError(
            f"nothing is stored of a frame's alpha, beside {', '.join(sorted(planes))}: "
            "start the run again from its beginning"
        )
    alpha: Plane = planes["alpha"].astype(np.float32) / _FULL
    mask = planes.get("mask")
    trimap = planes.get("trimap")
    return Prediction(
        alpha=alpha,
        mask=None if mask is None else mask > 0,
        trimap=None if trimap is None else trimap.astype(np.float32) / _TRIMAP_FULL,
    )
