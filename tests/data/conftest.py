"""Makes the made-up data sets importable: test folders are no packages."""

import importlib.util
import sys
from pathlib import Path

PLACE = Path(__file__).parent / "tiny_sets.py"

if "tiny_sets" not in sys.modules:
    spec = importlib.util.spec_from_file_location("tiny_sets", PLACE)
    assert spec is not None
    assert spec.loader is not None
    sys.modules["tiny_sets"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["tiny_sets"])
