"""From a model's name to something that opens images and clips."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, cast

from numpy.typing import ArrayLike

from pullmatte.errors import PullmatteError, WeightsError
from pullmatte.matte import as_image
from pullmatte.models import DEFAULT_MODEL, MODELS, ModelSpec
from pullmatte.models.protocol import Image, Model, Opacity, VideoModel
from pullmatte.models.weights import keeps_matter
from pullmatte.sessions.batching import BATCH_SIZE
from pullmatte.sessions.building import build_model, find_model
from pullmatte.sessions.clip import FrameSource, as_clip
from pullmatte.sessions.device import choose_device, choose_dtype
from pullmatte.sessions.editing import EditOptions, EditSession
from pullmatte.sessions.finishing import Finish
from pullmatte.sessions.image import ImageSession
from pullmatte.sessions.project_store import ProjectStore
from pullmatte.sessions.store import AlphaStore
from pullmatte.sessions.video import VideoSession

_SAME_MATTES = frozenset({"batch_size"})
"""Settings that make no difference to the mattes."""


class Matter:
    """A loaded model. It opens images and clips, and keeps nothing of them itself.

    Attributes:
        spec: What is known of the model: name, licence, commercial use. Where it is made of two,
            the names are joined by ``+`` and the terms of both hold.
        model: The model behind `pullmatte.models.protocol.Model`.
        device: Where it runs.
        dtype: Its precision.
        options: Settings that were given, by name; they belong to what makes two runs the same.
        captions: Whether words about the object help: the model reads them, and has what it
            needs for that.
    """

    def __init__(
        self,
        spec: ModelSpec,
        model: Model,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        options: Mapping[str, Any] | None = None,
        captions: bool | None = None,
    ) -> None:
        self.spec = spec
        self.model = model
        self.device = device
        self.dtype = dtype
        self.options = dict(options or {})
        self.captions = spec.captions if captions is None else captions

    def __repr__(self) -> str:
        return f"Matter({self.label!r})"

    @property
    def label(self) -> str:
        """Name with all settings that make a difference to the mattes: equal labels, equal runs."""
        said = {name: value for name, value in self.options.items() if name not in _SAME_MATTES}
        if self.dtype != self.spec.dtypes[0]:
            said["dtype"] = self.dtype
        settings = ", ".join(f"{name}={said[name]}" for name in sorted(said))
        return f"{self.spec.name} ({settings})" if settings else self.spec.name

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
        return ImageSession(
            self.model,
            as_image(image),
            foreground=foreground,
            spec=self.spec,
            batch_size=self.options.get("batch_size") or BATCH_SIZE,
        )

    def open_video(
        self,
        clip: FrameSource | Sequence[ArrayLike] | Image,
        *,
        foreground: bool = True,
        steady: float = 0.0,
        sum_to_one: bool = False,
        store: AlphaStore | None = None,
    ) -> VideoSession:
        """Open a clip, to be prompted on any frame, and matted in passes.

        Args:
            clip: What `pullmatte.open_video` returns, a `T H W 3` array, or a list of images.
            foreground: Whether mattes estimate the object's own colour.
            steady: How strongly alpha is steadied in time where it is uncertain; 0 for not at all.
            sum_to_one: Whether objects share a pixel that they claim together more than once.
            store: Where alphas that were made out of order wait; in memory by default.

        Raises:
            PullmatteError: If the model mattes photos only, or a setting is out of range.
            ReadError: If it isn't a clip.
        """
        check_video(self.spec)
        finish = Finish(foreground, steady, sum_to_one)
        return VideoSession(cast(VideoModel, self.model), as_clip(clip), finish=finish, store=store)

    def edit_video(
        self,
        clip: FrameSource | Sequence[ArrayLike] | Image,
        project: ProjectStore | None = None,
        *,
        foreground: bool = True,
        steady: float = 0.0,
        sum_to_one: bool = False,
        opacity: Opacity = "auto",
    ) -> EditSession:
        """Open a clip to work on: results are kept, and corrected where it is needed.

        Args:
            clip: As for `open_video`.
            project: Where results are kept, such as what `pullmatte.open_project` returns; opened
                again, it goes on where it was. In memory unless given.
            foreground: As for `open_video`.
            steady: As for `open_video`.
            sum_to_one: As for `open_video`.
            opacity: Whether the objects are opaque, transparent, or to be found out.

        Raises:
            PullmatteError: If the model mattes photos only, or the project was made with another
                clip, model or setting.
            ReadError: If it isn't a clip, or the project is damaged.
        """
        check_video(self.spec)
        finish = Finish(foreground, steady, sum_to_one)
        options = EditOptions(finish, opacity, label=self.label)
        return EditSession(cast(VideoModel, self.model), as_clip(clip), project, options)


def load(
    name: str | PathLike[str] = DEFAULT_MODEL,
    *,
    device: str = "auto",
    dtype: str | None = None,
    matter: str | PathLike[str] | None = None,
    tiles: bool = False,
    **options: Any,
) -> Matter:
    """Load a model by name.

    Args:
        name: One of `pullmatte.MODELS`, or a path: a folder that ``pullmatte models convert``
            wrote, or a safetensors file with the released names.
        device: Where it runs, such as ``"cuda:1"``; ``"auto"`` takes the best that the model and
            this machine share.
        dtype: Its precision, such as ``"float32"``; None takes the model's own.
        matter: A second model, which works out the edge of what the first has found; any that
            takes trimaps. Models that make trimaps hand them to it as they are, and take the best
            that is here unless one is given; of others transparent objects stay with the first.
        tiles: For models with a fixed input size: work out edges again at the photo's full
            resolution, tile by tile. It takes several times as long.
        **options: Settings of the first model.

    Raises:
        UnknownModel: If there is no model of that name.
        WeightsError: If its weights aren't here, or aren't usable.
        MissingDependency: If it needs a package that isn't installed.
        PullmatteError: If the model has no such device, precision or setting, or can't be
            combined in that way.
    """
    spec, weights = find_model(fspath(name))
    if matter is not None:
        _check_second(spec, fspath(matter))
    if tiles and spec.size_px is None:
        raise PullmatteError(
            f"model {spec.name!r} sees photos at their full size anyway: leave tiles out, or "
            f"take one of {_named(lambda each: each.size_px is not None)}"
        )
    place, precision = choose_device(spec, device), choose_dtype(spec, dtype)
    second = _matter_for(spec, weights, matter, device)
    inside = second.model if second is not None and spec.matters else None
    given = None if dtype is None else precision
    model = build_model(spec, weights, place, given, options, inside)
    # What was built knows better than the table: weights may come in another precision or size.
    precision = str(getattr(model, "dtype", precision)).removeprefix("torch.")
    captions = spec.captions and bool(getattr(model, "captions", True))
    if tiles:
        spec, model = _tiled(spec, model, options)
    if second is not None and not spec.matters:
        model = _joined_model(model, second.model)
    said = options if fspath(name) in MODELS else {**options, "weights": fspath(name)}
    if second is not None and second.label != second.spec.name:
        # The name will be in the joined name; with settings or weights the label says more.
        said = {**said, "matter": second.label}
    other = _kept_matter(spec, weights) if second is None else second.spec
    spec = spec if other is None else _joined_spec(spec, other)
    return Matter(spec, model, device=place, dtype=precision, options=said, captions=captions)


def _matter_for(
    spec: ModelSpec, weights: Path | None, matter: str | PathLike[str] | None, device: str
) -> Matter | None:
    """Load the second model that was named, or that the first can't do without."""
    if matter is None:
        if not spec.matters or spec.files or (weights is not None and keeps_matter(weights)):
            return None
        wanted = _matter_at_hand(spec)
    else:
        wanted = fspath(matter)
    near = device if device.partition(":")[0] in find_model(wanted)[0].devices else "auto"
    return load(wanted, device=near)


def _kept_matter(spec: ModelSpec, weights: Path | None) -> ModelSpec | None:
    """Return what is known of the matter that lies beside a model's weights, if one does."""
    if not spec.matters or spec.files or weights is None or not keeps_matter(weights):
        return None
    from pullmatte.models.mam2.kept_matter import kept_spec

    return kept_spec(weights)


def _matter_at_hand(spec: ModelSpec) -> str:
    """Choose the preferred one of the matters whose weights are here."""
    for name in spec.matters:
        with suppress(WeightsError):
            find_model(name)
            return name
    raise PullmatteError(
        f"model {spec.name!r} needs a matter: get the weights of {' or '.join(spec.matters)}"
    )


def check_video(spec: ModelSpec) -> None:
    """Refuse a model that doesn't track through clips.

    Raises:
        PullmatteError: If it doesn't; the message names those that do.
    """
    if not spec.video:
        raise PullmatteError(
            f"model {spec.name!r} mattes photos only: for clips take "
            f"{_named(lambda each: each.video)}"
        )


def _check_second(spec: ModelSpec, name: str) -> None:
    """Refuse a second model that can't be one."""
    other, _ = find_model(name)
    if not other.is_matter:
        raise PullmatteError(
            f"model {other.name!r} is no matter for trimaps: give as matter one of "
            f"{_named(lambda each: each.is_matter)}"
        )
    if other.name == spec.name:
        raise PullmatteError(f"model {spec.name!r} given twice: leave matter out")


def _named(fits: Callable[[ModelSpec], bool]) -> str:
    return " or ".join(name for name, spec in MODELS.items() if fits(spec))


def _tiled(spec: ModelSpec, model: Model, options: Mapping[str, Any]) -> tuple[ModelSpec, Model]:
    from pullmatte.sessions.tiling import Tiled

    size_px = int(getattr(model, "size_px", 0) or options.get("size_px") or spec.size_px or 0)
    tiled = Tiled(model, size_px, by_mask="mask" in spec.prompts)
    return replace(spec, name=f"{spec.name}+tiles", video=False), tiled


def _joined_spec(spec: ModelSpec, other: ModelSpec) -> ModelSpec:
    return replace(
        spec,
        name=f"{spec.name}+{other.name}",
        licence=" + ".join(dict.fromkeys((spec.licence, other.licence))),
        commercial_use=spec.commercial_use and other.commercial_use,
        restrictions="; ".join(
            filter(None, dict.fromkeys((spec.restrictions, other.restrictions)))
        ),
        links=tuple(dict.fromkeys((*spec.links, *other.links))),
        prompts=tuple(dict.fromkeys((*spec.prompts, "trimap"))),
    )


def _joined_model(model: Model, second: Model) -> Model:
    from pullmatte.sessions.second_stage import SecondStage

    return SecondStage(model, second)
