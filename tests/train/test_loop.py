"""The loop: learns, goes on bit by bit, shares a batch, stops on what is no number."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from pullmatte.errors import PullmatteError
from pullmatte.train.checkpoints import list_checkpoints
from pullmatte.train.loop import begin, dry_run, train
from pullmatte.train.stops import NotANumber


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "model" / "weights.pt", weights_only=True)


def test_it_learns(tiny, tmp_path) -> None:
    train(tiny.make_probe(0.0, steps=60), tmp_path / "run", cpu=True)
    losses = tiny.losses_of(tmp_path / "run")
    assert len(losses) == 60
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("stop_at", [2, 3])
def test_it_goes_on_bit_by_bit(tiny, tmp_path, stop_at) -> None:
    changes = {"average": 0.9, "clip": 0.1, "weight_decay": 0.1, "accumulate": 2, "warmup": 3}
    assert tiny.goes_on_bit_by_bit("probe", tmp_path, stop_at, **changes)
    whole, parts = (weights_of(tmp_path / name) for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_two_processes_have_the_losses_of_one(tiny, tmp_path, on_two) -> None:
    train(tiny.make_probe(**tiny.ON_TWO["probe"]), tmp_path / "run", cpu=True)
    one, two = tiny.losses_of(tmp_path / "run"), tiny.losses_of(on_two / "probe")
    assert two == pytest.approx(one, rel=1e-5)
    mine, theirs = weights_of(tmp_path / "run"), weights_of(on_two / "probe")
    assert all(torch.allclose(mine[name], theirs[name], atol=1e-5) for name in mine)


def test_spread_weights_have_the_losses_of_whole_ones(tiny, on_two) -> None:
    for name in tiny.SHARDED:
        spread, whole = tiny.losses_of(on_two / "sharded" / name), tiny.losses_of(on_two / name)
        assert spread == pytest.approx(whole, rel=1e-3), name
    mine, theirs = weights_of(on_two / "sharded" / "probe"), weights_of(on_two / "probe")
    assert all(torch.allclose(mine[name], theirs[name], atol=1e-5) for name in theirs)


def test_one_process_goes_on_with_what_two_had_spread(tiny, on_two, tmp_path) -> None:
    run = tmp_path / "run"
    shutil.copytree(on_two / "sharded" / "probe", run)
    shutil.rmtree(list_checkpoints(run)[-1])
    assert list_checkpoints(run)[-1].name == "step-00000003"
    train(tiny.make_probe(**tiny.ON_TWO["probe"]), run, resume=True, cpu=True)
    assert tiny.losses_of(run) == pytest.approx(tiny.losses_of(on_two / "probe"), rel=1e-4)


def test_accumulated_parts_have_the_losses_of_a_whole(tiny, tmp_path) -> None:
    for count in (1, 4):
        train(tiny.make_probe(0.0, accumulate=count), tmp_path / str(count), cpu=True)
    losses = [tiny.losses_of(tmp_path / str(count)) for count in (1, 4)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_workers_change_nothing(tiny, tmp_path) -> None:
    for count in (0, 2):
        train(tiny.make_probe(workers=count, steps=3), tmp_path / str(count), cpu=True)
    assert tiny.losses_of(tmp_path / "0") == tiny.losses_of(tmp_path / "2")


def test_bfloat16_is_near_float32_and_keeps_its_weights(tiny, tmp_path) -> None:
    for name in ("float32", "bfloat16"):
        train(tiny.make_probe(precision=name), tmp_path / name, cpu=True)
    exact, rough = (tiny.losses_of(tmp_path / name) for name in ("float32", "bfloat16"))
    assert rough == pytest.approx(exact, rel=0.02)
    assert rough != exact
    assert weights_of(tmp_path / "bfloat16")["0.weight"].dtype == torch.float32


def test_what_is_no_number_stops_it_and_is_saved(tiny, tmp_path) -> None:
    recipe = tiny.make_probe()
    item = recipe.item
    recipe.item = lambda n: tuple(x * float("nan") for x in item(n)) if n == 9 else item(n)
    with pytest.raises(NotANumber, match=r"step 3: loss 'off' of item 9 is nan; first .*'0'"):
        train(recipe, tmp_path / "run", cpu=True)
    kept = torch.load(tmp_path / "run" / "stopped-at-step-00000003" / "batch.pt")
    assert kept["numbers"] == [8, 9, 10, 11]
    assert kept["items"][1][0].isnan().all()


def test_a_gradient_that_is_no_number_stops_it(tiny, tmp_path) -> None:
    recipe = tiny.make_probe()
    recipe.network[3].weight.register_hook(lambda slope: slope * float("inf"))
    with pytest.raises(NotANumber, match=r"step 1: the gradient of '3.weight'"):
        train(recipe, tmp_path / "run", cpu=True)


def test_a_run_isnt_begun_over_another(tiny, tmp_path) -> None:
    train(tiny.make_probe(steps=1), tmp_path / "run", cpu=True)
    with pytest.raises(PullmatteError, match="holds a run already; give --resume"):
        train(tiny.make_probe(steps=1), tmp_path / "run", cpu=True)
    with pytest.raises(PullmatteError, match=r"was begun with learning_rate 0\.05, not 0\.5"):
        train(tiny.make_probe(steps=1, learning_rate=0.5), tmp_path / "run", resume=True, cpu=True)


def test_only_the_newest_checkpoints_are_kept(tiny, tmp_path) -> None:
    train(tiny.make_probe(checkpoint_every=1, keep=2), tmp_path / "run", cpu=True)
    names = [path.name for path in list_checkpoints(tmp_path / "run")]
    assert names == ["step-00000005", "step-00000006"]
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))


def test_log_has_terms_rate_and_pictures(tiny, tmp_path) -> None:
    told = []
    train(
        tiny.make_probe(panel_every=3), tmp_path / "run", cpu=True, tell=lambda *x: told.append(x)
    )
    lines = [json.loads(each) for each in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert {"step", "off", "total", "gradient_length", "learning_rate"} <= lines[0].keys()
    assert [each["step"] for each in lines if "panel/number" in each] == [3, 6]
    assert [step for step, _ in told] == [1, 2, 3, 4, 5, 6]
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_a_batch_that_cant_be_shared_is_refused(tiny) -> None:
    with pytest.raises(PullmatteError, match="batch 4 over 1 processes in 3 parts"):
        begin(tiny.make_probe(accumulate=3), cpu=True)


def test_dry_run_says_size_and_time(tiny, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = dry_run(tiny.make_probe(), cpu=True)
    assert (said.weights, said.trained, said.steps) == (465, 465, 6)
    assert said.memory_bytes > 1e7
    assert 0 < said.item_seconds < said.seconds
    assert not list(tmp_path.iterdir())
