"""SDMatte's training: what is shown, what learns, and that it learns, goes on and is shared."""

import pytest
import torch

from pullmatte.models.sdmatte.checkpoint import load_network
from pullmatte.train.loop import train
from pullmatte.train.sdmatte_lessons import PAPER, RELEASED

FAST = {
    "learning_rate": 4e-3,
    "autoencoder_learns": "decoder",
    "batch": 8,
    "schedule": "cosine",
    "warmup": 5,
    "clip": 1.0,
    "grey": 0.0,
}


@pytest.mark.parametrize(("prompt", "numbers"), [("box", 4), ("mask", 4), ("point", 20)])
def test_each_prompt_shows_and_tells_the_object(tiny, prompt, numbers) -> None:
    item = tiny.make_sdmatte(prompts=(prompt,)).item(1)
    assert item.kind == {"point": "points"}.get(prompt, prompt)
    assert item.coordinates.shape == (numbers,)
    assert 0 <= float(item.coordinates.min()) <= float(item.coordinates.max()) < 1
    object_shown = float(item.shown[item.alpha > 0.9].mean())
    elsewhere = float(item.shown[item.alpha == 0].mean())
    assert object_shown > 2 * elsewhere


def test_items_are_repeatable_and_prompts_mixed(tiny) -> None:
    recipe = tiny.make_sdmatte()
    assert torch.equal(recipe.item(5).shown, recipe.item(5).shown)
    assert {recipe.item(number).kind for number in range(12)} == {"points", "box", "mask"}


def test_released_code_draws_one_kind_a_step(tiny) -> None:
    recipe = tiny.make_sdmatte(one_kind_a_step=True)
    kinds = [(recipe.item(2 * step).kind, recipe.item(2 * step + 1).kind) for step in range(8)]
    assert all(first == second for first, second in kinds)
    assert len(set(kinds)) > 1
    assert (RELEASED.one_kind_a_step, RELEASED.learning_rate) == (True, 5e-5)
    assert (PAPER.one_kind_a_step, PAPER.learning_rate) == (False, 1e-4)


def test_released_code_shows_nothing_of_an_object_without_solid_pixels(tiny) -> None:
    recipe = tiny.make_sdmatte(prompts=("point",), lost_points=True)
    kept = tiny.make_sdmatte(prompts=("point",))
    for each in (recipe, kept):
        faint = each._source.sample(0)
        each._source = type(
            "Faint",
            (),
            {
                "sample": lambda self, n, s=faint: s.__class__(
                    s.image, s.alpha * 0.5, s.kind, s.opacity
                )
            },
        )()
    assert not recipe.item(0).shown.any()
    assert float(kept.item(0).shown.max()) == 1


def test_the_autoencoder_stays_and_all_else_learns(tiny) -> None:
    recipe = tiny.make_sdmatte()
    recipe.losses([recipe.item(number) for number in range(12)])["total"].backward()
    still = {n for n, value in recipe.network.named_parameters() if value.grad is None}
    assert {name for name in still if not name.startswith("codec.")} == set()
    assert {n for n, v in recipe.network.named_parameters() if n.startswith("codec.")} <= still


def test_it_overfits_eight_pictures(tiny) -> None:
    found = tiny.overfit(tiny.make_sdmatte(steps=60, **FAST))
    assert float(found["matting/alpha_off"]) < 0.02


def test_litesdmatte_overfits_eight_pictures(tiny) -> None:
    # A fresh TAESD takes hundreds of steps to give any picture; the other one learns in few.
    recipe = tiny.make_litesdmatte(tiny.SDMATTE_TINY, steps=60, **FAST)
    found = tiny.overfit(recipe)
    assert float(found["matting/alpha_off"]) < 0.02


def test_the_small_network_comes_to_feel_as_its_teacher(tiny) -> None:
    recipe = tiny.make_litesdmatte(steps=12, learning_rate=2e-3)
    before = [value.clone() for value in recipe.helpers[0].parameters()]
    first = recipe.losses([recipe.item(0)])
    assert {"feature_0", "feature_1", "feature_2", "distillation", "unknown_l1"} < first.keys()
    tiny.overfit(recipe, items=2)
    last = recipe.losses([recipe.item(0)])
    assert last["distillation"] < 0.7 * first["distillation"]
    assert all(
        torch.equal(*pair) for pair in zip(before, recipe.helpers[0].parameters(), strict=True)
    )


@pytest.mark.parametrize("name", ["sdmatte", "litesdmatte"])
def test_it_goes_on_bit_by_bit(tiny, tmp_path, name) -> None:
    assert tiny.goes_on_bit_by_bit(name, tmp_path, 2)


@pytest.mark.parametrize("name", ["sdmatte", "litesdmatte"])
def test_two_processes_have_the_losses_of_one(tiny, tmp_path, on_two, name) -> None:
    train(tiny.MAKERS[name](**tiny.ON_TWO[name]), tmp_path / "run", cpu=True)
    one, two = tiny.losses_of(tmp_path / "run"), tiny.losses_of(on_two / name)
    assert two == pytest.approx(one, rel=1e-3)


def test_what_it_exports_is_loaded_as_it_was(tiny, tmp_path) -> None:
    recipe = tiny.make_sdmatte(steps=1)
    loaded = load_network(train(recipe, tmp_path / "run", cpu=True))
    assert loaded.config.size_px == 64
    ours = recipe.network.state_dict()
    assert all(torch.equal(value, ours[name]) for name, value in loaded.state_dict().items())
