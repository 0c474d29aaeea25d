"""EXR files, re-opened with a second library."""

import numpy as np
import OpenEXR
import OpenImageIO as oiio
import pytest

from pullmatte.errors import ReadError, WriteError
from pullmatte.io.color import srgb_to_linear
from pullmatte.io.exr import channel_name, read_exr, write_exr
from pullmatte.io.image import load_picture


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(1).random((9, 14, 3), np.float32)


@pytest.fixture
def alpha() -> np.ndarray:
    alpha = np.random.default_rng(2).random((9, 14), np.float32)
    alpha[0], alpha[1] = 0, 1
    return alpha


def test_stored_values_are_half_linear_and_premultiplied(tmp_path, image, alpha) -> None:
    write_exr(tmp_path / "a.exr", image=image, alpha=alpha)
    source = oiio.ImageInput.open(str(tmp_path / "a.exr"))
    spec, stored = source.spec(), source.read_image(oiio.FLOAT)
    assert spec.channelnames == ("R", "G", "B", "A")
    assert str(spec.format) == "half"
    assert spec.getattribute("compression") == "zip"
    assert np.abs(stored[..., 3] - alpha).max() <= 5e-4
    wanted = srgb_to_linear(image) * alpha[..., None]
    assert np.abs(stored[..., :3] - wanted).max() <= 5e-4


def test_file_says_what_it_holds(tmp_path, image, alpha) -> None:
    write_exr(tmp_path / "a.exr", image=image, alpha=alpha, metadata={"owner": "me"})
    header = OpenEXR.File(str(tmp_path / "a.exr"), header_only=True).header()
    assert header["chromaticities"] == pytest.approx((
        0.64,
        0.33,
        0.3,
        0.6,
        0.15,
        0.06,
        0.3127,
        0.329,
    ))
    assert header["pullmatte:alpha"] == "premultiplied"
    assert "scene-linear" in header["comments"]
    assert header["owner"] == "me"


def test_mattes_of_several_objects_share_a_file(tmp_path, image, alpha) -> None:
    mattes = {"torch": alpha, "left hand.2": 1 - alpha}
    write_exr(tmp_path / "a.exr", image=image, alpha=alpha, mattes=mattes)
    channels = OpenEXR.File(str(tmp_path / "a.exr"), separate_channels=True).channels()
    assert set(channels) == {"R", "G", "B", "A", "torch.A", "left_hand_2.A"}
    assert np.abs(channels["left_hand_2.A"].pixels - (1 - alpha)).max() <= 5e-4
    assert set(read_exr(tmp_path / "a.exr").mattes) == {"torch.A", "left_hand_2.A"}


@pytest.mark.parametrize("premultiplied", [True, False])
def test_picture_comes_back_straight_and_encoded(tmp_path, image, alpha, premultiplied) -> None:
    write_exr(tmp_path / "a.exr", image=image, alpha=alpha, premultiplied=premultiplied)
    picture = load_picture(tmp_path / "a.exr")
    assert picture.bit_depth == 32
    assert np.abs(picture.alpha - alpha).max() <= 5e-4
    assert np.abs(picture.image - image)[alpha > 0.1].max() <= 2e-3


def test_highlights_survive(tmp_path, image) -> None:
    write_exr(tmp_path / "a.exr", image=image * 3)
    assert load_picture(tmp_path / "a.exr").image == pytest.approx(image * 3, abs=5e-3)


def test_lone_matte_is_data_not_light(tmp_path, alpha) -> None:
    write_exr(tmp_path / "a.exr", alpha=alpha)
    picture = load_picture(tmp_path / "a.exr")
    assert picture.alpha is None
    assert np.abs(picture.image[..., 1] - alpha).max() <= 5e-4


def test_data_window_is_placed_in_the_display_window(tmp_path) -> None:
    ones = np.ones((2, 3), np.float16)
    header = {"dataWindow": ((1, 2), (3, 3)), "displayWindow": ((0, 0), (4, 4))}
    OpenEXR.File(header, dict.fromkeys("RGBA", ones)).write(str(tmp_path / "a.exr"))
    alpha = load_picture(tmp_path / "a.exr").alpha
    assert alpha.shape == (5, 5)
    assert np.argwhere(alpha).tolist() == [[y, x] for y in (2, 3) for x in (1, 2, 3)]


def test_data_window_beyond_the_display_window_is_cut(tmp_path) -> None:
    ramp = np.arange(30, dtype=np.float32).reshape(5, 6)
    header = {"dataWindow": ((-1, -1), (4, 3)), "displayWindow": ((0, 0), (2, 1))}
    OpenEXR.File(header, dict.fromkeys("RGB", ramp)).write(str(tmp_path / "a.exr"))
    assert read_exr(tmp_path / "a.exr").image[..., 0].tolist() == ramp[1:3, 1:4].tolist()


def test_first_part_and_named_layer_are_found(tmp_path) -> None:
    grey = np.full((3, 4), 0.25, np.float32)
    first = OpenEXR.Part({}, {f"beauty.{c}": grey for c in "RGB"}, "first")
    second = OpenEXR.Part({}, {"Z": grey}, "second")
    OpenEXR.File([first, second]).write(str(tmp_path / "a.exr"))
    picture = read_exr(tmp_path / "a.exr")
    assert picture.image.shape == (3, 4, 3)
    assert picture.image.max() == 0.25


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_value_that_is_no_number_is_refused(tmp_path, bad: float) -> None:
    pixels = np.full((3, 4), bad, np.float32)
    OpenEXR.File({}, dict.fromkeys("RGB", pixels)).write(str(tmp_path / "a.exr"))
    with pytest.raises(ReadError, match="NaN or infinity"):
        read_exr(tmp_path / "a.exr")


def test_unknown_channels_are_named(tmp_path) -> None:
    pixels = np.zeros((3, 4), np.float32)
    OpenEXR.File({}, {"u": pixels, "v": pixels}).write(str(tmp_path / "a.exr"))
    with pytest.raises(ReadError, match="its channels are u, v, expected R G B"):
        read_exr(tmp_path / "a.exr")


def test_missing_and_truncated_files_are_one_line(tmp_path, image, capfd) -> None:
    with pytest.raises(ReadError, match="No such file"):
        read_exr(tmp_path / "none.exr")
    write_exr(tmp_path / "a.exr", image=image)
    data = (tmp_path / "a.exr").read_bytes()
    for size in (10, 100, len(data) // 2, len(data) - 5):
        with pytest.raises(ReadError) as caught:
            read_exr(data[:size])
        assert "\n" not in str(caught.value)
        assert "/tmp" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_arrays_that_do_not_fit_are_refused(tmp_path, image, alpha) -> None:
    with pytest.raises(WriteError, match="expected one H W"):
        write_exr(tmp_path / "a.exr", image=image, alpha=alpha[1:])
    with pytest.raises(WriteError, match=r"two objects named 'a_b\.A'"):
        write_exr(tmp_path / "a.exr", mattes={"a b": alpha, "a.b": alpha})
    with pytest.raises(WriteError, match="NaN"):
        write_exr(tmp_path / "a.exr", alpha=alpha * np.float32(np.nan))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "channel"), [("torch", "torch.A"), ("a.b c", "a_b_c.A"), ("2nd", "_2nd.A")]
)
def test_channel_name_suits_compositing_programs(name: str, channel: str) -> None:
    assert channel_name(name) == channel
