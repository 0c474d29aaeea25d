"""MAM2's first stage: which loss teaches what, and that it learns, goes on and is shared."""

from typing import Any

import pytest
import torch

from pullmatte.errors import PullmatteError
from pullmatte.models.mam2.checkpoint import load_network
from pullmatte.train.loop import ahead, begin, look, take_step, train

BOX = {"prompts": ("box",), "corrections": 0, "greatest_kernel_px": 1, "images": 8}


def slopes(recipe: Any, number: int = 0) -> dict[str, float]:
    """Return how much each part of the network is told to move."""
    recipe.network.zero_grad()
    recipe.losses([recipe.item(number)])["total"].backward()
    found = {}
    for name, value in recipe.network.named_parameters():
        found[name] = 0.0 if value.grad is None else float(value.grad.abs().sum())
    return found


def moves(found: dict[str, float], part: str) -> bool:
    return any(size > 0 for name, size in found.items() if part in name)


@pytest.mark.parametrize(
    ("kind", "terms"),
    [
        ("image_segmentation", {"focal", "dice", "quality", "presence", "total"}),
        ("image_matting", {"trimap", "total"}),
        ("video_segmentation", {"focal", "dice", "quality", "presence", "total"}),
        ("video_matting", {"trimap", "total"}),
    ],
)
def test_each_kind_of_data_has_its_own_loss(tiny, kind, terms) -> None:
    recipe = tiny.make_mam2([kind])
    assert recipe.losses([recipe.item(0)]).keys() == terms


def test_masks_teach_memory_and_mattes_in_clips_the_trimap_branch_alone(tiny) -> None:
    masks = slopes(tiny.make_mam2(["video_segmentation"]))
    mattes = slopes(tiny.make_mam2(["video_matting"], prompts=("box",), corrections=0))
    assert moves(masks, "memory_attention")
    assert not moves(masks, "trimap_branch.upscaler")
    assert not moves(mattes, "memory_attention")
    assert moves(mattes, "trimap_branch.upscaler")


def test_with_prompt_gradient_mattes_teach_memory_too(tiny) -> None:
    recipe = tiny.make_mam2(["video_matting"], prompt_gradient=True)
    assert moves(slopes(recipe), "memory_attention")


def test_both_losses_count_where_mattes_are_all_there_is(tiny) -> None:
    recipe = tiny.make_mam2(["video_matting"], supervision="both")
    assert {"trimap", "focal"} < recipe.losses([recipe.item(0)]).keys()
    assert moves(slopes(recipe), "memory_attention")


def test_the_trunk_learns_by_lora_alone(tiny) -> None:
    found = slopes(tiny.make_mam2(["image_matting"]))
    trunk = {name for name, size in found.items() if "vision_encoder.backbone" in name and size}
    assert trunk
    assert all("lora_" in name for name in trunk)


@pytest.mark.parametrize("prompt", ["box", "point", "mask"])
def test_items_are_repeatable_and_prompt_the_object(tiny, prompt) -> None:
    recipe = tiny.make_mam2(["image_matting"], prompts=(prompt,))
    first, again, other = recipe.item(3), recipe.item(3), recipe.item(4)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    if prompt == "mask":
        small = torch.nn.functional.avg_pool2d(first.drawn, 4)
        assert float((small.round() - first.mask).abs().mean()) < 0.1
    else:
        at = (first.points[:, 0] / 4).long().clamp(max=15)
        inside = first.mask[torch.arange(4), 0, at[:, 1], at[:, 0]]
        assert inside.all() if prompt == "point" else first.labels.tolist() == [[2, 3]] * 4
        assert torch.equal(first.points, again.points)


def test_all_items_of_a_step_are_of_one_kind(tiny) -> None:
    recipe = tiny.make_mam2(batch=3)
    kinds = [[recipe.item(step * 3 + at).kind for at in range(3)] for step in range(12)]
    assert all(len(set(each)) == 1 for each in kinds)
    assert len({each[0] for each in kinds}) == 4


def test_it_overfits_eight_pictures(tiny) -> None:
    changes = {"learning_rate": 2e-3, "schedule": "cosine", "warmup": 10, "clip": 1.0}
    recipe = tiny.make_mam2(
        ["image_matting", "image_segmentation"], steps=120, trunk_learns=True, **BOX, **changes
    )
    run = begin(recipe, cpu=True)
    items = ahead(run)
    for _ in range(120):
        take_step(run, [next(items)], None)
    panels = look(run)
    assert float(panels["image_matting/trimap_off"]) < 0.02
    assert float(panels["image_segmentation/mask_off"]) < 0.02


def test_it_goes_on_bit_by_bit(tiny, tmp_path) -> None:
    assert tiny.goes_on_bit_by_bit("mam2", tmp_path, 2, frames=2, images=2, average=0.9)


def test_two_processes_have_the_losses_of_one(tiny, tmp_path, on_two) -> None:
    train(tiny.make_mam2(**tiny.ON_TWO["mam2"]), tmp_path / "run", cpu=True)
    one, two = tiny.losses_of(tmp_path / "run"), tiny.losses_of(on_two / "mam2")
    assert two == pytest.approx(one, rel=1e-3)
    assert two[0] == pytest.approx(one[0], rel=1e-6)


def test_what_it_exports_gives_the_same_without_lora(tiny, tmp_path) -> None:
    recipe = tiny.make_mam2(["image_matting"], steps=2, learning_rate=1e-2)
    folder = train(recipe, tmp_path / "run", cpu=True)
    loaded = load_network(folder)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    points, labels = torch.tensor([[[30.0, 30.0]]]), torch.tensor([[1]])
    with torch.no_grad():
        ours = recipe.network.eval()(image, points, labels).trimap_logits
        theirs = loaded(image, points, labels).trimap_logits
    assert not [name for name, _ in loaded.named_parameters() if "lora" in name]
    assert float((ours - theirs).abs().max()) < 1e-3 * float(ours.abs().max())


def test_a_run_without_data_is_refused(tiny) -> None:
    with pytest.raises(PullmatteError, match="no data to train on"):
        tiny.make_mam2([])
