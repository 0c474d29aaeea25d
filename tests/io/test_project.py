"""What a long run keeps on disk."""

import numpy as np
import pytest

from pullmatte.errors import ReadError, WriteError
from pullmatte.io.project import FolderStore, load_arrays, make_folder, save_arrays, sweep

PLANES = {
    "alpha": np.arange(60, dtype=np.uint16).reshape(6, 10) * 1000,
    "mask": np.eye(6, 10, dtype=np.uint8) * 255,
}


def test_store_gives_back_what_was_put(tmp_path):
    store = FolderStore(tmp_path / "store")
    store.put("cat", 3, PLANES)
    store.put("cat.b", 3, {"alpha": PLANES["alpha"] + 1})
    found = FolderStore(tmp_path / "store").get("cat", 3)
    assert found.keys() == PLANES.keys()
    for name, plane in PLANES.items():
        assert found[name].dtype == plane.dtype
        assert np.array_equal(found[name], plane)


def test_store_without_the_frame_says_so(tmp_path):
    store = FolderStore(tmp_path / "store")
    store.put("cat", 3, PLANES)
    with pytest.raises(ReadError, match="lacks what was kept of 'dog'"):
        store.get("dog", 3)


@pytest.mark.parametrize("data", [b"", b"no picture"])
def test_damaged_plane_is_one_line(data, tmp_path, capfd):
    store = FolderStore(tmp_path)
    store.put("cat", 0, PLANES)
    (tmp_path / "00000000" / "cat.alpha.png").write_bytes(data)
    with pytest.raises(ReadError, match="damaged file"):
        store.get("cat", 0)
    assert capfd.readouterr().err == ""


def test_arrays_read_back_under_any_name(tmp_path):
    arrays = {"memory/a/b.c/flöw": np.float32([1, 2]), "next_frame": np.array(7)}
    save_arrays(tmp_path / "state", arrays)
    found = load_arrays(tmp_path / "state")
    assert list(found) == list(arrays)
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"PK\x03\x04" + bytes(90), b"text"])
def test_damaged_arrays_are_one_line(data, tmp_path):
    (tmp_path / "state").write_bytes(data)
    with pytest.raises(ReadError, match="without --resume"):
        load_arrays(tmp_path / "state")


def test_folder_below_a_file_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="can't make the folder"):
        make_folder(tmp_path / "file" / "sub")


@pytest.mark.parametrize(
    ("output", "gone"),
    [("out.mov", {".out.0123abcd.mov"}), ("out.%03d.png", {".out.007.0123abcd.png"})],
)
def test_sweep_takes_only_what_a_kill_left(output, gone, tmp_path):
    strangers = {".out.mov", "out.007.png", ".other.0123abcd.mov"}
    names = {".out.0123abcd.mov", ".out.007.0123abcd.png", *strangers}
    for name in names:
        (tmp_path / name).touch()
    sweep(tmp_path / output)
    assert {path.name for path in tmp_path.iterdir()} == names - gone
