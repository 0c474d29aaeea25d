"""A folder of photos: the same tree of results elsewhere; a failed photo stops nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path

from pullmatte.errors import PullmatteError, ReadError, WriteError
from pullmatte.jobs.image import (
    ImageOptions,
    ImageReport,
    check_said,
    default_output,
    kind_of,
    matte_image,
)
from pullmatte.jobs.naming import PHOTO_SUFFIXES
from pullmatte.prompts import PromptFile
from pullmatte.sessions.load import Matter
from pullmatte.sessions.out_of_memory import OUT_OF_MEMORY, is_out_of_memory

Progress = Callable[[int, int], None]
"""Called with the photos done and the photos in all."""


def find_photos(folder: Path, but: Path | None = None) -> list[Path]:
    """List the photos below a folder, in order of their paths; hidden ones are passed over.

    Args:
        folder: Where to look.
        but: A folder inside that holds results, not photos.

    Raises:
        ReadError: If there is none, or the folder can't be listed.
    """
    apart = None if but is None else but.resolve()
    try:
        found = sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in PHOTO_SUFFIXES
            and path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(folder).parts)
            and apart not in path.resolve().parents
        )
    except OSError as error:
        raise ReadError(f"can't list {folder}: {error.strerror}; check the folder") from error
    if not found:
        raise ReadError(f"no photo in {folder}: give a folder with images, or one image")
    return found


def matte_folder(
    matter: Matter,
    folder: Path,
    destination: Path,
    prompts: PromptFile | None = None,
    options: ImageOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Iterator[tuple[Path, ImageReport | PullmatteError]]:
    """Matte every photo below a folder into the same tree elsewhere; a failed one stops nothing.

    Args:
        matter: The loaded model.
        folder: Where the photos are.
        destination: Where the tree of results goes; made when missing.
        prompts: As for `matte_image`, the same for every photo.
        options: As for `matte_image`.
        progress: Called when the folders were found usable, and after each photo.

    Yields:
        Each photo with its report, or with the error that stopped it.

    Raises:
        ReadError: If the folder holds no photo.
        PromptError: If the model doesn't take the prompts.
        WriteError: If the two folders are the same, or the results' folder can't be made.
    """
    options = options or ImageOptions()
    check_said(matter, prompts, options)
    _check_folders(folder, destination)
    photos = find_photos(folder, destination)
    _make_folder(destination)
    names = _output_names(photos, folder, options)
    if progress is not None:
        progress(0, len(photos))
    for done, photo in enumerate(photos, start=1):
        output = destination / names[photo]
        yield photo, _one(matter, photo, output, prompts, options)
        if progress is not None:
            progress(done, len(photos))


def _one(
    matter: Matter,
    photo: Path,
    output: Path,
    prompts: PromptFile | None,
    options: ImageOptions,
) -> ImageReport | PullmatteError:
    """Matte one photo and hand back what went wrong instead of raising it."""
    try:
        _make_folder(output.parent)
        return matte_image(matter, photo, output, prompts, options)
    except PullmatteError as error:
        return error
    except Exception as error:
        if is_out_of_memory(error):
            return PullmatteError(OUT_OF_MEMORY)
        # Thousands of photos must not wait for a bug that one of them brings out.
        said = " ".join(str(error).split())
        return PullmatteError(
            f"a bug in pullmatte ({type(error).__name__}: {said}): "
            "run this photo alone to see where"
        )


def _check_folders(folder: Path, destination: Path) -> None:
    if destination.resolve() == folder.resolve():
        raise WriteError(f"{destination} is the folder of the photos: give another one for results")
    if destination.exists() and not destination.is_dir():
        raise WriteError(
            f"{destination} is a file and {folder} a folder: name a folder for the results"
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(
            f"can't make the folder {folder}: {error.strerror}; choose another one"
        ) from error


def _output_names(photos: list[Path], folder: Path, options: ImageOptions) -> dict[Path, Path]:
    """Name each result; photos that differ in their suffix alone keep it in the name."""
    plain = {photo: default_output(photo, options).relative_to(folder) for photo in photos}
    taken = list(plain.values())
    return {
        photo: name if taken.count(name) == 1 else _with_suffix(photo, name, options)
        for photo, name in plain.items()
    }


def _with_suffix(photo: Path, name: Path, options: ImageOptions) -> Path:
    return name.with_name(f"{photo.name.replace('.', '_')}_{kind_of(options)}{name.suffix}")
