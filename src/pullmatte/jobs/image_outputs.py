"""The files that a photo's job writes: what of its mattes goes into each, in which form."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pullmatte.errors import UnsupportedFormat, WriteError
from pullmatte.io.atomic import shown
from pullmatte.io.exr import write_exr
from pullmatte.io.image import FORMATS, Picture, encode_image, suggest_bit_depth, write_image
from pullmatte.jobs.backdrop import Backdrop
from pullmatte.jobs.blending import join
from pullmatte.jobs.edge import edited
from pullmatte.jobs.image_options import ImageOptions
from pullmatte.jobs.naming import OBJECT_TOKEN, for_object
from pullmatte.matte import Matte
from pullmatte.models.protocol import Plane
from pullmatte.prompts import DEFAULT_OBJECT


class ImageOutputs:
    """Writes the mattes of one photo as its options say."""

    def __init__(self, picture: Picture, options: ImageOptions) -> None:
        """Load what lies behind the subject, if anything.

        Raises:
            ReadError: If the background can't be read.
            PullmatteError: If the look's text can't be drawn.
        """
        self._picture, self._options, self._look = picture, options, options.whole_look
        self._backdrop = Backdrop(self._look, picture.size) if options.is_composite else None

    def write(self, destination: Path, mattes: Mapping[str, Matte]) -> Iterator[Path]:
        """Write the result and its sides, and name each file as it is done.

        Args:
            destination: The result's name, with ``{object}`` for one file an object.
            mattes: Object name → matte, as the model made it.

        Raises:
            WriteError: If one can't be written.
        """
        if OBJECT_TOKEN in destination.name:
            parts = {for_object(destination, name): matte for name, matte in mattes.items()}
        else:
            parts = {destination: join(mattes)}
        for path, matte in parts.items():
            planes = self._planes(matte)
            if path.suffix.lower() == ".exr":
                self._write_exr(path, planes, {} if OBJECT_TOKEN in destination.name else mattes)
            else:
                write_image(path, **planes, **self._form(path))
            yield path
            for side in self._options.sides:
                yield self._write_side(side, path, matte, mattes)

    def stream(
        self, destination: BinaryIO, stream_format: str, mattes: Mapping[str, Matte]
    ) -> None:
        """Write the result into a stream.

        Args:
            destination: Open for bytes.
            stream_format: File format.
            mattes: As for `write`.
        """
        form = self._form(Path(f"-.{stream_format}"))
        destination.write(encode_image(stream_format, **self._planes(join(mattes)), **form))

    def _planes(self, matte: Matte) -> dict[str, Any]:
        """Choose the planes that are written."""
        if self._backdrop is not None:
            return {"image": self._backdrop.lay(matte, limit=self._picture.alpha), "alpha": None}
        subject = self._edited(matte)
        colour = None if self._options.only_alpha else subject.foreground
        return {"image": colour, "alpha": subject.alpha}

    def _edited(self, matte: Matte) -> Matte:
        # What was transparent already stays so, wherever the edge is moved.
        return edited(matte, self._look, self._picture.alpha)

    def _form(self, path: Path) -> dict[str, Any]:
        options = self._options
        return {
            "bit_depth": options.bit_depth or suggest_bit_depth(path, self._picture.bit_depth),
            "icc": None if options.only_alpha else self._picture.icc,
            "premultiplied": options.premultiplied,
        }

    def _write_exr(self, path: Path, planes: dict[str, Any], mattes: Mapping[str, Matte]) -> None:
        """Write an EXR; objects that were given names get channels of their own."""
        named = None
        if mattes and list(mattes) != [DEFAULT_OBJECT]:
            named = {name: self._edited(matte).alpha for name, matte in mattes.items()}
        associated = self._options.premultiplied is not False
        write_exr(path, mattes=named, premultiplied=associated, **planes)

    def _write_side(self, side: str, path: Path, matte: Matte, mattes: Mapping[str, Matte]) -> Path:
        """Write one side picture beside `path`."""
        output = side_path(path, side)
        form = self._form(output)
        if side == "foreground":
            write_image(output, image=matte.foreground, alpha=None, **form)
            return output
        is_alpha = side == "alpha"
        plane = self._edited(matte).alpha if is_alpha else _side_plane(side, matte, mattes)
        write_image(output, image=None, alpha=plane, bit_depth=form["bit_depth"] if is_alpha else 8)
        return output


def try_format(destination: Path, options: ImageOptions) -> None:
    """Find out by one pixel that the format holds what it should.

    Args:
        destination: The output.
        options: How it is written.

    Raises:
        UnsupportedFormat: If it doesn't.
    """
    suggested = suggest_bit_depth(destination, 8)
    kind, name = FORMATS[destination.suffix.lower()], shown(destination)
    cutout = not options.only_alpha and not options.is_composite
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


def side_path(path: Path, side: str) -> Path:
    """Name a side picture: ``out.png`` → ``out_trimap.png``."""
    suffix = path.suffix if side == "foreground" else ".png"
    return path.with_name(f"{path.stem}_{side}{suffix}")


def _side_plane(side: str, matte: Matte, mattes: Mapping[str, Matte]) -> Plane:
    own = [matte] if getattr(matte, side) is not None else list(mattes.values())
    planes = [getattr(each, side) for each in own]
    if any(plane is None for plane in planes):
        raise WriteError(f"no {side} to write: this model makes none; leave --side {side} out")
    plane: Plane = np.max(np.stack(planes).astype(np.float32), axis=0)
    return plane
