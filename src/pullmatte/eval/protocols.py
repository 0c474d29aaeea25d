"""The published measuring protocols, stated as data, and the one entry `measure`.

Numbers of different protocols can't be set beside each other: region, scale, stretching and the
form of connectivity all differ. Each `Protocol` states them and every report repeats them.

Source: the evaluation scripts of SDMatte, Deep Image Matting, Robust Video Matting, MatAnyone and
SEMat, as definitions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import PullmatteError
from pullmatte.eval import metrics
from pullmatte.eval.connectivity import DIM, DIM_BY_ROWS, GCA, Connectivity
from pullmatte.eval.summary import mean_of, summarise

__all__ = [
    "PROTOCOLS",
    "Protocol",
    "find_protocol",
    "measure",
    "measure_alpha",
    "measure_frames",
    "quantise",
    "summarise",
    "to_evaluation_size",
]

Bytes = NDArray[np.uint8]
Alpha = NDArray[np.float32]
Mask = NDArray[np.bool_]

UNKNOWN = 128
LONG_SIDE = 1024


@dataclass(frozen=True)
class Protocol:
    """What one published script measures.

    Attributes:
        name: the name `measure` takes.
        metrics: keys of the result, in the order of the source's tables.
        region: where the error counts; "unknown" is trimap==128.
        size: at what size prediction and truth are compared.
        quantisation: how a prediction becomes 8-bit.
        error_scale: factor on mse and mad; 1 gives fractions.
        stretch: each matte's minimum and maximum become 0 and 1 before the gradient.
        connectivity: how each connectivity key picks its component.
        mean: over what the source averages.
        used_by: the tables that follow it.
    """

    name: str
    metrics: tuple[str, ...]
    region: Literal["whole", "unknown"]
    size: Literal["original", "long side"]
    quantisation: Literal["floor", "round"]
    error_scale: float
    stretch: bool
    connectivity: Mapping[str, Connectivity] = field(default_factory=dict)
    mean: Literal["images", "sheet"] = "images"
    used_by: str = ""


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="sdmatte",
            metrics=("mse", "mad", "sad", "grad", "conn", "conn_dim"),
            region="whole",
            size="original",
            quantisation="floor",
            error_scale=1.0,
            stretch=False,
            connectivity={"conn": GCA, "conn_dim": DIM},
            used_by="SDMatte table 1, MAM2 table 4",
        ),
        Protocol(
            name="dim",
            metrics=("mse", "sad", "grad", "conn"),
            region="unknown",
            size="original",
            quantisation="round",
            error_scale=1.0,
            stretch=True,
            connectivity={"conn": DIM},
            used_by="Composition-1K tables: MEMatte, ViTMatte, the classical solvers",
        ),
        Protocol(
            name="vm-hr",
            metrics=("mad", "mse", "grad", "dtssd"),
            region="whole",
            size="original",
            quantisation="round",
            error_scale=1000.0,
            stretch=False,
            mean="sheet",
            used_by="MAM2 tables 2, 3 and 5; VideoMatte at 1920×1080",
        ),
        Protocol(
            name="vm-lr",
            metrics=("mad", "mse", "grad", "conn", "dtssd"),
            region="whole",
            size="original",
            quantisation="round",
            error_scale=1000.0,
            stretch=True,
            connectivity={"conn": DIM_BY_ROWS},
            mean="sheet",
            used_by="VideoMatte at 512×288: Robust Video Matting, MatAnyone",
        ),
        Protocol(
            name="semat",
            metrics=("mse", "mad", "sad", "grad", "conn"),
            region="whole",
            size="long side",
            quantisation="round",
            error_scale=1.0,
            stretch=False,
            connectivity={"conn": GCA},
            used_by="SEMat's paper",
        ),
    )
}


def find_protocol(name: str) -> Protocol:
    """Look a protocol up.

    Args:
        name: a key of `PROTOCOLS`.

    Returns:
        The protocol.

    Raises:
        PullmatteError: the name isn't known.
    """
    if name not in PROTOCOLS:
        raise PullmatteError(f"Unknown protocol {name!r}. Known: {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]


def measure(
    protocol: str, prediction: Bytes, truth: Bytes, trimap: NDArray[Any] | None = None
) -> dict[str, float]:
    """Measure an 8-bit matte, or a clip of them, against the truth.

    Args:
        protocol: a key of `PROTOCOLS`.
        prediction: uint8 `H W`, or `T H W` for a clip.
        truth: uint8, the prediction's shape.
        trimap: uint8 with 128 for unknown (or float with 0.5), of the prediction's shape or one
            `H W` for a clip. Only a protocol on the unknown region uses it; without one such a
            protocol counts the whole image.

    Returns:
        One value for each metric of the protocol; for a clip the mean over its frames. An image
        has no dtssd; a clip's frame 0 counts with dtssd 0, as in the source. A mean over an empty
        region is NaN.

    Raises:
        PullmatteError: the protocol is unknown, or the arrays have the wrong type or shape.

    Source: `PROTOCOLS`.
    """
    frames = measure_frames(protocol, prediction, truth, trimap)
    if np.ndim(prediction) == 2:
        frames.pop("dtssd", None)
    return {metric: mean_of(values) for metric, values in frames.items()}


def measure_frames(
    protocol: str, prediction: Bytes, truth: Bytes, trimap: NDArray[Any] | None = None
) -> dict[str, list[float]]:
    """Measure each frame of an 8-bit clip against the truth.

    Args:
        protocol: a key of `PROTOCOLS`.
        prediction: uint8 `T H W`; `H W` is a clip of one frame.
        truth: uint8, the prediction's shape.
        trimap: as for `measure`.

    Returns:
        One list of `T` values for each metric of the protocol; dtssd starts with 0.

    Raises:
        PullmatteError: the protocol is unknown, or the arrays have the wrong type or shape.

    Source: `PROTOCOLS`.
    """
    rules = find_protocol(protocol)
    _require_mattes(prediction, truth)
    regions = _regions(rules, prediction, trimap)
    shape = (-1, *prediction.shape[-2:])
    values: dict[str, list[float]] = {metric: [] for metric in rules.metrics}
    previous: tuple[Alpha, Alpha] | None = None
    for frame, true_frame, region in zip(
        prediction.reshape(shape), truth.reshape(shape), regions, strict=True
    ):
        pair = (_unit(frame), _unit(true_frame))
        measured = measure_alpha(protocol, *pair, region=region)
        if "dtssd" in rules.metrics:
            measured["dtssd"] = 0.0 if previous is None else _dtssd(pair, previous)
        for metric in rules.metrics:
            values[metric].append(measured[metric])
        previous = pair
    return values


def measure_alpha(
    protocol: str, prediction: Alpha, truth: Alpha, region: Mask | None = None
) -> dict[str, float]:
    """Measure one float matte, as `to_evaluation_size` gives it.

    Args:
        protocol: a key of `PROTOCOLS`.
        prediction: float32 `H W` in [0, 1].
        truth: float32 `H W` in [0, 1].
        region: bool `H W` of the pixels that count, or None for all.

    Returns:
        One value for each metric of the protocol that needs no second frame.

    Raises:
        PullmatteError: the protocol is unknown, or the arrays have the wrong type or shape.

    Source: `PROTOCOLS`.
    """
    rules = find_protocol(protocol)
    pair = (prediction, truth, region)
    found = {
        "mse": metrics.mse(*pair) * rules.error_scale,
        "mad": metrics.mad(*pair) * rules.error_scale,
        "sad": metrics.sad(*pair),
        "grad": metrics.gradient_error(*pair, stretch=rules.stretch),
    }
    forms = rules.connectivity
    if forms:
        sums = metrics.connectivity_errors(*pair, forms=tuple(forms.values()))
        found.update(zip(forms, sums, strict=True))
    return {metric: found[metric] for metric in rules.metrics if metric in found}


def to_evaluation_size(
    protocol: str, prediction: Alpha, truth: Bytes, long_side: int = LONG_SIDE
) -> tuple[Alpha, Alpha]:
    """Bring a network's matte and the 8-bit truth to where a protocol compares them.

    Args:
        protocol: a key of `PROTOCOLS`.
        prediction: float32 `h w` in [0, 1]. For a protocol at the original size it may have any
            size (the whole image, stretched); for one at a long side it has the truth's size,
            or is the square of that side with padding at the bottom or right.
        truth: uint8 `H W`, at the original size.
        long_side: the longer side in pixels, for protocols that fix it.

    Returns:
        Prediction, already quantised to 8-bit levels, and truth, both float32 in [0, 1] and of
        one size.

    Raises:
        PullmatteError: the protocol is unknown, or the arrays have the wrong type or shape.

    Source: the inference scripts of SDMatte and SEMat.
    """
    rules = find_protocol(protocol)
    _require_bytes("truth", truth, (2,))
    if prediction.ndim != 2 or prediction.size == 0:
        raise PullmatteError(f"The prediction has shape {prediction.shape}; give h w, not empty.")
    height, width = truth.shape
    if rules.size == "original":
        levels = _resize(_levels(prediction), height, width)
        return _unit(_to_bytes(rules, levels)), _unit(truth)
    original = truth.shape
    height, width = _long_side_size(height, width, long_side)
    if prediction.shape == original:
        levels = _resize(_levels(prediction), height, width)
        return _unit(_to_bytes(rules, levels)), _resize(_unit(truth), height, width)
    if prediction.shape[0] < height or prediction.shape[1] < width:
        raise PullmatteError(
            f"The prediction is {prediction.shape}; protocol {protocol} compares at "
            f"{(height, width)}: give the padded square of side {long_side}."
        )
    cropped = _to_bytes(rules, _levels(prediction[:height, :width]))
    return _unit(cropped), _resize(_unit(truth), height, width)


def quantise(protocol: str, prediction: Alpha) -> Bytes:
    """Turn a float matte into the 8-bit one that a protocol measures.

    Args:
        protocol: a key of `PROTOCOLS`.
        prediction: float32 of any shape in [0, 1]; values outside are clipped.

    Returns:
        uint8 of the same shape, truncated or rounded half up as the protocol says.

    Raises:
        PullmatteError: the protocol is unknown, or the matte isn't floating point.

    Source: `PROTOCOLS`.
    """
    return _to_bytes(find_protocol(protocol), _levels(prediction))


def _dtssd(pair: tuple[Alpha, Alpha], previous: tuple[Alpha, Alpha]) -> float:
    return metrics.dtssd(pair[0], previous[0], pair[1], previous[1])


def _unit(levels: Bytes) -> Alpha:
    return levels.astype(np.float32) / np.float32(255)


def _levels(alpha: Alpha) -> Alpha:
    if not np.issubdtype(alpha.dtype, np.floating) or not np.isfinite(alpha).all():
        raise PullmatteError(f"The matte is {alpha.dtype}; give finite float32 in [0, 1].")
    levels: Alpha = np.clip(alpha.astype(np.float32) * np.float32(255), 0, 255)
    return levels


def _to_bytes(rules: Protocol, levels: Alpha) -> Bytes:
    half = np.float32(0.5 if rules.quantisation == "round" else 0.0)
    byte_levels: Bytes = np.floor(levels + half).astype(np.uint8)
    return byte_levels


def _resize(values: Alpha, height: int, width: int) -> Alpha:
    """Resize bilinearly without antialiasing, as the sources do."""
    resized = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.float32)


def _long_side_size(height: int, width: int, long_side: int) -> tuple[int, int]:
    scale = long_side / max(height, width)
    return int(height * scale + 0.5), int(width * scale + 0.5)


def _regions(
    rules: Protocol, prediction: Bytes, trimap: NDArray[Any] | None
) -> Sequence[Mask | None]:
    count = 1 if prediction.ndim == 2 else len(prediction)
    if rules.region == "whole" or trimap is None:
        return [None] * count
    size = prediction.shape[-2:]
    trimap = np.asarray(trimap)
    if trimap.shape not in (prediction.shape, size):
        raise PullmatteError(f"The trimap is {trimap.shape}; give one of shape {prediction.shape}.")
    if trimap.dtype.kind not in "uif":
        raise PullmatteError(f"The trimap is {trimap.dtype}; give uint8 with 0, 128 and 255.")
    unknown = trimap == (0.5 if trimap.dtype.kind == "f" else UNKNOWN)
    return list(np.broadcast_to(unknown, (count, *size)))


def _require_mattes(prediction: Bytes, truth: Bytes) -> None:
    _require_bytes("prediction", prediction, (2, 3))
    _require_bytes("truth", truth, (2, 3))
    if prediction.shape != truth.shape:
        raise PullmatteError(
            f"The prediction is {prediction.shape} and the truth {truth.shape}; give both at the "
            "truth's size."
        )


def _require_bytes(name: str, matte: Bytes, dimensions: tuple[int, ...]) -> None:
    if not isinstance(matte, np.ndarray) or matte.dtype != np.uint8:
        came = matte.dtype if isinstance(matte, np.ndarray) else type(matte).__name__
        raise PullmatteError(f"The {name} is {came}; give a uint8 array, 0 to 255.")
    if matte.ndim not in dimensions or matte.size == 0:
        raise PullmatteError(
            f"The {name} has shape {matte.shape}; give H W (or T H W for a clip), not empty."
        )
