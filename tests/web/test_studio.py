"""What the studio does through its API, with nano itself; files are read again and compared."""

import io
import json
import os
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pullmatte as pm
from pullmatte.cli.app import run
from pullmatte.prompts import PromptFile

BOX = {"object": "cup", "frame": 0, "box": [60, 30, 560, 380]}
BALL = {"object": "ball", "frame": 0, "box": [12, 40, 83, 111]}


def said(*prompts):
    return {"pullmatte_prompts": 1, "prompts": list(prompts)}


def grey(answer):
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.mode == "L"
        return np.asarray(picture, np.float32) / 255


@pytest.fixture(scope="module")
def photo(studio, examples):
    return studio.add(examples / "coffee.png")


def test_a_photo_is_matted_and_a_click_changes_it(studio, photo):
    first = grey(studio.matte(photo["id"], "cup", 0, said(BOX)))
    assert first.shape == (photo["height"], photo["width"]) == (400, 600)
    second = studio.matte(photo["id"], "cup", 0, said({**BOX, "points": [[300, 200, 1]]}))
    assert float(second.headers["x-model-seconds"]) > 0
    assert abs(float(second.headers["x-coverage"]) - grey(second).mean()) < 0.005
    assert grey(second).mean() > 0.05
    again = studio.client.get(f"/api/projects/{photo['id']}/frames/0/alpha.png?object=cup")
    assert again.content == second.content


def test_an_export_is_the_command_lines_file(studio, photo, tmp_path):
    assert studio.matte(photo["id"], "cup", 0, said(BOX)).status_code == 200
    for form, more in (("png", {}), ("webp", {}), ("tif", {"bits": 16}), ("avif", {}), ("exr", {})):
        order = {"format": form, **more}
        job = studio.client.post(f"/api/projects/{photo['id']}/export", json=order).json()
        done = studio.over(job)
        assert done["state"] == "done", done
        [made] = done["result"]["files"]
        got = studio.client.get(made["url"])
        assert got.status_code == 200
        assert len(got.content) == made["bytes"]
        folder = studio.folder / photo["id"]
        mine = tmp_path / f"out.{form}"
        words = ["image", folder / "input.png", mine, "--prompts", folder / "prompts.json", "-q"]
        words += ["--bits", "16"] if more else []
        assert run([str(word) for word in words]) == 0
        assert mine.read_bytes() == got.content, form


def test_a_look_is_exported_as_the_command_line_does(studio, photo, tmp_path):
    look = {"background": "#2060c0", "shift": 1.5, "feather": 1, "text": None}
    changed = studio.client.put(f"/api/projects/{photo['id']}", json={"look": look})
    assert changed.status_code == 200, changed.text
    order = {"format": "png", "kind": "composite"}
    job = studio.client.post(f"/api/projects/{photo['id']}/export", json=order).json()
    done = studio.over(job)
    assert done["state"] == "done", done
    got = studio.client.get(done["result"]["files"][0]["url"]).content
    folder, mine = studio.folder / photo["id"], tmp_path / "out.png"
    words = ["image", folder / "input.png", mine, "--prompts", folder / "prompts.json"]
    assert run([*map(str, words), "--look", str(folder / "look.json"), "-q"]) == 0
    assert mine.read_bytes() == got
    corner = pm.read_image(mine)[2, 2]
    assert np.abs(corner - np.array([0x20, 0x60, 0xC0]) / 255).max() < 0.02


def test_a_clip_is_propagated_corrected_locked_and_exported(studio, short_clip, tmp_path):
    project = studio.add(short_clip)
    assert (project["kind"], project["frames"]) == ("video", 10)
    at = f"/api/projects/{project['id']}"
    first = grey(studio.matte(project["id"], "ball", 0, said(BALL)))
    assert 0.05 < first.mean() < 0.4
    assert studio.client.get(f"{at}/frames/5/alpha.png?object=ball").status_code == 404
    job = studio.over(studio.client.post(f"{at}/propagate", json={}).json())
    assert job["state"] == "done", job
    found = studio.project(project["id"])
    assert found["done"] == {"ball": [[0, 9]]}
    assert found["current"]
    before = [alpha_of(studio, at, frame) for frame in range(10)]
    assert np.allclose(found["coverage"]["ball"]["7"], before[7].mean(), atol=0.005)
    # A frame is locked, and another corrected: what is locked stays.
    locked = studio.client.post(
        f"{at}/locks", json={"object": "ball", "first": 2, "last": 3, "locked": True}
    )
    assert locked.json() == {"locked": {"ball": [[2, 3]]}}
    correction = {"object": "ball", "frame": 6, "box": [120, 30, 200, 120], "points": [[60, 60, 0]]}
    corrected = grey(studio.matte(project["id"], "ball", 6, said(BALL, correction)))
    assert np.abs(corrected - before[6]).max() > 0.3
    assert not studio.project(project["id"])["current"]
    studio.over(studio.client.post(f"{at}/propagate", json={}).json())
    after = [alpha_of(studio, at, frame) for frame in range(10)]
    assert np.array_equal(after[2], before[2])
    assert np.array_equal(after[3], before[3])
    refused = studio.client.put(f"{at}/prompts", json=said(BALL, {**correction, "frame": 3}))
    refused = refused if refused.status_code != 200 else studio.matte(project["id"], "ball", 3)
    assert refused.status_code == 422
    assert "locked" in refused.json()["error"]
    studio.client.put(f"{at}/prompts", json=said(BALL, correction))
    # The span that was asked for, as a clip and as numbered pictures.
    order = {"format": "mov", "first": 4, "last": 8}
    job = studio.over(studio.client.post(f"{at}/export", json=order).json())
    assert job["state"] == "done", job
    path = tmp_path / "out.mov"
    path.write_bytes(studio.client.get(job["result"]["files"][0]["url"]).content)
    with pm.open_video(path) as clip:
        assert (len(clip), clip.info.codec) == (5, "prores")
        frames = list(clip.frames())
        assert all(np.abs(f.alpha - after[4 + f.index]).max() < 0.02 for f in frames)
    order = {"format": "png_sequence", "kind": "alpha", "start_frame": 1001, "bits": 16}
    job = studio.over(studio.client.post(f"{at}/export", json=order).json())
    packed = zipfile.ZipFile(
        io.BytesIO(studio.client.get(job["result"]["files"][0]["url"]).content)
    )
    names = sorted(packed.namelist())
    assert len(names) == 10
    assert names[0].endswith("1001.png")
    assert names[-1].endswith("1010.png")
    with Image.open(io.BytesIO(packed.read(names[6]))) as picture:
        assert np.abs(np.asarray(picture, np.float32) / 65535 - after[6]).max() < 0.005


def alpha_of(studio, at, frame):
    return grey(studio.client.get(f"{at}/frames/{frame}/alpha.png?object=ball"))


def test_a_killed_model_loses_nothing_and_comes_again(studio, short_clip):
    project = studio.add(short_clip)
    at = f"/api/projects/{project['id']}"
    assert studio.matte(project["id"], "ball", 0, said(BALL)).status_code == 200
    job = studio.client.post(f"{at}/propagate", json={}).json()
    studio.until(lambda: studio.project(project["id"])["done"]["ball"][0][1] >= 2, "three frames")
    killed = worker_of(studio.process.pid)
    os.kill(killed, signal.SIGKILL)
    lost = studio.over(job)
    assert lost["state"] == "failed"
    assert "nothing saved is lost" in lost["error"]
    kept = studio.project(project["id"])["done"]["ball"]
    assert kept[0][0] == 0
    assert kept[0][1] >= 2
    studio.ready()
    assert worker_of(studio.process.pid) != killed
    done = studio.over(studio.client.post(f"{at}/propagate", json={}).json())
    assert done["state"] == "done"
    assert done["result"]["computed"] <= 10 - kept[0][1]
    assert studio.project(project["id"])["done"] == {"ball": [[0, 9]]}


def worker_of(server):
    """Find the process that holds the model: of the server's children the largest."""
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    sizes = {int(p): int(Path(f"/proc/{p}/statm").read_text().split()[1]) for p in children}
    return max(sizes, key=sizes.get)


def test_a_killed_server_loses_nothing(start, short_clip, tmp_path):
    first = start(tmp_path).ready()
    project = first.add(short_clip)
    assert first.matte(project["id"], "ball", 0, said(BALL)).status_code == 200
    first.client.post(f"/api/projects/{project['id']}/propagate", json={})
    first.until(lambda: first.project(project["id"])["done"]["ball"][0][1] >= 2, "three frames")
    first.stop(signal.SIGKILL)
    second = start(tmp_path).ready()
    found = second.project(project["id"])
    assert found["done"]["ball"][0][1] >= 2
    assert PromptFile.from_json(json.dumps(found["prompts"])).objects == ("ball",)
    done = second.over(
        second.client.post(f"/api/projects/{project['id']}/propagate", json={}).json()
    )
    assert done["state"] == "done"
    assert second.project(project["id"])["current"]


def test_a_job_can_be_cancelled_and_prompts_are_answered_beside_it(studio, short_clip, photo):
    project = studio.add(short_clip)
    at = f"/api/projects/{project['id']}"
    studio.matte(project["id"], "ball", 0, said(BALL))
    job = studio.client.post(f"{at}/propagate", json={}).json()
    assert studio.client.post(f"{at}/propagate", json={}).json()["id"] == job["id"]
    assert studio.matte(photo["id"], "cup", 0, said(BOX)).status_code == 200
    stopped = studio.client.post(f"/api/jobs/{job['id']}/cancel").json()
    assert stopped["state"] in ("cancelled", "done")
    assert studio.client.delete(at).status_code == 204
    assert studio.client.get(at).status_code == 404
    assert not (studio.folder / project["id"]).exists()


def test_events_tell_of_frames_as_they_come(studio, short_clip):
    project = studio.add(short_clip)
    at = f"/api/projects/{project['id']}"
    studio.matte(project["id"], "ball", 0, said(BALL))
    seen = []
    with studio.client.stream("GET", "/api/events") as stream:
        lines = stream.iter_lines()
        next(lines)
        studio.client.post(f"{at}/propagate", json={})
        for line in lines:
            if line.startswith("data: "):
                seen.append(json.loads(line[6:]))
            if seen and seen[-1].get("state") == "done":
                break
    frames = [
        each["frame"] for each in seen if each.get("project") == project["id"] and "frame" in each
    ]
    assert frames == list(range(1, 10))


def test_remove_bg_clients_work(studio, examples):
    picture = (examples / "coffee.png").read_bytes()
    key = {"x-api-key": studio.client.headers["authorization"].split()[1]}
    asked = {"size": "auto", "format": "png"}
    answer = studio.client.post(
        "/v1.0/removebg", files={"image_file": picture}, data=asked, headers=key
    )
    assert answer.headers["content-type"] == "image/png"
    assert (answer.headers["x-width"], answer.headers["x-height"]) == ("600", "400")
    with Image.open(io.BytesIO(answer.content)) as found:
        assert (found.mode, found.size) == ("RGBA", (600, 400))
        assert found.getchannel("A").getextrema() == (0, 255)
    small = {"size": "preview", "bg_color": "ff0000", "format": "jpg"}
    answer = studio.client.post("/v1.0/removebg", files={"image_file": picture}, data=small)
    with Image.open(io.BytesIO(answer.content)) as found:
        assert found.size[0] * found.size[1] <= 250_000
    answer = studio.client.post(
        "/v1.0/removebg", files={"image_file": picture}, data={"format": "zip"}
    )
    assert zipfile.ZipFile(io.BytesIO(answer.content)).namelist() == ["color.jpg", "alpha.png"]
    answer = studio.client.post("/v1.0/removebg", data={"image_url": "http://127.0.0.1/a.png"})
    assert answer.status_code == 400
    assert "aren't fetched" in answer.json()["errors"][0]["title"]


def test_rembg_clients_work(studio, examples):
    picture = (examples / "coffee.png").read_bytes()
    answer = studio.client.post("/api/remove", files={"file": picture}, params={"om": "true"})
    with Image.open(io.BytesIO(answer.content)) as found:
        assert (found.mode, found.size) == ("L", (600, 400))
    answer = studio.client.post("/api/remove", files={"file": picture}, data={"bgc": "0,255,0,255"})
    with Image.open(io.BytesIO(answer.content)) as found:
        assert found.mode == "RGB"


def test_the_api_describes_itself(studio):
    found = studio.client.get("/api/openapi.json").json()
    assert {"/api/projects/{project_id}/matte", "/v1.0/removebg", "/api/remove"} <= found[
        "paths"
    ].keys()
