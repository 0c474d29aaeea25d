"""Fixtures that several test rooms use."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data folder beside the repo: cut-outs, dev photos, golden values."""
    if not SHARED.is_dir():
        pytest.skip(f"no data folder at {SHARED.name}/ beside the repo: oracle tests need it")
    return SHARED
