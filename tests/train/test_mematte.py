"""MEMatte's training: crops, teacher, routers; and that it learns, goes on and is shared."""

from dataclasses import replace

import pytest
import torch

from pullmatte.errors import PullmatteError
from pullmatte.models.mematte.checkpoint import load_network
from pullmatte.models.mematte.network import MEMatteNetwork, run_softly
from pullmatte.train.draws import torch_generator
from pullmatte.train.loop import train
from pullmatte.train.mematte import MEMatteRecipe, run_softly_each, start_from_teacher

FAST = {"learning_rate": 8e-3, "batch": 8, "schedule": "cosine", "warmup": 5, "clip": 1.0}


def test_crops_show_an_edge_and_are_repeatable(tiny) -> None:
    recipe = tiny.make_mematte(least_scale=2.0, greatest_scale=2.0)
    for number in range(4):
        item, again = recipe.item(number), recipe.item(number)
        assert item.image.shape == (3, 64, 64)
        assert torch.equal(item.trimap, again.trimap)
        assert ((item.alpha > 0.01) & (item.alpha < 0.99)).any()
        assert (item.trimap[(item.alpha > 0.01) & (item.alpha < 0.99)] == 0.5).all()


def test_alpha_teacher_and_routers_all_count(tiny) -> None:
    recipe = tiny.make_mematte()
    losses = recipe.losses([recipe.item(0), recipe.item(1)])
    named = {"unknown_l1", "known_l1", "l2", "laplacian", "gradient", "features", "share"}
    losses["total"].backward()
    terms = {name: value.item() for name, value in losses.items()}
    assert terms["total"] == pytest.approx(sum(terms[name] for name in named))
    still = [name for name, value in recipe.network.named_parameters() if value.grad is None]
    assert still == []
    assert all(value.grad is None for value in recipe.helpers[0].parameters())


def test_the_student_starts_with_its_teachers_weights(tiny) -> None:
    teacher = MEMatteNetwork(replace(tiny.MEMATTE_TINY, routed=False))
    network = MEMatteNetwork(tiny.MEMATTE_TINY)
    start_from_teacher(network, teacher)
    assert torch.equal(
        network.decoder.state_dict()["convstream.convs.0.conv.weight"],
        teacher.decoder.state_dict()["convstream.convs.0.conv.weight"],
    )
    wider = MEMatteNetwork(replace(tiny.MEMATTE_TINY, routed=False, width=64))
    with pytest.raises(PullmatteError, match="doesn't fit: give one of the same sizes"):
        start_from_teacher(network, wider)


def test_routers_come_to_keep_their_share(tiny) -> None:
    changes = {"least_kernel_px": 1, "kept_share": 0.0}
    recipe = tiny.make_mematte(steps=30, learning_rate=1e-2, batch=1, **changes)
    before = float(recipe.losses([recipe.item(0)])["kept"])
    tiny.overfit(recipe, items=1)
    assert float(recipe.losses([recipe.item(0)])["kept"]) < 0.6 * before


def test_a_pictures_choices_dont_hang_on_its_batch(tiny) -> None:
    recipe = tiny.make_mematte()
    items = [recipe.item(number) for number in range(3)]
    whole = recipe.losses(items)
    parts = [recipe.losses([item]) for item in items]
    for name, value in whole.items():
        mean = torch.stack([part[name] for part in parts]).mean()
        assert torch.allclose(value, mean, rtol=1e-4, atol=1e-6), name


def test_one_picture_runs_as_the_network_itself_runs_softly(tiny) -> None:
    recipe = tiny.make_mematte()
    item = recipe.item(0)
    inputs = item.image[None], item.trimap[None]
    ours = run_softly_each(recipe.network, *inputs, [torch_generator(3)])
    theirs = run_softly(recipe.network, *inputs, torch_generator(3))
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[2][0], theirs[2][0])


def test_without_routers_it_trains_vitmatte(tiny) -> None:
    known = tiny.make_mematte()
    network = MEMatteNetwork(replace(tiny.MEMATTE_TINY, routed=False))
    recipe = MEMatteRecipe(network, known._source, known.settings)
    assert "share" not in recipe.losses([recipe.item(0)])
    with pytest.raises(PullmatteError, match="a teacher for a network without routers"):
        MEMatteRecipe(network, known._source, known.settings, known.helpers[0])


def test_norms_learn_or_stay(tiny) -> None:
    for learn in (False, True):
        recipe = tiny.make_mematte(steps=1, norms_learn=learn)
        norms = [v for n, v in recipe.network.named_buffers() if n.endswith("running_mean")]
        tiny.overfit(recipe)
        assert all(bool(value.any()) == learn for value in norms)


def test_it_overfits_eight_pictures(tiny) -> None:
    sizes = {"least_scale": 0.7, "greatest_scale": 0.7}
    found = tiny.overfit(tiny.make_mematte(steps=45, **FAST, **sizes))
    assert float(found["matting/alpha_off"]) < 0.02


def test_it_goes_on_bit_by_bit(tiny, tmp_path) -> None:
    assert tiny.goes_on_bit_by_bit("mematte", tmp_path, 2, norms_learn=True)


def test_two_processes_have_the_losses_of_one(tiny, tmp_path, on_two) -> None:
    train(tiny.make_mematte(**tiny.ON_TWO["mematte"]), tmp_path / "run", cpu=True)
    one, two = tiny.losses_of(tmp_path / "run"), tiny.losses_of(on_two / "mematte")
    assert two == pytest.approx(one, rel=1e-3)


def test_what_it_exports_is_loaded_as_it_was(tiny, tmp_path) -> None:
    recipe = tiny.make_mematte(steps=1)
    loaded = load_network(train(recipe, tmp_path / "run", cpu=True))
    ours = recipe.network.state_dict()
    for name, value in loaded.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(value, ours[name])
