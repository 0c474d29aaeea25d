"""Several objects of one image: in one pass where the model can, else one by one."""

from collections.abc import Sequence
from typing import Any, cast

from pullmatte.models.protocol import BatchModel, CaptionModel, Model, Opacity, Prediction
from pullmatte.prompts import Prompt

BATCH_SIZE = 8
"""Objects that a model is handed at once; it may still split them further."""


def predict_each(
    model: Model,
    encoded: Any,
    prompts: Sequence[Prompt],
    *,
    opacity: Opacity = "auto",
    caption: str | None = None,
    batch_size: int = BATCH_SIZE,
) -> list[Prediction]:
    """Matte several objects of an encoded image.

    Args:
        model: Any model; one that is a `BatchModel` gets several prompts at once.
        encoded: What its `encode` gave.
        prompts: One for each object.
        opacity: As for `Model.predict`, of all.
        caption: As for `CaptionModel.predict`, of all; such prompts go one by one.
        batch_size: How many go at once; below 2 they go one by one.

    Returns:
        A prediction for each prompt, in order.
    """
    if caption is not None:
        speaking = cast(CaptionModel, model)
        return [
            speaking.predict(encoded, prompt, opacity=opacity, caption=caption)
            for prompt in prompts
        ]
    if len(prompts) < 2 or batch_size < 2 or not isinstance(model, BatchModel):
        return [model.predict(encoded, prompt, opacity=opacity) for prompt in prompts]
    predictions: list[Prediction] = []
    for start in range(0, len(prompts), batch_size):
        some = prompts[start : start + batch_size]
        predictions += model.predict_many(encoded, some, opacity=opacity)
    return predictions
