"""MEMatte behind the models' common protocol: photo and trimap in, matte out."""

from dataclasses import dataclass

import numpy as np
import torch

from pullmatte.errors import PromptError, PullmatteError
from pullmatte.models.mematte.network import MEMatteNetwork
from pullmatte.models.protocol import BoolMask, Image, Opacity, Plane, Prediction
from pullmatte.prompts import Prompt

_UNKNOWN = 128 / 255
_WHOLE_PX = 2048
# Patches then lie as in the whole photo, and nothing is filled up.
_ALIGN_PX = 32


@dataclass(frozen=True)
class MEMatteOptions:
    """What can be chosen without training anew.

    Attributes:
        most_tokens: As many tokens at most attend in a routed block; 0 means the config's number.
        margin_px: Only the part of the photo with unknown pixels is looked at, with so many
            pixels round it, and begins and ends at multiples of 32; None looks at all of it.
            Time falls as the area does, but it isn't exact: a part has other positions, windows
            and routes, and a wider margin hardly mends that (benchmarks/mematte_margin.py).
        tile_px: Photos with a longer side than 2048 pixels are decoded in tiles of this side.
    """

    most_tokens: int = 0
    margin_px: int | None = None
    tile_px: int = 512

    def __post_init__(self) -> None:
        """Refuse values that can't be."""
        if self.most_tokens < 0:
            raise PullmatteError(f"most_tokens {self.most_tokens}: give 1 or more")
        if self.margin_px is not None and self.margin_px < 0:
            raise PullmatteError(f"margin_px {self.margin_px}: give 0 or more")
        if self.tile_px < 64 or self.tile_px % 16:
            raise PullmatteError(f"tile_px {self.tile_px}: give a multiple of 16, 64 or more")


class MEMatteModel:
    """MEMatte or ViTMatte: a matter for trimaps.

    Source: MEMatte; ViTMatte.
    """

    def __init__(self, network: MEMatteNetwork, options: MEMatteOptions | None = None) -> None:
        """Take a network with its weights, where it shall run, and options."""
        self.network = network.eval().requires_grad_(False)
        self.options = options or MEMatteOptions()

    @property
    def dtype(self) -> str:
        """Precision, as torch names it."""
        return str(self.network.dtype).removeprefix("torch.")

    def encode(self, image: Image) -> Image:
        """Keep the image: what the network makes of it depends on the trimap."""
        return image

    def predict(self, encoded: Image, prompt: Prompt, *, opacity: Opacity = "auto") -> Prediction:
        """Matte by a user's trimap.

        Args:
            encoded: The image, `H W 3` float32 in [0, 1].
            prompt: With a trimap.
            opacity: Taken for the protocol's sake.

        Raises:
            PromptError: If there is no trimap, or it doesn't fit the image.
        """
        prompt.check(encoded.shape[1], encoded.shape[0])
        if prompt.trimap is None:
            raise PromptError("this model mattes trimaps: give one, or a model that makes them")
        trimap = prompt.trimap.array
        alpha = self.matte(encoded, trimap)
        return Prediction(alpha=alpha, mask=alpha > 0.5, trimap=trimap.copy())

    @torch.inference_mode()
    def matte(self, image: Image, trimap: Plane) -> Plane:
        """Work out the unknown pixels of a trimap.

        Args:
            image: `H W 3` float32 in [0, 1].
            trimap: `H W` float32 in {0, 0.5, 1}.

        Returns:
            `H W` float32 in [0, 1], equal to the trimap where that is known. Without unknown
            pixels the network isn't run.
        """
        unknown = trimap == 0.5
        alpha: Plane = trimap.astype(np.float32, copy=True)
        if not unknown.any():
            return alpha
        margin_px = self.options.margin_px
        part = (
            (slice(None), slice(None))
            if margin_px is None
            else part_of(unknown, margin_px, _ALIGN_PX)
        )
        alpha[part] = np.where(unknown[part], self._run(image[part], trimap[part]), alpha[part])
        return alpha

    def _run(self, image: Image, trimap: Plane) -> Plane:
        # Released weights were run on 8-bit trimaps, whose unknown is 128.
        levels = np.where(trimap == 0.5, np.float32(_UNKNOWN), trimap).astype(np.float32)
        picture = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
        output = self.network(
            picture.to(self.network.device),
            torch.from_numpy(levels)[None, None].to(self.network.device),
            most_tokens=self.options.most_tokens or None,
            tile_px=self.options.tile_px if max(trimap.shape) > _WHOLE_PX else None,
        )
        found: Plane = output.alpha[0, 0].cpu().numpy()
        if not np.isfinite(found).all():
            raise PullmatteError(
                "the network's answer isn't finite: run it in float32, or check the weights"
            )
        return found


def part_of(unknown: BoolMask, margin_px: int, align_px: int = 1) -> tuple[slice, slice]:
    """Return rows and columns of the part of a photo with all unknown pixels.

    Args:
        unknown: `H W` bool, with a pixel at least.
        margin_px: How many pixels more on each side, as far as there are any.
        align_px: The part begins, and ends unless the photo does, at multiples of this.
    """
    sides = []
    for axis in (1, 0):
        lines, size = np.flatnonzero(unknown.any(axis)), unknown.shape[1 - axis]
        begin = max(0, int(lines[0]) - margin_px) // align_px * align_px
        end = -(-(int(lines[-1]) + 1 + margin_px) // align_px) * align_px
        sides.append(slice(begin, min(end, size)))
    return sides[0], sides[1]
