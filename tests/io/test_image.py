"""Reading pictures: every kind of source, orientation, depth, profile, and bad input."""

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from pullmatte.errors import ReadError
from pullmatte.io import png
from pullmatte.io.image import (
    encode_image,
    load_picture,
    read_image,
    read_mask,
    read_trimap,
    write_image,
)

RNG = np.random.default_rng(3)
U8 = RNG.integers(0, 256, (12, 17, 4), np.uint8)
U16 = RNG.integers(0, 65536, (12, 17, 4), np.uint16)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def tagged(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


# Sources


def test_every_kind_of_source_gives_the_same_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(U8).save(path)
    data = path.read_bytes()
    for source in (str(path), path, data, io.BytesIO(data), Image.open(path), U8):
        picture = load_picture(source)
        assert (np.rint(picture.image * 255) == U8[..., :3]).all()
        assert (np.rint(picture.alpha * 255) == U8[..., 3]).all()
        assert (picture.size, picture.bit_depth, picture.icc) == ((17, 12), 8, None)
    assert load_picture(path).path == path
    assert load_picture(data).path is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
def test_array_is_scaled_and_not_shared(dtype: type, shape: tuple[int, ...]) -> None:
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    array = (RNG.random(shape) * top).round().astype(dtype)
    before = array.copy()
    picture = load_picture(array)
    assert picture.image.shape == (5, 7, 3)
    assert picture.image.dtype == np.float32
    assert (picture.alpha is not None) == (shape[-1] == 4)
    assert picture.image[..., 0] == pytest.approx(array.reshape(5, 7, -1)[..., 0] / top, abs=1e-6)
    picture.image[:] = 0.3
    assert (array == before).all()


def test_read_image_is_the_colours_alone_within_the_unit_range() -> None:
    bright = encode_image("exr", image=np.full((2, 3, 3), 2, np.float32))
    assert read_image(bright).max() == 1
    assert read_image(U8).shape == (12, 17, 3)


# Formats


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP", "PPM"])
def test_lossless_format_is_read_exactly(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = load_picture(saved(Image.fromarray(U8[..., :3]), kind, **options))
    assert (np.rint(picture.image * 255) == U8[..., :3]).all()
    assert picture.alpha is None


@pytest.mark.parametrize(("kind", "tolerance"), [("JPEG", 6), ("AVIF", 4), ("GIF", 3)])
def test_lossy_format_is_read_closely(kind: str, tolerance: int) -> None:
    smooth = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (48, 1))
    quality = {} if kind == "GIF" else {"quality": 95}
    picture = load_picture(saved(Image.fromarray(smooth).convert("RGB"), kind, **quality))
    assert np.abs(picture.image[..., 1] * 255 - smooth).max() <= tolerance


def test_gif_gives_its_first_frame() -> None:
    frames = [Image.new("L", (4, 3), value) for value in (10, 200)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.rint(load_picture(data).image * 255).max() == 10


@pytest.mark.parametrize("kind", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_stay_16_bits(kind: str, channels: int) -> None:
    pixels = np.ascontiguousarray(U16[..., :channels]).squeeze()
    data = cv2.imencode(kind, pixels[..., ::-1] if channels == 3 else pixels)[1].tobytes()
    picture = load_picture(data)
    assert picture.bit_depth == 16
    wanted = pixels if channels == 3 else pixels[..., None]
    assert np.abs(picture.image * 65535 - wanted).max() < 0.01


def test_16_bit_png_keeps_colour_under_alpha() -> None:
    pixels = U16.copy()
    pixels[0, :, 3] = 0
    data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA))[1].tobytes()
    picture = load_picture(data)
    assert np.abs(picture.image * 65535 - pixels[..., :3]).max() < 0.01
    assert np.abs(picture.alpha * 65535 - pixels[..., 3]).max() < 0.01


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_png_with_a_transparent_level_at_any_depth(bits: int) -> None:
    levels = bytes([0b01_00_00_00]) if bits < 8 else (1).to_bytes(bits // 8) + bytes(bits // 8)
    width = 8 // bits if bits < 8 else 2
    header = struct.pack(">IIBBBBB", width, 1, bits, 0, 0, 0, 0)
    level = {1: 1, 2: 1, 4: 4, 8: 1, 16: 1}[bits]
    chunks = [(b"IHDR", header), (b"tRNS", struct.pack(">H", level))]
    chunks += [(b"IDAT", zlib.compress(b"\0" + levels)), (b"IEND", b"")]
    alpha = load_picture(png.MAGIC + b"".join(png._chunk(*chunk) for chunk in chunks)).alpha
    assert np.flatnonzero(alpha == 0).tolist() == [1 if bits == 1 else 0]


def test_palette_transparency_becomes_alpha() -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture = load_picture(saved(image, "PNG", transparency=bytes([0, 128, 255])))
    assert picture.image[0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert np.rint(picture.alpha * 255).tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "YCbCr", "CMYK"])
@pytest.mark.parametrize("kind", ["TIFF", None])
def test_pillow_modes_are_understood(mode: str, kind: str | None) -> None:
    image = Image.fromarray(U8).convert("RGB").convert(mode)
    wanted = np.asarray(image.convert("RGB"))
    picture = load_picture(image if kind is None else saved(image, kind))
    assert np.abs(picture.image * 255 - wanted).max() <= 1.01
    assert (picture.alpha is not None) == mode.endswith("A")


def test_cmyk_jpeg_without_profile_has_plausible_colours() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    r, g, b = load_picture(saved(red, "JPEG")).image.mean((0, 1))
    assert r > 0.9
    assert max(g, b) < 0.1


def test_associated_tiff_alpha_is_divided_out() -> None:
    image = np.full((2, 3, 3), 0.8, np.float32)
    alpha = np.array([[0, 0.25, 1]] * 2, np.float32)
    data = encode_image("tif", image=image, alpha=alpha, bit_depth=16, premultiplied=True)
    assert load_picture(data).image[:, 1:] == pytest.approx(0.8, abs=1e-4)


# Orientation

TURNED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_orientation_is_applied(orientation: int, kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(Image.fromarray(U8[..., :3]), kind, exif=tagged(orientation), **options)
    assert (np.rint(load_picture(data).image * 255) == TURNED[orientation](U8[..., :3])).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "AVIF"])
def test_orientation_of_lossy_formats_is_applied(orientation: int, kind: str) -> None:
    corner = np.zeros((32, 48, 3), np.uint8)
    corner[:8, :16] = 255
    data = saved(Image.fromarray(corner), kind, exif=tagged(orientation))
    wanted = TURNED[orientation](corner) > 127
    assert ((load_picture(data).image > 0.5) == wanted).mean() > 0.99


@pytest.mark.parametrize("late", [False, True])
def test_orientation_of_16_bit_png_is_applied(late: bool) -> None:
    data = png.encode_png(U16)
    chunk = png._chunk(b"eXIf", tagged(6).tobytes().removeprefix(b"Exif\0\0"))
    place = len(data) - 12 if late else 33
    picture = load_picture(data[:place] + chunk + data[place:])
    assert np.abs(picture.image * 65535 - np.rot90(U16[..., :3], -1)).max() < 0.01
    assert np.abs(picture.alpha * 65535 - np.rot90(U16[..., 3], -1)).max() < 0.01


def test_pil_image_is_turned_and_left_alone() -> None:
    image = Image.open(io.BytesIO(saved(Image.fromarray(U8), "PNG", exif=tagged(6))))
    assert load_picture(image).size == (12, 17)
    assert image.size == (17, 12)


# Profiles


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_rgb_profile_is_kept_byte_for_byte(kind: str) -> None:
    icc = profile()
    assert load_picture(saved(Image.fromarray(U8[..., :3]), kind, icc_profile=icc)).icc == icc


def test_profile_of_another_kind_is_dropped() -> None:
    icc = bytearray(profile())
    icc[16:20] = b"CMYK"
    assert load_picture(saved(Image.fromarray(U8), "PNG", icc_profile=bytes(icc))).icc is None
    assert load_picture(saved(Image.fromarray(U8), "PNG", icc_profile=b"junk")).icc is None


# Masks and trimaps


def test_mask_of_grey_or_colour_is_what_is_brighter_than_half() -> None:
    assert read_mask(np.array([[0, 127, 128, 255]], np.uint8)).tolist() == [
        [False] * 2 + [True] * 2
    ]
    coloured = np.array([[[255, 0, 0], [0, 0, 90]]], np.uint8)
    assert read_mask(coloured).tolist() == [[True, False]]


def test_mask_of_a_cutout_is_its_alpha() -> None:
    cutout = np.zeros((1, 2, 4), np.uint8)
    cutout[0, 1, 3] = 255
    assert read_mask(cutout).tolist() == [[False, True]]
    cutout[..., 0], cutout[..., 3] = [[255, 0]], 255
    assert read_mask(cutout).tolist() == [[True, False]]


def test_mask_of_labels_0_and_1_is_label_1() -> None:
    data = saved(Image.fromarray(np.array([[0, 1, 1]], np.uint8)), "PNG")
    assert read_mask(data).tolist() == [[False, True, True]]
    assert not read_mask(np.zeros((2, 2), np.uint8)).any()


@pytest.mark.parametrize("scale", [1, 257])
def test_trimap_has_three_levels(scale: int) -> None:
    levels = np.array([[0, 1, 2, 128, 253, 254, 255]], np.uint16) * scale
    array = levels.astype(np.uint8 if scale == 1 else np.uint16)
    trimap = read_trimap(png.encode_png(array))
    assert trimap.dtype == np.float32
    assert trimap.tolist() == [[0, 0, 0.5, 0.5, 0.5, 1, 1]]


def test_trimap_of_labels_is_refused() -> None:
    with pytest.raises(ReadError, match="multiply labels"):
        read_trimap(np.array([[0, 1, 2]], np.uint8))


# Bad input


def whole_files() -> dict[str, bytes]:
    noise = RNG.integers(0, 256, (64, 80, 3), np.uint8)
    kinds = ["PNG", "JPEG", "WEBP", "TIFF", "AVIF", "BMP", "GIF"]
    files = {kind: saved(Image.fromarray(noise), kind) for kind in kinds}
    unit = (noise / 255).astype(np.float32)
    deep = {f"{kind}16": encode_image(kind, image=unit, bit_depth=16) for kind in ("png", "tif")}
    return files | deep | {"exr": encode_image("exr", image=unit)}


FILES = whole_files()


@pytest.mark.parametrize("kind", FILES)
def test_truncated_file_is_an_error_and_prints_nothing(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    load_picture(FILES[kind])
    for share in (0.05, 0.3, 0.7, 0.98):
        with pytest.raises(ReadError) as caught:
            load_picture(FILES[kind][: int(len(FILES[kind]) * share)])
        assert "\n" not in str(caught.value)
        assert "/tmp" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", FILES)
def test_damaged_file_never_escapes_as_another_error(kind: str) -> None:
    generator = np.random.default_rng(4)
    for _ in range(10):
        data = np.frombuffer(FILES[kind], np.uint8).copy()
        data[generator.integers(0, len(data), 30)] = generator.integers(0, 256, 30, np.uint8)
        with suppress(ReadError):
            assert load_picture(data.tobytes(), max_pixels=1 << 20).image.dtype == np.float32


def huge(kind: str) -> bytes:
    if kind == "BMP":
        return FILES["BMP"][:18] + struct.pack("<ii", 60000, 60000) + FILES["BMP"][26:]
    data = bytearray(FILES[kind])
    data[16:24] = struct.pack(">II", 60000, 60000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


@pytest.mark.parametrize("kind", ["BMP", "PNG", "png16"])
def test_huge_declared_size_is_refused_before_decoding(kind: str) -> None:
    with pytest.raises(ReadError, match=r"60000x60000 pixels, expected at most 400,000,000"):
        load_picture(huge(kind))


def test_size_limit_is_an_argument_and_leaves_pillow_alone() -> None:
    before = Image.MAX_IMAGE_PIXELS
    for kind in FILES:
        with pytest.raises(ReadError, match="raise max_pixels"):
            load_picture(FILES[kind], max_pixels=1000)
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"", "it is empty"),
        (b"hello world" * 9, "no image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image"),
        ("missing.png", "no such file"),
        (".", "it is a folder"),
        ("a\0b.png", "null"),
        ("x" * 5000, "too long"),
        ("two\nlines.png", "no such file"),
        (io.StringIO("text"), "expected bytes"),
        (None, "NoneType"),
        (np.zeros((0, 3, 3), np.uint8), "expected H W"),
        (np.zeros((4, 3, 5), np.uint8), "expected H W"),
        (np.full((4, 4, 3), 255.0), "divide 8-bit data by 255"),
        (np.full((4, 4, 3), np.nan), "NaN"),
        (np.zeros((4, 4), np.int64), "array of int64"),
    ],
)
def test_bad_source_is_one_line(source: Any, words: str) -> None:
    with pytest.raises(ReadError, match=words) as caught:
        load_picture(source)
    assert "\n" not in str(caught.value)


def test_camera_raw_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.NEF").write_bytes(FILES["TIFF"])
    with pytest.raises(ReadError, match="develop it"):
        load_picture(tmp_path / "a.NEF")


def test_nan_in_a_float_tiff_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((3, 4), np.nan, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ReadError, match="NaN"):
        load_picture(tmp_path / "a.tif")


def test_one_pixel_survives_the_round_trip(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", image=np.full((1, 1, 3), 0.2, np.float32))
    assert load_picture(tmp_path / "a.png").image == pytest.approx(0.2)
