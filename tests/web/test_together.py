"""Several things at once: jobs beside prompts, several clips, objects that go, locks that stay."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from pullmatte.io.project_folder import ProjectFolder

BALL = {"object": "ball", "frame": 0, "box": [12, 40, 83, 111]}
SKY = {"object": "sky", "frame": 0, "box": [120, 20, 230, 120]}


def said(*prompts):
    return {"pullmatte_prompts": 1, "prompts": list(prompts)}


@pytest.fixture
def clip(studio, short_clip):
    project = studio.add(short_clip)
    yield f"/api/projects/{project['id']}", project["id"]
    studio.client.delete(f"/api/projects/{project['id']}")


def propagated(studio, at):
    job = studio.over(studio.client.post(f"{at}/propagate", json={}).json())
    assert job["state"] == "done", job


def exported(studio, at, **order):
    job = studio.over(studio.client.post(f"{at}/export", json={"format": "mkv", **order}).json())
    assert job["state"] == "done", job
    return job


def test_an_export_takes_what_is_saved_not_what_was_computed(studio, clip):
    at, project = clip
    assert studio.client.put(f"{at}/prompts", json=said(BALL)).status_code == 200
    exported(studio, at)
    found = studio.project(project)
    assert found["done"] == {"ball": [[0, 9]]}
    assert found["current"]
    # What an export computed can be worked on at once.
    assert studio.client.get(f"{at}/frames/5/foreground.jpg?object=ball").status_code == 200
    locked = studio.client.post(f"{at}/locks", json={"object": "ball", "first": 5, "last": 6})
    assert locked.json() == {"locked": {"ball": [[5, 6]]}}


def test_an_object_that_is_gone_is_gone_from_exports(studio, clip):
    at, project = clip
    studio.client.put(f"{at}/prompts", json=said(BALL, SKY))
    propagated(studio, at)
    assert set(studio.project(project)["done"]) == {"ball", "sky"}
    studio.client.put(f"{at}/prompts", json=said(BALL))
    exported(studio, at, format="exr_sequence")
    folder = studio.folder / project / "exports"
    from pullmatte.io.exr import read_exr

    path = min(next(p for p in folder.iterdir() if p.is_dir()).iterdir())
    assert not [name for name in read_exr(path).mattes if name.startswith("sky")]


def test_a_locked_object_can_be_deleted_and_a_locked_prompt_not_changed(studio, clip):
    at, project = clip
    studio.client.put(f"{at}/prompts", json=said(BALL, SKY))
    propagated(studio, at)
    studio.client.post(f"{at}/locks", json={"object": "sky", "first": 0, "last": 0})
    moved = studio.client.put(f"{at}/prompts", json=said(BALL, {**SKY, "box": [100, 20, 230, 120]}))
    assert moved.status_code == 422
    assert "locked" in moved.json()["error"]
    assert studio.project(project)["prompts"]["prompts"][1]["box"] == SKY["box"]
    assert studio.client.put(f"{at}/prompts", json=said(BALL)).status_code == 200
    assert studio.matte(project, "ball", 0).status_code == 200
    assert studio.project(project)["locked"] == {}


def test_asking_again_for_what_is_there_computes_nothing(studio, clip):
    _, project = clip
    assert studio.matte(project, "ball", 0, said(BALL)).status_code == 200
    again = studio.matte(project, "ball", 0, said(BALL))
    assert again.status_code == 200
    assert studio.project(project)["done"] == {"ball": [[0, 0]]}


def test_another_clip_is_prompted_while_one_is_propagated(studio, clip, short_clip):
    at, project = clip
    other = studio.add(short_clip)
    studio.matte(project, "ball", 0, said(BALL))
    job = studio.client.post(f"{at}/propagate", json={}).json()
    assert studio.matte(other["id"], "ball", 0, said(BALL)).status_code == 200
    # And this one, too: what is said is taken in, by the one session that there is.
    more = {"object": "ball", "frame": 9, "box": [150, 20, 220, 100]}
    studio.client.put(f"{at}/prompts", json=said(BALL, more))
    assert studio.matte(project, "ball", 9).status_code == 200
    assert studio.over(job)["state"] == "done"
    propagated(studio, at)
    found = studio.project(project)
    assert found["current"]
    assert found["done"] == {"ball": [[0, 9]]}
    document = ProjectFolder(studio.folder / project / "edit_auto").load()
    assert '"frame": 9' in document["prompts"]
    studio.client.delete(f"/api/projects/{other['id']}")


def test_simple_services_are_answered_beside_a_propagation(studio, clip, examples):
    at, project = clip
    studio.matte(project, "ball", 0, said(BALL))
    job = studio.client.post(f"{at}/propagate", json={}).json()
    picture = (examples / "coffee.png").read_bytes()
    answer = studio.client.post("/api/remove", files={"file": picture})
    assert answer.status_code == 200
    assert studio.project(project)["done"]["ball"][-1][1] < 9, "it had to wait for the whole clip"
    assert studio.over(job)["state"] == "done"


def test_deleting_in_mid_work_leaves_nothing(studio, clip):
    at, project = clip
    studio.matte(project, "ball", 0, said(BALL))
    job = studio.client.post(f"{at}/propagate", json={}).json()
    assert studio.client.delete(at).status_code == 204
    assert studio.over(job)["state"] in ("cancelled", "done")
    time.sleep(1)
    assert not (studio.folder / project).exists()
    assert studio.state()["worker"] in ("ready", "busy")


def test_a_foreground_that_isnt_there_is_not_found(studio, clip):
    at, project = clip
    studio.matte(project, "ball", 0, said(BALL))
    assert studio.client.get(f"{at}/frames/7/foreground.jpg?object=ball").status_code == 404


def test_odd_cookies_of_other_programs_dont_lock_out(studio):
    port = studio.url.rpartition(":")[2]
    token = studio.client.headers["authorization"].split()[1]
    odd = f'a={{"x": 1}}; flag; version=1; pullmatte_{port}={token}'
    answer = httpx.get(f"{studio.url}/api/state", headers={"cookie": odd})
    assert answer.status_code == 200


def test_many_clicks_in_a_row_end_with_the_last(studio, examples):
    project = studio.add(examples / "coffee.png")
    box = {"object": "cup", "frame": 0, "box": [75, 15, 485, 392]}

    def click(number):
        with httpx.Client(
            base_url=studio.url, headers=studio.client.headers, timeout=240
        ) as client:
            body = {"object": "cup", "frame": 0}
            body["prompts"] = said({**box, "points": [[200 + number, 200, 1]]})
            return client.post(f"/api/projects/{project['id']}/matte", json=body).status_code

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(click, range(8)))
    assert set(found) <= {200, 409}
    assert 200 in found
    last = studio.project(project["id"])["prompts"]["prompts"][0]["points"]
    fresh = studio.matte(project["id"], "cup", 0)
    again = studio.matte(project["id"], "cup", 0, said({**box, "points": last}))
    assert np.array_equal(
        np.frombuffer(fresh.content, np.uint8), np.frombuffer(again.content, np.uint8)
    )
