"""Requests that no page of ours sends: each is refused in a sentence, and the studio goes on."""

import base64
import io
import json
import socket
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

BOX = {"object": "cup", "frame": 0, "box": [60, 30, 560, 380]}


@pytest.fixture(scope="module")
def photo(studio, examples):
    project = studio.add(examples / "coffee.png")
    assert studio.matte(project["id"], "cup", 0, said(BOX)).status_code == 200
    return project


def said(*prompts):
    return {"pullmatte_prompts": 1, "prompts": list(prompts)}


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def declared(width, height):
    """A PNG that says it has so many pixels, and has none of them."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    packed = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def png():
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 100, 50)).save(stream, "PNG")
    return stream.getvalue()


def packed_grey(width, height):
    stream = io.BytesIO()
    Image.new("L", (width, height)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


UPLOADS = {
    "nothing at all": (b"", "empty"),
    "text": (b"hello, I am a picture" * 40, "neither a picture nor a video"),
    "a page": (b"<!doctype html><script>alert(1)</script>", "neither a picture nor a video"),
    "a drawing with script": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>", "neither"),
    "an archive": (b"PK\x03\x04" + b"\0" * 400, "neither"),
    "a program": (b"\x7fELF" + b"\0" * 400, "neither"),
    "a picture of 2.5 billion pixels": (declared(50_000, 50_000), "pixels"),
    "a picture of no pixel": (declared(0, 0), ""),
    "a picture that is cut off": (png()[:70], ""),
    "a signature alone": (b"\x89PNG\r\n\x1a\n", ""),
    "a clip that is none": (b"\0\0\0\x18ftypisom" + b"\0" * 600, ""),
    "a PostScript file": (b"%!PS-Adobe-3.0\nshowpage\n" * 20, "neither"),
}


@pytest.mark.parametrize("name", list(UPLOADS))
def test_unfit_uploads_are_refused_and_leave_nothing(studio, name):
    content, words = UPLOADS[name]
    before = sorted(studio.folder.iterdir())
    answer = studio.client.post("/api/projects", params={"name": "a.png"}, content=content)
    assert answer.status_code == 422, answer.text
    sentence = answer.json()["error"]
    assert words in sentence
    assert "\n" not in sentence
    assert str(studio.folder) not in sentence
    assert sorted(studio.folder.iterdir()) == before


ODD_NAMES = [
    "../../etc/passwd",
    "..\\..\\boot.ini",
    "/etc/shadow.png",
    "a\0b.png",
    "\u202egnp.exe",
    "." * 300,
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_of_uploads_lead_nowhere(studio, name):
    answer = studio.client.post("/api/projects", params={"name": name}, content=png())
    assert answer.status_code == 201
    project = answer.json()
    assert not set(project["name"]) & set("/\\\0\u202e")
    held = {path.name for path in (studio.folder / project["id"]).iterdir()}
    assert held == {"input.png", "project.json"}
    assert studio.client.delete(f"/api/projects/{project['id']}").status_code == 204


PATHS = {
    "/api/projects/..%2f..%2fetc": 404,
    "/api/projects/%2e%2e/%2e%2e/etc/passwd": 404,
    "/api/projects/000000000000": 404,
    "/api/projects/{id}/exports/..%2fproject.json": 404,
    "/api/projects/{id}/exports/%2e%2e%2f%2e%2e%2fetc%2fpasswd": 404,
    "/api/projects/{id}/background/project.json%00": 404,
    "/api/projects/{id}/background/..%2f{id}%2fproject.json": 404,
    "/api/projects/{id}/files/project.json": 404,
    "/api/projects/{id}/frames/1.jpg": 422,
    "/api/projects/{id}/frames/-1.jpg": 422,
    "/api/projects/{id}/frames/99999999999999999999.jpg": 422,
    "/api/projects/{id}/frames/0.jpg?height=99999999": 422,
    "/api/projects/{id}/frames/0/alpha.png?object=..%2f..%2fx": 422,
    "/api/projects/{id}/frames/0/alpha.png?object=nobody": 404,
    "/api/projects/{id}/frames/0/alpha.png": 422,
    "/%2e%2e/%2e%2e/server.py": 404,
    "/..%2fserver.py": 404,
    "/api/jobs/x": 405,
    "/docs": 404,
}


@pytest.mark.parametrize("path", list(PATHS))
def test_paths_lead_nowhere(studio, photo, path):
    answer = studio.client.get(path.replace("{id}", photo["id"]))
    assert answer.status_code in (PATHS[path], 404), answer.text
    assert "root:" not in answer.text
    assert "import " not in answer.text


BODIES = {
    "no JSON": b"{",
    "a list": b"[]",
    "deep JSON": b"[" * 100_000,
    "no prompt file": json.dumps({"object": "a", "prompts": {"prompts": []}}).encode(),
    "a later version": json.dumps({
        "object": "a",
        "prompts": {"pullmatte_prompts": 99, "prompts": []},
    }).encode(),
    "a box of nothing": json.dumps({
        "object": "a",
        "prompts": said({"object": "a", "box": [5, 5, 5, 5]}),
    }).encode(),
    "a point outside": json.dumps({
        "object": "a",
        "prompts": said({"object": "a", "points": [[1e9, 5, 1]]}),
    }).encode(),
    "not a number": b'{"object": "a", "prompts": {"pullmatte_prompts": 1, "prompts": '
    b'[{"object": "a", "points": [[NaN, 5, 1]]}]}}',
    "a mask of another size": json.dumps({
        "object": "a",
        "prompts": said({"object": "a", "mask_png": packed_grey(8, 8)}),
    }).encode(),
    "a mask of two billion pixels": json.dumps({
        "object": "a",
        "prompts": said({
            "object": "a",
            "mask_png": base64.b64encode(declared(50000, 50000)).decode(),
        }),
    }).encode(),
    "an object that leaves its folder": json.dumps({
        "object": "../x",
        "prompts": said({**BOX, "object": "../x"}),
    }).encode(),
    "an object without a name": json.dumps({"object": 7}).encode(),
    "a frame that isn't one": json.dumps({"object": "cup", "frame": "0"}).encode(),
    "a frame beyond the end": json.dumps({"object": "cup", "frame": 10**30}).encode(),
    "an object that nobody named": json.dumps({"object": "nobody"}).encode(),
}


@pytest.mark.parametrize("name", list(BODIES))
def test_unfit_prompts_are_refused_and_change_nothing(studio, photo, name):
    path = studio.folder / photo["id"] / "prompts.json"
    before = path.read_bytes()
    answer = studio.client.post(f"/api/projects/{photo['id']}/matte", content=BODIES[name])
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]
    assert path.read_bytes() == before


ORDERS = [
    {},
    {"format": "exe"},
    {"format": "png", "kind": "../x"},
    {"format": "png", "bits": 3},
    {"format": "png", "bits": True},
    {"format": "png", "objects": ["nobody"]},
    {"format": "png", "objects": []},
    {"format": "png", "first": 3, "last": 1},
    {"format": "png", "path": "/etc/passwd"},
    {"format": ["png"]},
]


@pytest.mark.parametrize("order", ORDERS, ids=map(str, ORDERS))
def test_unfit_orders_are_refused(studio, photo, order):
    answer = studio.client.post(f"/api/projects/{photo['id']}/export", json=order)
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"opacity": "../x"}},
        {"settings": {"steady": 7}},
        {"settings": {"unknown": 1}},
        {"objects": [{"name": "..", "colour": "#ffffff"}]},
        {"objects": [{"name": "a", "colour": "url(x)"}]},
        {"look": {"background": "file:../../project.json"}},
        {"look": {"background": "file:/etc/passwd"}},
        {"look": {"unknown": 1}},
        {"id": "x"},
        {"name": ""},
    ],
    ids=str,
)
def test_unfit_changes_are_refused_whole(studio, photo, changes):
    before = studio.project(photo["id"])
    answer = studio.client.put(f"/api/projects/{photo['id']}", json=changes)
    assert answer.status_code == 422, answer.text
    after = studio.project(photo["id"])
    assert {k: after[k] for k in ("name", "settings", "objects", "look")} == {
        k: before[k] for k in ("name", "settings", "objects", "look")
    }


STRANGERS = {
    "no token": ({"authorization": ""}, 401),
    "a wrong token": ({"authorization": "Bearer a-token-for-tests-alonE"}, 401),
    "a foreign page": ({"origin": "https://evil.example"}, 403),
    "a sandboxed page": ({"origin": "null"}, 403),
    "another port": ({"origin": "http://127.0.0.1:1"}, 403),
    "a browser's own word": ({"sec-fetch-site": "cross-site"}, 403),
    "a rebound name": ({"host": "evil.example"}, 421),
    "a name that begins well": ({"host": "127.0.0.1.evil.example"}, 421),
}


@pytest.mark.parametrize("name", list(STRANGERS))
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_strangers_are_refused(studio, photo, name, method):
    headers, status = STRANGERS[name]
    path = {"GET": "/api/state", "POST": "/api/projects", "DELETE": f"/api/projects/{photo['id']}"}
    answer = studio.client.request(method, path[method], headers=headers)
    assert answer.status_code == status
    assert studio.project(photo["id"])


def test_a_page_elsewhere_cant_read_answers(studio):
    answer = studio.client.get("/api/state")
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_token_leaves_the_address_and_hides_in_a_cookie(studio):
    with httpx.Client(base_url=studio.url) as fresh:
        assert fresh.get("/").status_code == 401
        token = studio.client.headers["authorization"].split()[1]
        answer = fresh.get("/", params={"token": token})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert fresh.get("/api/state").status_code == 200


def raw(studio, data, *, read=True):
    """Send bytes as they are, and return what comes back."""
    where = urlsplit(studio.url)
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        connection.sendall(data)
        if not read:
            return b""
        connection.settimeout(20)
        found = b""
        try:
            while part := connection.recv(65536):
                found += part
                if b"\r\n\r\n" in found:
                    break
        except TimeoutError:
            pass
        return found


def head(studio, path, length, extra=""):
    token = studio.client.headers["authorization"]
    where = urlsplit(studio.url).netloc
    return (
        f"POST {path} HTTP/1.1\r\nHost: {where}\r\nAuthorization: {token}\r\n"
        f"Content-Length: {length}\r\n{extra}\r\n"
    ).encode()


def test_broken_off_and_malformed_requests(studio, photo):
    before = sorted(studio.folder.iterdir())
    # An upload that ends in its middle: nothing of it stays.
    raw(studio, head(studio, "/api/projects?name=a.png", 5_000_000) + png(), read=False)
    # Too large, said at once; too large, found out on the way; no length at all; no HTTP at all.
    assert b" 413 " in raw(studio, head(studio, "/api/projects?name=a.png", 10**13))
    chunked = head(studio, f"/api/projects/{photo['id']}/prompts", 0).replace(
        b"Content-Length: 0", b"Transfer-Encoding: chunked"
    )
    piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    assert b" 413 " in raw(studio, chunked.replace(b"POST", b"PUT") + piece * 66)
    assert b" 400 " in raw(studio, b"\x16\x03\x01 no HTTP\r\n\r\n")
    assert b" 4" in raw(studio, head(studio, "/api/state", "-5"))[:13]
    studio.until(lambda: sorted(studio.folder.iterdir()) == before, "the broken upload to go")
    assert studio.state()["worker"] in ("ready", "busy")


def test_removebg_refusals_have_its_shape(studio):
    for data, files in (
        ({}, None),
        ({"image_file_b64": "***"}, None),
        ({"size": "enormous"}, {"image_file": png()}),
        ({"format": "bmp"}, {"image_file": png()}),
        ({"bg_color": "url(x)"}, {"image_file": png()}),
        ({}, {"image_file": b"no picture"}),
        ({"crop": "true", "crop_margin": "lots"}, {"image_file": png()}),
    ):
        answer = studio.client.post("/v1.0/removebg", data=data, files=files)
        assert answer.status_code == 400, (data, answer.text)
        [error] = answer.json()["errors"]
        assert error["title"]
        assert error["code"]
    answer = studio.client.post("/v1.0/removebg", headers={"authorization": ""})
    assert answer.status_code == 403
    assert answer.json()["errors"][0]["code"] == "auth_failed"
    answer = studio.client.post("/api/remove", files={"file": b"no picture"})
    assert answer.status_code == 422


def test_fifty_clients_at_once_and_memory_comes_back(studio, photo):
    def one(number):
        with httpx.Client(
            base_url=studio.url, headers=studio.client.headers, timeout=240
        ) as client:
            if number % 5 == 0:
                body = {"object": "cup", "frame": 0}
                return client.post(f"/api/projects/{photo['id']}/matte", json=body).status_code
            if number % 5 == 1:
                return client.get(f"/api/projects/{photo['id']}/frames/0.jpg").status_code
            if number % 5 == 2:
                answer = client.post("/api/projects", params={"name": "a.png"}, content=png())
                return client.delete(f"/api/projects/{answer.json()['id']}").status_code
            if number % 5 == 3:
                return client.get(f"/api/projects/{photo['id']}").status_code
            return client.post("/v1.0/removebg", files={"image_file": png()}).status_code

    def all_of_them():
        with ThreadPoolExecutor(50) as pool:
            return list(pool.map(one, range(50)))

    threads = threading.active_count()
    found = all_of_them()
    # A newer request for the same matte takes an older one's place.
    assert set(found) <= {200, 204, 409}
    assert {200, 204} <= set(found)
    level = studio.state()["memory_mb"]
    all_of_them()
    assert studio.state()["memory_mb"] < 1.1 * level + 20
    assert threading.active_count() <= threads
    assert studio.matte(photo["id"], "cup", 0).status_code == 200
