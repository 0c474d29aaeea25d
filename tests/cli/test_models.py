"""``pullmatte models``: list, path, convert; pull is tested where the hub is."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pullmatte.cli.app import run
from pullmatte.models import MODELS

_path = Path(__file__).parents[1] / "models" / "sdmatte" / "released.py"
_spec = importlib.util.spec_from_file_location("released", _path)
released = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(released)
_path = _path.parents[1] / "mematte" / "released.py"
_spec = importlib.util.spec_from_file_location("released_mematte", _path)
released_mematte = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(released_mematte)


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path):
    monkeypatch.setenv("PULLMATTE_HOME", str(tmp_path / "home"))


@pytest.fixture
def source(tmp_path):
    return released.write(tmp_path / "from" / "SDMatte.pth", released.weights())


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_list_says_what_the_licence_passes_on(capsys):
    assert run(["models", "list"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "use restrictions" in out
    assert "https://huggingface.co/LongfeiHuang/SDMatte" in out
    assert "pullmatte models pull litesdmatte" in out


def test_list_as_json_is_complete(capsys):
    assert run(["models", "list", "--json"]) == 0
    records = {record["name"]: record for record in lines(capsys)}
    assert records.keys() == MODELS.keys()
    assert records["classical"]["ready"]
    assert not records["sdmatte"]["ready"]
    assert records["sdmatte"]["download_bytes"] == 12_100_000_000
    assert records["sdmatte-plus"]["prompts"] == ["box"]


def test_path_says_where_weights_would_be(tmp_path, capsys):
    assert run(["models", "path", "sdmatte"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'home' / 'models' / 'sdmatte'}\n"
    assert err == "sdmatte isn't there yet: pullmatte models pull sdmatte\n"
    assert run(["models", "path"]) == 0
    names = [line.partition("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == [spec.name for spec in MODELS.values() if spec.has_weights]
    assert not (tmp_path / "home").exists()


def test_convert_installs_and_reports(source, tmp_path, capsys):
    assert run(["models", "convert", "sdmatte", str(source)]) == 0
    err = capsys.readouterr().err
    folder = tmp_path / "home" / "models" / "sdmatte"
    assert f"pullmatte: {folder}: 627 tensors, 2.5 M parameters, float32" in err
    assert "use restrictions" in err
    assert "all zero" not in err
    assert run(["models", "path", "sdmatte"]) == 0
    assert capsys.readouterr().err == ""
    assert run(["models", "list"]) == 0
    assert "3.8 GB of weights, here" in " ".join(capsys.readouterr().out.split())


def test_convert_tells_of_dead_weights(tmp_path, capsys):
    tensors = released.weights()
    for kind in ("bbox", "point"):
        name = f"unet.{kind}_embedding.linear_1.weight"
        tensors[name] = torch.zeros_like(tensors[name])
    source = released.write(tmp_path / "SDMatte.pth", tensors)
    assert run(["models", "convert", "sdmatte", str(source), str(tmp_path / "o"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert "all zero for " in err
    assert sorted(json.loads(out)["dead"]) == ["box", "points"]


def test_convert_takes_a_precision(source, tmp_path, capsys):
    words = ["models", "convert", "sdmatte", str(source), str(tmp_path / "o"), "-q", "--json"]
    assert run([*words, "--dtype", "bfloat16"]) == 0
    (record,) = lines(capsys)
    assert record["dtype"] == "bfloat16"
    assert record["folder"] == str(tmp_path / "o")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["path", "sdmat"], "unknown model 'sdmat'"),
        (["path", "classical"], "has no weights to fetch: those with weights are sdmatte"),
        (["pull", "classical"], "has no weights to fetch"),
        (["convert", "classical", "x.pth"], "has no weights to fetch"),
        (["convert", "sdmatte", "x.pth"], "x.pth: no such file"),
        (["convert", "sdmatte", "x.pth", "--dtype", "int8"], "dtype 'int8': give float32"),
        (["convert", "sdmatte"], "Missing argument"),
        (["pull", "mematte"], "can't be fetched: get the released file from Google Drive"),
        (["convert", "mematte", "x.pth"], "x.pth: no such file"),
        (["convert", "mematte", "x.pth", "--keep-text-encoder"], "mematte' reads no captions"),
        (["convert", "vitmatte", "x.pth", "--tokenizer", "."], "vitmatte' reads no captions"),
        (["pull", "vitmatte", "--keep-text-encoder"], "vitmatte' reads no captions"),
        (["convert", "sdmatte", "x.pth", "--also", "y.pth"], "sdmatte' is made of one file"),
    ],
)
def test_bad_words_are_one_line(words, says, capsys):
    assert run(["models", *words]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert len(err.splitlines()) == 1


def process(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PULLMATTE_HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", f"import sys; {code}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("absent", ["torch", "diffusers", "huggingface_hub"])
def test_a_missing_extra_is_named(absent, tmp_path):
    done = process(
        f"sys.modules[{absent!r}] = None; from pullmatte.cli.app import run; "
        "sys.exit(run(['models', 'pull', 'sdmatte', '-q']))",
        tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr == "pullmatte: this model needs torch: pip install torch\n"


def test_listing_loads_no_heavy_library(tmp_path):
    done = process(
        "from pullmatte.cli.app import run; run(['models', 'list']); run(['models', 'path']); "
        "sys.exit(len({'torch', 'huggingface_hub', 'safetensors', 'diffusers'} & "
        "set(sys.modules)))",
        tmp_path,
    )
    assert done.returncode == 0


def test_quiet_still_tells_of_sizes_that_are_not_the_released(source, tmp_path, capsys):
    assert run(["models", "convert", "sdmatte", str(source), str(tmp_path / "o"), "-q"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("sizes from its shapes, heads of 64: not those of the released sdmatte")


def test_what_was_left_is_removed_and_said(source, tmp_path, capsys):
    left = tmp_path / ".o.0123abcd.partial"
    left.mkdir()
    assert run(["models", "convert", "sdmatte", str(source), str(tmp_path / "o"), "-q"]) == 0
    said = f"pullmatte: removed what an interrupted conversion had left: {left.name}"
    assert said in capsys.readouterr().err.splitlines()
    assert not left.exists()


def test_a_terminated_conversion_leaves_nothing(source, tmp_path, monkeypatch):
    def end(*_, **__):
        assert list(tmp_path.glob(".o.*.partial"))
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("pullmatte.models.conversion.hash_checked", end)
    with pytest.raises(SystemExit) as ended:
        run(["models", "convert", "sdmatte", str(source), str(tmp_path / "o"), "-q"])
    assert ended.value.code == 128 + signal.SIGTERM
    assert [path.name for path in tmp_path.iterdir()] == ["from"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_what_no_hub_has_is_listed_with_its_place(tmp_path, capsys):
    assert run(["models", "list"]) == 0
    listed = " ".join(capsys.readouterr().out.split())
    assert "117 MB of weights to convert" in listed
    assert "pull mematte" not in listed
    assert run(["models", "path", "mematte"]) == 0
    said = capsys.readouterr().err
    assert said.startswith("mematte isn't there yet: get the released file from Google Drive")
    assert "'pullmatte models convert mematte FILE'" in said
    assert run(["models", "list", "--json"]) == 0
    records = {record["name"]: record for record in lines(capsys)}
    assert records["mematte"]["weights"]
    assert not records["mematte"]["ready"]
    assert records["mematte"]["download_bytes"] == 0
    assert records["mematte"]["elsewhere"].startswith("Google Drive")


def test_a_converted_matter_is_there_and_mattes(tmp_path, capsys):
    source = released_mematte.write_training(tmp_path / "m.pth", released_mematte.weights())
    assert run(["models", "convert", "mematte", str(source)]) == 0
    assert "MIT is what the authors' README says" in capsys.readouterr().err
    assert run(["models", "path", "mematte"]) == 0
    assert capsys.readouterr().err == ""
    trimap = np.zeros((40, 60), np.uint8)
    trimap[8:30, 10:50], trimap[14:24, 20:40] = 128, 255
    Image.fromarray(trimap).save(tmp_path / "t.png")
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "p.png")
    flags = ["--trimap", str(tmp_path / "t.png"), "--only-alpha", "-q"]
    for flag in ("--model", "--matter"):
        out = tmp_path / f"{flag}.png"
        assert run(["image", str(tmp_path / "p.png"), str(out), *flags, flag, "mematte"]) == 0
        alpha = np.asarray(Image.open(out))
        known = trimap != 128
        assert np.array_equal(alpha[known], trimap[known])
        assert alpha[~known].std() > 0
