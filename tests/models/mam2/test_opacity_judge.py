"""The judge of opacity: what it is shown, and what follows from what it says."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pullmatte.errors import PullmatteError
from pullmatte.models.mam2.config import MINIATURE, MAM2Config
from pullmatte.models.mam2.model import MAM2Model
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.opacity_judge import cut_out, judged_maps
from pullmatte.models.mam2.options import MAM2Options
from pullmatte.models.nano.config import sized
from pullmatte.prompts import Prompt
from pullmatte.train.nano_judge import with_judge
from pullmatte.train.nano_see_through import with_see_through


def test_a_part_is_cut_out_as_means() -> None:
    maps = torch.arange(64.0).reshape(1, 1, 8, 8)
    assert torch.allclose(cut_out(maps, (0, 0, 1, 1), 4), torch.nn.functional.avg_pool2d(maps, 2))
    quarter = cut_out(maps, (0.5, 0, 1, 0.5), 2)
    assert torch.allclose(quarter, torch.nn.functional.avg_pool2d(maps[..., :4, 4:], 2))
    # Beyond the picture its edge goes on.
    assert torch.allclose(cut_out(maps, (-2, 0, -1, 1), 1), maps[..., :1].mean())


def answer(*, side: int = 16) -> SimpleNamespace:
    """Return a decoder's answer: a foreground of 4 by 8 cells from (4, 2)."""
    logits = torch.zeros(1, 3, side, side)
    logits[:, 0] = 6
    logits[:, :, 2:10, 4:8] = torch.tensor([-6.0, 0, 6])[:, None, None]
    mask = torch.where(logits[:, 2:] > 3, 5.0, -5.0)
    one = torch.ones(1, 1)
    return SimpleNamespace(trimap_logits=logits, mask_logits=mask, quality=0.8 * one, score=7 * one)


def test_without_a_box_the_answers_own_counts() -> None:
    trunk = torch.rand(1, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    own = judged_maps(trunk, answer(), None)
    said = judged_maps(trunk, answer(), (4 / 16, 2 / 16, 8 / 16, 10 / 16))
    assert own is not None
    assert said is not None
    assert all(torch.equal(*pair) for pair in zip(own, said, strict=True))
    assert own[0].shape == (1, 5 + 12, 8, 8)
    assert own[1][0].tolist() == pytest.approx([0.997, 0.8, 0.7, 0.25, 0.5], abs=0.01)
    nothing = answer()
    nothing.trimap_logits[:, 0] = 20
    assert judged_maps(trunk, nothing, None) is None


class Halves:
    """A matter that leaves unknown pixels half."""

    def matte(self, image, trimap):
        return trimap.copy()


@pytest.fixture
def judged() -> MAM2Network:
    """A network whose second decoder says something else, and which has a judge."""
    torch.manual_seed(0)
    network = with_judge(with_see_through(MAM2Network(sized(64))), 8).eval()
    with torch.no_grad():
        for value in network.see_through.decoder.trimap_branch.parameters():
            value.add_(0.3 * torch.randn(value.shape))
    return network


@pytest.mark.parametrize("prompt", [{"box": (20, 10, 100, 80)}, {"points": [(60, 40)]}])
@pytest.mark.parametrize("verdict", [-9.0, 9.0])
def test_the_judge_says_whose_turn_it_is(judged, photo, prompt, verdict) -> None:
    with torch.no_grad():
        judged.see_through.judge.verdict.bias.fill_(verdict)
        judged.see_through.judge.verdict.weight.zero_()
    said = Prompt.of(**prompt)
    model = MAM2Model(judged, Halves(), MAM2Options(seen_through_from=0.9))
    encoded = model.encode(photo)
    found = model.predict(encoded, said)
    assert found.carried["seen_through"] is (verdict > 0)
    wanted = model.predict(encoded, said, opacity="opaque").trimap
    assert np.array_equal(found.trimap, wanted) is (verdict < 0)
    # A person's word counts for more, and so does a decoder that is sure of nothing.
    assert not model.predict(encoded, said, opacity="opaque").carried["seen_through"]
    doubting = MAM2Model(judged, Halves(), MAM2Options(least_sure=1.01, seen_through_from=0.9))
    assert doubting.predict(encoded, said).carried["seen_through"] is True
    unasked = MAM2Model(judged, Halves())
    assert unasked.predict(encoded, said).carried["seen_through"] is False


def test_a_config_knows_its_judge(judged) -> None:
    assert judged.config.judge_width == 8
    assert MAM2Config.from_dict(judged.config.to_dict()) == judged.config
    assert judged.for_see_through().config.judge_width == 0
    with pytest.raises(PullmatteError, match="see_through_blocks"):
        MAM2Config.from_dict({**MINIATURE.to_dict(), "judge_width": 8})
