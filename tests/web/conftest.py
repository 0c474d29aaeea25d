"""A studio as users start it: another process, with nano."""

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TOKEN = "a-token-for-tests-alone"
PATIENCE_S = 240.0
# Where the API ends and a clip's frames begin to be slow: what runs beside takes its share.
_POLL_S = 0.05


@dataclass(eq=False)
class Served:
    """A running studio."""

    process: "subprocess.Popen[str]"
    url: str
    folder: Path
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        headers = {"authorization": f"Bearer {TOKEN}"}
        self.client = httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE_S)

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get("/api/state").json()
        return found

    def until(self, holds: Any, what: str) -> Any:
        """Wait for something, and return it."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            found = holds()
            if found:
                return found
            time.sleep(_POLL_S)
        raise AssertionError(f"waited {PATIENCE_S:g} s in vain for {what}")

    def ready(self) -> "Served":
        self.until(lambda: self.state()["worker"] == "ready", "the model")
        return self

    def add(self, path: Path, name: str | None = None) -> dict[str, Any]:
        answer = self.client.post(
            "/api/projects", params={"name": name or path.name}, content=path.read_bytes()
        )
        assert answer.status_code == 201, answer.text
        project: dict[str, Any] = answer.json()
        return project

    def project(self, project_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/api/projects/{project_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def matte(self, project_id: str, name: str, frame: int, said: Any = None) -> httpx.Response:
        body = {"object": name, "frame": frame} | ({} if said is None else {"prompts": said})
        return self.client.post(f"/api/projects/{project_id}/matte", json=body)

    def over(self, job: dict[str, Any]) -> dict[str, Any]:
        """Wait until a job is over."""
        assert "id" in job, job

        def found() -> Any:
            mine = next(each for each in self.state()["jobs"] if each["id"] == job["id"])
            return mine if mine["state"] in ("done", "failed", "cancelled") else None

        done: dict[str, Any] = self.until(found, f"the job {job['kind']}")
        return done

    def stop(self, how: int = signal.SIGTERM) -> None:
        self.client.close()
        self.process.send_signal(how)
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


def serve(folder: Path, *more: str) -> Served:
    """Start a studio on a free port."""
    command = [
        str(Path(sys.executable).parent / "pullmatte"),
        "serve",
        "--no-browser",
        "--port",
        "0",
    ]
    command += ["--projects", str(folder), "--token", TOKEN, "--quiet", *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    threading.Thread(target=lambda: lines.put(process.stdout.readline()), daemon=True).start()
    address = lines.get(timeout=PATIENCE_S).strip()
    assert address.startswith("http://127.0.0.1:"), address
    served = Served(process, address.partition("/?")[0], folder)
    served.until(lambda: answers(served), "the server")
    return served


def answers(served: Served) -> bool:
    try:
        return served.client.get("/api/state").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def examples() -> Path:
    return EXAMPLES


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = serve(tmp_path_factory.mktemp("projects"))
    try:
        yield served.ready()
    finally:
        if served.process.poll() is None:
            served.stop()


@pytest.fixture
def start() -> Iterator[Any]:
    """Start studios by hand; all of them are stopped in the end."""
    started: list[Served] = []

    def begin(folder: Path, *more: str) -> Served:
        started.append(serve(folder, *more))
        return started[-1]

    yield begin
    for each in started:
        if each.process.poll() is None:
            each.stop()


@pytest.fixture(scope="session")
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames of the example's clip, at half its size."""
    import av

    path = tmp_path_factory.mktemp("clips") / "short.mp4"
    with av.open(str(EXAMPLES / "fuzzball.mp4")) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 240, 136, "yuv420p"
        for number, frame in enumerate(source.decode(video=0)):
            if number == 10:
                break
            small = frame.reformat(240, 136, "yuv420p")
            small.pts, small.time_base = number, Fraction(1, 24)
            target.mux(stream.encode(small))
        target.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return Debian's or anyone's Chromium.

    `make test` installs it where it may; elsewhere tests of the page say that they need it.
    """
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium here: install the package chromium to test the page")
    return found
