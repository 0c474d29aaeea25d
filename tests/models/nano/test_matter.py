"""nano's matter, with random weights."""

import numpy as np
import pytest
import torch

from pullmatte.errors import PullmatteError
from pullmatte.models.mam2.told import Told
from pullmatte.models.nano import matter as module
from pullmatte.models.nano.matter import NanoMatter
from pullmatte.models.nano.matter import windows as windows_of
from pullmatte.models.nano.matter_network import MatterConfig, MatterNetwork, folded
from pullmatte.models.protocol import Kept


@pytest.fixture(scope="module")
def matter() -> NanoMatter:
    torch.manual_seed(0)
    return NanoMatter(MatterNetwork(MatterConfig(widths=(8,) * 5, depths=(0, 1, 1, 0, 1))))


def photo(height: int = 70, width: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    trimap = np.zeros((height, width), np.float32)
    trimap[20:50, 20:60] = 0.5
    trimap[30:40, 30:50] = 1
    return rng.random((height, width, 3), np.float32), trimap


def test_known_pixels_stay_and_unknown_are_in_range(matter: NanoMatter) -> None:
    image, trimap = photo()
    alpha = matter.matte(image, trimap)
    known = trimap != 0.5
    assert (alpha[known] == trimap[known]).all()
    assert 0 <= alpha[~known].min() < alpha[~known].max() <= 1
    assert alpha.dtype == np.float32


def test_known_trimap_is_returned_without_a_run(matter: NanoMatter) -> None:
    image, trimap = photo()
    flat = np.where(trimap == 0.5, np.float32(0), trimap)
    found = matter.matte(np.full_like(image, np.nan), flat)
    assert (found == flat).all()
    assert found is not flat


def test_tiles_cover_everything_and_agree_nearly(
    matter: NanoMatter, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, trimap = photo(256, 320)
    trimap[10:250, 10:310] = 0.5
    trimap[100:150, 100:200] = 1
    whole = matter.matte(image, trimap)
    monkeypatch.setattr(module, "TILE_PX", 160)
    monkeypatch.setattr(module, "OVERLAP_PX", 64)
    tiled = matter.matte(image, trimap)
    assert np.isfinite(tiled).all()
    assert np.abs(tiled - whole).mean() < 0.05


def test_nan_is_told(matter: NanoMatter) -> None:
    image, trimap = photo()
    with pytest.raises(PullmatteError, match="isn't finite"):
        matter.matte(np.full_like(image, np.nan), trimap)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW_PX", 100)
    monkeypatch.setattr(module, "WINDOW_OVERLAP_PX", 16)
    monkeypatch.setattr(module, "MARGIN_PX", 24)


def wide() -> tuple[np.ndarray, np.ndarray]:
    """A ring that is unknown, over all of four by three windows."""
    image, _ = photo(300, 400)
    rows, columns = np.mgrid[:300, :400]
    away = np.hypot(rows - 150, (columns - 200) * 0.75)
    trimap = np.where(away < 90, 1, np.where(away > 130, 0, 0.5)).astype(np.float32)
    return image, trimap


@pytest.mark.usefixtures("windows")
def test_only_windows_that_changed_are_worked_out_again(
    matter: NanoMatter, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, trimap = wide()
    kept: Kept = {}
    first = matter.matte_again(image, trimap, kept)
    assert np.array_equal(first, matter.matte(image, trimap))
    runs = []
    refine = matter._folded.refine
    monkeypatch.setattr(matter._folded, "refine", lambda *a: runs.append(1) or refine(*a))
    assert np.array_equal(matter.matte_again(image, trimap, kept), first)
    assert not runs
    changed = trimap.copy()
    changed[150:160, 60:80] = 0
    found = matter.matte_again(image, changed, kept)
    again = len(runs)
    fresh = matter.matte(image, changed)
    assert 0 < again < len(runs) - again
    assert np.array_equal(found, fresh)
    # One step back is still known.
    runs.clear()
    assert np.array_equal(matter.matte_again(image, trimap, kept), first)
    assert not runs


@pytest.mark.usefixtures("windows")
def test_a_window_looks_as_far_as_the_known_regions_are() -> None:
    trimap = np.full((300, 400), 0.5, np.float32)
    trimap[:10, :10], trimap[-10:, -10:] = 1, 0
    for _, window in windows_of(trimap, trimap == 0.5):
        assert set(np.unique(trimap[window])) == {0, 0.5, 1}


@pytest.mark.usefixtures("windows")
def test_windows_leave_no_seam(matter: NanoMatter, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, columns = np.mgrid[:300, :400].astype(np.float32)
    true = 0.5 + 0.5 * np.sin(rows / 17) * np.sin(columns / 23)
    image = np.dstack([true, 0.8 * true, 1 - true]).astype(np.float32)
    trimap = np.where(true > 0.9, 1, np.where(true < 0.1, 0, 0.5)).astype(np.float32)
    cut = matter.matte(image, trimap) - true
    monkeypatch.setattr(module, "WINDOW_PX", 1000)
    whole = matter.matte(image, trimap) - true
    assert np.abs(cut).mean() < 1.2 * np.abs(whole).mean()
    assert np.abs(np.diff(cut - whole, axis=1)).max() < 0.1
    assert np.abs(np.diff(cut - whole, axis=0)).max() < 0.1


def test_no_more_windows_are_kept_than_agreed(
    matter: NanoMatter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOWS_KEPT", 2)
    image, trimap = photo()
    kept: Kept = {}
    for row in range(4):
        trimap[25 + row, 25] = 1
        matter.matte_again(image, trimap, kept)
        assert len(kept) <= 2


def told_of(matter: NanoMatter, inside: float) -> Told:
    """What nano might tell: all in the mask, or nothing."""
    config = matter.network.config
    fine = torch.zeros(1, config.fine, 32, 32)
    fine[:, 0] = inside
    top = torch.randn(1, config.top, 8, 8, generator=torch.Generator().manual_seed(1))
    return Told(fine, top, torch.ones(1, 1, 1, 1))


@pytest.fixture(scope="module")
def listening() -> NanoMatter:
    torch.manual_seed(0)
    network = MatterNetwork(MatterConfig(widths=(8,) * 5, depths=(0, 1, 1, 0, 1)))
    torch.nn.init.normal_(network.affine.weight, std=0.1)
    for part in (network.told_fine, network.told_top):
        torch.nn.init.ones_(part.norm.weight)
    torch.nn.init.normal_(network.told_fine.convolution.weight)
    return NanoMatter(network)


def test_a_fresh_matter_doesnt_listen_yet(matter: NanoMatter) -> None:
    image, trimap = photo()
    alone = matter.matte(image, trimap)
    assert np.array_equal(matter.matte_again(image, trimap, None, told_of(matter, 1)), alone)


def test_what_is_told_counts_in_the_unknown_alone(listening: NanoMatter) -> None:
    image, trimap = photo(64, 96)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    levels = torch.from_numpy(trimap)[None, None]
    found = []
    for inside in (0.0, 1.0):
        told = told_of(listening, inside)
        window = told.window((0, 1), (0, 1), (64, 96))
        with torch.no_grad():
            found.append(listening.network(pixels, levels, window)[0, 0].numpy())
        found.append(listening.matte_again(image, trimap, None, told))
    assert np.abs(found[2] - found[0])[trimap == 0.5].mean() > 1e-3
    for alpha in found:
        assert (alpha[trimap != 0.5] == trimap[trimap != 0.5]).all()
        assert 0 <= alpha.min() < alpha.max() <= 1


def test_what_isnt_given_doesnt_count(listening: NanoMatter) -> None:
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    trimap = torch.full((2, 1, 64, 64), 0.5)
    one = told_of(listening, 1).window((0, 1), (0, 1), (64, 64))
    silent = Told(one.fine, one.top, torch.zeros(1, 1, 1, 1))
    with torch.no_grad():
        both = listening.network(image, trimap, Told.joined([one, silent]))
        alone = listening.network(image, trimap)
    assert torch.allclose(both[1], alone[1], atol=1e-5)
    assert not torch.allclose(both[0], alone[0], atol=1e-3)


@pytest.mark.usefixtures("windows")
def test_windows_of_which_something_else_is_told_are_worked_out_again(
    listening: NanoMatter, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, trimap = wide()
    kept: Kept = {}
    told = told_of(listening, 1)
    first = listening.matte_again(image, trimap, kept, told)
    changed = Told(told.fine.clone(), told.top, told.given)
    changed.fine[:, 0, 14:18, 4:8] = 0
    runs = []
    refine = listening._folded.refine
    monkeypatch.setattr(listening._folded, "refine", lambda *a: runs.append(1) or refine(*a))
    assert np.array_equal(listening.matte_again(image, trimap, kept, told), first)
    assert not runs
    found = listening.matte_again(image, trimap, kept, changed)
    again = len(runs)
    fresh = listening.matte_again(image, trimap, None, changed)
    assert 0 < again < len(runs) - again
    assert np.array_equal(found, fresh)


@pytest.mark.usefixtures("windows")
def test_windows_hear_of_their_own_place(
    listening: NanoMatter, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, trimap = wide()
    image = np.full((*trimap.shape, 3), 0.5, np.float32)
    told = told_of(listening, 1)
    told.fine[:, 0, :, :16] = 0
    cut = listening.matte_again(image, trimap, None, told)
    monkeypatch.setattr(module, "WINDOW_PX", 1000)
    whole = listening.matte_again(image, trimap, None, told)
    turned = listening.matte_again(image, trimap, None, told.mapped(lambda each: each.flip(-1)))
    unknown = trimap == 0.5
    assert np.abs(cut - whole)[unknown].mean() < 0.5 * np.abs(turned - whole)[unknown].mean()


def test_folding_norms_changes_nothing(listening: NanoMatter) -> None:
    network = listening.network
    with torch.random.fork_rng():
        torch.manual_seed(2)
        for part in network.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_mean.normal_(std=0.2)
                part.running_var.uniform_(0.5, 2)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    trimap = torch.full((1, 1, 64, 64), 0.5)
    plain = folded(network)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in plain.modules())
    with torch.no_grad():
        assert torch.allclose(plain(image, trimap), network(image, trimap), atol=1e-4)
