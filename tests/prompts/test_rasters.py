"""Masks and trimaps from whatever a caller has."""

import numpy as np
import pytest
from PIL import Image

from pullmatte.errors import PromptError
from pullmatte.prompts import Mask, Trimap


def named(value: object) -> str:
    """Name a case without its address, which differs from process to process."""
    return str(value).split(" at 0x")[0]


BLOB = np.zeros((4, 6), bool)
BLOB[1:3, 2:5] = True
LEVELS = np.zeros((4, 6), np.float32)
LEVELS[1:3, 1:6] = 0.5
LEVELS[1:3, 3] = 1


@pytest.mark.parametrize(
    "given",
    [
        BLOB,
        BLOB.tolist(),
        BLOB.astype(np.uint8),
        BLOB.astype(int).tolist(),
        BLOB.astype(np.uint8) * 255,
        BLOB.astype(int) * 255,
        BLOB.astype(np.uint16) * 65535,
        BLOB.astype(np.float16),
        BLOB * 0.5,
        BLOB * 1.1 - 0.05,
        Image.fromarray(BLOB),
        Image.fromarray(BLOB.astype(np.uint8) * 255),
        Image.fromarray(np.dstack([BLOB.astype(np.uint8) * 255] * 3)),
        Image.fromarray(np.dstack([BLOB.astype(np.uint8) * v for v in (9, 9, 9, 255)])),
    ],
    ids=named,
)
def test_mask_reads_every_usual_form(given: object) -> None:
    mask = Mask(given)  # type: ignore[arg-type]
    assert mask.array.dtype == bool
    np.testing.assert_array_equal(mask.array, BLOB)


def test_palette_mask_counts_by_its_colours() -> None:
    picture = Image.fromarray(BLOB.astype(np.uint8), "L").convert("P")
    picture.putpalette([0, 0, 0, 128, 0, 0])
    np.testing.assert_array_equal(Mask(picture).array, BLOB)  # type: ignore[arg-type]


def test_mask_counts_from_half() -> None:
    assert Mask(np.array([[127, 128, 255]], np.uint8)).array.tolist() == [[False, True, True]]
    assert Mask(np.array([[0.49, 0.5]])).array.tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.zeros((4, 6)), "mask is empty"),
        (np.zeros((4, 6), bool), "mask is empty"),
        (np.zeros((4, 6, 3)), "one plane"),
        (np.zeros((0, 6)), "one plane"),
        (7, "one plane"),
        ([[1, 2], [3]], "rows of one length"),
        ([["a"]], "give bool, integers or floats"),
        (np.full((2, 2), np.nan), "NaN"),
        (np.full((2, 2), 255.0), r"give them in \[0, 1\]"),
        (np.array([[-1, 1]]), "give 0 to 255"),
        (np.array([[0, 70000]]), "give 0 to 255"),
    ],
)
def test_bad_masks_are_refused_in_one_line(given: object, says: str) -> None:
    with pytest.raises(PromptError, match=says) as error:
        Mask(given)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "given",
    [
        LEVELS,
        LEVELS.astype(np.float64).tolist(),
        np.rint(LEVELS * 255).astype(np.uint8),
        np.rint(LEVELS * 254 + (LEVELS == 1)).astype(int).tolist(),
        np.rint(LEVELS * 65535).astype(np.uint16),
        Image.fromarray(np.rint(LEVELS * 255).astype(np.uint8)),
        Image.fromarray(np.rint(LEVELS * 65535).astype(np.uint16)),
    ],
    ids=named,
)
def test_trimap_reads_every_usual_form(given: object) -> None:
    trimap = Trimap(given)  # type: ignore[arg-type]
    assert trimap.array.dtype == np.float32
    np.testing.assert_array_equal(trimap.array, LEVELS)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (BLOB.astype(np.float32), "no unknown pixel: mark the band"),
        (BLOB.astype(np.uint8) * 255, "no unknown pixel"),
        (BLOB, "bool has no unknown band"),
        (np.array([[0, 1, 2]], np.uint8), "0, 128 and 255"),
        (np.array([[0.0, 128.0, 255.0]]), r"give them in \[0, 1\]"),
        (np.zeros((4, 6, 2)), "one plane"),
        (np.full((2, 2), np.inf), "NaN or infinite"),
    ],
)
def test_bad_trimaps_are_refused_in_one_line(given: object, says: str) -> None:
    with pytest.raises(PromptError, match=says) as error:
        Trimap(given)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_rasters_keep_a_copy_that_nobody_can_change() -> None:
    given = LEVELS.copy()
    mask, trimap = Mask(BLOB), Trimap(given)
    given[:] = 0.5
    np.testing.assert_array_equal(trimap.array, LEVELS)
    for raster in (mask, trimap):
        with pytest.raises(ValueError, match="read-only"):
            raster.array[0, 0] = 1


def test_callers_array_is_neither_changed_nor_locked() -> None:
    given = BLOB.copy()
    Mask(given)
    np.testing.assert_array_equal(given, BLOB)
    assert given.flags.writeable


def test_rasters_compare_by_value_and_kind() -> None:
    assert Mask(BLOB) == Mask(BLOB.astype(float))
    assert hash(Mask(BLOB)) == hash(Mask(BLOB * 255.0 / 255))
    assert Mask(BLOB) != Mask(~BLOB)
    assert Mask(BLOB) != Mask(BLOB[:, :-1])
    assert Mask(np.full((2, 2), 0.5)) != Trimap(np.full((2, 2), 0.5))
    assert repr(Mask(BLOB)) == "Mask(6x4)"
