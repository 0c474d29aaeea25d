"""Measure the studio in a real Chromium: the wait for a matte, and what the page weighs.

Run: python benchmarks/studio.py [--rounds 5] [--clicks 15] [--shots FOLDER]

The example's photo is opened, and prompted once its encoding is through: a box, and clicks, each
from the pointer going up to the matte being painted, as the page measures it itself; the ratio is
to the model's own time for the same matte, as the server tells it. With --shots README's picture of
the page is drawn, of the example's clip.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from clips import machine
from playwright.sync_api import Page, sync_playwright

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TOKEN = "a-token-for-benchmarks"
MOST_RATIO, MOST_BYTES = 1.3, 600_000
PATIENCE_MS = 240_000
BOX = (75, 15, 485, 392)


def settled(page: Page, pause_ms: int = 250) -> None:
    page.wait_for_timeout(pause_ms)
    page.wait_for_selector("body[data-ready=true]")


def place(page: Page, x: float, y: float) -> tuple[float, float]:
    found = page.evaluate(f"window.studio.imageToClient({x}, {y})")
    return found["x"], found["y"]


def draw_box(page: Page, box: tuple[float, float, float, float]) -> None:
    page.mouse.move(*place(page, *box[:2]))
    page.mouse.down()
    page.mouse.move(*place(page, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
    page.mouse.move(*place(page, *box[2:]))
    page.mouse.up()
    settled(page)


def measured(page: Page) -> tuple[float, float]:
    """Seconds from pointer to paint, and the model's own."""
    took = page.get_attribute("body", "data-matte-ms")
    own = page.get_attribute("body", "data-model-seconds")
    return float(took or "nan") / 1000, float(own or "nan")


def opened(page: Page) -> tuple[float, float]:
    """Open the photo anew, wait until it is encoded, and draw the first box."""
    page.goto(page.url.split("#")[0])
    page.get_by_test_id("file-input").set_input_files(str(EXAMPLES / "coffee.png"))
    page.wait_for_selector("body[data-screen=project]")
    # The photo is encoded as soon as it is open.
    page.wait_for_timeout(4000)
    page.locator("#worker[data-worker=ready]").wait_for()
    draw_box(page, BOX)
    return measured(page)


def clicked(page: Page, number: int) -> tuple[float, float]:
    page.mouse.click(*place(page, 200 + 10 * number, 180 + 7 * (number % 5)))
    settled(page)
    return measured(page)


def shots(page: Page, folder: Path) -> None:
    """Draw the clip in the middle of its work."""
    from PIL import Image

    page.goto(page.url.split("#")[0])
    page.get_by_test_id("file-input").set_input_files(str(EXAMPLES / "fuzzball.mp4"))
    page.wait_for_selector("body[data-screen=project]")
    settled(page, 1500)
    draw_box(page, (25, 80, 165, 220))
    page.get_by_test_id("propagate-both").click()
    while not page.evaluate("window.studio.state.current"):
        page.wait_for_timeout(500)
    settled(page, 2000)
    page.get_by_test_id("frame-number").fill("16")
    page.get_by_test_id("frame-number").press("Enter")
    settled(page, 1500)
    path = folder / "studio_clip.png"
    page.screenshot(path=path)
    with Image.open(path) as picture:
        picture.convert("RGB").save(folder / "studio_clip.webp", quality=82, method=6)
    path.unlink()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clicks", type=int, default=15)
    parser.add_argument("--shots", type=Path)
    options = parser.parse_args()
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        sys.exit("no Chromium here: install the package chromium")
    command = [str(Path(sys.executable).parent / "pullmatte"), "serve", "--no-browser", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        command += ["--port", "0", "--projects", folder, "--token", TOKEN]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=browser_path, args=["--no-sandbox"]
                )
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.set_default_timeout(PATIENCE_MS)
                sizes: list[int] = []
                page.on("response", lambda a: sizes.append(int(a.headers.get("content-length", 0))))
                page.goto(address)
                page.wait_for_timeout(1500)
                weight = sum(sizes)
                opened(page)
                first = [opened(page) for _ in range(options.rounds)]
                later = [clicked(page, number) for number in range(options.clicks)]
                if options.shots:
                    shots(page, options.shots)
                browser.close()
        finally:
            server.terminate()
            server.wait()
    print(f"`python benchmarks/studio.py`; {machine()}\n")
    print(f"page: {weight / 1000:.0f} kB (at most {MOST_BYTES / 1000:.0f})\n")
    print("| what | times | s, pointer to paint | the model's own | ratio | most |")
    print("| --- | --: | --: | --: | --: | --: |")
    for name, found in (("first matte of a photo", first), ("another click", later)):
        took, own = (statistics.median(each) for each in zip(*found, strict=True))
        ratio = statistics.median(a / b for a, b in found)
        most = MOST_RATIO if found is first else ""
        print(f"| {name} | {len(found)} | {took:.2f} | {own:.2f} | {ratio:.2f} | {most} |")
    missed = statistics.median(a / b for a, b in first) > MOST_RATIO
    return int(missed or weight > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
