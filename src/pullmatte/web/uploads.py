"""Files that come in: streamed to disk, judged by what is in them and never by their names."""

import asyncio
import secrets
import shutil
from dataclasses import replace
from pathlib import Path

from fastapi import Request

from pullmatte.errors import PullmatteError, ReadError
from pullmatte.io.atomic import replacing
from pullmatte.web.media import kind_of, suffix_of
from pullmatte.web.projects import Kind, Project, display_name
from pullmatte.web.studio import Studio

_HEAD = 512
_REFUSED = "it is neither a picture nor a video that pullmatte reads: give PNG, JPEG, WebP, TIFF, "
_REFUSED += "EXR, HEIC, MP4, MOV, MKV or WebM"


async def _to_disk(request: Request, path: Path) -> Kind:
    """Write a body to a file.

    Raises:
        ReadError: If it is empty, was broken off, or is no picture or video by its first bytes.
    """
    from starlette.requests import ClientDisconnect

    head = b""
    try:
        with path.open("wb") as file:
            async for chunk in request.stream():
                head = (head + chunk)[:_HEAD] if len(head) < _HEAD else head
                await asyncio.get_running_loop().run_in_executor(None, file.write, chunk)
    except ClientDisconnect as error:
        raise ReadError("the upload was broken off: send it again") from error
    if not head:
        raise ReadError("the file is empty: choose another")
    kind = kind_of(head)
    if kind is None:
        raise ReadError(_REFUSED)
    return kind


async def receive_project(studio: Studio, request: Request, name: str) -> Project:
    """Make a project of an upload, or nothing at all.

    Args:
        studio: Whose.
        request: With the file as its body.
        name: What the file is called.

    Raises:
        ReadError: If it can't be read.
    """
    loop = asyncio.get_running_loop()
    project_id, folder = await loop.run_in_executor(None, studio.projects.new_folder)
    try:
        partial = folder / "upload"
        kind = await _to_disk(request, partial)
        shown = display_name(name)
        path = folder / f"input{suffix_of(shown, kind)}"
        partial.rename(path)
        facts = await loop.run_in_executor(None, studio.media.measure, path, kind)
        project = replace(facts, id=project_id, name=shown)
        return await loop.run_in_executor(None, studio.projects.save, project)
    except BaseException as error:
        await loop.run_in_executor(None, shutil.rmtree, folder, True)
        if isinstance(error, PullmatteError):
            # Names on this machine are nobody's business.
            message = str(error).replace(str(folder), "").replace("/input", "the file ")
            raise type(error)(message) from error
        raise


async def receive_background(studio: Studio, project: Project, request: Request, name: str) -> str:
    """Keep a picture or video to lay behind a project's objects.

    Returns:
        The name under which it is kept in the project's folder.

    Raises:
        ReadError: If it can't be read.
    """
    folder = studio.projects.folder(project.id)
    loop = asyncio.get_running_loop()
    shown = display_name(name)
    # No name of ours can come of it, and none that hides.
    stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in Path(shown).stem)[:60]
    partial = folder / f".background_{secrets.token_hex(4)}"
    try:
        kind = await _to_disk(request, partial)
        if kind == "video" and project.kind == "image":
            raise ReadError("a video behind a photo: give a picture")
        kept = f"background_{stem or 'plate'}{suffix_of(shown, kind)}"
        named = partial.with_suffix(Path(kept).suffix)
        partial.rename(named)
        partial = named
        await loop.run_in_executor(None, studio.media.measure, partial, kind)
        with replacing(folder / kept) as final:
            partial.rename(final)
    finally:
        partial.unlink(missing_ok=True)
    return kept
