"""Our tracking against `transformers`' own Sam2VideoModel, with trimap tokens off.

Found: no difference at all, on the machine where this was written.
"""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from pullmatte.models.mam2.config import MINIATURE


def _load() -> ModuleType:
    path = Path(__file__).parent / "sam2.py"
    spec = importlib.util.spec_from_file_location("sam2_parity", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sam2_parity"] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


parity = _load()
Said = parity.Said
MASK = np.zeros((256, 256), np.float32)
MASK[60:150, 90:200] = 1
CLICK = Said(((100.0, 80.0, 1),))
SAID = {
    "click": CLICK,
    "clicks": Said(((100.0, 80.0, 1), (30.0, 200.0, 0), (140.0, 96.5, 1))),
    "box": Said(((40.0, 30.0, 2), (180.0, 200.0, 3))),
    "box and click": Said(((40.0, 30.0, 2), (180.0, 200.0, 3), (100.0, 80.0, 1))),
    "mask": Said(mask=MASK),
}


@pytest.fixture(scope="module")
def models() -> Any:
    return parity.pair()


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return parity.make_clip(16)


@pytest.fixture(scope="module")
def encoded() -> dict[int, Any]:
    return {}


@pytest.fixture
def both(models: Any, clip: np.ndarray, encoded: dict[int, Any]) -> Any:
    theirs, ours = models
    return parity.Reference(theirs, clip), parity.Ours(ours, clip, encoded=encoded)


def say(both: Any, frame: int, said: Any) -> None:
    for side in both:
        side.say(frame, said)


def run(both: Any, frames: Any, *, reverse: bool = False) -> list[Any]:
    """Run both and compare; return theirs."""
    found = []
    for frame in frames:
        theirs, ours = (side.run(frame, reverse=reverse) for side in both)
        errors = parity.differences(theirs, ours)
        assert errors.keys() == {"logits", "pointer", "features"}
        assert max(errors.values()) <= 1e-5, (frame, errors)
        found.append(theirs)
    return found


@pytest.mark.parametrize("kind", SAID)
def test_twelve_frames_forward_equal_transformers(both: Any, kind: str) -> None:
    say(both, 0, SAID[kind])
    found = run(both, range(12))
    assert sum(float(each["score"]) > 0 for each in found) >= 8
    inside = [float((each["logits"] > 0).float().mean()) for each in found]
    assert sum(0.05 < share < 0.95 for share in inside) >= 8


@pytest.mark.parametrize("kind", ["click", "mask"])
def test_twelve_frames_backward_equal_transformers(both: Any, kind: str) -> None:
    say(both, 11, SAID[kind])
    found = run(both, range(11, -1, -1), reverse=True)
    assert sum(float(each["score"]) > 0 for each in found) >= 8


def test_frames_on_both_sides_of_prompts_equal_transformers(both: Any) -> None:
    for frame in (3, 9):
        say(both, frame, SAID["box"])
        run(both, [frame])
    run(both, range(4, 9))
    run(both, range(10, 14))
    run(both, (2, 1, 0), reverse=True)


def test_a_correction_equals_transformers(both: Any) -> None:
    say(both, 0, CLICK)
    before = run(both, range(6))[4]
    say(both, 4, Said(((60.0, 60.0, 1), (200.0, 40.0, 0))))
    after = run(both, [4])[0]
    assert float((before["logits"] - after["logits"]).abs().max()) > 0.1
    run(both, range(5, 10))


def test_only_the_nearest_prompted_frames_equal_transformers(clip: np.ndarray) -> None:
    few = replace(MINIATURE.sam2, most_prompted=2)
    theirs, ours = parity.pair(config=replace(parity.PLAIN, sam2=few))
    both = parity.Reference(theirs, clip), parity.Ours(ours, clip)
    for frame in (0, 4, 6, 12):
        say(both, frame, SAID["box"])
        run(both, [frame])
    run(both, range(7, 11))


def test_trimap_tokens_off_is_sam2_and_on_is_not(models: Any, clip: np.ndarray) -> None:
    theirs = parity.Reference(models[0], clip)
    ours = parity.Ours(parity.pair(config=MINIATURE)[1], clip)
    say((theirs, ours), 0, CLICK)
    with_tokens = ours.run(0)
    ours.network.decoder.without_trimap = True
    ours.prompted.clear()
    say((ours,), 0, CLICK)
    expected = run((theirs, ours), [0])[0]
    assert float((with_tokens["logits"] - expected["logits"]).abs().max()) > 0.1


def test_a_bounded_window_changes_nothing(models: Any) -> None:
    clip = parity.make_clip(30)
    shared: dict[int, Any] = {}
    whole, bounded = (
        parity.Ours(models[1], clip, bounded=each, encoded=shared) for each in (False, True)
    )
    say((whole, bounded), 0, CLICK)
    for frame in range(30):
        kept, kept_few = whole.run(frame), bounded.run(frame)
        assert all(torch.equal(kept[name], kept_few[name]) for name in kept), frame
    assert len(bounded._near(29)) < len(whole._near(29))
