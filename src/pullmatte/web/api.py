"""The studio's own HTTP API; docs/studio.md describes it."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from pullmatte import __version__
from pullmatte.errors import PromptError, PullmatteError, ReadError
from pullmatte.io.project_folder import ProjectFolder
from pullmatte.prompts import FramePrompt, Prompt
from pullmatte.web.desk import edit_folder
from pullmatte.web.exports import Order
from pullmatte.web.ledger import results_of
from pullmatte.web.media import grey_bytes
from pullmatte.web.projects import NoProject, Project
from pullmatte.web.studio import Studio, memory_mb
from pullmatte.web.uploads import receive_background, receive_project

Result = TypeVar("Result")
_MOST_HEIGHT = 16384
_FOREVER = {"cache-control": "private, max-age=3600"}
_CANCEL_S = 30.0
_NEVER = {"cache-control": "no-store"}


def routes(studio: Studio) -> APIRouter:
    """Return the routes, for one studio."""
    router = APIRouter(prefix="/api")
    _add_projects(router, studio)
    _add_pictures(router, studio)
    _add_work(router, studio)
    _add_jobs(router, studio)
    return router


async def in_thread(work: Callable[..., Result], *arguments: Any, **more: Any) -> Result:
    """Do what reads or decodes files without holding others up."""
    return await asyncio.get_running_loop().run_in_executor(None, partial(work, *arguments, **more))


async def body_of(request: Request) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        PullmatteError: If the body is none.
    """
    try:
        found = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError) as error:
        raise PullmatteError("the body isn't JSON: send an object") from error
    if not isinstance(found, dict):
        raise PullmatteError(f"the body is {type(found).__name__}: send a JSON object")
    return found


def _add_projects(router: APIRouter, studio: Studio) -> None:
    projects = studio.projects

    @router.get("/projects")
    async def list_projects() -> list[dict[str, Any]]:
        return [project.as_dict() for project in await in_thread(projects.list)]

    @router.post("/projects", status_code=201)
    async def add_project(request: Request, name: str = Query("untitled")) -> dict[str, Any]:
        project = await receive_project(studio, request, name)
        studio.events.tell("project", {"id": project.id})
        return project.as_dict()

    @router.get("/projects/{project_id}")
    async def get_project(project_id: str) -> dict[str, Any]:
        found = await in_thread(_whole_project, studio, project_id)
        studio.prepare(project_id)
        return found

    @router.put("/projects/{project_id}")
    async def change_project(project_id: str, request: Request) -> dict[str, Any]:
        changes = await body_of(request)
        unknown = sorted(changes.keys() - {"name", "objects", "settings", "look"})
        if unknown:
            raise PullmatteError(
                f"unknown key {unknown[0][:40]!r}: a project has name, objects, settings and look"
            )
        project = await in_thread(studio.change, project_id, changes)
        studio.events.tell("project", {"id": project.id})
        return project.as_dict()

    @router.delete("/projects/{project_id}", status_code=204)
    async def delete_project(project_id: str) -> Response:
        await studio.delete(project_id)
        return Response(status_code=204)

    @router.put("/projects/{project_id}/prompts")
    async def save_prompts(project_id: str, request: Request) -> dict[str, Any]:
        project = projects.get(project_id)
        text = (await request.body()).decode("utf-8", "replace")
        await in_thread(studio.save_prompts, project, text)
        return {"current": (await in_thread(results_of, projects, project))["current"]}

    @router.put("/projects/{project_id}/background")
    async def add_background(
        project_id: str, request: Request, name: str = Query("background")
    ) -> dict[str, str]:
        kept = await receive_background(studio, projects.get(project_id), request, name)
        return {"background": f"file:{kept}"}


def _add_pictures(router: APIRouter, studio: Studio) -> None:
    projects = studio.projects

    @router.get("/projects/{project_id}/frames/{frame}.jpg")
    async def frame(
        project_id: str, frame: int, height: int | None = Query(None, ge=1, le=_MOST_HEIGHT)
    ) -> Response:
        project = projects.get(project_id)
        path = projects.input_path(project)
        data = await in_thread(studio.media.frame, path, project, frame, height)
        return Response(data, media_type="image/jpeg", headers=_FOREVER)

    @router.get("/projects/{project_id}/frames/{frame}/alpha.png")
    async def alpha(project_id: str, frame: int, named: str = Query(alias="object")) -> Response:
        project = projects.get(project_id)
        name = FramePrompt(Prompt(), object=named, frame=frame).object
        if project.kind == "image":
            if name not in projects.prompts(project).objects or frame != 0:
                raise NoProject(f"{name!r} has no matte yet")
            data, *_ = await _call(studio, "matte", project_id=project_id, name=name, frame=0)
        else:
            data = await in_thread(_stored_alpha, studio, project, name, frame)
        return Response(data, media_type="image/png", headers=_NEVER)

    @router.get("/projects/{project_id}/frames/{frame}/foreground.jpg")
    async def foreground(
        project_id: str, frame: int, named: str = Query(alias="object")
    ) -> Response:
        project = projects.get(project_id)
        if named not in projects.prompts(project).objects:
            raise NoProject(f"{named[:60]!r} has no matte yet")
        if project.kind == "video":
            await in_thread(_stored_alpha, studio, project, named, frame)
        key = ("foreground", project_id)
        data = await _call(
            studio, "foreground", key, project_id=project_id, name=named, frame=frame
        )
        return Response(data, media_type="image/jpeg", headers=_NEVER)

    @router.get("/projects/{project_id}/background/{file}")
    async def background(project_id: str, file: str) -> Response:
        return FileResponse(_inside(projects.folder(project_id), file))

    @router.get("/projects/{project_id}/exports/{file}")
    async def exported(project_id: str, file: str) -> Response:
        path = _inside(projects.folder(project_id) / "exports", file)
        return FileResponse(path, filename=path.name, headers=_NEVER)

    @router.get("/projects/{project_id}/files/{file}")
    async def saved(project_id: str, file: str) -> Response:
        if file not in ("prompts.json", "look.json"):
            raise NoProject("of a project's own files prompts.json and look.json are handed out")
        path = _inside(projects.folder(project_id), file)
        return FileResponse(path, filename=file, media_type="application/json", headers=_NEVER)


def _add_work(router: APIRouter, studio: Studio) -> None:
    projects = studio.projects

    @router.post("/projects/{project_id}/matte")
    async def matte(project_id: str, request: Request) -> Response:
        body = await body_of(request)
        project = projects.get(project_id)
        frame = _whole(body.get("frame", 0), "frame")
        name = FramePrompt(Prompt(), object=body.get("object", ""), frame=frame).object
        if frame >= project.frames:
            raise PromptError(f"frame {frame}: there are frames 0 to {project.frames - 1}")
        if "prompts" in body:
            await in_thread(studio.save_prompts, project, json.dumps(body["prompts"]))
        key = ("matte", project_id, name, frame)
        data, took, coverage, kept = await _call(
            studio, "matte", key, project_id=project_id, name=name, frame=frame
        )
        facts = {"x-model-seconds": f"{took:.4f}", "x-coverage": f"{coverage:.5f}"}
        facts["x-kept"] = "1" if kept else "0"
        return Response(data, media_type="image/png", headers={**_NEVER, **facts})

    @router.post("/projects/{project_id}/propagate", status_code=202)
    async def propagate(project_id: str, request: Request) -> dict[str, Any]:
        body, project = await body_of(request), projects.get(project_id)
        direction = body.get("direction", "both")
        if direction not in ("both", "forward", "backward"):
            raise PromptError(f"direction {direction!r}: give both, forward or backward")
        if project.kind == "image":
            raise PromptError("a photo has one frame: there is nothing to propagate")
        if not projects.prompts(project).prompts:
            raise PromptError("nothing was said yet: prompt an object on some frame first")
        running = studio.ledger.of(project_id, "propagate")
        job = running or studio.ledger.order(project_id, "propagate", direction=direction)
        return job.as_dict()

    @router.post("/projects/{project_id}/locks")
    async def locks(project_id: str, request: Request) -> dict[str, Any]:
        body, project = await body_of(request), projects.get(project_id)
        first, last = (_whole(body.get(key), key) for key in ("first", "last"))
        if not 0 <= first <= last < project.frames:
            raise PromptError(f"frames {first}-{last}: there are 0 to {project.frames - 1}")
        on, name = bool(body.get("locked", True)), body.get("object")
        span = {"first": first, "last": last}
        await _call(studio, "lock", None, project_id=project_id, name=name, on=on, **span)
        studio.events.tell("project", {"id": project_id})
        return {"locked": (await in_thread(results_of, projects, project))["locked"]}

    @router.post("/projects/{project_id}/export", status_code=202)
    async def export(project_id: str, request: Request) -> dict[str, Any]:
        body, project = await body_of(request), projects.get(project_id)
        order = _order(body)
        order.check(project, projects.prompts(project))
        return studio.ledger.order(project_id, "export", order=order).as_dict()


def _add_jobs(router: APIRouter, studio: Studio) -> None:
    @router.get("/state")
    async def state() -> dict[str, Any]:
        host = studio.host
        return {
            "version": __version__,
            "worker": host.state,
            "worker_error": host.error,
            "model": host.model,
            "memory_mb": memory_mb(host.pid),
            "jobs": [job.as_dict() for job in studio.ledger.all()],
        }

    @router.post("/jobs/{job_id}/cancel")
    async def cancel(job_id: str) -> dict[str, Any]:
        job = studio.ledger.get(job_id)
        studio.ledger.cancel(job)
        if job.task is not None:
            # Not `wait_for`: that would cancel what somebody else is going to finish.
            await asyncio.wait([asyncio.wrap_future(job.task.future)], timeout=_CANCEL_S)
        return job.as_dict()

    @router.get("/events")
    async def events() -> StreamingResponse:
        headers = {**_NEVER, "x-accel-buffering": "no"}
        return StreamingResponse(
            studio.events.stream(), media_type="text/event-stream", headers=headers
        )


def _whole_project(studio: Studio, project_id: str) -> dict[str, Any]:
    """Return all that a page needs to show a project as it was left."""
    projects = studio.projects
    project = projects.get(project_id)
    said = projects.prompts(project)
    known = dict(project.objects)
    names = [*known, *(name for name in said.objects if name not in known)]
    return {
        **project.as_dict(),
        "prompts": json.loads(said.to_json()),
        "objects": [{"name": name, "colour": studio.colour(known, name)} for name in names],
        "settings": vars(project.settings),
        "look": projects.look(project),
        **results_of(projects, project),
    }


async def _call(
    studio: Studio, call: str, key: tuple[Any, ...] | None = None, **arguments: Any
) -> Any:
    return await asyncio.wrap_future(studio.host.call(call, arguments, key))


def _stored_alpha(studio: Studio, project: Project, name: str, frame: int) -> bytes:
    folder = edit_folder(studio.projects.root, project)
    parts = ProjectFolder(folder).get(name, frame) if folder.is_dir() else None
    if parts is None or "alpha" not in parts[0]:
        raise NoProject(f"{name!r} has no result on frame {frame} yet")
    return grey_bytes(parts[0]["alpha"])


def _inside(folder: Path, name: str) -> Path:
    """Return a file right in a folder.

    Raises:
        NoProject: If there is none of that name.
    """
    path = folder / name
    if name != Path(name).name or name.startswith(".") or not path.is_file() or path.is_symlink():
        raise NoProject("there is no such file")
    return path


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise PromptError(f"{what} {value!r}: give a whole number")
    return value


_ORDER: dict[str, tuple[type, ...]] = {
    "format": (str,),
    "kind": (str,),
    "bits": (int, type(None)),
    "premultiplied": (bool, type(None)),
    "objects": (list, type(None)),
    "first": (int, type(None)),
    "last": (int, type(None)),
    "start_frame": (int, type(None)),
    "audio": (bool,),
}


def _order(body: dict[str, Any]) -> Order:
    """Read what is to be exported.

    Raises:
        PullmatteError: If a part is unknown, missing or of the wrong type.
    """
    unknown = sorted(body.keys() - _ORDER.keys())
    if unknown or "format" not in body:
        came = f"unknown key {unknown[0][:40]!r}" if unknown else "no format"
        raise PullmatteError(f"{came}: an export has {', '.join(_ORDER)}")
    for key, value in body.items():
        flagged = isinstance(value, bool) and bool not in _ORDER[key]
        if flagged or not isinstance(value, _ORDER[key]):
            raise PullmatteError(f"{key} {str(value)[:40]!r}: it is of the wrong type")
    objects = body.get("objects")
    if objects is not None:
        if not all(isinstance(name, str) for name in objects):
            raise PullmatteError("objects: give a list of names")
        body = {**body, "objects": tuple(objects)}
    return Order(**body)


def error_of(error: Exception) -> JSONResponse:
    """Answer with a sentence."""
    from pullmatte.web.host import Bug, Full, Overtaken

    statuses: list[tuple[type[Exception], int]] = [
        (NoProject, 404),
        (Overtaken, 409),
        (Full, 503),
        (Bug, 500),
        (ReadError, 422),
        (PullmatteError, 422),
    ]
    status = next((code for kind, code in statuses if isinstance(error, kind)), 500)
    headers = {"retry-after": "2"} if status == 503 else {}
    return JSONResponse({"error": " ".join(str(error).split())}, status, headers=headers)
