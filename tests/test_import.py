"""What importing costs and leaves behind: nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import pullmatte

HEAVY = ("torch", "cv2", "av", "PIL", "pymatting", "numba", "OpenImageIO", "OpenEXR", "scipy")
PROBE = """
import json, sys
{code}
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""


def modules_after(code: str, folder: Path) -> set[str]:
    """Run `code` in a fresh interpreter whose home and working folder are `folder`."""
    source = Path(pullmatte.__file__).parents[1]
    environment = {"HOME": str(folder), "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE.format(code=code)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1, "only the probe prints"
    assert list(folder.iterdir()) == []
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "code",
    [
        "import pullmatte",
        "import pullmatte; dir(pullmatte); pullmatte.__version__; pullmatte.__all__",
        "import pullmatte; [getattr(pullmatte, n) for n in "
        "('MODELS', 'Box', 'Mask', 'Matte', 'Point', 'PromptFile', 'PullmatteError', 'Trimap')]",
        "from pullmatte import load, Box; import pullmatte.testing; pullmatte.testing.FakeMatter()",
    ],
    ids=["import", "dir", "names", "sessions"],
)
def test_import_is_light_silent_and_leaves_no_file(code: str, tmp_path: Path) -> None:
    assert modules_after(code, tmp_path).isdisjoint(HEAVY)


def test_plain_import_does_not_even_load_numpy(tmp_path: Path) -> None:
    assert "numpy" not in modules_after("import pullmatte", tmp_path)


def test_prompts_without_pictures_work_without_pil(tmp_path: Path) -> None:
    code = (
        "from pullmatte import PromptFile; from pullmatte.prompts import FramePrompt, Prompt; "
        "file = PromptFile((FramePrompt(Prompt.of(points=[(1, 2)], box=(0, 0, 3, 3))),)); "
        "assert PromptFile.from_json(file.to_json()) == file"
    )
    assert modules_after(code, tmp_path).isdisjoint(HEAVY)


def test_every_public_name_is_there_and_documented() -> None:
    assert len(pullmatte.__all__) <= 15
    assert dir(pullmatte) == sorted(pullmatte.__all__)
    for name in pullmatte.__all__:
        assert getattr(pullmatte, name) is not None
        if name not in ("__version__", "MODELS"):
            assert getattr(pullmatte, name).__doc__, name


def test_all_is_exactly_what_is_exported() -> None:
    assert {*pullmatte._HOME, "__version__"} == set(pullmatte.__all__)
    for name, home in pullmatte._HOME.items():
        assert getattr(sys.modules.get(home) or __import__(home, fromlist=[name]), name) is getattr(
            pullmatte, name
        )


def test_star_import_brings_the_public_names() -> None:
    namespace: dict[str, object] = {}
    exec("from pullmatte import *", namespace)
    assert namespace.keys() - {"__builtins__"} == set(pullmatte.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'cutout'"):
        _ = pullmatte.cutout
