"""Frames as the memory of alphas looks at them, and what moved between two of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pullmatte.models.classical.flow import Flow, estimate_flow
from pullmatte.models.mam2.clean_plate import (
    CleanPlate,
    Matrix,
    Part,
    compared,
    ground_motion,
    surely_ground,
)
from pullmatte.models.protocol import Image, Plane

Kept = dict[str, NDArray[Any]]
Bytes = NDArray[np.uint8]

LONG_SIDE_PX = 320
"""Of the pictures in which it works, at most."""
PICTURE, GROUND, ALPHAS, DETAIL = "picture", "ground", "alphas", "detail"
"""Names of what is remembered of a frame: `h w 3` uint8; a clean plate's layer, `h w 4` uint8;
`4 h w` float16: the alpha that came out, the frame's own, and by how much own alphas have changed
of late, along with the picture and where they were; and `H W` float16: what the alpha that came
out has at full size beside what is seen of it when reduced."""
# Of a picture's own contrast, and in levels; within a shot both are a fraction of it.
_CUT_SHARE, _CUT_LEVELS = 0.5, 10


@dataclass(frozen=True, eq=False)
class SeenFrame:
    """A frame as it is found, all at the size at which it is looked at.

    Attributes:
        picture: `h w 3` uint8.
        own: `h w`, its own alpha.
        trimap: `h w`: 0.5 where something is unknown, 0 elsewhere.
        ground: `h w` bool, what is surely ground.
        detail: `H W`, its own alpha without what of it is seen when reduced.
    """

    picture: Bytes
    own: Plane
    trimap: Plane
    ground: NDArray[np.bool_]
    detail: Plane

    @staticmethod
    def of(image: Image, alpha: Plane, trimap: Plane | None) -> "SeenFrame":
        """Reduce a frame; arguments as for `AlphaMemory.follow`."""
        known = (alpha == 0) | (alpha == 1) if trimap is None else trimap != 0.5
        own, unknown = reduced(alpha), 0.5 * reduced(1 - known.astype(np.float32))
        detail = alpha - grown(own, alpha)
        return SeenFrame(_bytes(image), own, unknown, surely_ground(own, unknown), detail)

    def begun(self) -> CleanPlate:
        """Return what it shows of the ground, if nothing was known of that."""
        return CleanPlate.begin(self.picture, self.ground)

    def kept(
        self,
        plate: CleanPlate,
        alpha: Plane | None = None,
        changes: NDArray[Any] | None = None,
        detail: Plane | None = None,
    ) -> Kept:
        """Return what is remembered; alpha is its own, and nothing has changed, if not given."""
        none = np.zeros((2, *self.own.shape), np.float32)
        planes = [
            (self.own if alpha is None else alpha)[None],
            self.own[None],
            none if changes is None else changes,
        ]
        alphas = _half(np.concatenate(planes))
        return {
            PICTURE: self.picture,
            GROUND: plate.layer,
            ALPHAS: alphas,
            DETAIL: _half(self.detail if detail is None else detail),
        }


@dataclass(frozen=True, eq=False)
class AlphaStep:
    """What moved since the frame before.

    Attributes:
        shown: `h w 3` uint8, that frame.
        flow: Of a part, to it.
        motion: The ground's, if it is known.
        plate: The ground in this frame, before this frame is looked at.
        cut: Whether this frame shows something else altogether, as after a cut.
    """

    shown: Bytes
    flow: Flow
    motion: Matrix | None
    plate: CleanPlate
    cut: bool

    @staticmethod
    def of(seen: SeenFrame, shown: Bytes, plate: CleanPlate, part: Part) -> "AlphaStep":
        """Find out.

        Args:
            seen: The frame.
            shown: `h w 3`, the frame before.
            plate: The ground in that, after it was looked at.
            part: Rows and columns that are looked at.
        """
        flow = estimate_flow(seen.picture[part], shown[part], quick=True)
        motion = ground_motion(flow, seen.ground[part], part)
        carried = plate.forgotten() if motion is None else plate.carried(motion)
        return AlphaStep(
            shown, flow, motion, carried, _is_cut(seen.picture[part], shown[part], flow)
        )

    @staticmethod
    def since(seen: SeenFrame, before: Mapping[str, Any], part: Part) -> "AlphaStep":
        """Find out, by what is remembered of the frame before; see `SeenFrame.kept`."""
        plate = CleanPlate(np.asarray(before[GROUND]))
        return AlphaStep.of(seen, np.asarray(before[PICTURE]), plate, part)

    def compared(self, seen: SeenFrame, part: Part) -> NDArray[np.float32]:
        """Compare the part with the ground; see `clean_plate.compared`."""
        return compared(seen.picture, self.shown, self.plate, self.motion, self.flow, part)


def reduced(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring planes, `H W` or `H W C`, to the size at which alphas are compared."""
    height, width = plane.shape[:2]
    scale = min(0.5, LONG_SIDE_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)


def grown(plane: Plane, like: Plane) -> Plane:
    """Bring a reduced plane, `h w`, to the size of another."""
    size = like.shape[::-1]
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _half(planes: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return them as float16, as numpy does; torch is several times faster."""
    halves: NDArray[np.float16] = torch.from_numpy(np.ascontiguousarray(planes)).half().numpy()
    return halves


def whole(planes: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return planes of float16 as float32, for the same reason."""
    floats: NDArray[np.float32] = torch.from_numpy(np.array(planes, np.float16)).float().numpy()
    return floats


def _is_cut(picture: Bytes, before: Bytes, flow: Flow) -> bool:
    """Say whether nothing of a picture is found in the one before."""
    rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    there = cv2.remap(
        before,
        columns + flow[..., 0],
        rows + flow[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    apart = float(cv2.absdiff(picture, there).mean())
    contrast = float(np.abs(picture - picture.mean((0, 1), dtype=np.float32)).mean())
    return apart > max(_CUT_LEVELS, _CUT_SHARE * contrast)


def _bytes(image: Image) -> Bytes:
    small = reduced(np.asarray(image, np.float32))
    whole = np.rint(np.nan_to_num(small, nan=0.0).clip(0, 1) * 255)
    return np.asarray(whole, np.uint8)
