"""A session on one image: encode once, prompt many times."""

from collections.abc import Mapping
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike

from pullmatte.errors import PromptError
from pullmatte.matte import Matte
from pullmatte.models.protocol import Image, Model, Opacity, Prediction
from pullmatte.prompts import Box, Mask, Prompt, PromptFile, Trimap


def clip_for_model(image: Image) -> Image:
    """Bring an image's values, which may be over 1 in HDR sources, into a model's [0, 1]."""
    if image.size and (float(image.max()) > 1.0 or float(image.min()) < 0.0):
        return np.clip(image, 0.0, 1.0)
    return image


class ImageSession:
    """One image, encoded. Prompts don't change it: each answer stands on its own."""

    def __init__(self, model: Model, image: Image, *, foreground: bool = True) -> None:
        """Encode `image` (`H W 3` float32 in [0, 1]; HDR values over 1 are kept for colours)."""
        self._model = model
        self._foreground = foreground
        self.image = image
        self._encoded = model.encode(clip_for_model(image))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.image.shape[:2]
        return width, height

    def predict(
        self,
        prompt: Prompt | None = None,
        *,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: "Box | tuple[float, float, float, float] | ArrayLike | None" = None,
        mask: "Mask | ArrayLike | None" = None,
        trimap: "Trimap | ArrayLike | None" = None,
        opacity: Opacity = "auto",
    ) -> Matte:
        """Matte one object. Without any prompt the whole image is taken as its box.

        Args:
            prompt: A ready-made prompt; instead of the parts below.
            points: `N 2` pairs (x, y) in pixels, or `Point` objects.
            labels: `N` values 1 (include) or 0 (exclude); all 1 when left out.
            box: ``x0, y0, x1, y1`` in pixels.
            mask: `H W` rough mask.
            trimap: `H W` in {0, 0.5, 1}; it skips the search for the object.
            opacity: Whether the object is opaque, transparent, or to be found out.

        Returns:
            The matte; its foreground is estimated when first asked for.

        Raises:
            PromptError: If the prompt doesn't fit the image, or there is no such opacity.
        """
        parts = Prompt.of(points=points, labels=labels, box=box, mask=mask, trimap=trimap)
        if prompt is not None and not parts.is_empty:
            raise PromptError("a ready-made prompt beside its parts: give one or the other")
        return self._matte(parts if prompt is None else prompt, opacity)

    def predict_objects(
        self, prompts: PromptFile | Mapping[str, Prompt], *, opacity: Opacity = "auto"
    ) -> dict[str, Matte]:
        """Matte several named objects, each by its own prompt.

        Args:
            prompts: A prompt file (all on frame 0), or object name → prompt.
            opacity: As for `predict`.

        Raises:
            PromptError: If a prompt doesn't fit the image.
        """
        if isinstance(prompts, PromptFile):
            prompts.check(*self.size)
            prompts = prompts.on_frame(0)
        for prompt in prompts.values():
            prompt.check(*self.size)
        return {name: self._matte(prompt, opacity) for name, prompt in prompts.items()}

    def _matte(self, prompt: Prompt, opacity: Opacity) -> Matte:
        check_opacity(opacity)
        prompt = or_whole_frame(prompt, *self.size)
        prompt.check(*self.size)
        prediction = self._model.predict(self._encoded, prompt, opacity=opacity)
        return make_matte(self.image, prediction, foreground=self._foreground)


def check_opacity(opacity: Opacity) -> None:
    """Refuse a kind of object that isn't known.

    Raises:
        PromptError: If it is none of them; the message lists those there are.
    """
    if opacity not in get_args(Opacity):
        raise PromptError(f"opacity {opacity!r}: use {', '.join(get_args(Opacity))}")


def or_whole_frame(prompt: Prompt, width: int, height: int) -> Prompt:
    """Take the whole frame as the box where nothing was said."""
    return Prompt(box=Box(0, 0, width, height)) if prompt.is_empty else prompt


def make_matte(image: Image, prediction: Prediction, *, foreground: bool) -> Matte:
    """Join an image and what a model said of it."""

    def estimate() -> Image:
        from pullmatte.sessions.foreground import estimate_foreground

        return estimate_foreground(image, prediction.alpha)

    return Matte(
        prediction.alpha,
        image,
        mask=prediction.mask,
        trimap=prediction.trimap,
        foreground=estimate if foreground else None,
    )
