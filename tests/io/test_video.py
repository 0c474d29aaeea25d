from fractions import Fraction

import av
import numpy as np
import pytest

from pullmatte.errors import ReadError
from pullmatte.io import video
from pullmatte.io.video import open_video


def level(frame) -> int:
    """The number that a flat frame tells."""
    return round((float(frame.image.mean()) * 219) / 4)


SOURCES = {
    "b.mp4": {},
    "open_gop.mp4": {"options": {"x264-params": "open-gop=1"}},
    "one_gop.mkv": {"gop": 500},
    "b.ts": {"mux": {"mpegts_flags": "+initial_discontinuity"}},
    "b.avi": {},
    "raw.h264": {},
    "ten.mp4": {"codec": "libx265", "pixels": "yuv420p10le"},
    "hidden.webm": {"codec": "libvpx", "options": {"lag-in-frames": "16", "auto-alt-ref": "1"}},
    "all_key.mov": {"codec": "prores_ks", "pixels": "yuv422p10le"},
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_frame_is_found_forward_backward_and_by_number(name, make_clip, tmp_path):
    settings = dict(SOURCES[name])
    if "x265" in settings.get("codec", ""):
        settings["options"] = {"x265-params": "log-level=none"}
    path = make_clip(tmp_path / name, **settings)
    with open_video(path) as clip:
        assert len(clip) == 30
        frames = list(clip)
        assert [level(frame) for frame in frames] == list(range(30))
        backward = [level(frame) for frame in clip.frames(3, 28, reverse=True)]
        assert backward == list(range(27, 2, -1))
        for number in (29, 0, 13, 14, 12, 11, 25):
            np.testing.assert_array_equal(clip.frame(number).image, frames[number].image)
        assert [frame.index for frame in clip.frames(10, 15)] == list(range(10, 15))


def test_reverse_goes_on_when_a_gop_exceeds_the_budget(make_clip, tmp_path, monkeypatch):
    monkeypatch.setattr(video, "REVERSE_BUDGET", 20_000)
    path = make_clip(tmp_path / "long.mp4", gop=500)
    with open_video(path) as clip:
        assert [level(frame) for frame in clip.frames(reverse=True)] == list(range(29, -1, -1))


def test_variable_rate_timestamps_are_exact(make_clip, tmp_path):
    pts = tuple(int(stamp) for stamp in np.cumsum([0, 1001, 3003, 500, 7007] + [1, 2002] * 4))
    path = make_clip(tmp_path / "vfr.mp4", pts=pts, time_base=Fraction(1, 30000))
    with open_video(path) as clip:
        info = clip.info
        times = [stamp * info.time_base for stamp in info.pts]
        assert times == [Fraction(stamp, 30000) for stamp in pts]
        assert [frame.time_s for frame in clip] == [float(time) for time in times]


def test_negative_timestamps_are_kept(make_clip, tmp_path):
    path = make_clip(
        tmp_path / "early.mkv",
        codec="ffv1",
        pts=tuple(range(-5, 25)),
        b_frames=0,
        mux={"avoid_negative_ts": "disabled"},
    )
    with open_video(path) as clip:
        assert clip.info.pts[0] * clip.info.time_base == Fraction(-5, 25)
        assert level(clip.frame(7)) == 7


@pytest.mark.parametrize(
    ("turn", "corner"), [(0, (0, 0)), (90, (-1, 0)), (180, (-1, -1)), (270, (0, -1))]
)
def test_rotation_is_applied_counter_clockwise(turn, corner, tmp_path):
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        if turn:
            stream.set_display_rotation(turn)
        frame = av.VideoFrame(64, 32, "yuv420p")
        luma = np.full((32, 64), 16, np.uint8)
        luma[:8, :8] = 235
        for plane, value in zip(frame.planes, (luma, 128, 128), strict=True):
            np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width] = value
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_video(path) as clip:
        assert clip.info.rotation == turn
        image = clip.frame(0).image
        assert image.shape[:2] == ((64, 32) if turn % 180 else (32, 64))
        assert image[corner].mean() > 0.9
        assert image.mean() < 0.2


def test_ten_bits_stay_ten_bits(tmp_path):
    path = tmp_path / "ramp.mkv"
    ramp = np.arange(64, 64 + 256, dtype=np.uint16).reshape(8, 32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 8, "yuv444p10le"
        frame = av.VideoFrame(32, 8, "yuv444p10le")
        for plane, value in zip(frame.planes, (ramp, 512, 512), strict=True):
            np.frombuffer(plane, np.uint16).reshape(8, -1)[:, :32] = value
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_video(path) as clip:
        image = clip.frame(0).image
        assert clip.info.bit_depth == 10
        np.testing.assert_allclose(image[..., 1], (ramp - 64.0) / 876.0, atol=1e-5)


@pytest.mark.parametrize("tags", [(1, 1, 1, 1), (9, 16, 9, 1), (5, 6, 5, 2)])
def test_colour_tags_are_read(tags, make_clip, tmp_path):
    path = make_clip(tmp_path / "tagged.mp4", tags=tags)
    with open_video(path) as clip:
        color = clip.info.color
        assert (color.primaries, color.transfer, color.matrix, color.range) == tags


def test_sound_is_named(make_clip, tmp_path):
    with open_video(make_clip(tmp_path / "loud.mp4", sound="aac")) as clip:
        assert clip.info.has_audio
        assert clip.info.audio_codec == "aac"


def test_two_iterators_do_not_disturb_each_other(make_clip, tmp_path):
    with open_video(make_clip(tmp_path / "two.mp4")) as clip:
        pairs = zip(clip.frames(0, 10), clip.frames(10, 20), strict=True)
        assert [(level(a), level(b)) for a, b in pairs] == [(n, n + 10) for n in range(10)]


@pytest.mark.parametrize("number", [-1, 30, 1000])
def test_frame_out_of_range_names_the_range(number, make_clip, tmp_path):
    with (
        open_video(make_clip(tmp_path / "short.mp4")) as clip,
        pytest.raises(ReadError, match=r"frames 0 to 29"),
    ):
        clip.frame(number)


def test_span_out_of_range_is_refused(make_clip, tmp_path):
    with (
        open_video(make_clip(tmp_path / "short.mp4")) as clip,
        pytest.raises(ReadError, match=r"frames 5 to 31 asked for"),
    ):
        clip.frames(5, 31)


BAD = {
    "missing.mp4": None,
    "empty.mp4": b"",
    "text.txt": b"just some words\n" * 40,
    "text.mp4": b"just some words\n" * 40,
    "noise.mkv": bytes(np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8)),
    "list.m3u8": b"#EXTM3U\n#EXTINF:1,\nhttp://localhost/a.ts\n",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_a_video_is_refused_in_one_line(name, tmp_path):
    path = tmp_path / name
    if BAD[name] is not None:
        path.write_bytes(BAD[name])
    with pytest.raises(ReadError, match=name) as caught:
        open_video(path)
    assert "\n" not in str(caught.value)


def test_folder_without_sequence_is_refused(tmp_path):
    with pytest.raises(ReadError, match="0 numbered sequences"):
        open_video(tmp_path)


def test_sound_alone_is_refused(tmp_path):
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 4800), np.float32), "fltp", "stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ReadError, match="no video stream"):
        open_video(path)


@pytest.mark.parametrize("name", ["cut.mkv", "cut.mp4"])
def test_cut_off_file_says_where_it_stops(name, make_clip, tmp_path):
    # The index in front, so that the file still opens.
    mux = {"movflags": "+faststart"} if name.endswith("mp4") else {}
    path = (
        make_clip(tmp_path / name, size=(320, 240), codec="ffv1", b_frames=0, mux=mux)
        if (name.endswith("mkv"))
        else make_clip(tmp_path / name, size=(320, 240), options={"crf": "1"}, mux=mux)
    )
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(ReadError, match=r"cut off: it stops after frame \d+"):
        open_video(path)
    with open_video(path, allow_damaged=True) as clip:
        assert 5 < len(clip) < 30
        assert level(clip.frame(len(clip) - 2)) == len(clip) - 2


def test_file_without_its_index_is_called_cut_off(make_clip, tmp_path):
    path = make_clip(tmp_path / "tail.mp4", size=(320, 240))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ReadError, match="cut off"):
        open_video(path)


def test_vp9_alpha_is_decoded(tmp_path):
    path = tmp_path / "clear.webm"
    with av.open(str(path), "w") as container:
        options = {"auto-alt-ref": "0", "crf": "4", "b": "0"}
        stream = container.add_stream("libvpx-vp9", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva420p"
        for number in range(3):
            frame = av.VideoFrame(64, 48, "yuva420p")
            for plane, value in zip(frame.planes, (90, 128, 128, 60 * number), strict=True):
                np.frombuffer(plane, np.uint8)[:] = value
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_video(path) as clip:
        assert clip.info.has_alpha
        levels = [round(float(frame.alpha.mean()) * 255) for frame in clip]
        assert levels == pytest.approx([0, 60, 120], abs=2)
