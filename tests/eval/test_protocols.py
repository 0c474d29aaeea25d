"""Protocols against the golden values that the reference implementations printed."""

import json
import math

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file

from pullmatte.errors import PullmatteError
from pullmatte.eval.protocols import (
    PROTOCOLS,
    measure,
    measure_alpha,
    measure_frames,
    quantise,
    summarise,
    to_evaluation_size,
)

IMAGES = [
    ("sdmatte", "sdmatte_whole", False),
    ("dim", "dim_matlab_unknown", True),
    ("dim", "dim_matlab_whole", False),
    ("vm-hr", "rvm_hr", False),
    ("vm-hr", "matanyone_hr", False),
    ("vm-lr", "rvm_lr", False),
    ("vm-lr", "matanyone_lr", False),
    ("semat", "semat_whole_via_all128", False),
]
CLIPS = ("clip_a", "clip_b", "clip_c", "clip_d")
VIDEO = [("vm-hr", "rvm_hr"), ("vm-hr", "matanyone_hr"), ("vm-lr", "rvm_lr")]
MEANS = [("clip", "clip_mean"), ("sheet", "sheet"), ("pooled", "pooled_frames")]


def load(shared, stem):
    with np.load(shared / "golden" / f"{stem}.npz") as file:
        arrays = dict(file)
    return arrays, json.loads((shared / "golden" / f"{stem}_expected.json").read_text())


def equals(value):
    return pytest.approx(math.nan if value is None else value, rel=1e-4, abs=1e-7, nan_ok=True)


def clip_frames(arrays, protocol):
    return {
        clip: measure_frames(protocol, arrays[f"{clip}__pred"], arrays[f"{clip}__gt"])
        for clip in CLIPS
    }


@pytest.mark.parametrize(("protocol", "key", "with_trimap"), IMAGES)
def test_images_equal_the_golden_values(shared, protocol, key, with_trimap):
    arrays, expected = load(shared, "images")
    for case, values in expected.items():
        trimap = arrays[f"{case}__trimap"] if with_trimap else None
        found = measure(protocol, arrays[f"{case}__pred"], arrays[f"{case}__gt"], trimap)
        conn_dim = found.pop("conn_dim", None)
        assert found == {metric: equals(value) for metric, value in values[key].items()}, case
        if conn_dim is not None:
            assert conn_dim == equals(values["dim_matlab_whole"]["conn"]), case


@pytest.mark.parametrize(("protocol", "key"), VIDEO)
def test_clips_equal_the_golden_values(shared, protocol, key):
    arrays, expected = load(shared, "video")
    frames = clip_frames(arrays, protocol)
    for clip, values in expected["per_clip"].items():
        for metric, numbers in values[key].items():
            assert frames[clip][metric] == [equals(number) for number in numbers]


@pytest.mark.parametrize(("protocol", "key"), VIDEO)
@pytest.mark.parametrize(("mean", "suffix"), MEANS)
def test_summaries_equal_the_golden_values(shared, protocol, key, mean, suffix):
    arrays, expected = load(shared, "video")
    summary = summarise(clip_frames(arrays, protocol), mean)
    without = summary.pop("dtssd_without_frame0", None)
    aggregate = expected["aggregate"]
    assert summary == {k: equals(v) for k, v in aggregate[f"{key}_{suffix}"].items()}
    if mean == "clip":
        assert without == equals(aggregate[f"{key}_clip_mean_dtssd_without_frame0"])


def test_sdmatte_path_equals_the_golden_values(shared):
    arrays, expected = load(shared, "end_to_end")
    prediction, truth = to_evaluation_size("sdmatte", arrays["net_pred_128"], arrays["gt"])
    assert np.array_equal(np.rint(prediction * 255), arrays["sdmatte_u8"])
    found = measure_alpha("sdmatte", prediction, truth)
    for metric, value in expected["sdmatte"].items():
        scale = 1000 if metric in {"mse", "mad"} else 1
        assert found[metric] * scale == equals(value)


def test_sdmatte_numbers_equal_the_record(shared):
    """Also where the background is larger than the object, and connectivity takes it."""
    folder = shared / "parity/sdmatte"
    arrays = load_file(folder / "prompts_metrics_losses.safetensors")
    expected = json.loads((folder / "prompts_metrics_losses.json").read_text())["metrics"]
    for case, values in expected.items():
        found = measure("sdmatte", arrays[f"{case}.pred"], arrays[f"{case}.gt"])
        names = {
            "mse": "MSE_x1000",
            "mad": "MAD_x1000",
            "sad": "SAD",
            "grad": "Grad",
            "conn": "Conn",
        }
        for metric, name in names.items():
            scale = 1000 if metric in {"mse", "mad"} else 1
            assert found[metric] * scale == equals(values[name]), (case, metric)


def test_semat_path_equals_the_golden_values(shared):
    arrays, expected = load(shared, "end_to_end")
    pair = to_evaluation_size("semat", arrays["net_pred_128"], arrays["gt"], long_side=128)
    assert list(pair[0].shape) == expected["semat"].pop("eval_hw")
    assert measure_alpha("semat", *pair) == {k: equals(v) for k, v in expected["semat"].items()}


def test_rounding_protocols_round_half_up(shared):
    arrays, _ = load(shared, "end_to_end")
    prediction, _ = to_evaluation_size("dim", arrays["net_pred_128"], arrays["gt"])
    assert np.array_equal(np.rint(prediction * 255), arrays["rounded_u8"])
    alpha = np.array([0.0, 0.5 / 255, 0.9 / 255, 1.0, 1.5, -1.0], np.float32)
    assert quantise("dim", alpha).tolist() == [0, 1, 1, 255, 255, 0]
    assert quantise("sdmatte", alpha).tolist() == [0, 0, 0, 255, 255, 0]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_clip_is_the_mean_over_its_frames(protocol):
    clip = np.random.default_rng(0).integers(0, 256, (2, 3, 9, 7), np.uint8)
    whole = measure(protocol, *clip)
    single = [measure(protocol, clip[0, t], clip[1, t]) for t in range(3)]
    for metric in single[0]:
        assert whole[metric] == pytest.approx(np.mean([values[metric] for values in single]))
    assert tuple(whole) == PROTOCOLS[protocol].metrics


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (8, 8)])
def test_degenerate_images_give_finite_values(protocol, shape):
    for first in (0, 255, 77):
        for second in (0, 255):
            found = measure(protocol, np.full(shape, first, np.uint8), np.full(shape, second, "u1"))
            assert all(math.isfinite(value) for value in found.values())


def test_single_frame_clip_has_dtssd_zero():
    clip = np.random.default_rng(1).integers(0, 256, (2, 1, 9, 7), np.uint8)
    assert measure("vm-hr", *clip)["dtssd"] == 0.0
    assert "dtssd" not in measure("vm-hr", clip[0, 0], clip[1, 0])
    summary = summarise([measure_frames("vm-hr", *clip)])
    assert math.isnan(summary["dtssd_without_frame0"])


def test_unknown_region_takes_float_and_shared_trimaps():
    clip = np.random.default_rng(2).integers(0, 256, (2, 2, 9, 7), np.uint8)
    trimap = np.zeros((9, 7), np.uint8)
    trimap[2:5] = 128
    as_float = np.where(trimap == 128, 0.5, 0.0).astype(np.float32)
    expected = measure("dim", *clip, np.stack([trimap, trimap]))
    assert measure("dim", *clip, trimap) == measure("dim", *clip, as_float) == expected


def test_sheet_counts_only_700_columns():
    long = {"mad": [0.0] * 700 + [1000.0] * 50}
    short = {"mad": [2.0] * 700}
    assert summarise([long, short], "sheet") == {"mad": pytest.approx(1.0)}
    assert summarise([long, short], "clip")["mad"] == pytest.approx((50000 / 750 + 2) / 2)


MATTE = np.zeros((4, 4), np.uint8)


@pytest.mark.parametrize(
    ("protocol", "prediction", "trimap", "words"),
    [
        ("sdmat", MATTE, None, "Known: sdmatte, dim"),
        ("dim", MATTE.astype(np.float32), None, "float32"),
        ("dim", MATTE.astype(bool), None, "bool"),
        ("dim", [[0]], None, "list"),
        ("dim", MATTE[:2], None, r"\(2, 4\)"),
        ("dim", MATTE[None, None], None, "H W"),
        ("dim", MATTE[:0], None, "not empty"),
        ("dim", MATTE, MATTE[:2], "trimap"),
        ("dim", MATTE, MATTE.astype(bool), "bool"),
    ],
)
def test_unfit_input_is_refused_in_one_line(protocol, prediction, trimap, words):
    with pytest.raises(PullmatteError, match=words) as caught:
        measure(protocol, prediction, MATTE, trimap)
    assert "\n" not in str(caught.value)


def test_unfit_predictions_of_a_path_are_refused():
    with pytest.raises(PullmatteError, match="padded square"):
        to_evaluation_size("semat", np.zeros((9, 9), np.float32), MATTE, long_side=16)
    with pytest.raises(PullmatteError, match="finite"):
        quantise("dim", np.full((2, 2), np.nan, np.float32))
    with pytest.raises(PullmatteError, match="median"):
        summarise([{"mad": [1.0]}], "median")
    with pytest.raises(PullmatteError, match="at least one"):
        summarise([])


def test_sdmatte_path_truncates_after_a_linear_resize():
    small = np.random.default_rng(3).random((5, 6), np.float32)
    prediction, _ = to_evaluation_size("sdmatte", small, np.zeros((11, 8), np.uint8))
    expected = np.floor(cv2.resize(small * 255, (8, 11), interpolation=cv2.INTER_LINEAR))
    assert np.array_equal(np.rint(prediction * 255), expected)
