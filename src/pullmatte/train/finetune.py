"""Tuning a trained model on a user's own few frames.

The recipe is the model's own, told to take small steps and few. MAM2's masks and memory learn
from the mattes, too: there is nothing else to learn them from.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pullmatte.data.samples import SampleOpacity
from pullmatte.errors import PullmatteError
from pullmatte.train.frames import FrameFolder
from pullmatte.train.mam2 import MAM2Recipe
from pullmatte.train.mam2_lessons import MAM2Settings, MAM2Sources
from pullmatte.train.mematte import MEMatteRecipe, MEMatteSettings
from pullmatte.train.recipe import Recipe
from pullmatte.train.sdmatte import SDMatteRecipe
from pullmatte.train.sdmatte_lessons import SDMatteSettings
from pullmatte.train.settings import LoopSettings
from pullmatte.train.starting import model_of, start_mam2, start_matter, start_sdmatte

_GENTLE: dict[str, Any] = {
    "schedule": "cosine",
    "warmup": 20,
    "average": 0.99,
    "checkpoint_every": 100,
    "panel_every": 50,
    "log_every": 10,
}
MAM2_TUNING = MAM2Settings(steps=300, learning_rate=5e-5, supervision="both", **_GENTLE)
MATTER_TUNING = MEMatteSettings(steps=300, learning_rate=2e-5, batch=2, **_GENTLE)
SDMATTE_TUNING = SDMatteSettings(steps=300, learning_rate=1e-5, batch=2, clip=1.0, **_GENTLE)


def tuning_settings(model: str) -> LoopSettings:
    """Return what tuning a model is told unless something else is said.

    Args:
        model: A name of `MODELS`.

    Raises:
        PullmatteError: If it can't be tuned.
    """
    if model.startswith("mam2"):
        return MAM2_TUNING
    if model in ("mematte", "vitmatte"):
        return MATTER_TUNING
    if "sdmatte" in model:
        return SDMATTE_TUNING
    raise PullmatteError(
        f"model {model!r} can't be tuned; those that can are mam2-*, mematte, vitmatte, sdmatte "
        "and litesdmatte"
    )


def tune(
    start: str,
    folder: Path,
    settings: LoopSettings | None = None,
    opacity: SampleOpacity = "opaque",
) -> Recipe:
    """Make the recipe that tunes a model.

    Args:
        start: A model's name, or a folder or file of weights.
        folder: Frames with mattes, see `pullmatte.train.frames`.
        settings: What it is told; `tuning_settings` of the model when left out.
        opacity: What the objects are.

    Raises:
        PullmatteError: If model, weights or frames won't do.
    """
    told = settings or tuning_settings(model_of(start))
    frames = FrameFolder(folder, opacity, seed=told.seed)
    if isinstance(told, MAM2Settings):
        frames = FrameFolder(folder, opacity, clip_frames=told.frames, seed=told.seed)
        sources = MAM2Sources(image_matting=frames, video_matting=frames if frames.clips else None)
        return MAM2Recipe(start_mam2(start), sources, told)
    if isinstance(told, MEMatteSettings):
        return MEMatteRecipe(start_matter(start)[0], frames, told)
    assert isinstance(told, SDMatteSettings)
    return SDMatteRecipe(start_sdmatte(start), frames, told)


def changed(settings: LoopSettings, values: Mapping[str, Any]) -> LoopSettings:
    """Return settings with some values changed.

    Raises:
        PullmatteError: If a value can't be.
    """
    return type(settings).from_dict(settings.to_dict() | dict(values))
