"""Clips of the benchmark's ten categories to learn from: other seeds, other backgrounds.

What is measured on `novm-free` afterwards is how well new seeds of known kinds are found.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from pullmatte.data.clip_files import composed
from pullmatte.data.degradation import degraded
from pullmatte.data.moving_grounds import Size, camera_over
from pullmatte.data.novm.backdrops import made_backdrop
from pullmatte.data.novm.categories import CATEGORIES
from pullmatte.data.novm.staging import staged
from pullmatte.data.novm.writing import as_bytes
from pullmatte.data.samples import MattingClip, MattingSample
from pullmatte.data.set_files import Bytes

THROUGH = ("bubble", "cloud", "explosion", "fire", "frost", "plant", "water")
"""Categories of what one can see through, or of which all is edge."""
SOLID = tuple(name for name in CATEGORIES if name not in THROUGH)
CANVASES: tuple[Size, ...] = ((16, 9), (16, 9), (4, 3), (1, 1), (9, 16))
_MADE = 0.3
_HARM = 0.6
_MOST_STRIDE = 4.0


class CategoryClips:
    """Numbered clips of objects of the ten categories; see `ClipSource` and `SampleSource`.

    Squeezed into squares, as the networks see whole frames.
    """

    def __init__(
        self,
        backgrounds: Sequence[Bytes],
        *,
        size_px: int,
        frames: int = 4,
        seed: int = 0,
        categories: Sequence[str] = tuple(CATEGORIES),
    ) -> None:
        """Take what objects are shown on.

        Args:
            backgrounds: `H W 3`; some are made besides.
            size_px: Side of the square frames.
            frames: Of each clip.
            seed: All random numbers follow from it, below 2**32, and a clip's number.
            categories: Drawn from, each as often as it's named.
        """
        self._backgrounds, self._size = backgrounds, size_px
        self._frames, self._seed, self._categories = frames, seed, categories

    def clip(self, number: int) -> MattingClip:
        """Return the clip of a number: the same each time."""
        return self._clip(number, self._frames)

    def sample(self, number: int) -> MattingSample:
        """Return a picture by its number, which has nothing to do with the clip's first frame."""
        clip = self._clip(number, 1)
        return MattingSample(clip.images[0], clip.alphas[0], clip.kind, clip.opacity, clip.name)

    def _clip(self, number: int, frames: int) -> MattingClip:
        rng = np.random.default_rng([self._seed, number, frames, 7])
        category = self._categories[int(rng.integers(len(self._categories)))]
        shown = CATEGORIES[category][int(rng.integers(len(CATEGORIES[category])))]
        size = self._canvas(rng)
        looks = staged(
            shown.design,
            frames,
            size,
            rng,
            crossing=shown.crossing,
            filling=shown.filling,
            speed=shown.speed * float(rng.uniform(1, _MOST_STRIDE)),
        )
        # Before any look: the painter asks the same generator for numbers as it goes.
        harm, grain = _HARM * float(rng.random()), int(rng.integers(2**31))
        grounds = self._grounds(frames, size, np.random.default_rng([self._seed, number, 8]))
        images, alphas = [], []
        for look, ground in zip(looks, grounds, strict=True):
            colours, alpha = as_bytes(look.colour), as_bytes(look.alpha)
            frame = composed(colours, alpha, ground).astype(np.float32) / np.float32(255)
            square = (self._size, self._size)
            frame, plane = (
                np.asarray(cv2.resize(each, square, interpolation=cv2.INTER_AREA), np.float32)
                for each in (frame, look.alpha)
            )
            images.append(degraded(frame, np.random.default_rng(grain), harm))
            alphas.append(plane)
        return MattingClip(
            np.stack(images),
            np.stack(alphas),
            opacity=shown.opacity,
            name=f"{category} {number}",
        )

    def _canvas(self, rng: np.random.Generator) -> Size:
        across, down = CANVASES[int(rng.integers(len(CANVASES)))]
        scale = self._size * float(rng.uniform(0.9, 1.4)) / max(across, down)
        return round(across * scale), round(down * scale)

    def _grounds(self, frames: int, size: Size, rng: np.random.Generator) -> Iterator[Bytes]:
        if not self._backgrounds or rng.random() < _MADE:
            return made_backdrop(frames, size, rng)
        picture = self._backgrounds[int(rng.integers(len(self._backgrounds)))]
        return camera_over(picture, frames, size, rng, speed=0.012 * float(rng.uniform(1, 3)))
