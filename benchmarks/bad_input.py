"""Run every kind of bad input of the tests, and print what the command answers.

Run: python benchmarks/bad_input.py

The cases, their names and their number are those of tests/cli/test_bad_input.py, which also checks
that nothing is overwritten and nothing is left behind. Exits with 1 if an answer isn't one line on
stderr with exit 2, beside the start line.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

from clips import machine
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.cli.conftest import make_clip, picture
from tests.cli.test_bad_input import CASES

from pullmatte.cli.app import run


def answer(name: str, folder: Path) -> tuple[int, list[str]]:
    """Run one case in a folder of its own; return exit code and lines on stderr."""
    (folder / "empty").mkdir()
    things = SimpleNamespace(
        dir=folder,
        photo=folder / "photo.png",
        clip=make_clip(folder / "clip.mp4", sound=True),
        old=folder / "old.png",
        out=folder / "old.png",
        empty=folder / "empty",
    )
    Image.fromarray(picture()).save(things.photo)
    things.old.write_bytes(b"what an earlier run has made")
    words = [str(word) for word in CASES[name][0](things)]
    os.chdir(folder)
    sys.stdin = io.TextIOWrapper(io.BytesIO())
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = run([*words, "--quiet"])
    return code, said.getvalue().splitlines()


def main() -> int:
    failed = 0
    print(f"`python benchmarks/bad_input.py`, {len(CASES)} kinds; {machine()}\n")
    print("| what came | exit | what is said |")
    print("| --- | --: | --- |")
    home = Path.cwd()
    for name in CASES:
        with tempfile.TemporaryDirectory() as folder:
            code, lines = answer(name, Path(folder))
            os.chdir(home)
            text = re.sub(r"x{60,}", "xxx…", " / ".join(lines).replace(folder, "…"))
        failed += code != 2 or len(lines) != 1
        print(f"| {name} | {code} | {text.removeprefix('pullmatte: ').replace('|', '&#124;')} |")
    print(f"\n{len(CASES) - failed} of {len(CASES)} end with exit 2 and one line")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
