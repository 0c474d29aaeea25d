"""``pullmatte doctor``, also where packages are missing or broken."""

import json
import subprocess
import sys

from pullmatte.cli.app import run

# Hides a module as if it weren't installed, or breaks it as a missing library does.
HIDE = """
import importlib.abc, sys
module, how = sys.argv[1:3]
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == module:
            if how == "broken":
                raise ImportError("libGL.so.1: cannot open shared object file")
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
sys.argv = ["pullmatte", *sys.argv[3:]]
from pullmatte.cli.app import main
main()
"""


def doctor(module, how, *words):
    command = [sys.executable, "-c", HIDE, module, how, "doctor", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_whole_installation_ends_with_0(capsys):
    assert run(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "all that is needed is here" in out
    for word in ("python", "memory", "fits", "prores_ks", "OpenEXR"):
        assert f"\n{word} " in out


def test_json_lists_everything(capsys):
    assert run(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert findings["missing"] == []
    assert findings["memory_bytes"]["available"] <= findings["memory_bytes"]["total"]
    assert findings["devices"][0].startswith("cpu")
    assert all(findings["encoders"].values())


def test_hidden_package_is_named_with_its_mending_command():
    code, out = doctor("PIL", "hidden")
    assert code == 1
    assert "MISSING: pillow: not installed → pip install pillow\n" in out
    assert "all that is needed" not in out


def test_broken_package_says_why_and_is_installed_again():
    code, out = doctor("cv2", "broken", "--json")
    assert code == 1
    (missing,) = json.loads(out)["missing"]
    assert "libGL.so.1" in missing["what"]
    assert missing["mend"] == "pip install --force-reinstall opencv-python-headless"


def test_optional_package_is_no_fault():
    code, out = doctor("pi_heif", "hidden")
    assert code == 0
    assert "optional: pi-heif: HEIC photos → pip install 'pullmatte[heic]'" in out
