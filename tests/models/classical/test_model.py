import numpy as np
import pytest

from pullmatte.errors import PromptError
from pullmatte.models import find_spec
from pullmatte.models.classical.model import ClassicalModel, build
from pullmatte.models.protocol import Memories
from pullmatte.prompts import Prompt


@pytest.fixture
def model() -> ClassicalModel:
    return build(search_side_px=160)


def scene(width=160, height=120, centres=((80, 60),), radius=30, seed=0):
    """Textured orange discs on a textured blue ground, with their alpha."""
    generator = np.random.default_rng(seed)
    ys, xs = np.mgrid[0:height, 0:width] + 0.5
    alpha = np.zeros((height, width))
    for x, y in centres:
        alpha = np.maximum(alpha, np.clip(radius - np.hypot(xs - x, ys - y) + 0.5, 0, 1))
    front = np.array([0.9, 0.5, 0.1]) + generator.normal(0, 0.06, (height, width, 1))
    back = np.array([0.1, 0.3, 0.6]) + generator.normal(0, 0.06, (height, width, 1))
    image = alpha[..., None] * front + (1 - alpha[..., None]) * back
    return np.clip(image, 0, 1).astype(np.float32), alpha.astype(np.float32)


def iou(alpha, truth):
    found, true = alpha > 0.5, truth > 0.5
    return (found & true).sum() / (found | true).sum()


PROMPTS = {
    "box": {"box": (48, 28, 112, 92)},
    "click": {"points": [(80, 60)]},
    "clicks": {"points": [(80, 60), (65, 50), (95, 70), (10, 10)], "labels": [1, 1, 1, 0]},
    "box and clicks": {"box": (48, 28, 112, 92), "points": [(80, 60)]},
    "nothing": {},
}


@pytest.mark.parametrize("said", PROMPTS.values(), ids=PROMPTS)
def test_disc_is_found(model, said):
    image, truth = scene()
    found = model.predict(model.encode(image), Prompt.of(**said))
    assert iou(found.alpha, truth) > 0.95
    assert found.alpha.dtype == found.trimap.dtype == np.float32
    assert found.mask.dtype == np.bool_


@pytest.mark.parametrize("radius", [24, 36])
def test_rough_mask_is_mended(model, radius):
    image, truth = scene()
    rough = scene(radius=radius)[1] > 0.5
    assert iou(model.predict(model.encode(image), Prompt.of(mask=rough)).alpha, truth) > 0.95


def test_negative_click_removes_second_disc(model):
    image, _ = scene(centres=((40, 60), (120, 60)), radius=25)
    encoded = model.encode(image)
    said = Prompt.of(box=(10, 30, 150, 90), points=[(40, 60), (120, 60)], labels=[1, 0])
    alpha = model.predict(encoded, said).alpha
    assert alpha[60, 40] > 0.95
    assert alpha[50:70, 110:130].max() < 0.05


def test_alpha_equals_trimap_where_known(model):
    image, truth = scene()
    trimap = np.where(truth == 0, 0, np.where(truth == 1, 1, 0.5)).astype(np.float32)
    trimap[55:65, 45:55] = 0.5
    found = model.predict(model.encode(image), Prompt.of(trimap=trimap))
    known = trimap != 0.5
    np.testing.assert_array_equal(found.alpha[known], trimap[known])
    assert np.abs(found.alpha - truth).mean() < 0.01


@pytest.mark.parametrize("known", [0.0, 1.0])
def test_trimap_with_one_known_side_still_separates(model, known):
    image, truth = scene()
    trimap = np.full(truth.shape, 0.5, np.float32)
    (trimap[:8] if known == 0 else trimap[50:70, 70:90]).fill(known)
    alpha = model.predict(model.encode(image), Prompt.of(trimap=trimap)).alpha
    assert np.isfinite(alpha).all()
    assert alpha[truth == 1].mean() > alpha[truth == 0].mean() + 0.4


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (8, 8), (40, 5), (17, 16)])
@pytest.mark.parametrize("grey", [0.0, 0.5])
def test_tiny_and_constant_images_dont_crash(model, size, grey):
    width, height = size
    image = np.full((height, width, 3), grey, np.float32)
    encoded = model.encode(image)
    mask = np.ones((height, width), bool)
    for said in ({}, {"points": [(0, 0)]}, {"points": [(0, 0)], "labels": [0]}, {"mask": mask}):
        found = model.predict(encoded, Prompt.of(**said))
        assert found.alpha.shape == (height, width)
        assert np.isfinite(found.alpha).all()
    model.track(encoded, Memories({0: model.remember(encoded, found)}), 1)


def test_only_negative_clicks_leave_that_place_out(model):
    image, _ = scene()
    said = Prompt.of(points=[(80, 60)], labels=[0])
    assert model.predict(model.encode(image), said).alpha[60, 80] == 0


def test_result_doesnt_depend_on_what_ran_before(model):
    image, _ = scene()
    encoded, said = model.encode(image), Prompt.of(points=[(80, 60)])
    first = model.predict(encoded, said).alpha
    model.predict(model.encode(scene(seed=5)[0]), Prompt.of(box=(10, 10, 90, 90)))
    np.testing.assert_array_equal(model.predict(encoded, said).alpha, first)


def test_image_is_left_alone(model):
    image, _ = scene()
    image.flags.writeable = False
    model.predict(model.encode(image), Prompt.of(box=(48, 28, 112, 92)))


def test_point_outside_image_is_refused(model):
    with pytest.raises(PromptError, match="outside"):
        model.predict(model.encode(scene()[0]), Prompt.of(points=[(500, 5)]))


def test_spec_builds_it_and_refuses_unknown_options():
    assert isinstance(find_spec("classical").build(), ClassicalModel)
    with pytest.raises(TypeError, match="unknown option 'colour'"):
        build(colour="red")


def clip(frames=6, step=6):
    return [scene(centres=((50 + step * t, 60),)) for t in range(frames)]


@pytest.mark.parametrize("backwards", [False, True])
def test_moving_disc_is_tracked_both_ways(model, backwards):
    frames = clip()[:: -1 if backwards else 1]
    encoded = model.encode(frames[0][0])
    found = model.predict(encoded, Prompt.of(mask=frames[0][1] > 0.5))
    memory = Memories({0: model.remember(encoded, found)})
    sizes = {sum(a.nbytes for a in memory.prompted[0].values())}
    for image, truth in frames[1:]:
        encoded = model.encode(image)
        found = model.track(encoded, memory, 1)
        memory = Memories({0: model.remember(encoded, found)})
        sizes.add(sum(a.nbytes for a in memory.prompted[0].values()))
        assert iou(found.alpha, truth) > 0.95
    assert len(sizes) == 1


def test_lost_object_stays_away_until_prompted(model):
    image, truth = scene()
    empty = scene(centres=())[0]
    encoded = model.encode(image)
    memory = Memories({
        0: model.remember(encoded, model.predict(encoded, Prompt.of(mask=truth > 0.5)))
    })
    gone = model.encode(empty)
    for _ in range(3):
        memory = Memories({0: model.remember(gone, model.track(gone, memory, 1))})
    last = memory.prompted[0]
    memory = Memories({0: {**last, "alpha": np.zeros_like(last["alpha"])}})
    assert model.track(encoded, memory, 1).alpha.max() == 0
    again = model.track(encoded, memory, 1, prompt=Prompt.of(points=[(80, 60)]))
    assert iou(again.alpha, truth) > 0.95


def test_frame_of_another_size_is_refused(model):
    encoded = model.encode(scene()[0])
    memory = Memories({
        0: model.remember(encoded, model.predict(encoded, Prompt.of(box=(48, 28, 112, 92))))
    })
    with pytest.raises(PromptError, match="one size"):
        model.track(model.encode(scene(width=100)[0]), memory, 1)


def test_negative_click_corrects_a_tracked_frame(model):
    image, truth = scene(centres=((40, 60), (120, 60)), radius=25)
    encoded = model.encode(image)
    memory = Memories({
        0: model.remember(encoded, model.predict(encoded, Prompt.of(mask=truth > 0.5)))
    })
    said = Prompt.of(points=[(120, 60)], labels=[0])
    alpha = model.track(encoded, memory, 1, prompt=said).alpha
    assert alpha[60, 40] > 0.95
    assert alpha[50:70, 110:130].max() < 0.05


def test_as_a_matter_it_solves_the_unknown_and_keeps_the_known(model):
    image, truth = scene()
    trimap = np.where((truth > 0.02) & (truth < 0.98), 0.5, truth.round()).astype(np.float32)
    alpha = model.matte(image, trimap)
    known = trimap != 0.5
    np.testing.assert_array_equal(alpha[known], trimap[known])
    assert np.abs(alpha - truth).mean() < 0.01
    np.testing.assert_array_equal(model.matte(image, truth.round()), truth.round())
