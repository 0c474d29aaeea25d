"""From a model's name to something that opens images and clips."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from pullmatte.errors import PullmatteError
from pullmatte.matte import as_image
from pullmatte.models import DEFAULT_MODEL, ModelSpec, find_spec
from pullmatte.models.protocol import Image, Model
from pullmatte.sessions.clip import FrameSource, as_clip
from pullmatte.sessions.image import ImageSession
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
            image: `H W 3` (or grey `H W`) array, floats in [0, 1] or unsigned integers of full
                range, or a PIL image, whose EXIF turn is applied. It isn't changed; don't change
                it either while the session is in use.
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
            clip: What `pullmatte.open_video` returns, a `T H W 3` array, or a list of images.
            foreground: Whether mattes estimate the object's own colour.
            store: Where alphas that were made out of order wait; in memory by default.

        Raises:
            ReadError: If it isn't a clip.
        """
        return VideoSession(self.model, as_clip(clip), foreground=foreground, store=store)


def load(
    name: str = DEFAULT_MODEL, *, device: str = "auto", dtype: str | None = None, **options: Any
) -> Matter:
    """Load a model by name.

    Args:
        name: One of `pullmatte.MODELS`.
        device: Where it runs; ``"auto"`` takes the best that the model and this machine share.
        dtype: Its precision, such as ``"float32"``; None takes the model's own.
        **options: Settings of that model.

    Raises:
        UnknownModel: If there is no model of that name.
        PullmatteError: If the model has no such device, precision or setting.
    """
    spec = find_spec(name)
    _check_choice(spec, "device", device, ("auto", *spec.devices))
    _check_choice(spec, "dtype", dtype or spec.dtypes[0], spec.dtypes)
    try:
        return Matter(spec, spec.build(**options))
    except TypeError as error:
        raise PullmatteError(f"model {name!r}: {error}") from error


def _check_choice(spec: ModelSpec, what: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise PullmatteError(
            f"model {spec.name!r} has no {what} {given!r}: give {' or '.join(known)}"
        )
