"""A session on one image: encode once, prompt many times."""

import logging
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
from pullmatte.sessions.prompt_kinds import left_out_note, taken

_LOG = logging.getLogger(__name__)


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
        batch_size: int = BATCH_SIZE,
    ) -> None:
        """Encode an image.

        Args:
            model: Any model.
            image: `H W 3` float32 in [0, 1]; HDR values over 1 are kept for colours.
            foreground: Whether mattes estimate the object's own colour.
            spec: What prompts the model takes, and whether captions; without it all of the former
                and none of the latter.
            batch_size: How many objects a model that takes several at once is handed together,
                unless `predict_objects` is told otherwise.
        """
        self._model = model
        self._spec = spec
        self._foreground = foreground
        self._batch_size = batch_size
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

        Parts of a kind that the model doesn't take are left out where there are others; the log
        says so.

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
        batch_size: int | None = None,
    ) -> dict[str, Matte]:
        """Matte several named objects, each by its own prompt.

        Args:
            prompts: A prompt file (all on frame 0), or object name → prompt.
            opacity: As for `predict`.
            caption: As for `predict`, of all objects.
            batch_size: How many a model that takes several at once is handed together; more need
                more memory. The mattes are the same. The session's own when left out.

        Raises:
            PromptError: If a prompt doesn't fit the image or the model, or the batch size is no
                whole number from 1.
        """
        if isinstance(prompts, PromptFile):
            prompts.check(*self.size)
            prompts = prompts.on_frame(0)
        at_once = self._batch_size if batch_size is None else batch_size
        if not isinstance(at_once, int) or at_once < 1:
            raise PromptError(f"batch_size {at_once!r}: give a whole number from 1")
        mattes = self._mattes(list(prompts.values()), opacity, caption, at_once)
        return dict(zip(prompts, mattes, strict=True))

    def _mattes(
        self, prompts: Sequence[Prompt], opacity: Opacity, caption: str | None, batch_size: int
    ) -> list[Matte]:
        check_opacity(opacity)
        check_caption(self._spec, caption)
        said = [or_whole_frame(prompt, *self.size) for prompt in prompts]
        for prompt in said:
            prompt.check(*self.size)
        understood = [taken(self._spec, prompt) for prompt in said]
        if note := left_out_note(self._spec, said):
            _LOG.warning("%s", note)
        predictions = predict_each(
            self._model,
            self._encoded,
            understood,
            opacity=opacity,
            caption=caption,
            batch_size=batch_size,
        )
        return [make_matte(self.image, each, foreground=self._foreground) for each in predictions]


def check_caption(spec: ModelSpec | None, caption: str | None, *, understood: bool = True) -> None:
    """Refuse a caption where nothing reads it.

    Args:
        spec: The model's.
        caption: What was said, if anything.
        understood: Whether the model, as it was loaded, has what it needs for captions.

    Raises:
        PromptError: If the model takes none or lacks what it needs for them, or it is blank.
    """
    if caption is None:
        return
    if spec is None or not spec.captions:
        name = "this model" if spec is None else f"model {spec.name!r}"
        raise PromptError(f"{name} takes no captions: leave the caption out")
    if not isinstance(caption, str) or not caption.strip():
        raise PromptError("caption is empty: describe the object in words, or leave it out")
    if not understood:
        raise PromptError(
            f"a caption, and model {spec.name!r} is here without its text encoder: convert the "
            "weights with --keep-text-encoder, or leave the caption out"
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
