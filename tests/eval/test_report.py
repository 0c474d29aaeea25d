"""Tables and contact sheet of a run, read back."""

import csv
import json
import math

import numpy as np
import pytest
from PIL import Image

from pullmatte.data.layouts import open_dataset
from pullmatte.errors import DatasetError, PullmatteError
from pullmatte.eval import report
from pullmatte.eval.contact_sheet import write_contact_sheet
from pullmatte.eval.run import Result, Run, Settings, evaluate
from pullmatte.testing import FakeMatter

METRICS = ("mse", "mad", "sad", "grad", "conn", "conn_dim")


def made_run(folder, results, protocol="sdmatte"):
    settings = Settings("fake", "MIT", "set", "plain", "", protocol, seed=7)
    return Run(folder, settings, tuple(results))


@pytest.fixture
def small(tmp_path):
    results = [
        Result("a", "box", dict.fromkeys(METRICS, 1.0), time_s=0.5),
        Result("b", "box", dict.fromkeys(METRICS, 3.0), time_s=1.5),
        Result("c", "box", error="can't | read"),
        Result("a", "point", dict.fromkeys(METRICS, math.nan)),
    ]
    return made_run(tmp_path, results)


def test_means_leave_out_failures_and_undefined_values(small):
    box, point = report.means(small)
    assert (box["images"], box["failed"], box["sad"], box["time_s"]) == (2, 1, 2.0, 1.0)
    assert point["images"] == 1
    assert math.isnan(point["mse"])


def test_markdown_states_what_was_measured(small):
    text = report.markdown(small)
    for words in ("whole image", "seed 7", "10 points", "fake (MIT)", "truncation", "÷ 1000"):
        assert words in text
    assert "| box    |      2 |      1 | 2.00 |" in text
    assert "- c, box: can't | read" in text


def test_every_row_of_the_csv_says_what_it_is(small):
    rows = list(csv.DictReader(report.means_csv(small).splitlines()))
    assert [row["prompt"] for row in rows] == ["box", "point"]
    assert (rows[0]["protocol"], rows[0]["region"], rows[0]["prompt_seed"]) == (
        "sdmatte",
        "whole",
        "7",
    )
    assert {row["captions"] for row in rows} == {"no"}
    images = list(csv.DictReader(report.images_csv(small).splitlines()))
    assert [row["sad"] for row in images] == ["1", "3", "", ""]
    assert images[2]["error"] == "can't | read"


def test_written_files_read_back(small):
    paths = report.write_report(small)
    assert [path.name for path in paths] == list(report.FILES)
    document = json.loads(paths[2].read_text())
    assert document["means"][0]["sad"] == 2.0
    assert document["means"][1]["sad"] is None
    assert document["images"][3]["metrics"]["mse"] is None


@pytest.mark.parametrize("protocol", ["dim", "semat", "vm-hr", "vm-lr"])
def test_every_protocol_can_be_reported(tmp_path, protocol):
    run = made_run(tmp_path, [Result("a", "box", dict.fromkeys((*METRICS, "x"), 1.0))], protocol)
    assert "dtSSD" not in report.markdown(run).split("##")[1]
    assert report.worst_results(run, 3) == list(run.results)


def test_worst_come_first(small):
    assert [result.name for result in report.worst_results(small, 2)] == ["b", "a"]


@pytest.fixture
def evaluated(tmp_path):
    alpha = np.zeros((60, 90), np.uint8)
    alpha[10:50, 20:70] = 255
    for name, level in (("a", 255), ("b", 120)):
        for kind in ("image", "alpha"):
            (tmp_path / "set" / kind).mkdir(parents=True, exist_ok=True)
        picture = np.full((60, 90, 3), level, np.uint8)
        Image.fromarray(picture).save(tmp_path / "set" / "image" / f"{name}.png")
        Image.fromarray(alpha).save(tmp_path / "set" / "alpha" / f"{name}.png")
    data = open_dataset(tmp_path / "set")
    return evaluate(FakeMatter(), data, out=tmp_path / "out"), data


def test_contact_sheet_shows_prompt_truth_prediction_composite(evaluated):
    run, data = evaluated
    path = write_contact_sheet(run, data, 3)
    sheet = np.asarray(Image.open(path)).astype(int)
    rows = (sheet.shape[0] - 22) / 3
    assert sheet.shape[1] == 8 + 4 * 328
    assert rows == round(320 * 60 / 90) + 22 + 8
    truth = sheet[22 + 22 :, 8 + 328 :][:213, :320]
    assert truth[106, 160].tolist() == [255, 255, 255]
    assert truth[5, 5].tolist() == [0, 0, 0]


def test_contact_sheet_draws_each_kind_of_prompt(evaluated):
    run, data = evaluated
    sheet = np.asarray(Image.open(write_contact_sheet(run, data, 8))).astype(int)
    first_column = sheet[22:, 8 : 8 + 320].reshape(8, -1, 320, 3)
    pink = (first_column[..., 0] - first_column[..., 1] > 60).sum(axis=(1, 2))
    assert (pink > 100).all()


def test_contact_sheet_needs_results_and_their_data(evaluated, tmp_path):
    run, data = evaluated
    assert write_contact_sheet(made_run(tmp_path, []), data) is None
    with pytest.raises(PullmatteError, match="1 or more"):
        write_contact_sheet(run, data, 0)
    gone = Result("z", "box", dict.fromkeys(METRICS, 1.0))
    with pytest.raises(DatasetError, match="no z any more"):
        write_contact_sheet(made_run(tmp_path, [gone]), data)
