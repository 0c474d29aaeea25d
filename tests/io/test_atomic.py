"""Outputs appear whole or not at all, and never on top of an input."""

import os
from pathlib import Path

import pytest

from pullmatte.errors import WriteError
from pullmatte.io.atomic import refuse_input, replacing


def test_success_replaces_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_text("old")
    with replacing(target) as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_keeps_the_old_file_and_deletes_the_half(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "a.png"
    target.write_text("old")

    def fail() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no/a.png", "folder doesn't exist"),
        ("file/a.png", "is a file, expected folders"),
        (".", "it is a folder"),
        ("x" * 300 + ".png", "too long"),
        ("a\0.png", "null character"),
    ],
)
def test_bad_destination_is_one_line(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=words) as caught, replacing(tmp_path / name) as temporary:
        temporary.touch()
    assert "\n" not in str(caught.value)


def test_full_disk_is_named() -> None:
    error = OSError(28, "No space left on device")
    folder = Path(__file__).parent
    with pytest.raises(WriteError, match="no space left"), replacing(folder / "never.png"):
        raise error
    assert not (folder / "never.png").exists()


def test_writing_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="nothing was produced"), replacing(tmp_path / "a.png"):
        pass


def test_symlink_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real.png").write_text("old")
    (tmp_path / "link.png").symlink_to("real.png")
    with replacing(tmp_path / "link.png") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "real.png").read_text() == "new"


@pytest.mark.parametrize("name", ["in.png", "sub/../in.png", "soft.png", "hard.png"])
def test_input_is_not_overwritten(tmp_path: Path, name: str) -> None:
    source = tmp_path / "in.png"
    source.touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "soft.png").symlink_to(source)
    (tmp_path / "hard.png").hardlink_to(source)
    with pytest.raises(WriteError, match="choose another output"):
        refuse_input(tmp_path / name, None, source)


def test_other_output_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "in.png").touch()
    refuse_input(tmp_path / "out.png", tmp_path / "in.png", None)
