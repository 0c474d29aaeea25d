"""Between prompts and pictures of any size and the square that the network looks at."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pullmatte.models.protocol import BoolMask, Image, Plane
from pullmatte.prompts import Box, Prompt

_BOX_CORNERS = (2, 3)


@dataclass(frozen=True)
class Square:
    """How a picture lies on the square: stretched over the whole of it, as SAM 2 was trained.

    Attributes:
        width: The picture's width in pixels.
        height: Its height in pixels.
        side: The square's side in pixels.
    """

    width: int
    height: int
    side: int

    def image(self, image: Image, device: torch.device) -> Tensor:
        """Put a picture, `H W 3` in [0, 1], on the square: `1 3 S S`, antialiased."""
        # Copied: a caller's array may be read-only, which torch doesn't know.
        picture = torch.from_numpy(image.transpose(2, 0, 1).copy()).to(device)[None]
        return self._resized(picture)

    def mask(self, mask: BoolMask, device: torch.device) -> Tensor:
        """Put a mask, `H W`, on the square: `1 1 S S` in [0, 1], antialiased."""
        plane = torch.from_numpy(np.ascontiguousarray(mask, np.float32)).to(device)
        return self._resized(plane[None, None])

    def points(self, prompt: Prompt, device: torch.device) -> tuple[Tensor | None, Tensor | None]:
        """Return the box's corners, then the clicks.

        Numbers mean what they do to SAM 2's own predictor: it adds half a pixel of the square.

        Returns:
            `1 N 2` in pixels of the square, and their labels `1 N`; None and None if there is
            neither.
        """
        box = prompt.box
        pairs = [] if box is None else [(box.x0, box.y0), (box.x1, box.y1)]
        labels = [] if box is None else [*_BOX_CORNERS]
        pairs += [(point.x, point.y) for point in prompt.points]
        labels += [point.label for point in prompt.points]
        if not pairs:
            return None, None
        scale = torch.tensor([self.side / self.width, self.side / self.height], device=device)
        points = torch.tensor(pairs, dtype=torch.float32, device=device) * scale
        return points[None], torch.tensor([labels], dtype=torch.int32, device=device)

    def shares(self, box: Box) -> tuple[float, float, float, float]:
        """Return a box's x0, y0, x1, y1 in shares of the square's side."""
        x0, x1 = box.x0 / self.width, box.x1 / self.width
        return x0, box.y0 / self.height, x1, box.y1 / self.height

    def restored(self, logits: Tensor) -> Tensor:
        """Bring maps, `1 C h w`, to the picture's size: `C H W` float32."""
        size = (self.height, self.width)
        # Each by itself: torch is faster with one map than with three.
        maps = logits.float().transpose(0, 1)
        return F.interpolate(maps, size, mode="bilinear", align_corners=False)[:, 0]

    def restored_trimap(self, trimap_logits: Tensor) -> Plane:
        """Bring a trimap's logits, `1 3 h w`, to the picture's size: `H W` in {0, 0.5, 1}."""
        chances = self.restored(torch.softmax(trimap_logits.float(), dim=1))
        background, unknown, foreground = chances
        surely = foreground > torch.maximum(background, unknown)
        # As argmax has it, which is far slower along this axis: the first of equals counts.
        either = torch.where(unknown > background, 0.5, 0.0)
        found: Plane = torch.where(surely, 1.0, either).float().cpu().numpy()
        return found

    def _resized(self, maps: Tensor) -> Tensor:
        if maps.shape[-2:] == (self.side, self.side):
            return maps
        return F.interpolate(
            maps, (self.side, self.side), mode="bilinear", align_corners=False, antialias=True
        )
