"""Many clicks without a box: one round them is assumed, where a network is set so."""

import numpy as np
import pytest
import torch

from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.options import MAM2Options
from pullmatte.models.mam2.prompter import Prompter
from pullmatte.models.nano.config import sized
from pullmatte.prompts import Box, Point, Prompt, box_round

PLACES = ((20, 20), (60, 20), (20, 50), (60, 50))
POINTS = tuple(Point(x, y, 1) for x, y in PLACES)


@pytest.fixture(scope="module")
def network() -> MAM2Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MAM2Network(sized(64)).eval()


def logits(network: MAM2Network, prompt: Prompt, least: int) -> torch.Tensor:
    prompter = Prompter(network, MAM2Options(clicks_for_box=least))
    image = np.random.default_rng(0).random((70, 90, 3), np.float32)
    with torch.inference_mode():
        return prompter.find(prompter.encode(image), prompt).mask_logits


def test_enough_clicks_are_as_with_a_box_round_them(network: MAM2Network) -> None:
    boxed = Prompt(points=POINTS, box=Box(2, 6.5, 78, 63.5))
    found = logits(network, Prompt(points=POINTS), 4)
    assert torch.equal(found, logits(network, boxed, 0))
    assert not torch.equal(found, logits(network, Prompt(points=POINTS), 0))


def test_fewer_clicks_and_those_outside_do_not_count(network: MAM2Network) -> None:
    outside = (*POINTS[:3], Point(80, 60, 0))
    for points in (POINTS[:3], outside):
        prompt = Prompt(points=points)
        assert torch.equal(logits(network, prompt, 4), logits(network, prompt, 0))


def test_a_box_stays_in_the_picture(network: MAM2Network) -> None:
    edge = tuple(Point(x, y, 1) for x, y in ((0, 0), (89, 0), (0, 69), (89, 69)))
    boxed = Prompt(points=edge, box=Box(0, 0, 90, 70))
    found = logits(network, Prompt(points=edge), 4)
    assert torch.equal(found, logits(network, boxed, 0))


def test_a_box_does_not_fill_the_picture_if_a_smaller_one_still_holds_the_clicks() -> None:
    clicks = [(12.0, 10.0), (80.0, 60.0)]
    x0, y0, x1, y1 = box_round(clicks, (90, 70))
    assert (x0, y0, x1, y1) != (0, 0, 90, 70)
    assert x0 <= 12 < 80 <= x1
    assert y0 <= 10 < 60 <= y1
