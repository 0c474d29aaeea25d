"""What waits in a store comes out as it went in, in memory and in a folder."""

from pathlib import Path

import numpy as np
import pytest

from pullmatte.errors import ReadError
from pullmatte.io.project import FolderStore
from pullmatte.models.protocol import Prediction
from pullmatte.sessions.store import AlphaStore, MemoryStore, pack, unpack

RNG = np.random.default_rng(2)


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> AlphaStore:
    return MemoryStore() if request.param == "memory" else FolderStore(tmp_path / "store")


def prediction(seed: int = 0) -> Prediction:
    alpha = np.random.default_rng(seed).random((13, 17), dtype=np.float32)
    return Prediction(alpha, alpha > 0.5, (np.rint(alpha * 2) / 2).astype(np.float32))


def test_planes_come_out_as_they_went_in(store: AlphaStore) -> None:
    for frame, name in ((0, "a"), (7, "a"), (7, "b.c 猫 @ö=")):
        store.put(name, frame, pack(prediction(frame + len(name))))
    for frame, name in ((7, "b.c 猫 @ö="), (7, "a"), (0, "a")):
        planes, expected = store.get(name, frame), pack(prediction(frame + len(name)))
        assert planes.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(planes[key], value)
            assert planes[key].dtype == value.dtype


def test_later_planes_replace_earlier_ones(store: AlphaStore) -> None:
    store.put("a", 3, pack(prediction(1)))
    store.put("a", 3, pack(prediction(2)))
    np.testing.assert_array_equal(store.get("a", 3)["alpha"], pack(prediction(2))["alpha"])


def test_nothing_put_is_a_read_error(store: AlphaStore) -> None:
    store.put("ab", 3, pack(prediction()))
    for name, frame in (("a", 3), ("ab", 4), ("ab.alpha", 3)):
        with pytest.raises(ReadError):
            store.get(name, frame)


def test_pack_keeps_alpha_to_16_bits_and_the_rest_exactly() -> None:
    given = prediction(5)
    back = unpack(pack(given))
    np.testing.assert_allclose(back.alpha, given.alpha, atol=0.51 / 65535)
    np.testing.assert_array_equal(back.mask, given.mask)
    np.testing.assert_array_equal(back.trimap, given.trimap)
    assert (back.alpha.dtype, back.trimap.dtype) == (np.float32, np.float32)  # type: ignore[union-attr]


def test_pack_of_what_was_unpacked_is_the_same() -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(pack(unpack({"alpha": levels}))["alpha"], levels)


def test_pack_does_not_wrap_round_at_the_ends() -> None:
    slightly_off = np.array([[-1e-4, 1 + 1e-4, 0, 1]], np.float32)
    assert pack(Prediction(slightly_off))["alpha"].tolist() == [[0, 65535, 0, 65535]]


def test_missing_mask_and_trimap_stay_missing() -> None:
    back = unpack(pack(Prediction(np.zeros((2, 2), np.float32))))
    assert (back.mask, back.trimap) == (None, None)


def test_planes_without_alpha_are_a_read_error() -> None:
    with pytest.raises(ReadError, match="nothing is stored of a frame's alpha, beside mask: start"):
        unpack({"mask": np.zeros((2, 2), np.uint8)})
