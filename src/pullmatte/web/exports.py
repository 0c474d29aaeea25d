"""Results as files: the same jobs as the command line's, with the same bytes."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pullmatte.errors import PromptError, PullmatteError, UnsupportedFormat
from pullmatte.io.atomic import replacing
from pullmatte.jobs.image import ImageOptions, matte_image
from pullmatte.jobs.look import Look
from pullmatte.jobs.video import matte_video
from pullmatte.jobs.video_options import VideoOptions, VideoStart
from pullmatte.prompts import PromptFile
from pullmatte.web.desk import Desk, edit_folder
from pullmatte.web.projects import LOOK, Project

Progress = Callable[[int, int], None]
IMAGE_FORMATS = {name: f".{name}" for name in ("png", "webp", "tif", "avif", "exr", "jpg")}
VIDEO_FORMATS = {
    "mov": ".mov",
    "webm": ".webm",
    "mkv": ".mkv",
    "mp4": ".mp4",
    "png_sequence": ".%04d.png",
    "exr_sequence": ".%04d.exr",
}
KINDS = ("cutout", "alpha", "composite")


@dataclass(frozen=True)
class Order:
    """What is to be exported.

    Attributes:
        format: One of `IMAGE_FORMATS` or `VIDEO_FORMATS`.
        kind: One of `KINDS`.
        bits: 8 or 16; None keeps the input's own.
        premultiplied: None is each format's habit.
        objects: Names; None for all.
        first: First frame; None for the clip's.
        last: Last frame; None for the clip's.
        start_frame: First number of a sequence.
        audio: Whether a clip's sound is kept.
    """

    format: str
    kind: str = "cutout"
    bits: int | None = None
    premultiplied: bool | None = None
    objects: tuple[str, ...] | None = None
    first: int | None = None
    last: int | None = None
    start_frame: int | None = None
    audio: bool = True

    def check(self, project: Project, prompts: PromptFile) -> None:
        """Refuse what can't be made of a project.

        Raises:
            PullmatteError: If it can't.
        """
        formats = IMAGE_FORMATS if project.kind == "image" else VIDEO_FORMATS
        if self.format not in formats:
            raise UnsupportedFormat(f"format {self.format!r}: give one of {', '.join(formats)}")
        if self.kind not in KINDS:
            raise PullmatteError(f"kind {self.kind!r}: give one of {', '.join(KINDS)}")
        if self.bits not in (None, 8, 16):
            raise UnsupportedFormat(f"bits {self.bits!r}: give 8 or 16")
        if not prompts.prompts:
            raise PromptError("nothing was said yet, so there is nothing to export: prompt first")
        missing = set(self.objects or ()) - set(prompts.objects)
        if missing or self.objects == ():
            raise PromptError(
                f"object {min(missing, default='none')!r}: choose some of "
                f"{', '.join(prompts.objects)}"
            )
        first, last = self.span(project)
        if not 0 <= first <= last < project.frames:
            raise PromptError(
                f"frames {first}-{last}: the clip has frames 0 to {project.frames - 1}"
            )

    def span(self, project: Project) -> tuple[int, int]:
        """Return the first and the last frame."""
        first = 0 if self.first is None else self.first
        return first, project.frames - 1 if self.last is None else self.last


class Exports:
    """Writes results into projects' folders."""

    def __init__(self, desk: Desk, max_pixels: int) -> None:
        """Take what works on the same projects, with its model.

        Args:
            desk: It.
            max_pixels: Refuse pictures that declare more.
        """
        self.matter, self.projects = desk.matter, desk.projects
        self._desk, self._max_pixels = desk, max_pixels

    def export(self, project_id: str, order: Order, progress: Progress) -> dict[str, Any]:
        """Write what was ordered.

        Args:
            project_id: Of what.
            order: What.
            progress: Called with what is done and what there is in all; may raise to stop.

        Returns:
            The files' names and sizes.

        Raises:
            PullmatteError: If it can't be written.
        """
        project = self.projects.get(project_id)
        prompts = self.projects.prompts(project)
        order.check(project, prompts)
        if order.objects is not None:
            chosen = tuple(p for p in prompts.prompts if p.object in order.objects)
            prompts = PromptFile(chosen, prompts.source, prompts.size)
        folder = self.projects.root / project.id / "exports"
        folder.mkdir(exist_ok=True)
        write = self._image if project.kind == "image" else self._video
        made = write(project, prompts, order, folder, progress)
        place = f"/api/projects/{project.id}/exports"
        return {
            "files": [
                {
                    "name": path.name,
                    "url": f"{place}/{quote(path.name)}",
                    "bytes": path.stat().st_size,
                }
                for path in made
            ]
        }

    def remove(
        self, source: bytes, suffix: str, background: str | None, *, only_alpha: bool
    ) -> tuple[bytes, tuple[int, int]]:
        """Matte a photo that nobody has prompted, as simple services do.

        Args:
            source: The file's bytes.
            suffix: Of the result's format.
            background: Colour behind it; None cuts it out.
            only_alpha: Return the alpha alone.

        Returns:
            The result's bytes, and its width and height.
        """
        stream = BytesIO()
        options = ImageOptions(only_alpha=only_alpha, background=background)
        report = matte_image(
            self.matter,
            source,
            stream,
            None,
            options,
            stream_format=suffix.lstrip("."),
            max_pixels=self._max_pixels,
        )
        return stream.getvalue(), report.size

    def _image(
        self, project: Project, prompts: PromptFile, order: Order, folder: Path, progress: Progress
    ) -> list[Path]:
        options = ImageOptions(
            only_alpha=order.kind == "alpha",
            opacity=project.settings.opacity,
            premultiplied=order.premultiplied,
            bit_depth=order.bits,
            look=self._look(project, order),
        )
        path = folder / f"{_stem(project)}_{order.kind}{IMAGE_FORMATS[order.format]}"
        progress(0, 1)
        report = matte_image(
            self.matter,
            self.projects.input_path(project),
            path,
            prompts,
            options,
            max_pixels=self._max_pixels,
        )
        progress(1, 1)
        return [Path(each) for each in report.outputs]

    def _video(
        self, project: Project, prompts: PromptFile, order: Order, folder: Path, progress: Progress
    ) -> list[Path]:
        settings = project.settings
        options = VideoOptions(
            only_alpha=order.kind == "alpha",
            opacity=settings.opacity,
            premultiplied=order.premultiplied,
            bit_depth=order.bits,
            audio=order.audio,
            start_frame=order.start_frame,
            steady=settings.steady,
            sum_to_one=settings.sum_to_one,
            look=self._look(project, order),
            objects=order.objects,
            span=order.span(project) if (order.first, order.last) != (None, None) else None,
        )
        ending = VIDEO_FORMATS[order.format]
        name = f"{_stem(project)}_{order.kind}"
        place = folder / f"{name}{ending}"
        frames = None
        if "%" in ending:
            frames = folder / name
            frames.mkdir(exist_ok=True)
            for old in frames.iterdir():
                old.unlink()
            place = frames / f"{name}{ending}"
        start = VideoStart(project=edit_folder(self.projects.root, project))
        source = self.projects.input_path(project)
        # The folder knows what is said; all of its objects are tracked, some of them written. It
        # has one owner at a time.
        self._desk.hand_over(project)
        try:
            matte_video(self.matter, source, place, None, options, start=start, progress=progress)
        finally:
            self._desk.close(project.id)
        return [place] if frames is None else [_packed(frames, folder / f"{name}.zip")]

    def _look(self, project: Project, order: Order) -> Look | None:
        """Return the look for a kind of result: a composite alone has something behind it."""
        from dataclasses import replace

        path = self.projects.root / project.id / LOOK
        if not path.is_file():
            if order.kind == "composite":
                raise PullmatteError("a composite needs a background: choose one under Look")
            return None
        look = Look.from_json(path.read_text(encoding="utf-8"), path.parent)
        if order.kind == "composite":
            if look.background is None:
                raise PullmatteError("a composite needs a background: choose one under Look")
            return look
        return replace(look, background=None, pop=0.0, text=None)


def _packed(folder: Path, archive: Path) -> Path:
    """Put a sequence into one file; its pictures are compressed already."""
    with replacing(archive) as partial, zipfile.ZipFile(partial, "w") as packed:
        for path in sorted(folder.iterdir()):
            packed.write(path, path.name)
    return archive


def _stem(project: Project) -> str:
    """Return a name for results that every system can hold."""
    stem = Path(project.name).stem
    kept = "".join(c if c.isalnum() or c in "-_ ." else "_" for c in stem).strip(" .")
    return kept.encode()[:80].decode(errors="ignore") or "result"
