"""One photo, from file to file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pullmatte.errors import ReadError
from pullmatte.io.image import MAX_PIXELS, Picture, load_picture
from pullmatte.jobs.image_options import SIDES, ImageOptions
from pullmatte.jobs.image_outputs import ImageOutputs, side_path, try_format
from pullmatte.jobs.naming import check_outputs, for_object
from pullmatte.matte import Matte
from pullmatte.prompts import FramePrompt, Prompt, PromptFile
from pullmatte.sessions.image import check_caption
from pullmatte.sessions.load import Matter
from pullmatte.sessions.prompt_kinds import check_kinds, taken

__all__ = [
    "SIDES",
    "ImageOptions",
    "ImageReport",
    "check_said",
    "default_output",
    "kind_of",
    "matte_image",
]


@dataclass(frozen=True)
class ImageReport:
    """What was done to one photo.

    Attributes:
        source: What was read.
        outputs: What was written.
        size: Width and height in pixels.
        coverage: Object name → mean alpha, before a look edits it.
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
    return "composite" if options.is_composite else "cutout"


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
    max_pixels: int = MAX_PIXELS,
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
        max_pixels: Refuse photos that declare more.

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
    picture = load_picture(source, max_pixels=max_pixels)
    outputs = ImageOutputs(picture, options)
    check_said(matter, prompts, options)
    prompts.check(*picture.size)
    if started is not None:
        started()
    mattes = _matte(matter, picture, prompts, options)
    if isinstance(destination, str | Path):
        written = list(outputs.write(Path(destination), mattes))
    else:
        outputs.stream(destination, stream_format, mattes)
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
        for path in (main, *(side_path(main, side) for side in options.sides))
    ]
    check_outputs(outputs, original, options.whole_look.path, *reserved)
    try_format(destination, options)


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
