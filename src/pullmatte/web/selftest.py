"""Whether the studio works here: it is started on a free port, and made to do its work once."""

import json
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from pullmatte.errors import PullmatteError
from pullmatte.io.image import encode_image, load_picture
from pullmatte.web import server
from pullmatte.web.studio import Studio, StudioOptions
from pullmatte.web.worker import WorkerOptions

_PATIENCE_S = 180.0
_SIZE, _INSIDE = 96, slice(28, 68)
_SAID = {"object": "square", "frame": 0, "box": [24, 24, 72, 72]}


def check_studio(model: str, tell: Callable[[str], None]) -> None:
    """Try the studio, step by step.

    Args:
        model: Which.
        tell: Called with each step that went well.

    Raises:
        PullmatteError: At the first that didn't.
    """
    page = [server.STATIC / name for name in ("index.html", "main.js", "style.css")]
    if not all(path.is_file() for path in page):
        raise PullmatteError(
            "the page's files aren't here: pip install --force-reinstall pullmatte"
        )
    tell("the page's files are here")
    with tempfile.TemporaryDirectory() as folder, _running(Path(folder), model) as studio:
        tell(f"the server answers on {studio.options.host}, port {studio.options.port}")
        _check_guard(studio)
        tell("strangers are refused")
        _await(lambda: studio.host.state in ("ready", "failed"), "the model")
        if studio.host.state == "failed":
            raise PullmatteError(f"the model's process: {studio.host.error}")
        tell(f"the model runs in its own process: {(studio.host.model or {})['name']}")
        project = _ask(studio, "POST", "/api/projects?name=square.png", _picture())
        at = f"/api/projects/{json.loads(project)['id']}"
        said = {"pullmatte_prompts": 1, "prompts": [_SAID]}
        body = json.dumps({"object": "square", "frame": 0, "prompts": said}).encode()
        alpha = load_picture(BytesIO(_ask(studio, "POST", f"{at}/matte", body))).image[..., 0]
        inside = float(alpha[_INSIDE, _INSIDE].mean())
        if inside < 0.5:
            raise PullmatteError(f"a plain square was matted with a mean alpha of {inside:.2f}")
        tell("a picture was sent and matted")
        job = json.loads(_ask(studio, "POST", f"{at}/export", b'{"format": "png"}'))
        _await(lambda: studio.ledger.get(job["id"]).is_over, "the export")
        made = studio.ledger.get(job["id"])
        if made.result is None:
            raise PullmatteError(f"the export failed: {made.error}")
        found = load_picture(BytesIO(_ask(studio, "GET", made.result["files"][0]["url"])))
        if found.alpha is None or np.abs(found.alpha - alpha).max() > 1.5 / 255:
            raise PullmatteError("the exported picture doesn't hold the alpha that was shown")
        tell("it was exported, and read again")


@contextmanager
def _running(folder: Path, model: str) -> Iterator[Studio]:
    """Run a studio in this process, on a free port."""
    taken = server.bound("127.0.0.1", 0)
    options = StudioOptions(WorkerOptions(folder, model), port=taken.getsockname()[1])
    studio = Studio(server.with_token(replace(options)))
    running = server.uvicorn_of(studio)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [taken]}, daemon=True)
    thread.start()
    try:
        _await(lambda: running.started, "the server")
        yield studio
    finally:
        running.should_exit = True
        thread.join(_PATIENCE_S)
        taken.close()


def _check_guard(studio: Studio) -> None:
    for headers in ({}, {**_headers(studio), "Origin": "https://elsewhere.example"}):
        try:
            _ask(studio, "GET", "/api/state", headers=headers)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (401, 403):
                continue
        raise PullmatteError("the server answers strangers: don't use it, and report this")


def _headers(studio: Studio) -> dict[str, str]:
    return {"Authorization": f"Bearer {studio.options.token}"}


def _ask(
    studio: Studio,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> bytes:
    url = f"http://{studio.options.host}:{studio.options.port}{path}"
    shown = _headers(studio) if headers is None else headers
    request = urllib.request.Request(url, body, shown, method=method)
    with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:
        found: bytes = answer.read()
        return found


def _await(holds: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not holds():
        if time.monotonic() > end:
            raise PullmatteError(f"waited {_PATIENCE_S:g} s in vain for {what}")
        time.sleep(0.05)


def _picture() -> bytes:
    """A bright square on a dark ground."""
    image = np.full((_SIZE, _SIZE, 3), (0.1, 0.15, 0.2), np.float32)
    image[_INSIDE, _INSIDE] = (0.9, 0.6, 0.2)
    return encode_image(".png", image=image)
