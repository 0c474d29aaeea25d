"""The result and what is done with it, against values worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pullmatte import Matte, read_image
from pullmatte.errors import PullmatteError, ReadError, WriteError
from pullmatte.matte import as_image, make_background


def named(value: object) -> str:
    """Name a case without its address, which differs from process to process."""
    return str(value).split(" at 0x")[0]


ALPHA = np.array([[0, 0.25], [0.5, 1]], np.float32)
IMAGE = np.linspace(0.1, 0.9, 12, dtype=np.float32).reshape(2, 2, 3)
OWN = IMAGE[::-1].copy()


def matte() -> Matte:
    return Matte(ALPHA, IMAGE, foreground=OWN)


def laid_over(plate: object) -> np.ndarray:
    return OWN * ALPHA[..., None] + np.asarray(plate, np.float32) * (1 - ALPHA[..., None])


@pytest.mark.parametrize(
    ("background", "plate"),
    [
        ("white", (1, 1, 1)),
        ("#336699", (0.2, 0.4, 0.6)),
        ((0.25, 0.5, 1), (0.25, 0.5, 1)),
        (np.array([0, 0, 0.5]), (0, 0, 0.5)),
        (IMAGE, IMAGE),
        (np.full((2, 2, 3), 51, np.uint8), (0.2, 0.2, 0.2)),
        (np.full((2, 2), 65535, np.uint16), (1, 1, 1)),
        (Image.new("RGB", (2, 2), (255, 0, 51)), (1, 0, 0.2)),
        (Image.new("L", (2, 2), 51), (0.2, 0.2, 0.2)),
        (IMAGE.astype(np.float64).tolist(), IMAGE),
    ],
    ids=named,
)
def test_composite_equals_hand_computation(background: object, plate: object) -> None:
    result = matte().composite(background)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, laid_over(plate), atol=1e-6)


def test_checker_has_squares_of_two_greys() -> None:
    nothing = Matte(np.zeros((40, 50), np.float32), np.zeros((40, 50, 3), np.float32))
    result = nothing.composite()
    assert result.shape == (40, 50, 3)
    np.testing.assert_allclose(
        result[0, [0, 15, 16, 31, 32, 48], 0], [0.8, 0.8, 0.6, 0.6, 0.8, 0.6]
    )
    np.testing.assert_array_equal(result[16, 0], result[0, 16])
    assert len(np.unique(result)) == 2


@pytest.mark.parametrize(
    "background",
    [
        "no such colour",
        (255, 0, 0),
        (0.5, float("nan"), 0),
        ("a", "b", "c"),
        np.zeros((3, 2, 3)),
        (0.5, 0.5),
        None,
        Path("plate.png"),
        [[1], [1, 2]],
        [[1], [1, 2], [3]],
        Image.new("RGB", (3, 3)),
    ],
    ids=named,
)
def test_bad_backgrounds_are_refused_in_one_line(background: object) -> None:
    with pytest.raises(PullmatteError) as error:
        matte().composite(background)
    assert "\n" not in str(error.value)
    assert "give" in str(error.value) or "open" in str(error.value)


def test_background_plate_is_not_the_callers_array() -> None:
    plate = np.ones((2, 2, 3), np.float32)
    matte().composite(plate)
    assert (plate == 1).all()
    assert plate.flags.writeable
    assert make_background((0, 0, 0), 2, 3).shape == (3, 2, 3)


def test_cutout_is_straight_unless_asked() -> None:
    straight, premultiplied = matte().cutout(), matte().cutout(premultiplied=True)
    np.testing.assert_array_equal(straight, np.dstack([OWN, ALPHA]))
    np.testing.assert_array_equal(premultiplied[..., :3], OWN * ALPHA[..., None])
    np.testing.assert_array_equal(premultiplied[..., 3], ALPHA)
    assert straight.dtype == premultiplied.dtype == np.float32


def test_foreground_is_made_when_first_asked_for_and_once() -> None:
    calls = []

    def estimate() -> np.ndarray:
        calls.append(1)
        return OWN

    lazy = Matte(ALPHA, IMAGE, foreground=estimate)
    assert (lazy.size, repr(lazy), calls) == ((2, 2), "Matte(2x2)", [])
    assert lazy.foreground is lazy.foreground is OWN
    lazy.composite("red")
    lazy.cutout()
    assert calls == [1]


def test_image_stands_in_for_a_missing_foreground() -> None:
    assert Matte(ALPHA, IMAGE).foreground is IMAGE


def test_parts_of_different_sizes_are_refused() -> None:
    for alpha, image in ((ALPHA[:1], IMAGE), (ALPHA[..., None], IMAGE), (ALPHA, ALPHA)):
        with pytest.raises(PullmatteError, match="give H W and H W 3 of one size"):
            Matte(alpha, image)


@pytest.mark.parametrize("suffix", ["png", "webp", "tiff"])
def test_saved_cutout_is_straight_rgba(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cat.{suffix}"
    matte().save(path)
    with Image.open(path) as picture:
        assert picture.mode == "RGBA"
        stored = np.asarray(picture)
    np.testing.assert_array_equal(stored, np.rint(matte().cutout() * 255).astype(np.uint8))
    np.testing.assert_array_equal(stored[1, 1], np.rint([*OWN[1, 1] * 255, 255]))


def test_saved_16_bit_cutout_keeps_its_precision(tmp_path: Path) -> None:
    matte().save(tmp_path / "cat.png", bit_depth=16)
    np.testing.assert_allclose(read_image(tmp_path / "cat.png"), OWN, atol=0.6 / 65535)


def test_format_without_alpha_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WriteError):
        matte().save(tmp_path / "cat.jpg")
    assert list(tmp_path.iterdir()) == []


BYTES = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10


@pytest.mark.parametrize(
    "given",
    [
        BYTES,
        BYTES.astype(np.uint16) * 257,
        BYTES / 255,
        (BYTES / 255).astype(np.float16),
        (BYTES / 255).tolist(),
        np.dstack([BYTES, BYTES[..., 0]]),
        np.asfortranarray(BYTES),
        Image.fromarray(BYTES),
        Image.fromarray(np.dstack([BYTES, BYTES[..., 0]])),
    ],
)
def test_as_image_reads_every_usual_form(given: object) -> None:
    image = as_image(given)
    assert (image.shape, image.dtype) == ((2, 4, 3), np.float32)
    np.testing.assert_allclose(image, BYTES / 255, atol=3e-4)
    assert not image.flags.writeable


@pytest.mark.parametrize(
    "given",
    [
        BYTES[..., 0],
        BYTES[..., :1],
        Image.fromarray(BYTES[..., 0]),
        Image.fromarray(BYTES[..., 0].astype(np.uint16) * 257),
        Image.fromarray(BYTES[..., 0].astype(np.int32) * 257),
        Image.fromarray((BYTES[..., 0] / 255).astype(np.float32)),
        Image.fromarray(np.dstack([BYTES[..., 0]] * 2), "LA"),
    ],
)
def test_as_image_repeats_grey(given: object) -> None:
    expected = np.repeat(BYTES[..., :1] / 255, 3, axis=2)
    np.testing.assert_allclose(as_image(given), expected, atol=1e-6)


def test_as_image_converts_palettes_cmyk_and_one_bit() -> None:
    red = Image.new("RGB", (3, 2), (255, 0, 0))
    for picture in (red.convert("P"), red.convert("CMYK"), red.quantize(2)):
        np.testing.assert_allclose(as_image(picture)[0, 0], [1, 0, 0], atol=0.01)
    assert as_image(Image.new("1", (3, 2), 1)).min() == 1


def test_as_image_turns_pil_images_upright_and_leaves_them() -> None:
    picture = Image.fromarray(BYTES)
    picture.getexif()[0x0112] = 6
    np.testing.assert_allclose(as_image(picture), np.rot90(BYTES, -1) / 255, atol=1e-6)
    assert picture.size == (4, 2)
    assert picture.getexif()[0x0112] == 6


def test_as_image_takes_read_only_arrays_and_changes_none() -> None:
    given = (BYTES / 255).astype(np.float32)
    given.flags.writeable = False
    np.testing.assert_array_equal(as_image(given), given)
    writable = given.copy()
    as_image(writable)
    assert writable.flags.writeable
    np.testing.assert_array_equal(writable, given)


def test_as_image_keeps_hdr_values() -> None:
    assert as_image(np.full((2, 2, 3), 7.5)).max() == 7.5


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.full((2, 2, 3), np.nan), "NaN or infinite"),
        (np.array([[[1, np.inf, 0]]]), "NaN or infinite"),
        (BYTES.astype(np.float32), "divide by 255"),
        (BYTES.astype(int), "unsigned integers"),
        (np.zeros((2, 2, 2)), "three channels"),
        (np.zeros((3, 8, 8)), "three channels"),
        (np.zeros((0, 8, 3)), "height x width"),
        (np.zeros(5), "height x width"),
        (np.zeros((2, 2), bool), "unsigned integers"),
        ([[1.0], [1.0, 2.0]], "can't be read"),
        (None, "height x width"),
        ("cat.jpg", "pullmatte.read_image"),
        (Path("cat.jpg"), "pullmatte.read_image"),
    ],
)
def test_as_image_refuses_the_rest_in_one_line(given: object, says: str) -> None:
    with pytest.raises(ReadError, match=says) as error:
        as_image(given)
    assert "\n" not in str(error.value)
