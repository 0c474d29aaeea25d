"""Which loss counts for which kind of data, and which kind a step takes."""

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
from torch import Tensor

from pullmatte.errors import PullmatteError
from pullmatte.models.mam2.pdd import Decoded
from pullmatte.train.mask_losses import mask_losses
from pullmatte.train.matter_losses import trimap_loss

DataKind = Literal["image_segmentation", "image_matting", "video_segmentation", "video_matting"]
DATA_KINDS: tuple[DataKind, ...] = get_args(DataKind)
Supervision = Literal["selective", "both"]


def choose_kind(shares: Mapping[DataKind, float], generator: np.random.Generator) -> DataKind:
    """Choose of which kind a step is.

    Args:
        shares: How often each kind is taken; a quarter each in the paper.
        generator: Of the step.

    Raises:
        PullmatteError: If none is ever taken.

    Source: MAM2, table 7.
    """
    weights = np.array([shares.get(kind, 0.0) for kind in DATA_KINDS])
    if weights.sum() <= 0:
        raise PullmatteError(
            f"no data to train on: give a source for one of {', '.join(DATA_KINDS)}, with a share "
            "over 0"
        )
    return DATA_KINDS[int(generator.choice(len(DATA_KINDS), p=weights / weights.sum()))]


def main_losses(
    decoded: Decoded,
    mask: Tensor,
    classes: Tensor,
    kind: DataKind,
    supervision: Supervision = "selective",
) -> dict[str, Tensor]:
    """Compare what was decoded with what the kind of data is sure of.

    Args:
        decoded: Of `K` objects.
        mask: `K 1 4h 4w`, the true mask, of 0 and 1.
        classes: `K 4h 4w` int64, the true trimap: 0 background, 1 unknown, 2 foreground.
        kind: Of the data.
        supervision: "selective" is the paper's; "both" lets matting data teach the mask too,
            which is all there is when a model is tuned on mattes alone.

    Returns:
        Scalars, means over objects: of segmentation the terms of `mask_losses`, of matting
        ``trimap``; and ``total``.

    Source: MAM2, equation 1.
    """
    matting = kind.endswith("matting")
    losses: dict[str, Tensor] = {}
    if not matting or supervision == "both":
        losses = mask_losses(decoded.candidates, decoded.quality, decoded.score, mask)
    if matting:
        assert decoded.trimap_logits is not None, "matting data needs a trimap branch"
        trimap = trimap_loss(decoded.trimap_logits.float(), classes)
        losses |= {"trimap": trimap, "total": losses.get("total", 0) + trimap}
    return losses
