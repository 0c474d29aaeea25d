"""Fetching from a small server on this machine that speaks the hub's routes."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REPO, COMMIT = "LongfeiHuang/SDMatte", "c0ffee" + "0" * 34
CONTENT = bytes(range(256)) * 4000

FETCH = """
import sys
from pullmatte.errors import PullmatteError
from pullmatte.models import HubSource
from pullmatte.models.hub import fetch
try:
    got = fetch(HubSource("LongfeiHuang/SDMatte", "SDMatte.pth"), quiet=True)
except PullmatteError as error:
    sys.exit(f"{type(error).__name__}: {error}")
print(got.path, got.sha256, got.verified, got.downloaded, got.commit)
"""


class Hub(ThreadingHTTPServer):
    """Serves files; large ones by a redirect, with ranges, and as badly as a test asks for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files: dict[str, bytes] = {"SDMatte.pth": CONTENT}
        self.ranges: list[str | None] = []
        self.break_at: int | None = None  # bytes after which a transfer breaks, once
        self.failures: list[int] = []  # answers instead of the next transfers
        self.tokens: set[str | None] = set()  # that came with a transfer
        self.stated: str | None = None  # a sha256 that isn't the file's

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def store(self) -> str:
        """Another host in name, as large files have."""
        return f"http://localhost:{self.server_address[1]}"


class Answer(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        transfer = self.path.startswith("/store/")
        name = self.path.removeprefix("/store/").partition("/resolve/")
        file = name[0] if transfer else name[2].partition("/")[2]
        content = self.server.files.get(file)
        if content is None:
            self.reply(404, {"X-Error-Code": "EntryNotFound", "Content-Length": "0"})
        elif transfer:
            self.transfer(content)
        else:
            self.describe(file, content, with_body=with_body)

    def describe(self, file: str, content: bytes, *, with_body: bool) -> None:
        sha256 = self.server.stated or hashlib.sha256(content).hexdigest()
        headers = {"X-Repo-Commit": COMMIT}
        if file.endswith(".pth"):
            headers |= {
                "Location": f"{self.server.store}/store/{file}",
                "X-Linked-Etag": f'"{sha256}"',
                "X-Linked-Size": str(len(content)),
                "Content-Length": "0",
            }
            self.reply(302, headers)
        else:
            etag = f'"{hashlib.sha1(content).hexdigest()}"'
            self.reply(200, headers | {"ETag": etag, "Content-Length": str(len(content))})
            if with_body:
                self.wfile.write(content)

    def transfer(self, content: bytes) -> None:
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        self.server.tokens.add(self.headers.get("Authorization"))
        if self.server.failures:
            self.reply(self.server.failures.pop(0), {"Content-Length": "0"})
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        headers = {"Content-Length": str(len(content) - start)}
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.reply(206 if wanted else 200, headers)
        stop, self.server.break_at = self.server.break_at, None
        self.wfile.write(content[start:stop])
        if stop is not None:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def reply(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def environment(address: str, folder: Path, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    return kept | {
        "HF_ENDPOINT": address,
        "HF_HOME": str(folder / "hf"),
        "PULLMATTE_HOME": str(folder / "home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "OMP_NUM_THREADS": "1",
        **more,
    }


def fetch(hub: Hub, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", FETCH],
        env=environment(hub.address, folder, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def blobs(folder: Path) -> dict[str, int]:
    found = (folder / "hf/hub/models--LongfeiHuang--SDMatte/blobs").glob("*")
    return {p.name: p.stat().st_size for p in found if not p.name.endswith(".lock")}


def test_a_file_is_fetched_checked_and_cached(hub, tmp_path):
    first = fetch(hub, tmp_path, HF_TOKEN="hf_mine")
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    assert first.stderr == ""
    path, *facts = first.stdout.split()
    assert facts == [sha256, "True", "True", COMMIT]
    assert Path(path).read_bytes() == CONTENT
    assert Path(path).name == "SDMatte.pth"
    assert blobs(tmp_path) == {sha256: len(CONTENT)}
    again = fetch(hub, tmp_path, HF_HUB_OFFLINE="1")
    assert again.stdout.split() == [path, sha256, "True", "False", COMMIT]
    assert hub.ranges == [None]
    assert hub.tokens == {None}  # a token is for the hub, not for its store


def test_a_broken_transfer_goes_on_where_it_stopped(hub, tmp_path):
    # More than the library takes in one piece, 10 MiB: of a broken piece nothing is kept.
    hub.files["SDMatte.pth"] = large = CONTENT * 12
    hub.break_at = 11 << 20
    done = fetch(hub, tmp_path)
    assert Path(done.stdout.split()[0]).read_bytes() == large
    assert hub.ranges == [None, f"bytes={10 << 20}-"]


def test_a_later_pull_goes_on_where_an_earlier_one_gave_up(hub, tmp_path):
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    cache = tmp_path / "hf/hub/models--LongfeiHuang--SDMatte/blobs"
    cache.mkdir(parents=True)
    (cache / f"{sha256}.incomplete").write_bytes(CONTENT[:700_000])
    hub.failures = [500]
    failed = fetch(hub, tmp_path)
    assert "DownloadError: can't fetch LongfeiHuang/SDMatte SDMatte.pth" in failed.stderr
    assert "answered with 500; try again later" in failed.stderr
    assert blobs(tmp_path) == {f"{sha256}.incomplete": 700_000}
    assert Path(fetch(hub, tmp_path).stdout.split()[0]).read_bytes() == CONTENT
    assert hub.ranges == ["bytes=700000-", "bytes=700000-"]


def test_a_file_that_is_not_what_the_hub_says_is_thrown_away(hub, tmp_path):
    hub.stated = "ab" * 32
    done = fetch(hub, tmp_path)
    assert done.returncode == 1
    assert "the hub says abababababab...: it was thrown away" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert blobs(tmp_path) == {}


def test_a_damaged_cache_is_noticed(hub, tmp_path):
    path = Path(fetch(hub, tmp_path).stdout.split()[0])
    path.resolve().write_bytes(CONTENT[:-1])
    assert "delete it and pull again" in fetch(hub, tmp_path).stderr


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set, and it isn't in the cache"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "check the connection and pull again"),
    ],
    ids=["offline", "no connection"],
)
def test_without_the_hub_one_line_says_so(hub, tmp_path, more, says):
    done = fetch(hub, tmp_path, **more)
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_that_the_hub_has_not_is_told(hub, tmp_path):
    hub.files = {}
    done = fetch(hub, tmp_path)
    assert "the hub has no such file at revision 'main'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def _released():
    import importlib.util

    path = Path(__file__).parent / "sdmatte" / "released.py"
    spec = importlib.util.spec_from_file_location("released", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pull_leaves_converted_weights_and_no_source(hub, tmp_path):
    released = _released()
    source = released.write(tmp_path / "SDMatte.pth", released.weights())
    hub.files = {"SDMatte.pth": source.read_bytes()}
    command = [sys.executable, "-c", "from pullmatte.cli.app import main; main()"]
    command += ["models", "pull", "sdmatte", "--json", "-q"]
    done = subprocess.run(
        command,
        env=environment(hub.address, tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    folder = tmp_path / "home" / "models" / "sdmatte"
    # Even quiet: these sizes are a guess, and not the released ones.
    said = f"pullmatte: {folder}: sizes from its shapes, heads of 64: not those of the released"
    assert (done.returncode, done.stderr) == (0, f"{said} sdmatte\n")
    assert json.loads(done.stdout)["folder"] == str(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["source"]["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert manifest["source"]["origin"] == f"https://huggingface.co/{REPO} {COMMIT}"
    assert not any(name for name in blobs(tmp_path) if len(name) == 64)
    again = subprocess.run(
        command, env=environment(hub.address, tmp_path), capture_output=True, text=True, check=False
    )
    assert again.returncode == 2
    assert "already: remove that to fetch it again" in again.stderr
