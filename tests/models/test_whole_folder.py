"""Folders that appear whole, and what killed processes leave."""

import os
import signal
import subprocess
import sys

import pytest

from pullmatte.errors import WriteError
from pullmatte.models.whole_folder import appearing

CODE = """
import os, sys, time
from pathlib import Path
from pullmatte.models.whole_folder import appearing
with appearing(Path(sys.argv[1]), 1) as (folder, removed):
    (folder / "half").write_text("x")
    print("there", flush=True)
    sys.stdin.read()
"""


def start(destination):
    """Start another process that writes the folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(destination)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "there\n"
    return process


def test_what_a_killed_process_left_is_removed(tmp_path):
    with start(tmp_path / "out") as process:
        process.send_signal(signal.SIGKILL)
    (left,) = tmp_path.glob(".out.*.partial")
    with appearing(tmp_path / "out", 1) as (folder, removed):
        assert removed == (left.name,)
        assert not left.exists()
        (folder / "whole").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole"]


def test_what_a_living_process_writes_is_left_alone(tmp_path):
    with start(tmp_path / "out") as process:
        with (
            pytest.raises(WriteError, match="another process is writing it"),
            appearing(tmp_path / "out", 1),
        ):
            pass
        with appearing(tmp_path / "elsewhere", 1):
            pass
        process.stdin.close()
        assert process.wait() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "out"]
    assert (tmp_path / "out" / "half").is_file()


def test_other_hidden_things_stay(tmp_path):
    names = [
        ".out.partial",
        ".out.0123456.partial",
        ".outer.01234567.partial",
        ".out.zzzzzzzz.partial",
    ]
    for name in names:
        (tmp_path / name).mkdir()
    os.symlink(tmp_path / ".out.partial", tmp_path / ".out.01234567.partial")
    with appearing(tmp_path / "out", 1) as (_, removed):
        assert removed == ()
    assert {path.name for path in tmp_path.iterdir()} > set(names)


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), appearing(tmp_path / "out", 1):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
