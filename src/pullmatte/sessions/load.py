"""From a model's name to something that opens images and clips."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pullmatte.models import DEFAULT_MODEL, ModelSpec, find_spec
from pullmatte.models.protocol import Image, Model
from pullmatte.sessions.clip import ArrayClip, FrameSource
from pullmatte.sessions.image import ImageSession, as_image
from pullmatte.sessions.store import AlphaStore
from pullmatte.sessions.video import VideoSession


class Matter:
    """A loaded model. It opens images and clips, and keeps nothing of them itself.

    Attributes:
        spec: What is known of the model: name, licence, commercial use.
        model: The model behind `pullmatte.models.protocol.Model`.
    """

    def __init__(self, spec: ModelSpec, model: Model) -> None:
        self.spec = spec
        self.model = model

    def __repr__(self) -> str:
        return f"Matter({self.spec.name!r})"

    def open_image(self, image: ArrayLike | Any, *, foreground: bool = True) -> ImageSession:
        """Encode an image once, to be prompted many times.

        Args:
            image: `H W 3` (or grey `H W`) array, floats in [0, 1] or integers of full range, or
                a PIL image. It isn't changed.
            foreground: Whether mattes estimate the object's own colour.

        Raises:
            ReadError: If it isn't an image.
        """
        return ImageSession(self.model, as_image(image), foreground=foreground)

    def open_video(
        self,
        clip: FrameSource | Sequence[ArrayLike] | Image,
        *,
        foreground: bool = True,
        store: AlphaStore | None = None,
    ) -> VideoSession:
        """Open a clip, to be prompted on any frame.

        Args:
            clip: What `pullmatte.open_video` returns, or `T H W 3` arrays.
            foreground: Whether mattes estimate the object's own colour.
            store: Where alphas that were made out of order wait; in memory by default.

        Raises:
            ReadError: If it isn't a clip.
        """
        source = clip if isinstance(clip, FrameSource) else ArrayClip(list(np.asarray(clip)))
        return VideoSession(self.model, source, foreground=foreground, store=store)


def load(name: str = DEFAULT_MODEL, **options: Any) -> Matter:
    """Load a model by name.

    Args:
        name: One of `pullmatte.MODELS`.
        **options: Settings of that model.

    Raises:
        UnknownModel: If there is no model of that name.
    """
    spec = find_spec(name)
    return Matter(spec, spec.build(**options))
