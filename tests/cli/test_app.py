"""The command as a whole: help, version, unknown words, models, closed pipes."""

import json
import os
import subprocess
import sys

import pytest

from pullmatte import __version__
from pullmatte.cli.app import run
from pullmatte.models import DEFAULT_MODEL, MODELS, ModelSpec

PROCESS = [sys.executable, "-c", "from pullmatte.cli.app import main; main()"]


def test_version_is_the_package_s(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"pullmatte {__version__}\n"


@pytest.mark.parametrize(
    "verb", [[], ["image"], ["video"], ["composite"], ["models"], ["doctor"], ["eval"]]
)
def test_help_answers(verb, capsys):
    assert run([*verb, "--help"]) == 0
    assert "Usage: pullmatte" in capsys.readouterr().out


def test_no_word_at_all_shows_the_help_and_ends_with_2(capsys):
    assert run([]) == 2
    out, err = capsys.readouterr()
    assert "Usage: pullmatte" in out
    assert err == "pullmatte: choose a command, as above\n"


def test_interrupt_is_one_line(fake, photo, monkeypatch, capsys):
    from pullmatte.testing import FakeModel

    def stop(self, array):
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeModel, "encode", stop)
    assert run(["image", str(photo), "-m", "fake", "-q"]) == 130
    assert capsys.readouterr().err == "pullmatte: stopped\n"


def test_help_loads_no_heavy_library():
    code = (
        "import sys; from pullmatte.cli.app import run; run(['--help']); "
        "heavy = {'torch', 'cv2', 'av', 'PIL', 'pymatting', 'numba'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_closed_pipe_is_silent():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*PROCESS, "models", "list", "--json"], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    # Click ends with 1 where it notices first.
    assert done.returncode in (1, 141)
    assert done.stderr == b""


def test_models_fit_80_columns_and_name_licences(monkeypatch, capsys):
    heavy = ModelSpec(
        "heavy", "a summary " * 12, "a:b", "CC-BY-NC-4.0", False, size_bytes=3 * 10**8
    )
    monkeypatch.setitem(MODELS, "heavy", heavy)
    assert run(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert f"{DEFAULT_MODEL} (default)" in out
    for word in ("CC-BY-NC-4.0", "NO paid work", "300 MB", "paid work allowed"):
        assert word in " ".join(out.split())


def test_commercial_models_leave_the_others_out(monkeypatch, capsys):
    spec = ModelSpec("heavy", "x", "a:b", "CC-BY-NC-4.0", False)
    monkeypatch.setitem(MODELS, "heavy", spec)
    assert run(["models", "list", "--commercial", "--json"]) == 0
    names = [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()]
    assert DEFAULT_MODEL in names
    assert "heavy" not in names
