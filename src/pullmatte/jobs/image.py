"""One photo, from file to file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pullmatte.errors import PullmatteError, ReadError, UnsupportedFormat, WriteError
from pullmatte.io.atomic import refuse_input
from pullmatte.io.exr import write_exr
from pullmatte.io.image import (
    FORMATS,
    Picture,
    encode_image,
    load_picture,
    suggest_bit_depth,
    write_image,
)
from pullmatte.matte import Matte
from pullmatte.models.protocol import Image, Opacity, Plane
from pullmatte.prompts import DEFAULT_OBJECT, FramePrompt, Prompt, PromptFile
from pullmatte.sessions.load import Matter

OBJECT_TOKEN = "{object}"
SIDES = ("trimap", "mask", "foreground", "alpha")
PHOTO_SUFFIXES = frozenset([
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".tif",
    ".tiff",
    ".avif",
    ".bmp",
    ".gif",
    ".exr",
    ".heic",
    ".heif",
    ".jp2",
    ".ppm",
    ".pgm",
])


@dataclass(frozen=True)
class ImageOptions:
    """How a matte is written.

    Attributes:
        only_alpha: Write the alpha alone, as a grey picture.
        background: Composite over this colour, ``"checker"`` or picture instead of cutting out.
        foreground: Estimate the object's own colours; else the photo's stand in.
        opacity: Whether the object is opaque, transparent, or to be found out.
        premultiplied: Write colour multiplied by alpha; None: EXR yes, everything else no.
        bit_depth: 8 or 16; None keeps the photo's own.
        sides: Further pictures to write beside the result: any of `SIDES`.
    """

    only_alpha: bool = False
    background: str | Path | None = None
    foreground: bool = True
    opacity: Opacity = "auto"
    premultiplied: bool | None = None
    bit_depth: int | None = None
    sides: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageReport:
    """What was done to one photo.

    Attributes:
        source: What was read.
        outputs: What was written.
        size: Width and height in pixels.
        coverage: Object name → mean alpha.
    """

    source: str
    outputs: tuple[str, ...]
    size: tuple[int, int]
    coverage: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "source": self.source,
            "outputs": list(self.outputs),
            "size": list(self.size),
            "coverage": {name: round(value, 6) for name, value in self.coverage.items()},
        }


def default_output(source: Path, options: ImageOptions) -> Path:
    """Name the result beside its photo: ``shoe.jpg`` → ``shoe_cutout.png``."""
    suffix = ".exr" if source.suffix.lower() == ".exr" else ".png"
    return source.with_name(f"{source.stem}_{_kind(options)}{suffix}")


def _kind(options: ImageOptions) -> str:
    if options.only_alpha:
        return "alpha"
    return "composite" if options.background is not None else "cutout"


def matte_image(
    matter: Matter,
    source: str | Path | bytes,
    destination: str | Path | BinaryIO,
    prompts: PromptFile | None = None,
    options: ImageOptions | None = None,
    *,
    stream_format: str = "png",
) -> ImageReport:
    """Read a photo, matte it, write the result.

    Several objects go into one EXR as named channels, into a file each where the name holds
    ``{object}``, and are otherwise joined to one alpha.

    Args:
        matter: The loaded model.
        source: A path, or the file's bytes.
        destination: A path, or an open binary stream.
        prompts: What to matte; None or empty takes the whole photo as the box.
        options: How to write it.
        stream_format: File format for a stream.

    Raises:
        ReadError: If the photo can't be read.
        PromptError: If a prompt doesn't fit it.
        WriteError: If the result can't be written, or would replace the photo.
    """
    options = options or ImageOptions()
    if not prompts or not prompts.prompts:
        prompts = PromptFile((FramePrompt(Prompt()),))
    if isinstance(destination, str | Path):
        _check_destination(Path(destination), source, prompts, options)
    picture = load_picture(source)
    mattes = _matte(matter, picture, prompts, options)
    plate = _plate(options, picture)
    if isinstance(destination, str | Path):
        written = list(_write_files(Path(destination), picture, mattes, plate, options))
    else:
        planes = _content(join(mattes), plate, options)
        form = _format(Path(f"-.{stream_format}"), picture, options)
        data = encode_image(stream_format, **planes, **form)
        destination.write(data)
        written = []
    return ImageReport(
        source="-" if isinstance(source, bytes) else str(source),
        outputs=tuple(str(path) for path in written),
        size=(picture.image.shape[1], picture.image.shape[0]),
        coverage={name: float(matte.alpha.mean()) for name, matte in mattes.items()},
    )


def _check_destination(
    destination: Path, source: str | Path | bytes, prompts: PromptFile, options: ImageOptions
) -> None:
    """Refuse an output that would replace the photo, before any work is done."""
    original = None if isinstance(source, bytes) else source
    suggest_bit_depth(destination, 8)
    kind = FORMATS["." + destination.suffix.lower().lstrip(".")]
    if not (kind.alpha or options.only_alpha or options.background is not None):
        raise UnsupportedFormat(
            f"can't write {destination}: {kind.name} holds no alpha; "
            "use .png, .webp, .tif or .exr, or add --bg or --only-alpha"
        )
    for name in prompts.objects:
        resolved = _for_object(destination, name)
        for output in (resolved, *(_side_path(resolved, side) for side in options.sides)):
            refuse_input(output, original, _as_path(options.background))


def _as_path(background: str | Path | None) -> Path | None:
    return background if isinstance(background, Path) else None


def _matte(
    matter: Matter, picture: Picture, prompts: PromptFile, options: ImageOptions
) -> dict[str, Matte]:
    session = matter.open_image(picture.image, foreground=options.foreground)
    mattes = session.predict_objects(prompts, opacity=options.opacity)
    if picture.alpha is not None:
        # What was transparent already stays so.
        for matte in mattes.values():
            matte.alpha = np.minimum(matte.alpha, picture.alpha)
    if not mattes:
        raise ReadError("no prompt is on frame 0, the only frame of a photo: move one there")
    return mattes


def _plate(options: ImageOptions, picture: Picture) -> Image | str | None:
    """Load the new background, fitted to the photo."""
    if not isinstance(options.background, Path):
        return options.background
    return fit_plate(load_picture(options.background).image, picture.image.shape[:2])


def fit_plate(plate: Image, shape: tuple[int, ...]) -> Image:
    """Scale and crop a picture so that it fills `shape` (height, width) without distortion."""
    import cv2

    height, width = shape[:2]
    scale = max(height / plate.shape[0], width / plate.shape[1])
    size = max(width, round(plate.shape[1] * scale)), max(height, round(plate.shape[0] * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(plate, size, interpolation=method)
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    return np.asarray(scaled[top : top + height, left : left + width], np.float32)


def join(mattes: Mapping[str, Matte]) -> Matte:
    """Join several objects to one: ``1 - prod(1 - alpha)``, colours weighted by their alphas."""
    if len(mattes) == 1:
        return next(iter(mattes.values()))
    alphas = np.stack([matte.alpha for matte in mattes.values()])
    alpha: Plane = 1 - np.prod(1 - alphas, axis=0)
    weights = alphas / np.maximum(alphas.sum(axis=0), np.float32(1e-6))
    first = next(iter(mattes.values()))

    def colour() -> Image:
        blend = np.zeros_like(first.image)
        for weight, matte in zip(weights, mattes.values(), strict=True):
            blend += weight[..., None] * matte.foreground
        return np.where((alphas.sum(axis=0) > 1e-6)[..., None], blend, first.foreground)

    return Matte(alpha, first.image, foreground=colour)


def _content(matte: Matte, plate: Image | str | None, options: ImageOptions) -> dict[str, Any]:
    """Choose the planes that are written."""
    if options.only_alpha:
        return {"image": None, "alpha": matte.alpha}
    if plate is not None:
        return {"image": matte.composite(plate), "alpha": None}
    return {"image": matte.foreground, "alpha": matte.alpha}


def _format(path: Path, picture: Picture, options: ImageOptions) -> dict[str, Any]:
    return {
        "bit_depth": options.bit_depth or suggest_bit_depth(path, picture.bit_depth),
        "icc": None if options.only_alpha else picture.icc,
        "premultiplied": options.premultiplied,
    }


def _write_files(
    destination: Path,
    picture: Picture,
    mattes: Mapping[str, Matte],
    plate: Image | str | None,
    options: ImageOptions,
) -> Iterator[Path]:
    """Write the result and its sides, and name each file as it is done."""
    if OBJECT_TOKEN in destination.name:
        parts = {_for_object(destination, name): matte for name, matte in mattes.items()}
    else:
        parts = {destination: join(mattes)}
    for path, matte in parts.items():
        planes = _content(matte, plate, options)
        if path.suffix.lower() == ".exr":
            _write_exr(path, planes, {} if len(parts) > 1 else mattes, options)
        else:
            write_image(path, **planes, **_format(path, picture, options))
        yield path
        for side in options.sides:
            yield _write_side(side, path, matte, mattes, picture, options)


def _write_exr(
    path: Path, planes: dict[str, Any], mattes: Mapping[str, Matte], options: ImageOptions
) -> None:
    """Write an EXR; objects that were given names get channels of their own."""
    named = {name: matte.alpha for name, matte in mattes.items()} if _is_named(mattes) else None
    write_exr(path, mattes=named, premultiplied=options.premultiplied is not False, **planes)


def _is_named(mattes: Mapping[str, Matte]) -> bool:
    return bool(mattes) and list(mattes) != [DEFAULT_OBJECT]


def _write_side(
    side: str,
    path: Path,
    matte: Matte,
    mattes: Mapping[str, Matte],
    picture: Picture,
    options: ImageOptions,
) -> Path:
    """Write one side picture beside `path`."""
    output = _side_path(path, side)
    form = _format(output, picture, options)
    if side == "foreground":
        write_image(output, image=matte.foreground, alpha=None, **form)
        return output
    plane = _side_plane(side, matte, mattes)
    depth = form["bit_depth"] if side == "alpha" else 8
    write_image(output, image=None, alpha=plane, bit_depth=depth)
    return output


def _side_plane(side: str, matte: Matte, mattes: Mapping[str, Matte]) -> Plane:
    if side == "alpha":
        return matte.alpha
    own = [matte] if getattr(matte, side) is not None else list(mattes.values())
    planes = [getattr(each, side) for each in own]
    if any(plane is None for plane in planes):
        raise WriteError(f"no {side} to write: this model makes none; leave --side {side} out")
    plane: Plane = np.max(np.stack(planes).astype(np.float32), axis=0)
    return plane


def _for_object(destination: Path, name: str) -> Path:
    return destination.with_name(destination.name.replace(OBJECT_TOKEN, name))


def _side_path(path: Path, side: str) -> Path:
    suffix = path.suffix if side == "foreground" else ".png"
    return path.with_name(f"{path.stem}_{side}{suffix}")


def find_photos(folder: Path) -> list[Path]:
    """List the photos below `folder`, in order of their paths.

    Raises:
        ReadError: If there is none.
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PHOTO_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        raise ReadError(f"no photo in {folder}: give a folder with images, or one image")
    return found


def matte_folder(
    matter: Matter,
    folder: Path,
    destination: Path,
    prompts: PromptFile | None = None,
    options: ImageOptions | None = None,
) -> Iterator[tuple[Path, ImageReport | PullmatteError]]:
    """Matte every photo below a folder into the same tree elsewhere; a failed one stops nothing.

    Args:
        matter: The loaded model.
        folder: Where the photos are.
        destination: Where the tree of results goes.
        prompts: As for `matte_image`, the same for every photo.
        options: As for `matte_image`.

    Yields:
        Each photo with its report, or with the error that stopped it.

    Raises:
        ReadError: If the folder holds no photo.
        WriteError: If the two folders are the same.
    """
    options = options or ImageOptions()
    if destination.resolve() == folder.resolve():
        raise WriteError(f"{destination} is the folder of the photos: give another one for results")
    photos = [photo for photo in find_photos(folder) if destination not in photo.parents]
    names = _output_names(photos, folder, options)
    for photo in photos:
        output = destination / names[photo]
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            yield photo, matte_image(matter, photo, output, prompts, options)
        except PullmatteError as error:
            yield photo, error
        except OSError as error:
            yield photo, WriteError(f"can't write {output}: {error.strerror}")


def _output_names(photos: list[Path], folder: Path, options: ImageOptions) -> dict[Path, Path]:
    """Name each result; photos that differ in their suffix alone keep it in the name."""
    plain = {p: default_output(p, options).relative_to(folder) for p in photos}
    taken = list(plain.values())
    return {
        photo: (
            name
            if taken.count(name) == 1
            else name.with_name(f"{photo.name.replace('.', '_')}_{_kind(options)}{name.suffix}")
        )
        for photo, name in plain.items()
    }
