"""Fixtures that several test rooms use."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"

LONGEST = ("tests/train/", "tests/cli/test_train", "tests/parity/", "tests/jobs/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process ends with it while others wait."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data folder beside the repo: cut-outs, dev photos, golden values."""
    if not SHARED.is_dir():
        pytest.skip(f"no data folder at {SHARED.name}/ beside the repo: oracle tests need it")
    return SHARED
