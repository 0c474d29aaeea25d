"""One photo, from file to file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pullmatte.errors import ReadError, UnsupportedFormat, WriteError
from pullmatte.io.atomic import shown
from pullmatte.io.exr import write_exr
from pullmatte.io.image import (
    FORMATS,
    Picture,
    encode_image,
    load_picture,
    suggest_bit_depth,
    write_image,
)
from pullmatte.jobs.blending import fit_plate, join
from pullmatte.jobs.naming import OBJECT_TOKEN, check_outputs, for_object
from pullmatte.matte import Matte
from pullmatte.models.protocol import Image, Opacity, Plane
from pullmatte.prompts import DEFAULT_OBJECT, FramePrompt, Prompt, PromptFile
from pullmatte.sessions.image import check_caption
from pullmatte.sessions.load import Matter
from pullmatte.sessions.prompt_kinds import check_kinds, taken

SIDES = ("trimap", "mask", "foreground", "alpha")


@dataclass(frozen=True)
class ImageOptions:
    """How a matte is written.

    Attributes:
        only_alpha: Write the alpha alone, as a grey picture.
        background: Composite over this colour, ``"checker"`` or picture instead of cutting out.
        foreground: Estimate the object's own colours; else the photo's stand in.
        opacity: Whether the object is opaque, transparent, or to be found out.
        caption: The object in words, for models that read any.
        premultiplied: Write colour multiplied by alpha; None: EXR yes, everything else no.
        bit_depth: 8 or 16; None keeps the photo's own.
        sides: Further pictures to write beside the result: any of `SIDES`.
    """

    only_alpha: bool = False
    background: str | Path | None = None
    foreground: bool = True
    opacity: Opacity = "auto"
    caption: str | None = None
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
    return source.with_name(f"{source.stem}_{kind_of(options)}{suffix}")


def kind_of(options: ImageOptions) -> str:
    """Return the word that names what is written: cutout, alpha or composite."""
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
    reserved: Sequence[Path] = (),
    started: Callable[[], None] | None = None,
) -> ImageReport:
    """Read a photo, matte it, write the result.

    Several objects go into one EXR as named channels, into a file each where the name holds
    ``{object}``, and are otherwise joined to one alpha. Of a prompt, parts of a kind that the model
    doesn't take are left out where there are others.

    Args:
        matter: The loaded model.
        source: A path, or the file's bytes.
        destination: A path, or an open binary stream.
        prompts: What to matte; None or empty takes the whole photo as the box.
        options: How to write it.
        stream_format: File format for a stream.
        reserved: Further files that no output may replace, such as the mask that was read.
        started: Called when everything given was found usable, before the work begins.

    Returns:
        What was done.

    Raises:
        ReadError: If the photo can't be read.
        PromptError: If a prompt doesn't fit it.
        WriteError: If the result can't be written, or would replace the photo.
    """
    options = options or ImageOptions()
    if not prompts or not prompts.prompts:
        prompts = PromptFile((FramePrompt(Prompt()),))
    if isinstance(destination, str | Path):
        _check_destination(Path(destination), source, prompts, options, reserved)
    picture = load_picture(source)
    plate = _plate(options, picture)
    check_said(matter, prompts, options)
    prompts.check(*picture.size)
    if started is not None:
        started()
    mattes = _matte(matter, picture, prompts, options)
    if isinstance(destination, str | Path):
        written = list(_write_files(Path(destination), picture, mattes, plate, options))
    else:
        planes = _content(join(mattes), plate, options)
        form = _format(Path(f"-.{stream_format}"), picture, options)
        destination.write(encode_image(stream_format, **planes, **form))
        written = [Path("-")]
    return ImageReport(
        source="-" if isinstance(source, bytes) else str(source),
        outputs=tuple(str(path) for path in written),
        size=picture.size,
        coverage={name: float(matte.alpha.mean()) for name, matte in mattes.items()},
    )


def check_said(matter: Matter, prompts: PromptFile | None, options: ImageOptions) -> None:
    """Refuse prompts of which the model takes nothing, whatever the photo.

    Args:
        matter: The loaded model.
        prompts: What to matte.
        options: With the caption, if any.

    Raises:
        PromptError: If it doesn't take them.
    """
    check_caption(matter.spec, options.caption, understood=matter.captions)
    for said in prompts.on_frame(0).values() if prompts else ():
        check_kinds(matter.spec, said)


def _check_destination(
    destination: Path,
    source: str | Path | bytes,
    prompts: PromptFile,
    options: ImageOptions,
    reserved: Sequence[Path],
) -> None:
    """Refuse an output that can't be, or that would replace an input, before any work is done."""
    original = None if isinstance(source, bytes) else source
    outputs = [
        path
        for main in dict.fromkeys(for_object(destination, name) for name in prompts.objects)
        for path in (main, *(_side_path(main, side) for side in options.sides))
    ]
    check_outputs(outputs, original, _as_path(options.background), *reserved)
    _try_format(destination, options)


def _try_format(destination: Path, options: ImageOptions) -> None:
    """Find out by one pixel that the format holds what it should."""
    suggested = suggest_bit_depth(destination, 8)
    kind, name = FORMATS[destination.suffix.lower()], shown(destination)
    cutout = not options.only_alpha and options.background is None
    if cutout and not kind.alpha:
        raise UnsupportedFormat(
            f"can't write {name}: {kind.name} holds no alpha; "
            "use .png, .webp, .tif or .exr, or add --bg or --only-alpha"
        )
    encode_image(
        destination.suffix,
        image=None if options.only_alpha else np.zeros((1, 1, 3), np.float32),
        alpha=np.zeros((1, 1), np.float32) if cutout or options.only_alpha else None,
        bit_depth=options.bit_depth or suggested,
        premultiplied=options.premultiplied,
        name=name,
    )


def _as_path(background: str | Path | None) -> Path | None:
    return background if isinstance(background, Path) else None


def _matte(
    matter: Matter, picture: Picture, prompts: PromptFile, options: ImageOptions
) -> dict[str, Matte]:
    session = matter.open_image(picture.image, foreground=options.foreground)
    said = {name: taken(matter.spec, each) for name, each in prompts.on_frame(0).items()}
    mattes = session.predict_objects(said, opacity=options.opacity, caption=options.caption)
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
        parts = {for_object(destination, name): matte for name, matte in mattes.items()}
    else:
        parts = {destination: join(mattes)}
    for path, matte in parts.items():
        planes = _content(matte, plate, options)
        if path.suffix.lower() == ".exr":
            _write_exr(path, planes, {} if OBJECT_TOKEN in destination.name else mattes, options)
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


def _side_path(path: Path, side: str) -> Path:
    suffix = path.suffix if side == "foreground" else ".png"
    return path.with_name(f"{path.stem}_{side}{suffix}")
