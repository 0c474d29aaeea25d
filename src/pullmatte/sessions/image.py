"""A session on one image: encode once, prompt many times."""

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike

from pullmatte.errors import PromptError
from pullmatte.matte import Matte
from pullmatte.models import ModelSpec
from pullmatte.models.protocol import Image, Model, Opacity, Prediction
from pullmatte.prompts import Box, Mask, Prompt, PromptFile, Trimap
from pullmatte.sessions.batching import BATCH_SIZE, predict_each


def clip_for_model(image: Image) -> Image:
    """Bring an image's values, which may be over 1 in HDR sources, into a model's [0, 1]."""
    if image.size and (float(image.max()) > 1.0 or float(image.min()) < 0.0):
        return np.clip(image, 0.0, 1.0)
    return image


class ImageSession:
    """One image, encoded. Prompts don't change it: each answer stands on its own."""

    def __init__(
        self,
        model: Model,
        image: Image,
        *,
        foreground: bool = True,
        spec: ModelSpec | None = None,
    ) -> None:
        """Encode an image.

        Args:
            model: Any model.
            image: `H W 3` float32 in [0, 1]; HDR values over 1 are kept for colours.
            foreground: Whether mattes estimate the object's own colour.
            spec: What prompts the model takes, and whether captions; without it all of the former
                and none of the latter.
        """
        self._model = model
        self._spec = spec
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
        caption: str | None = None,
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
            caption: A description in words, beside the prompt, for models that take any.

        Returns:
            The matte; its foreground is estimated when first asked for.

        Raises:
            PromptError: If the prompt doesn't fit the image or the model, or there is no such
                opacity.
        """
        parts = Prompt.of(points=points, labels=labels, box=box, mask=mask, trimap=trimap)
        if prompt is not None and not parts.is_empty:
            raise PromptError("a ready-made prompt beside its parts: give one or the other")
        said = parts if prompt is None else prompt
        return self._mattes([said], opacity, caption, 1)[0]

    def predict_objects(
        self,
        prompts: PromptFile | Mapping[str, Prompt],
        *,
        opacity: Opacity = "auto",
        caption: str | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> dict[str, Matte]:
        """Matte several named objects, each by its own prompt.

        Args:
            prompts: A prompt file (all on frame 0), or object name → prompt.
            opacity: As for `predict`.
            caption: As for `predict`, of all objects.
            batch_size: How many a model that takes several at once is handed together; more need
                more memory. The mattes are the same.

        Raises:
            PromptError: If a prompt doesn't fit the image or the model, or the batch size is less
                than 1.
        """
        if isinstance(prompts, PromptFile):
            prompts.check(*self.size)
            prompts = prompts.on_frame(0)
        if batch_size < 1:
            raise PromptError(f"batch_size {batch_size}: give 1 or more")
        mattes = self._mattes(list(prompts.values()), opacity, caption, batch_size)
        return dict(zip(prompts, mattes, strict=True))

    def _mattes(
        self, prompts: Sequence[Prompt], opacity: Opacity, caption: str | None, batch_size: int
    ) -> list[Matte]:
        check_opacity(opacity)
        check_caption(self._spec, caption)
        said = [or_whole_frame(prompt, *self.size) for prompt in prompts]
        for prompt in said:
            prompt.check(*self.size)
            check_kinds(self._spec, prompt)
        predictions = predict_each(
            self._model,
            self._encoded,
            said,
            opacity=opacity,
            caption=caption,
            batch_size=batch_size,
        )
        return [make_matte(self.image, each, foreground=self._foreground) for each in predictions]


def check_caption(spec: ModelSpec | None, caption: str | None) -> None:
    """Refuse a caption where nothing reads it.

    Raises:
        PromptError: If the model takes none, or it is blank.
    """
    if caption is None:
        return
    if spec is None or not spec.captions:
        name = "this model" if spec is None else f"model {spec.name!r}"
        raise PromptError(f"{name} takes no captions: leave the caption out")
    if not isinstance(caption, str) or not caption.strip():
        raise PromptError("caption is empty: describe the object in words, or leave it out")


def check_kinds(spec: ModelSpec | None, prompt: Prompt) -> None:
    """Refuse a prompt of which the model takes no part.

    Raises:
        PromptError: If so; the message lists the kinds that it takes.
    """
    said = {
        "trimap": prompt.trimap is not None,
        "mask": prompt.mask is not None,
        "box": prompt.box is not None,
        "point": bool(prompt.points),
    }
    given = [kind for kind, there in said.items() if there]
    if spec is None or not given or any(kind in spec.prompts for kind in given):
        return
    raise PromptError(
        f"model {spec.name!r} takes {' or '.join(spec.prompts)}, not {' and '.join(given)} alone: "
        f"give a {spec.prompts[0]}"
    )


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
