"""The memory of alphas: what it takes of the previous frame, and what it leaves alone."""

import cv2
import numpy as np
import pytest
import torch

import pullmatte as pm
from pullmatte.data.novm.lessons import CategoryClips
from pullmatte.models.classical.flow import estimate_flow
from pullmatte.models.mam2.alpha_frames import (
    ALPHAS,
    DETAIL,
    GROUND,
    LONG_SIDE_PX,
    PICTURE,
    AlphaStep,
    SeenFrame,
    reduced,
)
from pullmatte.models.mam2.alpha_memory import AlphaMemory, _greatest, _means, chances_of, moved
from pullmatte.models.mam2.config import MINIATURE
from pullmatte.models.mam2.model import MAM2Model
from pullmatte.models.mam2.options import MAM2Options
from pullmatte.models.protocol import Memories
from pullmatte.prompts import Prompt, Trimap
from pullmatte.train.nano_alphas import (
    clip_errors,
    follow_clip,
    matted_clip,
    with_alpha_memory,
)


@pytest.fixture(scope="module")
def shipped() -> AlphaMemory:
    """Return nano's own."""
    found = pm.load("nano").model.network.alpha_memory
    assert found is not None
    return found


@pytest.fixture
def fresh() -> AlphaMemory:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AlphaMemory(8, 8).eval()


def texture(seed: int, height: int = 120, width: int = 160) -> np.ndarray:
    noise = np.random.default_rng(seed).random((height, width, 3), np.float32)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 2) * 3 - 1, np.float32).clip(0, 1)


def disc(x: float, radius: float = 32, height: int = 120, width: int = 160) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot(rows - height / 2, columns - x)
    return ((radius - away) / 3 + 0.5).clip(0, 1).astype(np.float32)


def run(memory: AlphaMemory, images, alphas, logits=None) -> np.ndarray:
    kept, found = memory.begin(images[0], alphas[0]), [alphas[0]]
    for image, alpha in zip(images[1:], alphas[1:], strict=True):
        alpha, kept = memory.follow(image, alpha, None, kept, logits)
        found.append(alpha)
    return np.stack(found)


def test_planes_are_reduced_to_half_or_to_the_largest_side() -> None:
    assert reduced(np.zeros((100, 60), np.float32)).shape == (50, 30)
    assert reduced(np.zeros((1080, 1920, 3), np.float32)).shape == (180, LONG_SIDE_PX, 3)
    assert reduced(np.ones((1, 1), np.float32)).shape == (1, 1)


def test_planes_are_fetched_from_where_the_flow_says() -> None:
    planes = torch.arange(12.0).reshape(1, 1, 3, 4)
    right = torch.zeros(1, 2, 3, 4)
    right[:, 0] = 1
    assert moved(planes, right)[0, 0, 0].tolist() == pytest.approx([1, 2, 3, 3])
    assert torch.allclose(moved(planes, torch.zeros(1, 2, 3, 4)), planes)


def test_means_and_greatest_are_the_same_with_and_without_a_gradient() -> None:
    planes = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(_means(planes), _means(planes.clone().requires_grad_()), atol=1e-5)
    assert torch.equal(_greatest(planes), _greatest(planes.clone().requires_grad_()))


def test_flow_leads_back_to_where_the_picture_was() -> None:
    before = (texture(1) * 255).astype(np.uint8)
    now = np.roll(before, 4, axis=1)
    flow = estimate_flow(now, before, quick=True)[20:-20, 20:-20]
    assert np.median(flow[..., 0]) == pytest.approx(-4, abs=0.3)
    assert np.median(flow[..., 1]) == pytest.approx(0, abs=0.3)
    assert not estimate_flow(now[:8, :8], before[:8, :8], quick=True).any()


def test_shares_sum_to_one_and_begin_with_the_frames_own(fresh: AlphaMemory) -> None:
    shares, thought = fresh(torch.rand(2, 29, 24, 32))
    assert thought.shape == (2, 1, 24, 32)
    assert torch.allclose(shares.sum(1), torch.ones(2, 24, 32), atol=1e-5)
    assert (shares[:, 0] > 0.4).all()


def test_what_is_remembered_has_the_stated_kinds_and_size(fresh: AlphaMemory) -> None:
    image, alpha = texture(2), disc(80)
    kept = fresh.begin(image, alpha)
    _, later = fresh.follow(image, alpha, None, kept)
    for each in (kept, later):
        kinds = {name: (value.shape, value.dtype.name) for name, value in each.items()}
        assert kinds == {
            PICTURE: ((60, 80, 3), "uint8"),
            GROUND: ((60, 80, 4), "uint8"),
            ALPHAS: ((4, 60, 80), "float16"),
            DETAIL: ((120, 160), "float16"),
        }


def test_detail_stays_where_the_alpha_stays(fresh: AlphaMemory) -> None:
    """Stripes that are finer than what it sees come and go."""
    assert fresh.shares.bias is not None
    image = texture(2)
    with torch.no_grad():
        fresh.shares.weight.zero_()

    def left_of_flicker(depth: float, own: float, still: float, along: float) -> float:
        """Return how much of it is left of stripes so deep, with such shares' logits."""
        fine = depth * np.kron(reduced(disc(80)), np.float32([[1, -1], [1, -1]]))
        alphas = [0.5 + fine, 0.5 - fine] * 4
        assert np.abs(reduced(alphas[0]) - reduced(alphas[1])).max() < 1e-6
        with torch.no_grad():
            fresh.shares.bias.copy_(torch.tensor([own, still, along, 0, 0]))
        found = run(fresh, [image] * 8, alphas)
        return float(np.abs(np.diff(found, axis=0)[-3:]).max() / np.abs(2 * fine).max())

    assert left_of_flicker(0.02, 0, 40, 0) < 0.1
    # A quarter of the previous alpha counts in any case, wherever it comes from.
    assert left_of_flicker(0.02, 40, 0, 0) == pytest.approx(0.75 / 1.25, abs=0.02)
    assert left_of_flicker(0.02, 0, 0, 40) == pytest.approx(0.75 / 1.25, abs=0.02)
    # Deep ones are another leaf.
    assert left_of_flicker(0.4, 0, 40, 0) > 0.9


def test_the_ground_that_an_object_leaves_is_remembered(fresh: AlphaMemory) -> None:
    ground, inside = texture(4), texture(5)
    alphas = [disc(40 + 7 * at) for at in range(10)]
    images = [a[..., None] * inside + (1 - a[..., None]) * ground for a in alphas]
    kept = fresh.begin(images[0], alphas[0])
    for image, alpha in zip(images[1:-1], alphas[1:-1], strict=True):
        _, kept = fresh.follow(image, alpha, None, kept)
    for later in (
        fresh.follow(images[-1], alphas[-1], None, kept)[1],
        fresh.hold(images[-1], alphas[-1], None, kept),
    ):
        layer = np.asarray(later[GROUND])
        known = layer[..., 3] > 0
        # Where it began and where it is now.
        assert known[reduced(alphas[0]) > 0.9].mean() > 0.95
        assert 0.3 < known[reduced(alphas[-1]) > 0.9].mean() < 1
        apart = layer[..., :3] / 255 - reduced(ground)
        assert np.abs(apart[known]).mean() < 0.02
    anew = np.asarray(fresh.begin(images[-1], alphas[-1])[GROUND])
    assert not anew[reduced(alphas[-1]) > 0.9].any()


def test_after_another_size_of_frame_it_begins_anew(fresh: AlphaMemory) -> None:
    kept = fresh.begin(texture(2, 60, 80), disc(40, 16, 60, 80))
    image, own = texture(2), disc(80)
    alpha, later = fresh.follow(image, own, None, kept)
    assert alpha is own
    anew = fresh.begin(image, own)
    assert all(np.array_equal(later[name], anew[name]) for name in anew)


def test_one_pixel_more_is_another_size_too(fresh: AlphaMemory) -> None:
    kept = fresh.begin(texture(2, 60, 81), disc(40, 16, 60, 81))
    image, own = texture(2, 60, 80), disc(40, 16, 60, 80)
    assert kept[PICTURE].shape == fresh.begin(image, own)[PICTURE].shape
    alpha, later = fresh.follow(image, own, None, kept)
    assert alpha is own
    assert later[DETAIL].shape == own.shape


def test_chances_are_the_networks_or_follow_from_alpha() -> None:
    own = reduced(disc(80))
    mask, trimap = torch.full((1, 1, 8, 8), 2.0), torch.zeros(1, 3, 8, 8)
    trimap[:, 2] = 5
    inside, ground, whole = chances_of(own, (mask, trimap))
    assert inside.shape == own.shape
    assert float(inside.mean()) == pytest.approx(torch.tensor(2.0).sigmoid().item(), abs=1e-5)
    assert float(ground.max()) < 0.01 < 0.98 < float(whole.min())
    inside, ground, whole = chances_of(own, None)
    assert np.array_equal(inside > 0, own > 0.5)
    assert np.array_equal(ground > 0, own < 0.01)
    assert np.array_equal(whole > 0, own > 0.99)
    assert torch.equal(chances_of(own, (mask, None))[0], inside)


def test_nanos_flicker_gets_less(shipped: AlphaMemory) -> None:
    """Its own mattes of clips of other seeds than it learnt from."""
    own = pm.load("nano", remember_alpha=False).model
    source = CategoryClips([], size_px=288, frames=8, seed=1, categories=("bubble", "frost"))
    errors = []
    for number in range(3):
        shown = matted_clip(own, source.clip(number))
        with torch.inference_mode():
            alpha = follow_clip(shipped, shown)
        errors.append([float(clip_errors(each, shown.true)[1]) for each in (alpha, shown.own)])
    found, before = np.mean(errors, axis=0)
    assert found < 0.75 * before


def test_what_is_seen_through_is_not_carried_off(shipped: AlphaMemory) -> None:
    """Smoke before a ground that moves: its alpha lets the ground through."""
    alpha = 0.5 * cv2.GaussianBlur(disc(80, 40), (0, 0), 8)
    wide = texture(3, width=260)
    grounds = [wide[:, 4 * at : 4 * at + 160] for at in range(12)]
    images = [0.85 * alpha[..., None] + (1 - alpha[..., None]) * ground for ground in grounds]
    leaks = [(ground.mean(2) - 0.5) * 0.4 * (alpha > 0.05) for ground in grounds]
    own = [(alpha + leak).clip(0, 1).astype(np.float32) for leak in leaks]
    # The network is sure of where smoke is and that it is nowhere whole.
    there = torch.from_numpy(alpha)[None, None]
    trimap = torch.cat([4 - 40 * there, 40 * there - 4, torch.full_like(there, -4)], dim=1)
    found = run(shipped, images, own, (20 * there - 4, trimap))

    def flickers(planes) -> float:
        return float(np.sqrt((np.diff(planes[4:], axis=0) ** 2).mean()))

    def wrong(planes) -> float:
        return float(np.abs(np.stack(planes) - alpha).mean())

    assert flickers(found) < 0.75 * flickers(np.stack(own))
    # The ground that is seen through it carries some of it off, but no further and further.
    assert wrong(found[8:]) < 1.2 * wrong(found[4:8])
    assert wrong(found) < 2 * wrong(own)


def test_what_moves_leaves_nothing_behind(shipped: AlphaMemory) -> None:
    ground, inside = texture(4), texture(5) * 0.3 + 0.7
    alphas = [disc(40 + 7 * at) for at in range(12)]
    images = [a[..., None] * inside + (1 - a[..., None]) * ground for a in alphas]
    found = run(shipped, images, alphas)
    assert np.abs(found - np.stack(alphas)).mean() < 0.004
    # Where it was three frames ago and isn't now.
    left = (alphas[7] == 1) & (alphas[10] == 0) & (alphas[9] == 0)
    assert left.any()
    assert found[10][left].mean() < 0.02


def test_after_a_cut_the_new_alpha_stands(shipped: AlphaMemory) -> None:
    images, alphas = [texture(6)] * 4 + [texture(7)] * 2, [disc(40)] * 4 + [disc(115)] * 2
    found = run(shipped, images, alphas)
    assert np.array_equal(found[4], alphas[4])
    assert np.abs(found[3] - alphas[3]).mean() < 0.002


def test_a_cut_is_seen_and_a_fast_camera_is_none() -> None:
    wide, nothing = texture(6, width=200), np.zeros((120, 160), np.float32)
    first, panned, other = wide[:, :160], wide[:, 12:172], texture(7)
    frames = [SeenFrame.of(each, nothing, None) for each in (first, panned, other)]
    kept = frames[0].kept(frames[0].begun())
    whole = slice(None), slice(None)
    assert [AlphaStep.since(each, kept, whole).cut for each in frames] == [False, False, True]


def test_whole_and_empty_places_stay_so(shipped: AlphaMemory) -> None:
    images, alphas = [texture(8)] * 4, [disc(80)] * 4
    found = run(shipped, images, alphas)
    assert (found[-1][alphas[0] == 1] > 0.99).all()
    assert (found[-1][cv2.dilate(alphas[0], np.ones((25, 25))) == 0] == 0).all()


def test_far_from_all_that_is_there_nothing_appears(fresh: AlphaMemory) -> None:
    """Whatever a network thinks, which here is opaque everywhere, and then nowhere."""
    assert fresh.shares.bias is not None
    images, alphas = [texture(8), texture(8)], [disc(80), disc(82)]
    away = cv2.dilate(disc(81, 34), np.ones((25, 25))) == 0
    within = disc(81, 14) == 1
    for said in (40.0, -40.0):
        with torch.no_grad():
            fresh.shares.bias.copy_(torch.tensor([0.0, 0, 0, 40, said]))
        found = run(fresh, images, alphas)[1]
        assert np.abs(found - alphas[1]).max() > 0.2
        assert not found[away].any()
        assert (found[within] == 1).all()


def test_where_a_frame_knows_of_nothing_what_was_there_goes(fresh: AlphaMemory) -> None:
    assert fresh.shares.bias is not None
    with torch.no_grad():
        fresh.shares.bias.copy_(torch.tensor([0.0, 40, 0, 0, 0]))
    both = np.maximum(disc(40, 20), disc(110, 20))
    unsure = torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8)
    found = run(fresh, [texture(8)] * 8, [both] + [disc(40, 20)] * 7, unsure)
    gone = disc(110, 12) == 1
    left = [float(each[gone].mean()) for each in found]
    assert left[1:4] == pytest.approx([0.7, 0.49, 0.343], abs=0.005)
    assert left[-1] < 0.1
    assert (found[-1][disc(40, 14) == 1] == 1).all()
    # Where nobody is in doubt it goes at once.
    alone = run(fresh, [texture(8)] * 2, [both, disc(40, 20)])
    assert not alone[1][gone].any()


def test_where_all_that_is_offered_is_alike_nothing_changes(fresh: AlphaMemory) -> None:
    assert fresh.shares.bias is not None
    image, soft = texture(8), 0.6 * cv2.GaussianBlur(disc(80), (0, 0), 6)
    mask, unsure = torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8)
    for said in (40.0, -40.0):
        with torch.no_grad():
            fresh.shares.bias.copy_(torch.tensor([0.0, 0, 0, 40, said]))
        found = run(fresh, [image] * 3, [soft] * 3, (mask, unsure))
        assert np.abs(found - soft).max() < 1e-3
        # An alpha that differs by a tenth is changed by as much at most, and a fifth less.
        other = run(fresh, [image] * 2, [soft, 0.9 * soft], (mask, unsure))[1] - 0.9 * soft
        assert 0.02 < np.abs(other).max() < 0.061


def test_what_a_prompter_is_sure_of_stands(fresh: AlphaMemory) -> None:
    assert fresh.shares.bias is not None
    with torch.no_grad():
        fresh.shares.bias.copy_(torch.tensor([0.0, 40, 0, 0, 0]))
    image, alphas = texture(8), [disc(70), disc(90)]
    kept = fresh.begin(image, alphas[0])
    mask = torch.zeros(1, 1, 60, 80)
    left, right = [], []
    for logit in (5.0, 3.0, 1.0):
        trimap = torch.zeros(1, 3, 60, 80)
        # Of ground where it was, of the object where it is.
        trimap[:, 0, :, :32], trimap[:, 2, :, 48:] = logit, logit
        found, _ = fresh.follow(image, alphas[1], None, kept, (mask, trimap))
        away = np.abs(found - alphas[1]).max(0)
        left.append(float(away[42:56].max()))
        right.append(float(away[104:118].max()))
    # Its chances are 0.987, 0.909 and 0.576.
    doubt = 1 - (20.0855 / 22.0855 - 0.9) / 0.08
    assert left == pytest.approx([0, doubt, 1], abs=0.01)
    assert right == pytest.approx([0, doubt, 1], abs=0.01)


def test_where_nothing_is_nothing_is_done(fresh: AlphaMemory) -> None:
    image, nothing = texture(9), np.zeros((120, 160), np.float32)
    alpha, kept = fresh.follow(image, nothing, None, fresh.begin(image, nothing))
    assert alpha is nothing
    assert not kept[ALPHAS].any()


def test_what_is_gone_has_no_alpha(shipped: AlphaMemory) -> None:
    image, nothing = texture(9), np.zeros((120, 160), np.float32)
    alpha, kept = shipped.follow(image, nothing, None, shipped.begin(image, disc(80)))
    assert not alpha.any()
    assert not kept[ALPHAS].any()


def test_the_same_frames_give_the_same_bits(shipped: AlphaMemory) -> None:
    images, alphas = [texture(at) for at in range(3)], [disc(60 + 5 * at) for at in range(3)]
    assert np.array_equal(run(shipped, images, alphas), run(shipped, images, alphas))


class Copy:
    def matte(self, image, trimap):
        return trimap.copy()


@pytest.fixture
def model(network) -> MAM2Model:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return MAM2Model(with_alpha_memory(network, 8), Copy())


CLICK = Prompt.of(points=(60, 40))


def test_a_tracked_frame_looks_at_the_frame_before_it_alone(model: MAM2Model) -> None:
    frames = [model.encode(texture(8, 90, 140)[:, 2 * at : 130 + 2 * at]) for at in range(4)]
    first = model.predict(frames[0], CLICK)
    entry = model.remember(frames[0], first)
    assert np.asarray(entry[ALPHAS]).shape == (4, 45, 65)
    assert {model.memory_spans[name] for name in (PICTURE, GROUND, ALPHAS)} == {1}
    off = MAM2Model(model.network, Copy(), MAM2Options(remember_alpha=False))
    near, plain = (m.track(frames[1], Memories({0: entry}), 1) for m in (model, off))
    assert not np.array_equal(near.alpha, plain.alpha)
    assert np.array_equal(near.trimap, plain.trimap)
    # From two frames away there is nothing to weigh it against.
    far, other = (m.track(frames[1], Memories({0: entry}), 2) for m in (model, off))
    assert np.array_equal(far.alpha, other.alpha)
    back = model.track(frames[1], Memories({2: entry}, reverse=True), 1)
    assert not np.array_equal(back.alpha, back.trimap)
    kept = np.asarray(model.remember(frames[1], near)[ALPHAS], np.float32)
    # What is added is blurred by being enlarged.
    assert np.abs(kept[0] - reduced(near.alpha)).mean() < 0.05
    assert np.abs(kept[1] - reduced(plain.alpha)).max() < 0.002


def test_what_is_said_on_a_frame_stands(model: MAM2Model) -> None:
    random = np.random.default_rng(0)
    frames = [model.encode(random.random((90, 130, 3), np.float32)) for _ in range(2)]
    memories = Memories({0: model.remember(frames[0], model.predict(frames[0], CLICK))})
    off = MAM2Model(model.network, Copy(), MAM2Options(remember_alpha=False))
    clicked = [m.track(frames[1], memories, 1, prompt=CLICK) for m in (model, off)]
    assert np.array_equal(clicked[0].alpha, clicked[1].alpha)
    kept = model.remember(frames[1], clicked[0])
    assert np.array_equal(kept[ALPHAS][0], kept[ALPHAS][1])
    given = np.full((90, 130), 0.5, np.float32)
    given[:, :40], given[:, 90:] = 0, 1
    found = model.track(frames[1], memories, 1, prompt=Prompt(trimap=Trimap(given)))
    assert np.array_equal(found.alpha, given)


def test_without_it_nothing_more_is_remembered(model: MAM2Model) -> None:
    off = MAM2Model(model.network, Copy(), MAM2Options(remember_alpha=False))
    encoded = off.encode(np.random.default_rng(0).random((90, 130, 3), np.float32))
    assert ALPHAS not in off.remember(encoded, off.predict(encoded, CLICK))
    assert ALPHAS not in off.memory_spans
    assert not MINIATURE.alpha_memory
