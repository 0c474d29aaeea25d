import dataclasses
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pullmatte.errors import WriteError
from pullmatte.io.clip import VideoInfo
from pullmatte.io.sequence_write import open_writer

INFO = VideoInfo(
    path=Path("source.mov"),
    codec="h264",
    width=64,
    height=48,
    time_base=Fraction(1, 25),
    pts=tuple(range(22)),
)
NAMES = ["out.mov", "out.webm", "out.mkv", "out.mp4", "out.%04d.png"]


def content_of(name: str) -> str:
    return "opaque" if name.endswith("mp4") else "cutout"


def picture(number: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    image = rng.random((48, 64, 3)).astype(np.float32)
    return image, rng.random((48, 64)).astype(np.float32)


def write(path: Path, stop: int = 22, *, resume: bool = False, info: VideoInfo = INFO, **more):
    writer = open_writer(
        path, info, content=content_of(path.name), segment_frames=5, resume=resume, **more
    )
    first = writer.next_frame
    for number in range(first, stop):
        writer.write(number, *picture(number))
    if stop == 22:
        writer.finish()
    else:
        writer.abort()
    return first


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_resumed_run_gives_the_same_bytes(name, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    write(whole / name)
    write(broken / name, stop=13)
    assert write(broken / name, resume=True) == 10
    assert outputs(broken) == outputs(whole)
    assert [path for path in broken.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("name", ["out.mov", "out.webm", "out.mkv"])
def test_two_runs_give_the_same_bytes(name, tmp_path):
    write(tmp_path / name)
    first = (tmp_path / name).read_bytes()
    write(tmp_path / name)
    assert (tmp_path / name).read_bytes() == first


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
import test_video_resume as t
writer = t.open_writer(Path(sys.argv[1]), t.INFO, segment_frames=5)
for number in range(13):
    writer.write(number, *t.picture(number))
os.kill(os.getpid(), 9)
"""


def test_killed_run_leaves_nothing_under_the_name_and_resumes(tmp_path):
    path = tmp_path / "out.mov"
    here = os.fspath(Path(__file__).parent)
    run = subprocess.run([sys.executable, "-c", KILLED, os.fspath(path), here], check=False)
    assert run.returncode == -signal.SIGKILL
    assert not path.exists()
    assert write(path, resume=True) == 10
    written = path.read_bytes()
    write(path)
    assert path.read_bytes() == written


def test_state_is_saved_before_a_segment_counts(tmp_path):
    seen = []

    def save(next_frame: int, folder: Path) -> None:
        complete = len(list(folder.glob("segment_*.mkv")))
        seen.append((next_frame, complete))
        (folder / f"state_{next_frame:08d}.npz").write_bytes(b"state")

    path = tmp_path / "out.mkv"
    write(path, stop=13, on_segment=save)
    assert seen == [(5, 0), (10, 1)]
    writer = open_writer(path, INFO, segment_frames=5, resume=True)
    # Only the state that a resume needs is kept.
    states = sorted(entry.name for entry in writer.state_path(0).parent.glob("state_*"))
    assert states == [f"{writer.state_path(10).name}.npz"]
    writer.abort()


def test_failed_state_leaves_the_segment_uncounted(tmp_path):
    def fail(next_frame: int, folder: Path) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "out.mkv"
    with pytest.raises(WriteError, match="no space left"):
        write(path, on_segment=fail)
    assert write(path, resume=True) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"info": dataclasses.replace(INFO, pts=tuple(range(23)))},
            "frame_count was 22, is now 23",
        ),
        ({"settings": {"model": "mam2"}}, "model was None, is now mam2"),
        ({"premultiplied": True}, "premultiplied was False, is now True"),
    ],
)
def test_resume_with_other_settings_is_refused(change, said, tmp_path):
    path = tmp_path / "out.mov"
    write(path, stop=13)
    with pytest.raises(WriteError, match=said) as caught:
        write(path, resume=True, **change)
    assert "\n" not in str(caught.value)


def test_resume_with_changed_input_is_refused(make_clip, tmp_path):
    source = make_clip(tmp_path / "in.mp4")
    info = dataclasses.replace(INFO, path=source)
    write(tmp_path / "out.mov", stop=13, info=info)
    os.utime(source, (1, 1))
    with pytest.raises(WriteError, match="input_changed_ns was"):
        write(tmp_path / "out.mov", resume=True, info=info)


def test_damaged_manifest_is_told(tmp_path):
    path = tmp_path / "out.mov"
    write(path, stop=13)
    (tmp_path / ".out.mov.pullmatte" / "manifest.json").write_text("{")
    with pytest.raises(WriteError, match="damaged; run again without --resume"):
        write(path, resume=True)


def test_without_resume_old_work_is_thrown_away(tmp_path):
    path = tmp_path / "out.mov"
    write(path, stop=13)
    assert write(path) == 0


def test_resumed_sequence_misses_a_lost_file(tmp_path):
    write(tmp_path / "out.%04d.png", stop=13)
    (tmp_path / "out.0004.png").unlink()
    with pytest.raises(WriteError, match=r"out\.0004\.png of the stopped run is gone"):
        write(tmp_path / "out.%04d.png", resume=True)


@pytest.mark.parametrize(("name", "told"), [("out.mkv", True), ("out.mov", False)])
def test_rounded_timestamps_are_told(name, told, tmp_path):
    fine = dataclasses.replace(
        INFO, time_base=Fraction(1, 12288), pts=tuple(range(0, 22 * 512, 512))
    )
    writer = open_writer(tmp_path / name, fine)
    writer.abort()
    assert any("milliseconds" in note for note in writer.notes) is told
