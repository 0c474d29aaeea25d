"""The studio's server: one app, guarded, that serves the page and the API."""

import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from pullmatte import __version__
from pullmatte.errors import PullmatteError
from pullmatte.web import api, compatible
from pullmatte.web.host import Bug
from pullmatte.web.security import Guard, TooLarge
from pullmatte.web.studio import Studio, StudioOptions

STATIC = Path(__file__).parent / "static"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def make_app(studio: Studio) -> FastAPI:
    """Make the app of a studio; it starts the model's process when it is started itself."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        studio.events.start()
        studio.host.start()
        yield
        studio.close()

    # The usual pages on an API load scripts from elsewhere; its description is at openapi.json.
    app = FastAPI(
        title="pullmatte",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=lifespan,
    )
    app.include_router(api.routes(studio))
    app.include_router(compatible.routes(studio))
    app.mount("/", StaticFiles(directory=STATIC, html=True), name="page")

    async def sentence(_: Request, error: Exception) -> JSONResponse:
        return api.error_of(error)

    async def too_large(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "the body is larger than is allowed: send less"}, 413)

    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)

    async def unfit(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first: dict[str, Any] = dict(error.errors()[0])
        place = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        return JSONResponse({"error": f"{place}: {first['msg']}"}, 422)

    app.add_exception_handler(PullmatteError, sentence)
    app.add_exception_handler(Bug, sentence)
    app.add_exception_handler(TooLarge, too_large)
    app.add_exception_handler(RequestValidationError, unfit)
    app.add_exception_handler(HTTPException, refused)
    return app


def guarded(app: FastAPI, options: StudioOptions) -> Guard:
    """Put the guard in front of an app."""
    return Guard(
        app,
        token=options.token,
        port=options.port,
        local_only=options.host in LOOPBACK,
        most_bytes=options.most_bytes,
        most_upload_bytes=options.most_upload_bytes,
    )


def with_token(options: StudioOptions) -> StudioOptions:
    """Give a token to a studio that wasn't given one."""
    return options if options.token else replace(options, token=secrets.token_urlsafe(24))


def address(options: StudioOptions) -> str:
    """Return what is opened in a browser."""
    host = "127.0.0.1" if options.host in ("0.0.0.0", "localhost") else options.host
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{options.port}/?token={options.token}"


def bound(host: str, port: int) -> socket.socket:
    """Take a port; 0 takes a free one.

    Raises:
        PullmatteError: If it can't be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        taken.listen(128)
    except OSError as error:
        taken.close()
        raise PullmatteError(
            f"can't listen on {host}:{port}: {error.strerror}; give another --port"
        ) from error
    return taken


def uvicorn_of(studio: Studio) -> uvicorn.Server:
    """Return the server of a studio; it is given its socket when it is run."""
    config = uvicorn.Config(
        guarded(make_app(studio), studio.options),
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=3,
    )
    return uvicorn.Server(config)


def run_server(options: StudioOptions, begun: Callable[[str], None]) -> None:
    """Serve until stopped.

    Args:
        options: How; port 0 takes a free one.
        begun: Called with the address to open, once the port is taken.

    Raises:
        PullmatteError: If the port can't be had.
    """
    with bound(options.host, options.port) as taken:
        options = replace(options, port=taken.getsockname()[1])
        running = uvicorn_of(Studio(options))
        begun(address(options))
        running.run(sockets=[taken])
