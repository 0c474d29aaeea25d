"""Writing pictures: re-opened with another library, and what formats refuse."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenImageIO as oiio
import pytest
from PIL import Image, ImageCms

from pullmatte.errors import UnsupportedFormat, WriteError
from pullmatte.io.encoding import to_integers
from pullmatte.io.image import (
    FORMATS,
    encode_image,
    load_picture,
    suggest_bit_depth,
    write_image,
)

RNG = np.random.default_rng(5)
IMAGE = RNG.random((70, 300, 3), np.float32)
ALPHA = RNG.random((70, 300), np.float32)
ALPHA[0], ALPHA[1] = 0, 1


def stored(path: Path, channels: int) -> np.ndarray:
    """Read samples as they lie in the file, by OpenImageIO."""
    hint = oiio.ImageSpec()
    hint.attribute("oiio:UnassociatedAlpha", 1)
    source = oiio.ImageInput.open(str(path), hint)
    spec = source.spec()
    assert spec.nchannels == channels
    return source.read_image(oiio.UINT8 if str(spec.format) == "uint8" else oiio.UINT16)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("bit_depth", [8, 16])
def test_cutout_is_straight_and_rounded_to_the_nearest(
    tmp_path: Path, suffix: str, bit_depth: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    write_image(path, image=IMAGE, alpha=ALPHA, bit_depth=bit_depth)
    top = 2**bit_depth - 1
    samples = stored(path, 4)
    assert samples.dtype.itemsize * 8 == bit_depth
    assert np.abs(samples / top - np.dstack([IMAGE, ALPHA])).max() * top <= 0.503


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("bit_depth", [8, 16])
def test_grey_matte_has_one_channel_for_opencv(suffix: str, bit_depth: int) -> None:
    data = encode_image(suffix, alpha=ALPHA, bit_depth=bit_depth)
    matte = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert matte.shape == ALPHA.shape
    assert (matte == to_integers(ALPHA, bit_depth)).all()


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_8_bit_file_opens_in_pillow_with_colour_under_alpha(suffix: str) -> None:
    data = encode_image(suffix, image=IMAGE, alpha=ALPHA)
    opened = Image.open(io.BytesIO(data))
    assert opened.mode == "RGBA"
    assert (np.asarray(opened) == to_integers(np.dstack([IMAGE, ALPHA]), 8)).all()


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_comes_back(tmp_path: Path, suffix: str) -> None:
    smooth = np.tile(np.linspace(0, 1, 64, dtype=np.float32)[:, None], (32, 1, 3))
    write_image(tmp_path / f"a{suffix}", image=smooth)
    assert np.abs(load_picture(tmp_path / f"a{suffix}").image - smooth).max() < 3 / 255
    write_image(tmp_path / f"m{suffix}", alpha=smooth[..., 0])
    matte = load_picture(tmp_path / f"m{suffix}")
    assert matte.alpha is None
    assert np.abs(matte.image[..., 0] - smooth[..., 0]).max() < 3 / 255


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "avif"])
def test_alpha_of_an_8_bit_cutout_is_exact(suffix: str) -> None:
    picture = load_picture(encode_image(suffix, image=IMAGE, alpha=ALPHA))
    assert np.abs(picture.alpha - ALPHA).max() <= 0.501 / 255


@pytest.mark.parametrize(("suffix", "depth"), [("png", 16), ("tif", 16), ("webp", 8)])
def test_premultiplied_file_says_so_and_comes_back_straight(suffix: str, depth: int) -> None:
    cutout = {"image": IMAGE, "alpha": ALPHA, "bit_depth": depth, "premultiplied": True}
    picture = load_picture(encode_image(suffix, **cutout))
    # Half a step of colour and half a step of alpha, both divided by an alpha above 0.5.
    assert np.abs(picture.image - IMAGE)[ALPHA > 0.5].max() < 2.02 / (2**depth - 1)


@pytest.mark.parametrize("premultiplied", [True, False])
def test_text_states_the_kind_of_alpha(premultiplied: bool) -> None:
    cutout = {"image": IMAGE, "alpha": ALPHA, "premultiplied": premultiplied}
    text = Image.open(io.BytesIO(encode_image("png", **cutout, metadata={"Title": "Tür"}))).text
    kind = "premultiplied" if premultiplied else "straight"
    assert (text["Alpha"], text["Software"], text["Title"]) == (kind, "pullmatte", "Tür")
    tags = Image.open(io.BytesIO(encode_image("tif", **cutout))).tag_v2
    assert tags[270] == f"Alpha: {kind}"
    assert tags[338] == (1 if premultiplied else 2,)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg", "avif"])
def test_profile_is_embedded_byte_for_byte(suffix: str) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    opened = Image.open(io.BytesIO(encode_image(suffix, image=IMAGE, icc=icc)))
    assert opened.info["icc_profile"] == icc


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_same_input_gives_the_same_bytes(suffix: str) -> None:
    first, second = (encode_image(suffix, image=IMAGE, alpha=ALPHA) for _ in range(2))
    assert first == second


def test_arrays_of_the_caller_stay_as_they_are() -> None:
    image, alpha = IMAGE.copy(), ALPHA.copy()
    for suffix in FORMATS:
        encode_image(suffix, image=image, premultiplied=True)
        encode_image(suffix, alpha=alpha)
    assert (image == IMAGE).all()
    assert (alpha == ALPHA).all()


def test_values_beyond_the_range_are_clipped() -> None:
    assert to_integers(np.array([-1, 0.5, 2], np.float32), 8).tolist() == [0, 128, 255]
    assert to_integers(np.array([1 / 65535, 1], np.float32), 16).tolist() == [1, 65535]


@pytest.mark.parametrize(
    ("name", "depth", "suggested"),
    [("a.png", 16, 16), ("a.tif", 32, 16), ("a.webp", 16, 8), ("a.png", 8, 8), ("a.exr", 8, None)],
)
def test_suggested_depth_keeps_what_the_format_can(name: str, depth: int, suggested: int) -> None:
    assert suggest_bit_depth(name, depth) == suggested


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("a.jpg", {"image": IMAGE, "alpha": ALPHA}, "JPEG holds no alpha; use .png"),
        ("a.webp", {"image": IMAGE, "bit_depth": 16}, "WebP holds 8 bits, not 16"),
        ("a.xyz", {"image": IMAGE}, r"'.xyz' names no known format; use one of .png"),
        ("a", {"image": IMAGE}, "no suffix"),
        ("a.heic", {"image": IMAGE}, "no known format"),
    ],
)
def test_format_that_cannot_hold_it_is_refused(
    tmp_path: Path, name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UnsupportedFormat, match=words):
        write_image(tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "neither image nor alpha"),
        ({"image": ALPHA}, "expected H W 3"),
        ({"alpha": IMAGE}, "expected H W"),
        ({"image": IMAGE, "alpha": ALPHA[1:]}, "expected the same size"),
        ({"alpha": ALPHA * np.float32(np.nan)}, "NaN"),
        ({"alpha": np.zeros((4, 4), np.uint8)}, "expected floats"),
        ({"alpha": ALPHA, "metadata": {"": "x"}}, "metadata key"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(WriteError, match=words) as caught:
        encode_image("png", **options)
    assert "\n" not in str(caught.value)


def test_too_wide_for_webp_is_one_line(tmp_path: Path) -> None:
    wide = np.zeros((1, 20000, 3), np.float32)
    with pytest.raises(WriteError, match="WebP refuses it") as caught:
        write_image(tmp_path / "a.webp", image=wide)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
