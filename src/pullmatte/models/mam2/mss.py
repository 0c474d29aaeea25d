"""Memory-Separable Siamese mechanism: mask first, with memory; then the trimap, without it."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypedDict

from torch import Tensor

from pullmatte.models.mam2.features import Features
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.pdd import CLASSES, Choice, Decoded
from pullmatte.models.mam2.sam2 import ABSENT_LOGIT, without_memory


class _Clicks(TypedDict):
    points: Tensor | None
    labels: Tensor | None


def decode_tracked(
    network: MAM2Network,
    frame: Features,
    conditioned: Tensor,
    *,
    points: Tensor | None = None,
    labels: Tensor | None = None,
    mask_logits: Tensor | None = None,
    choose: Choice = "best",
    believed: bool = False,
    mend: Callable[[Tensor], Tensor] | None = None,
) -> Decoded:
    """Decode `K` objects of a frame that isn't their first.

    Args:
        network: MAM2.
        frame: Memory-free.
        conditioned: `K C h w`, the top map with memory.
        points: `K N 2`, a correction's clicks; as for `MAM2Network.decode`, like the next two.
        labels: See there.
        mask_logits: See there: of the mask that the clicks correct.
        choose: Which of the first pass's masks is taken.
        believed: Whether somebody said that they are there; else the first pass says.
        mend: What is done to the first pass's mask, before a second pass sees it.

    Returns:
        The first pass's mask, pointer and score, and the second pass's trimap. Where an object
        isn't there, none is decoded, except in training: all is background. Without a trimap
        branch there is none at all.

    Source: MAM2, section 3.5, equations 6 and 7.
    """
    said: _Clicks = {"points": points, "labels": labels}
    single = network.config.second_pass == "off"
    first = network.decode(
        frame,
        conditioned,
        **said,
        mask_logits=mask_logits,
        choose=choose,
        branch="on" if single else "tokens",
    )
    if mend is not None:
        first = replace(first, mask_logits=mend(first.mask_logits))
    if single:
        return first
    rows = first.present[:, 0] | (believed or network.training)
    top = conditioned if network.config.second_pass == "mcs" else _free(network, frame, conditioned)
    return replace(first, trimap_logits=second_pass(network, frame, top, first, rows, **said))


def second_pass(
    network: MAM2Network,
    frame: Features,
    top: Tensor,
    first: Decoded,
    rows: Tensor,
    points: Tensor | None = None,
    labels: Tensor | None = None,
) -> Tensor:
    """Decode trimaps by the first pass's masks, all objects at once.

    Args:
        network: MAM2.
        frame: Its finer maps are used.
        top: `K C h w`: "without_memory", or with it for *MCS*.
        first: The first pass; its logits are clamped, or an absent object's would drown all else.
        rows: `K` bool: whose trimaps are wanted; the others are all background.
        points: `K N 2`, a correction's clicks: they are shown again.
        labels: `K N`.

    Returns:
        `K 3 4h 4w`, logits.

    Source: MAM2, equation 7.
    """
    shape = (len(rows), CLASSES, *first.mask_logits.shape[-2:])
    if not rows.any():
        return _background(first.mask_logits, shape)
    if not rows.all():
        trimap = _background(first.mask_logits, shape)
        chosen = replace(first, mask_logits=first.mask_logits[rows])
        part = Features(
            top[rows],
            _rows(frame.middle, rows),
            _rows(frame.fine, rows),
            None if frame.image is None else _rows(frame.image, rows),
        )
        said = (None if each is None else each[rows] for each in (points, labels))
        trimap[rows] = second_pass(network, part, part.top, chosen, rows[rows], *said)
        return trimap
    found = network.decode(
        frame,
        top,
        points=points,
        labels=labels,
        mask_logits=first.mask_logits,
        choose="single",
        branch="on",
    ).trimap_logits
    assert found is not None, "a second pass needs a trimap branch: the config sees to it"
    return found


def _free(network: MAM2Network, frame: Features, conditioned: Tensor) -> Tensor:
    return without_memory(network.sam2, frame.top).expand_as(conditioned)


def _rows(maps: Tensor, rows: Tensor) -> Tensor:
    return maps if len(maps) == 1 else maps[rows]


def _background(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    logits = like.new_full(shape, ABSENT_LOGIT)
    logits[:, 0] = 0
    return logits
