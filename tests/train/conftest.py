"""Tiny recipes, and two processes that share one."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

PLACE = Path(__file__).parent / "tiny_recipes.py"


def load() -> ModuleType:
    if "tiny_recipes" not in sys.modules:
        spec = importlib.util.spec_from_file_location("tiny_recipes", PLACE)
        sys.modules["tiny_recipes"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["tiny_recipes"])
    return sys.modules["tiny_recipes"]


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    return load()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def on_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train tiny recipes in two processes, which talk by gloo; the folder of their runs."""
    folder = tmp_path_factory.mktemp("on_two")
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    both = [
        subprocess.Popen(
            [sys.executable, str(PLACE), str(folder)],
            env=os.environ | shared | {"RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said[0][-2000:] + said[1][-2000:]
    return folder
