"""nano's recipes, on 64 pixels."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import pullmatte
from pullmatte.data.cutouts import StoredCutout
from pullmatte.data.moving_scenes import ClipScenes, ClipSettings
from pullmatte.data.novm.lessons import CategoryClips
from pullmatte.data.scenes import SceneSettings, SceneSource
from pullmatte.errors import PullmatteError
from pullmatte.models.mam2.alpha_frames import reduced
from pullmatte.models.mam2.model import MAM2Model
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.nano.checkpoint import load_networks, nano_options, save_networks
from pullmatte.models.nano.config import sized
from pullmatte.models.nano.matter_network import MatterConfig, MatterNetwork
from pullmatte.train.nano import OF_MEMORY, NanoRecipe, NanoSettings, corrected, forward
from pullmatte.train.nano_alphas import (
    NanoAlphasRecipe,
    NanoAlphasSettings,
    Shown,
    clip_errors,
    follow_clip,
    right_clip,
    with_alpha_memory,
)
from pullmatte.train.nano_batches import joined_batches, trimap_classes
from pullmatte.train.nano_clips import (
    NanoClipRecipe,
    NanoClipSettings,
    clip_losses,
    draw_clip_batch,
)
from pullmatte.train.nano_judge import (
    NanoJudgeRecipe,
    NanoJudgeSettings,
    PhotoCrops,
    trimap_cost,
    with_judge,
)
from pullmatte.train.nano_matter import (
    NanoMatterRecipe,
    NanoMatterSettings,
    NoMatter,
    answer_on_scene,
    crops,
    drawn_answer,
    drawn_trimap,
)
from pullmatte.train.nano_memory import (
    NanoMemoryRecipe,
    NanoMemorySettings,
    with_light_tracking,
)
from pullmatte.train.nano_see_through import (
    SeeThroughRecipe,
    SeeThroughSettings,
    SeeThroughSources,
    with_see_through,
)
from pullmatte.train.nano_start import start_nano
from pullmatte.train.recipe import Recipe

SIZE = 64


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def art() -> tuple[list[StoredCutout], list[np.ndarray]]:
    rgba = np.zeros((40, 40, 4), np.uint8)
    rgba[..., :3] = (220, 40, 40)
    rows, columns = np.mgrid[:40, :40] - 19.5
    rgba[..., 3] = np.clip(18 - np.hypot(rows, columns), 0, 1) * 255
    noise = np.random.default_rng(0).integers(0, 120, (80, 80, 3))
    return [StoredCutout(rgba, "disc", "opaque")], [noise.astype(np.uint8)]


def scenes(size: int = SIZE) -> SceneSource:
    return SceneSource(*art(), SceneSettings(size_px=size, absent_chance=0, scale=(0.4, 0.9)))


def clips(size: int = SIZE) -> ClipScenes:
    return ClipScenes(*art(), ClipSettings(frames=3, scenes=scenes(size).settings))


def matter() -> MatterNetwork:
    return MatterNetwork(MatterConfig(widths=(8,) * 5, depths=(0, 1, 1, 0, 1)))


def falls(recipe: Recipe, steps: int, rate: float) -> float:
    """Train on the same items again and again; return the last loss as a share of the first."""
    items = [recipe.item(number) for number in range(2)]
    trained = [p for p in recipe.network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=rate)
    recipe.network.train()
    losses = []
    for _ in range(steps):
        total = recipe.losses(items)["total"]
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        losses.append(float(total.detach()))
    return losses[-1] / losses[0]


def test_prompter_learns_two_scenes() -> None:
    recipe = NanoRecipe(MAM2Network(sized(SIZE)), matter(), scenes(), NanoSettings())
    assert falls(recipe, 20, 5e-4) < 0.5


def test_everything_that_shall_learn_gets_a_gradient() -> None:
    recipe = NanoRecipe(MAM2Network(sized(SIZE)), matter(), scenes(), NanoSettings())
    recipe.losses([recipe.item(0), recipe.item(1)])["total"].backward()
    trained = {n: p for n, p in recipe.network.named_parameters() if p.requires_grad}
    assert [name for name, value in trained.items() if value.grad is None] == []
    assert not any("backbone" in name or "memory_attention" in name for name in trained)


def test_joined_batches_give_what_each_gives() -> None:
    recipe = NanoRecipe(MAM2Network(sized(SIZE)), matter(), scenes(), NanoSettings())
    items = [recipe.item(number) for number in range(4)]
    with torch.no_grad():
        network = recipe.network.eval()
        joined = forward(network, joined_batches(items)).trimap_logits
        widest = max(items, key=lambda item: item.points.shape[1])
        pairs = [forward(network, joined_batches([item, widest])).trimap_logits for item in items]
    assert torch.allclose(joined, torch.cat([pair[:1] for pair in pairs]), atol=1e-3)


def test_answers_click_where_the_mask_is_wrong() -> None:
    recipe = NanoRecipe(MAM2Network(sized(SIZE)), matter(), scenes(), NanoSettings())
    batch = joined_batches([recipe.item(number) for number in range(6)])
    with torch.no_grad():
        decoded = forward(recipe.network.eval(), batch)
    nothing = replace(decoded, mask_logits=torch.full_like(decoded.mask_logits, -9.0))
    answered = corrected(batch, nothing)
    more = batch.points.shape[1]
    assert torch.equal(answered.points[:, :more], batch.points)
    assert answered.masked.all()
    assert torch.equal(answered.mask_logits, nothing.mask_logits)
    clicks, labels = answered.points[:, more:].long(), answered.labels[:, more:]
    for alpha, places, said in zip(batch.alpha[:, 0], clicks, labels, strict=True):
        assert (said == 1).any()
        inside = places[said == 1]
        assert (alpha[inside[:, 1], inside[:, 0]] > 0.5).all()


def test_memory_learns_to_track_a_clip() -> None:
    settings = ClipSettings(frames=3, scenes=scenes().settings)
    recipe = NanoClipRecipe(
        MAM2Network(sized(SIZE)), matter(), ClipScenes(*art(), settings), NanoClipSettings()
    )
    assert falls(recipe, 6, 1e-3) < 0.9
    lacking = [
        name.removeprefix("sam2.")
        for name, value in recipe.network.named_parameters()
        if value.requires_grad and value.grad is None
    ]
    assert set(lacking) <= {"no_object_pointer", "occlusion_spatial_embedding_parameter"}


def nano_network() -> MAM2Network:
    network = with_see_through(MAM2Network(sized(SIZE)))
    return network.eval()


def test_matter_learns_two_scenes() -> None:
    settings = NanoMatterSettings(crop_px=SIZE, asked=0)
    recipe = NanoMatterRecipe(matter(), nano_network(), scenes(96), clips(96), settings)
    assert falls(recipe, 25, 5e-3) < 0.8


def test_matter_learns_from_what_it_is_told() -> None:
    settings = NanoMatterSettings(crop_px=SIZE, asked=1, tracked=0.5)
    network = with_shipped_answers()
    recipe = NanoMatterRecipe(matter(), network, scenes(96), clips(96), settings)
    items = [recipe.item(number) for number in range(8)]
    told = [item for item in items if item.told.given.all()]
    assert len(told) >= 4
    for item in told:
        assert item.told.fine.shape == (3, 20, SIZE // 4, SIZE // 4)
        assert item.told.top.shape == (3, 128, SIZE // 32, SIZE // 32)
        assert set(item.trimap.unique().tolist()) <= {0, 0.5, 1}
    recipe.losses(items)["total"].backward()
    gradient = recipe.network.told_fine.norm.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_answers_are_told_of_their_own_places() -> None:
    sample = scenes(96).sample(3)
    model = MAM2Model(with_shipped_answers(), NoMatter(), nano_options())
    answer = answer_on_scene(model, sample, np.random.default_rng(0))
    inside = torch.nn.functional.interpolate(answer.told.fine[:, :1], (96, 96), mode="bilinear")
    apart = np.abs(inside[0, 0].numpy() - sample.alpha)
    assert apart.mean() < 0.1
    drawn = crops(answer, np.random.default_rng(1), 64, 4)
    grown = torch.nn.functional.interpolate(drawn.told.fine[:, :1], (64, 64), mode="bilinear")
    assert (grown - drawn.alpha).abs().mean() < 0.15


def with_shipped_answers() -> MAM2Network:
    """nano as it is shipped, at a small side."""
    return start_nano("nano", 128)[0].eval()


def test_exported_folder_holds_the_weights(tmp_path: Path) -> None:
    network, own = MAM2Network(sized(SIZE)), MatterNetwork()
    recipe = NanoRecipe(network, own, scenes(), NanoSettings())
    recipe.export(network.state_dict(), tmp_path / "nano")
    found = load_networks(tmp_path / "nano")[1].state_dict()
    wanted = own.state_dict()
    assert all(torch.allclose(found[n].float(), wanted[n].float(), atol=1e-3) for n in wanted)


def test_trimap_truth_is_known_only_where_a_whole_cell_is() -> None:
    alpha = np.zeros((64, 64), np.float32)
    alpha[17:47, 17:47] = 1
    found = trimap_classes(alpha, "opaque", np.random.default_rng(0), 16)
    assert found[8, 8] == 2
    assert found[0, 0] == 0
    assert found[4, 8] == 1
    assert (trimap_classes(alpha, "transparent", np.random.default_rng(0), 16) < 2).all()


def test_crops_look_where_it_is_unknown() -> None:
    sample = scenes(128).sample(1)
    model = MAM2Model(nano_network(), NoMatter(), nano_options())
    rng = np.random.default_rng(0)
    answer = drawn_answer(answer_on_scene(model, sample, rng), sample.opacity, rng)
    found = crops(answer, np.random.default_rng(0), 64, 6)
    assert found.image.shape == (6, 3, 64, 64)
    assert found.trimap.shape == found.alpha.shape == (6, 1, 64, 64)
    assert (found.trimap == 0.5).flatten(1).any(1).all()
    assert not found.told.given.any()


def test_drawn_trimaps_hold_the_truth() -> None:
    sample = scenes(128).sample(2)
    wrong = []
    for seed in range(30):
        trimap = drawn_trimap(sample.alpha, "opaque", np.random.default_rng(seed))
        wrong.append(np.abs(trimap - sample.alpha)[trimap != 0.5].mean())
    assert np.median(wrong) < 0.005


def test_a_start_keeps_the_size_of_its_weights(tmp_path: Path) -> None:
    config = sized(SIZE)
    other = replace(config, sam2=replace(config.sam2, memory_layers=3, memory_pool=1))
    saved = MAM2Network(other)
    save_networks(saved, MatterNetwork(), tmp_path)
    network, _ = start_nano(str(tmp_path), 96)
    assert network.config.sam2.image_px == 96
    assert network.config.sam2.memory_layers == 3
    for name, value in network.state_dict().items():
        # Files hold half precision.
        assert torch.equal(value.half(), saved.state_dict()[name].half()), name


def test_a_start_afresh_keeps_the_trunk_alone() -> None:
    network, _ = start_nano("nano", SIZE, afresh_seed=3)
    known, _ = load_networks(Path(pullmatte.__file__).parent / "weights" / "nano")
    ours, theirs = (each.sam2.vision_encoder for each in (network, known))
    name = next(iter(theirs.backbone.state_dict()))
    assert torch.equal(ours.backbone.state_dict()[name], theirs.backbone.state_dict()[name])
    assert not torch.equal(ours.top.weight, theirs.top.weight)


def see_through() -> SeeThroughRecipe:
    made = CategoryClips(art()[1], size_px=SIZE, frames=3, categories=("bubble", "fire"))
    sources = SeeThroughSources(made, made, clips())
    network = with_see_through(MAM2Network(sized(SIZE)))
    return SeeThroughRecipe(network, matter(), sources, SeeThroughSettings(batch=1))


def test_a_second_decoder_learns_and_the_first_stays() -> None:
    recipe = see_through()
    before = {name: value.clone() for name, value in recipe.network.state_dict().items()}
    assert falls(recipe, 8, 5e-4) < 0.9
    after = recipe.network.state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    first = ("sam2.mask_decoder.", "sam2.vision_encoder.", "prompt_maps.", "sam2.prompt_encoder.")
    assert not [name for name in moved if name.startswith(first)]
    for part in ("decoder.", "prompt_maps."):
        assert any(name.startswith(f"see_through.{part}") for name in moved)
    assert any("memory_attention" in name for name in moved)


def test_a_second_decoder_begins_as_the_first() -> None:
    network = MAM2Network(sized(SIZE)).eval()
    both = with_see_through(network, blocks=2, pool=1).eval()
    item = see_through().item(0).through
    with torch.no_grad():
        plain, first, second = (
            forward(each, item).trimap_logits for each in (network, both, both.for_see_through())
        )
    assert torch.equal(plain, first)
    assert torch.equal(plain, second)
    assert with_see_through(both) is both


def test_a_second_decoder_larger_than_the_first_is_refused() -> None:
    with pytest.raises(PullmatteError, match=r"3 blocks.*has 2"):
        with_see_through(MAM2Network(sized(SIZE)), blocks=3)


def memory() -> NanoMemoryRecipe:
    made = CategoryClips(art()[1], size_px=SIZE, frames=3, categories=("bubble", "fire"))
    network = with_light_tracking(with_see_through(MAM2Network(sized(SIZE))))
    return NanoMemoryRecipe(network, matter(), made, clips(), NanoMemorySettings(batch=1))


def test_memory_learns_alone() -> None:
    recipe = memory()
    before = {name: value.clone() for name, value in recipe.network.state_dict().items()}
    assert falls(recipe, 12, 2e-3) < 0.95
    after = recipe.network.state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert all(name.startswith(OF_MEMORY) for name in moved)
    for part in ("sam2.memory_attention.", "sam2.memory_encoder."):
        assert any(name.startswith(part) for name in moved)


def test_light_tracking_changes_nothing_on_stills_and_something_with_memories() -> None:
    heavy = with_see_through(MAM2Network(sized(SIZE))).eval()
    light = with_light_tracking(heavy).eval()
    assert light.config.sam2.looking_pool == 2
    frames = memory().item(0)[1]
    with torch.no_grad():
        plain, found = (forward(each, frames[0]).trimap_logits for each in (heavy, light))
        assert torch.equal(plain, found)
        torch.manual_seed(0)
        one = clip_losses(heavy, frames)["tracked"]
        torch.manual_seed(0)
        assert clip_losses(light, frames)["tracked"] != one


def test_corrected_frames_are_remembered_as_prompted_ones(monkeypatch) -> None:
    network = MAM2Network(sized(SIZE)).train()
    frames = draw_clip_batch(clips(), [3], NanoClipSettings().mixture, SIZE // 4)
    asked: list[int] = []
    hard: list[bool] = []
    decode, remember = MAM2Network.decode, MAM2Network.memory

    def decoded(self, *args, **given):
        asked.append(0 if given.get("points") is None else given["points"].shape[1])
        return decode(self, *args, **given)

    def remembered(self, *args, **given):
        hard.append(given["hard"])
        return remember(self, *args, **given)

    monkeypatch.setattr(MAM2Network, "decode", decoded)
    monkeypatch.setattr(MAM2Network, "memory", remembered)
    torch.manual_seed(1)
    losses = clip_losses(network, frames, corrections=1.0)
    assert losses["total"].isfinite()
    # The first frame's, then of each other frame two passes; and two more with clicks.
    assert len(asked) == 1 + 2 * 2 + 2
    assert [count > 0 for count in asked].count(True) == 3
    assert hard[0]
    assert hard.count(True) == 2
    del asked[:], hard[:]
    clip_losses(network, frames)
    assert len(asked) == 1 + 2 * 2
    assert hard == [True, False, False]


def judge() -> NanoJudgeRecipe:
    network = with_judge(with_see_through(MAM2Network(sized(SIZE))), 8)
    with torch.no_grad():
        for value in network.see_through.decoder.trimap_branch.parameters():
            value.add_(0.5 * torch.randn(value.shape))
    source = CategoryClips(art()[1], size_px=SIZE, frames=1, categories=("bubble", "fire"))
    crops = PhotoCrops(art()[1], SIZE)
    return NanoJudgeRecipe(network, matter(), source, crops, NanoJudgeSettings(batch=4))


def test_a_judge_learns_alone_which_decoder_is_better() -> None:
    torch.manual_seed(0)
    recipe = judge()
    before = {name: value.clone() for name, value in recipe.network.state_dict().items()}
    items = [recipe.item(number) for number in range(8)]
    assert {item.known for item in items} == {True, False}
    optimiser = torch.optim.AdamW(recipe.parameter_groups(), lr=1e-2)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        found = recipe.losses(items)
        found["total"].backward()
        optimiser.step()
        losses.append(float(found["total"].detach()))
    assert losses[-1] < 0.7 * losses[0]
    after = recipe.network.state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved
    assert all(name.startswith("see_through.judge.") for name in moved)


def test_a_trimap_costs_what_it_says_wrongly_and_a_little_where_it_says_nothing() -> None:
    logits = torch.full((1, 3, 4, 4), -5.0)
    logits[:, 0, :, 0] = logits[:, 1, :, 1] = logits[:, 2, :, 2:] = 5
    alpha = torch.zeros(1, 1, 16, 16)
    alpha[..., :4], alpha[..., 8:] = 0.5, 0.75
    decoded = SimpleNamespace(trimap_logits=logits)
    assert trimap_cost(decoded, alpha) == pytest.approx((0.5 + 0.06 + 2 * 0.25) / 4)


def test_a_judge_needs_two_decoders() -> None:
    with pytest.raises(PullmatteError, match="nano-see-through"):
        with_judge(MAM2Network(sized(SIZE)))


def test_a_memory_of_alphas_learns_alone_to_flicker_less() -> None:
    shipped, own = load_networks(Path(pullmatte.__file__).parent / "weights" / "nano")
    plain = MAM2Network(replace(shipped.config, alpha_memory=0))
    plain.load_state_dict(shipped.state_dict(), strict=False)
    network = with_alpha_memory(plain, 8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    source = CategoryClips(art()[1], size_px=128, frames=3, categories=("cloud",))
    recipe = NanoAlphasRecipe(network, own, source, NanoAlphasSettings())
    network.train()
    items = [recipe.item(number) for number in range(1)]
    optimiser = torch.optim.AdamW(recipe.parameter_groups(), lr=1e-2)
    errors = []
    for _ in range(8):
        optimiser.zero_grad()
        found = recipe.losses(items)
        found["total"].backward()
        optimiser.step()
        errors.append(float(found["change"]))
    assert network.training
    assert errors[-1] < 0.8 * errors[0]
    assert errors[-1] < 0.8 * float(found["own_change"])
    after = network.state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved
    assert all(name.startswith("alpha_memory.") for name in moved)


def test_some_clips_are_matted_rightly() -> None:
    network, own = load_networks(Path(pullmatte.__file__).parent / "weights" / "nano")
    source = CategoryClips(art()[1], size_px=96, frames=3, categories=("vehicles",))
    clip = source.clip(0)
    shown = right_clip(clip)
    true = np.stack([reduced(alpha) for alpha in clip.alphas])
    assert np.array_equal(shown.true[:, 0].numpy(), true)
    assert torch.equal(shown.own, shown.true)
    assert torch.equal(shown.chances[:, 1] > 0, shown.true[:, 0] < 0.01)
    items = [(clip, number) for number in range(8)]
    for share, learnt in ((1.0, False), (0.0, True)):
        settings = NanoAlphasSettings(right=share, part=1)
        recipe = NanoAlphasRecipe(network, own, source, settings)
        found = recipe.losses(items[:1])
        assert (float(found["own_mad"]) > 0) is learnt
    some = NanoAlphasRecipe(network, own, source, NanoAlphasSettings(right=0.5, part=1))
    right = [float(some.losses([item])["own_mad"]) == 0 for item in items]
    assert 1 <= sum(right) <= 7


def test_following_a_clip_is_what_the_model_does_frame_by_frame() -> None:
    memory = with_alpha_memory(MAM2Network(sized(SIZE)), 8).alpha_memory
    random = torch.Generator().manual_seed(3)
    counts = (3, 1, 1, 1, 2, 9, 3)
    shown = Shown(*(torch.rand(3, count, 16, 24, generator=random) for count in counts))
    found = follow_clip(memory, shown)
    assert torch.equal(found[0], shown.own[0])
    whole = follow_clip(memory, shown.cut(slice(0, 16), slice(0, 24)))
    assert torch.equal(found, whole)
    other = follow_clip(memory, replace(shown, ground=shown.ground.flip(0)))
    assert not torch.allclose(other[2], found[2])
    again = follow_clip(memory, shown.mirrored().mirrored())
    assert torch.allclose(again, found)


def test_errors_of_a_clip_are_those_of_the_metrics() -> None:
    random = np.random.default_rng(5)
    alpha, true = random.random((2, 4, 1, 8, 8), np.float32)
    mad, change = clip_errors(torch.from_numpy(alpha), torch.from_numpy(true))
    assert float(mad) == pytest.approx(np.abs(alpha - true).mean(), rel=1e-5)
    apart = np.diff(alpha, axis=0) - np.diff(true, axis=0)
    assert float(change) == pytest.approx(np.sqrt((apart**2).mean((1, 2, 3))).mean(), rel=1e-4)
