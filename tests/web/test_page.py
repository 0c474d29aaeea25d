"""The page in a real Chromium, with nano: what a person does, and the files that come of it."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect, sync_playwright

import pullmatte as pm
from pullmatte.cli.app import run

PATIENCE_MS = 240_000
READY = "body[data-ready=true]"


class Page:
    """A page with the words that these tests need."""

    def __init__(self, page, url, token):
        self.page, self.url, self.token = page, url, token
        self.problems = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._heard)

    def _heard(self, message):
        if message.type == "error" and "404" not in message.text:
            self.problems.append(message.text)

    def open(self):
        self.page.goto(f"{self.url}/?token={self.token}")
        return self

    def by(self, name):
        return self.page.get_by_test_id(name)

    def upload(self, path):
        self.by("file-input").set_input_files(str(path))
        self.page.wait_for_selector("body[data-screen=project]")
        self.page.wait_for_selector(READY)
        return self.page.url.split("/project/")[1].split("/")[0]

    def at(self, x, y):
        place = self.page.evaluate(f"window.studio.imageToClient({x}, {y})")
        return place["x"], place["y"]

    def settled(self):
        """Wait until no matte is on its way."""
        # A request begins a moment after the pointer goes up.
        self.page.wait_for_timeout(150)
        self.page.wait_for_selector(READY)

    def box(self, x0, y0, x1, y1):
        self.page.mouse.move(*self.at(x0, y0))
        self.page.mouse.down()
        self.page.mouse.move(*self.at((x0 + x1) / 2, (y0 + y1) / 2))
        self.page.mouse.move(*self.at(x1 - 1, y1 - 1))
        self.page.mouse.up()
        self.settled()

    def click(self, x, y, *, exclude=False):
        if exclude:
            self.page.keyboard.down("Alt")
        self.page.mouse.click(*self.at(x, y))
        if exclude:
            self.page.keyboard.up("Alt")
        self.settled()

    def pixels(self):
        """What the canvas shows, as a screenshot."""
        from io import BytesIO

        from PIL import Image

        shot = self.by("canvas").screenshot()
        return np.asarray(Image.open(BytesIO(shot)).convert("RGB"), np.float32) / 255

    def show(self, view):
        """Choose a view, and wait until the canvas shows something else."""
        before = self.pixels()
        self.by(f"view-{view}").click()
        end = time.monotonic() + PATIENCE_MS / 1000
        while np.abs(self.pixels() - before).mean() < 0.005:
            assert time.monotonic() < end, f"view {view} looks like the one before"
            self.page.wait_for_timeout(50)

    def download(self, path, **choices):
        """Export with the dialog, and keep the first file."""
        self.by("export-open").click()
        for name, value in choices.items():
            self.page.locator("#export").get_by_label(name).first.select_option(value)
        self.by("export-start").click()
        link = self.by("export-link").first
        link.wait_for()
        with self.page.expect_download() as coming:
            link.click()
        coming.value.save_as(path)
        self.page.keyboard.press("Escape")


@pytest.fixture(scope="module")
def browser(chromium):
    with sync_playwright() as playwright:
        # A container has no user namespaces for the browser's own sandbox.
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser, studio):
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    token = studio.client.headers["authorization"].split()[1]
    shown = Page(context.new_page(), studio.url, token).open()
    yield shown
    context.close()
    assert shown.problems == []


def test_a_photo_from_drop_to_file(page, studio, examples, tmp_path):
    project = page.upload(examples / "coffee.png")
    plain = page.pixels()
    page.box(75, 15, 485, 392)
    overlay = page.pixels()
    assert np.abs(overlay - plain).mean() > 0.01
    [prompt] = studio.project(project)["prompts"]["prompts"]
    assert np.allclose(prompt["box"], [75, 15, 485, 392], atol=1.5)
    page.click(560, 380, exclude=True)
    page.click(300, 200)
    [prompt] = studio.project(project)["prompts"]["prompts"]
    assert [point[2] for point in prompt["points"]] == [0, 1]
    page.by("undo").click()
    page.settled()
    [prompt] = studio.project(project)["prompts"]["prompts"]
    assert [point[2] for point in prompt["points"]] == [0]
    page.by("redo").click()
    page.settled()
    for view in ("alpha", "cutout", "original", "overlay"):
        page.show(view)
    seconds = float(page.page.get_attribute("body", "data-model-seconds"))
    assert seconds > 0
    # The file is the command line's, to the byte.
    page.download(tmp_path / "page.png")
    folder = studio.folder / project
    words = ["image", folder / "input.png", tmp_path / "line.png"]
    words += ["--prompts", folder / "prompts.json", "-q"]
    assert run([str(word) for word in words]) == 0
    assert (tmp_path / "page.png").read_bytes() == (tmp_path / "line.png").read_bytes()


def test_a_reload_brings_a_photo_back(page, studio, examples):
    project = page.upload(examples / "coffee.png")
    page.box(75, 15, 485, 392)
    before = page.pixels()
    page.page.reload()
    page.page.wait_for_selector("body[data-screen=project]")
    page.settled()
    page.page.wait_for_timeout(500)
    assert project in page.page.url
    assert np.abs(page.pixels() - before).mean() < 0.01


def test_a_rough_mask_is_painted_and_a_trimap(page, studio, examples):
    project = page.upload(examples / "coffee.png")
    page.by("tool-brush").click()
    for y in (120, 160, 200):
        page.page.mouse.move(*page.at(200, y))
        page.page.mouse.down()
        page.page.mouse.move(*page.at(380, y), steps=4)
        page.page.mouse.up()
    page.settled()
    [prompt] = studio.project(project)["prompts"]["prompts"]
    assert "mask_png" in prompt
    page.by("tool-trimap").click()
    page.page.mouse.move(*page.at(100, 350))
    page.page.mouse.down()
    page.page.mouse.move(*page.at(200, 350), steps=4)
    page.page.mouse.up()
    page.settled()
    [prompt] = studio.project(project)["prompts"]["prompts"]
    assert "trimap_png" in prompt


def test_a_clip_is_propagated_corrected_and_exported(page, studio, short_clip, tmp_path):
    project = page.upload(short_clip)
    page.box(12, 40, 83, 111)
    page.by("propagate-both").click()
    studio.until(lambda: studio.project(project)["current"], "the propagation")
    page.settled()
    before = alpha_of(studio, project, 5)
    frame = page.by("frame-number")
    frame.fill("5")
    frame.press("Enter")
    page.settled()
    page.click(60, 60, exclude=True)
    page.box(120, 30, 200, 120)
    said = studio.project(project)["prompts"]["prompts"]
    assert [(each["frame"], "box" in each, "points" in each) for each in said] == [
        (0, True, False),
        (5, True, True),
    ]
    page.by("propagate-both").click()
    studio.until(lambda: studio.project(project)["current"], "the correction")
    after = alpha_of(studio, project, 5)
    assert np.abs(after - before).max() > 0.3
    page.download(tmp_path / "out.mov", Format="mov")
    with pm.open_video(tmp_path / "out.mov") as clip:
        assert (len(clip), clip.info.codec, clip.info.has_alpha) == (10, "prores", True)
        assert np.abs(clip.frame(5).alpha - after).max() < 0.02


def alpha_of(studio, project, frame):
    name = studio.project(project)["prompts"]["prompts"][0]["object"]
    path = f"/api/projects/{project}/frames/{frame}/alpha.png"
    answer = studio.client.get(path, params={"object": name})
    assert answer.status_code == 200
    return pm.read_image(answer.content)[..., 0]


def test_reload_and_a_killed_model_in_mid_propagation(page, studio, short_clip):
    project = page.upload(short_clip)
    page.box(12, 40, 83, 111)
    page.by("propagate-both").click()
    studio.until(lambda: reached(studio, project) >= 2, "three frames")
    page.page.reload()
    page.page.wait_for_selector("body[data-screen=project]")
    # It goes on, and the page knows.
    if not studio.project(project)["current"]:
        expect(page.by("propagate-stop")).to_be_visible()
    kept = reached(studio, project)
    children = Path(f"/proc/{studio.process.pid}/task/{studio.process.pid}/children").read_text()
    sizes = {p: int(Path(f"/proc/{p}/statm").read_text().split()[1]) for p in children.split()}
    os.kill(int(max(sizes, key=sizes.get)), signal.SIGKILL)
    page.page.locator(".toast[role=alert]").first.wait_for()
    studio.ready()
    assert reached(studio, project) >= kept
    page.page.locator("#worker[data-worker=ready]").wait_for()
    page.by("propagate-both").click()
    studio.until(lambda: studio.project(project)["current"], "the rest")
    page.problems.clear()


def reached(studio, project):
    done = studio.project(project)["done"]
    return max((spans[-1][1] for spans in done.values() if spans), default=-1)


def test_it_can_be_used_by_keyboard_alone(page, studio, examples):
    project = page.upload(examples / "coffee.png")
    page.page.get_by_text("Prompts by numbers").click()
    form = page.page.get_by_role("form", name="Add a box")
    for at, value in enumerate((75, 15, 485, 392)):
        form.locator("input[type=number]").nth(at).fill(str(value))
    form.locator("input[type=number]").last.press("Enter")
    page.settled()
    [prompt] = studio.project(project)["prompts"]["prompts"]
    assert prompt["box"] == [75, 15, 485, 392]
    page.page.keyboard.press("Escape")
    page.page.locator("#stage").focus()
    for key, view in (("2", "alpha"), ("6", "original"), ("1", "overlay")):
        page.page.keyboard.press(key)
        expect(page.by(f"view-{view}")).to_have_attribute("aria-pressed", "true")


def test_what_is_wrong_is_said_in_a_sentence(page, tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("no picture at all" * 30)
    page.by("file-input").set_input_files(str(path))
    alert = page.page.locator(".toast[role=alert]").first
    expect(alert).to_contain_text("neither a picture nor a video")
    page.problems.clear()


def test_the_page_weighs_little_and_loads_nothing_from_elsewhere(browser, studio):
    context = browser.new_context()
    shown = context.new_page()
    sizes, places = [], set()
    shown.on("request", lambda request: places.add(request.url.split("/")[2]))
    shown.on("response", lambda answer: sizes.append(weight(answer)))
    token = studio.client.headers["authorization"].split()[1]
    shown.goto(f"{studio.url}/?token={token}")
    shown.wait_for_selector("body[data-screen=start]")
    time.sleep(1)
    assert places == {studio.url.split("/")[2]}
    assert 20_000 < sum(sizes) <= 600_000
    context.close()


def weight(answer):
    return int(answer.headers.get("content-length", 0))
