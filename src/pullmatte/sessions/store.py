"""Where alphas wait that were made before their turn to be handed out.

A clip prompted in its middle is matted backward from there first; those alphas are put here and
got again when the frames are handed out in order.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pullmatte.models.protocol import Plane, Prediction

FULL = 65535


class AlphaStore(Protocol):
    """Put and get predictions by object and frame. What comes out is the same on every store."""

    def put(self, name: str, frame: int, prediction: Prediction) -> None:
        """Keep a prediction; its alpha is kept to 16 bits."""
        ...

    def get(self, name: str, frame: int) -> Prediction:
        """Return what was put.

        Raises:
            KeyError: If nothing was.
        """
        ...


def pack(prediction: Prediction) -> dict[str, NDArray[Any]]:
    """Turn a prediction into small integer planes: alpha in 16 bits, the rest in 8."""
    planes: dict[str, NDArray[Any]] = {
        "alpha": np.rint(prediction.alpha * np.float32(FULL)).astype(np.uint16)
    }
    if prediction.mask is not None:
        planes["mask"] = prediction.mask.astype(np.uint8) * 255
    if prediction.trimap is not None:
        planes["trimap"] = np.rint(prediction.trimap * 254).astype(np.uint8)
    return planes


def unpack(planes: dict[str, NDArray[Any]]) -> Prediction:
    """Undo `pack`."""
    alpha: Plane = planes["alpha"].astype(np.float32) / np.float32(FULL)
    mask = planes.get("mask")
    trimap = planes.get("trimap")
    return Prediction(
        alpha=alpha,
        mask=None if mask is None else mask > 0,
        trimap=None if trimap is None else trimap.astype(np.float32) / np.float32(254),
    )


class MemoryStore:
    """Keeps everything in memory; for clips that fit."""

    def __init__(self) -> None:
        self._planes: dict[tuple[str, int], dict[str, NDArray[Any]]] = {}

    def put(self, name: str, frame: int, prediction: Prediction) -> None:
        """Keep a prediction; its alpha is kept to 16 bits."""
        self._planes[name, frame] = pack(prediction)

    def get(self, name: str, frame: int) -> Prediction:
        """Return what was put.

        Raises:
            KeyError: If nothing was.
        """
        return unpack(self._planes[name, frame])
