import numpy as np
import pytest

from pullmatte.errors import ReadError
from pullmatte.io.planes import arrays_to_frame, frame_to_arrays
from pullmatte.io.yuv import (
    ColorTags,
    downsample_chroma,
    effective_matrix,
    rgb_from_yuv,
    upsample_chroma,
    yuv_from_rgb,
)

# Code values of pure colours, computed by hand from the standards' equations.
KNOWN = [
    (1, 8, False, (1, 0, 0), (62.5594, 102.3361, 240.0)),
    (1, 8, False, (1, 1, 1), (235, 128, 128)),
    (6, 8, False, (1, 0, 0), (81.481, 90.2027, 240.0)),
    (6, 8, True, (0, 0, 1), (29.07, 255.5, 107.2651)),
    (9, 10, False, (0, 1, 0), (657.928, 189.1087, 100.0317)),
    (1, 10, True, (0, 1, 0), (731.6496, 117.7069, 47.4017)),
    (7, 8, False, (0, 0, 1), (35.053, 240.0, 115.6345)),
]


@pytest.mark.parametrize(("matrix", "bits", "full", "rgb", "codes"), KNOWN)
def test_yuv_of_pure_colour_equals_hand_computed_codes(matrix, bits, full, rgb, codes):
    image = np.broadcast_to(np.float32(rgb), (2, 2, 3)).copy()
    planes = yuv_from_rgb(image, matrix=matrix, bits=bits, full=full, subsampling=(1, 1))
    top = 2**bits - 0.5
    got = [float(plane[0, 0]) - 0.5 for plane in planes]
    assert got == pytest.approx([min(code, top - 0.5) for code in codes], abs=2e-3)


@pytest.mark.parametrize(("matrix", "bits", "full", "rgb", "codes"), KNOWN)
def test_rgb_of_codes_equals_colour(matrix, bits, full, rgb, codes):
    planes = tuple(np.full((2, 2), code, np.float32) for code in codes)
    image = rgb_from_yuv(planes, matrix=matrix, bits=bits, full=full)
    np.testing.assert_allclose(image[1, 1], rgb, atol=2e-5)


@pytest.mark.parametrize("fmt", ["yuv444p", "yuv444p10le", "yuv444p12le", "yuv444p16le"])
@pytest.mark.parametrize("span", [1, 2])
@pytest.mark.parametrize("matrix", [1, 5, 6, 7, 9])
def test_frame_round_trip_is_within_rounding(fmt, span, matrix):
    image = np.random.default_rng(0).random((6, 8, 3)).astype(np.float32)
    tags = ColorTags(1, 1, matrix, span)
    back, alpha = frame_to_arrays(arrays_to_frame(fmt, image, None, tags), tags)
    bits = int(fmt.removeprefix("yuv444p").removesuffix("le") or 8)
    assert alpha is None
    assert np.abs(back - image).max() < 2.2 / (219 * 2 ** (bits - 8))


@pytest.mark.parametrize("fmt", ["gbrap", "gbrap10le", "gbrap16le", "yuva444p16le", "yuva420p"])
def test_alpha_round_trip_is_within_rounding(fmt):
    alpha = np.random.default_rng(1).random((5, 7)).astype(np.float32)
    tags = ColorTags(1, 1, 1, 1)
    frame = arrays_to_frame(fmt, np.zeros((5, 7, 3), np.float32), alpha, tags)
    top = 2 ** frame.format.components[3].bits - 1
    assert np.abs(frame_to_arrays(frame, tags)[1] - alpha).max() <= 0.5001 / top


@pytest.mark.parametrize("packed", ["nv12", "p010le", "yuyv422", "rgb24", "bgra", "rgba64le"])
def test_packed_formats_read_like_their_planar_twins(packed):
    rng = np.random.default_rng(2)
    planar = {"nv12": "yuv420p", "p010le": "yuv420p10le", "yuyv422": "yuv422p", "rgb24": "gbrp"}
    twin = planar.get(packed, "gbrap" if packed == "bgra" else "gbrap16le")
    tags = ColorTags(1, 1, 1, 1)
    image = rng.random((16, 32, 3)).astype(np.float32)
    frame = arrays_to_frame(twin, image, image[..., 0].copy(), tags)
    np.testing.assert_array_equal(
        frame_to_arrays(frame.reformat(format=packed), tags)[0], frame_to_arrays(frame, tags)[0]
    )


def test_grey_levels_follow_the_range():
    alpha = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    for span, fmt in ((1, "yuv420p"), (1, "gray"), (2, "gray10le"), (1, "yuv422p10le")):
        tags = ColorTags(1, 1, 1, span)
        back = frame_to_arrays(arrays_to_frame(fmt, None, alpha, tags), tags)[0]
        assert np.abs(back - alpha[..., None]).max() < 0.6 / 219


def test_upsampled_chroma_sits_left_and_between_rows():
    chroma = np.array([[0, 4], [8, 12]], np.float32)
    want = [[0, 2, 4, 4], [2, 4, 6, 6], [6, 8, 10, 10], [8, 10, 12, 12]]
    both = np.repeat(chroma[..., None], 2, 2)
    np.testing.assert_allclose(upsample_chroma(both, (4, 4))[..., 1], want)


def test_ramp_survives_chroma_subsampling():
    ramp = np.tile(np.arange(32, dtype=np.float32), (16, 1))
    small = downsample_chroma(ramp, (2, 2))
    back = upsample_chroma(np.repeat(small[..., None], 2, 2), ramp.shape)[..., 0]
    np.testing.assert_allclose(back[:, 2:-2], ramp[:, 2:-2], atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (1, 2), (7, 1)])
def test_odd_sizes_survive_subsampling(shape):
    image = np.full((*shape, 3), 0.4, np.float32)
    tags = ColorTags(1, 1, 1, 1)
    back, _ = frame_to_arrays(arrays_to_frame("yuv420p", image, None, tags), tags)
    assert back.shape == image.shape
    assert np.abs(back - 0.4).max() < 0.01


def test_untagged_matrix_follows_height():
    assert effective_matrix(ColorTags(), 720) == 1
    assert effective_matrix(ColorTags(), 719) == 6
    assert effective_matrix(ColorTags(matrix=9), 100) == 9


def test_matrix_that_cannot_be_computed_is_refused_in_one_line():
    with pytest.raises(ReadError, match=r"^colour matrix code 8 .*BT\.709") as caught:
        effective_matrix(ColorTags(matrix=8), 100)
    assert "\n" not in str(caught.value)


def test_conversion_leaves_the_image_alone():
    image = np.random.default_rng(3).random((4, 4, 3)).astype(np.float32)
    kept = image.copy()
    arrays_to_frame("yuva420p", image, image[..., 0].copy(), ColorTags(1, 1, 1, 1))
    np.testing.assert_array_equal(image, kept)
