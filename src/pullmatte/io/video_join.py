"""Joining segments and sound into the final file: packets are moved, nothing is encoded again."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from pullmatte.errors import ReadError, UnsupportedFormat, WriteError
from pullmatte.io.clip import VideoInfo
from pullmatte.io.matroska import ROOM, set_pixel_aspect
from pullmatte.io.video_formats import Encoding

_BITEXACT = 0x800000


def join(
    segments: list[Path],
    destination: Path,
    encoding: Encoding,
    info: VideoInfo,
    audio_from: Path | None,
    alpha_mode: str | None,
) -> None:
    """Write the final file.

    Args:
        segments: Complete segments in order.
        destination: The (temporary) file to write.
        encoding: How the segments were encoded.
        info: The clip's facts; its timestamps are given to the packets.
        audio_from: File whose sound streams are copied, or None.
        alpha_mode: "straight" or "premultiplied", stated in the file's comment; None: no alpha.

    Raises:
        WriteError: A segment doesn't hold the frames that it should.
        av.FFmpegError: FFmpeg can't write.
    """
    options = {"fflags": "+bitexact"}
    if encoding.muxer == "mp4":
        options["movflags"] = "+faststart"
    if encoding.muxer in {"matroska", "webm"}:
        # AAC begins before zero; FFmpeg would shift the picture by as much.
        options["avoid_negative_ts"] = "disabled"
        options["write_crc32"] = "0"
    if encoding.muxer in {"mov", "mp4"} and info.pts[0]:
        # A late start is kept in this unit; the usual one, a millisecond, would round it.
        options["movie_timescale"] = str(min(info.time_base.denominator, 2**31 - 1))
    with ExitStack() as stack:
        output = stack.enter_context(
            av.open(os.fspath(destination), "w", format=encoding.muxer, container_options=options)
        )
        first = stack.enter_context(av.open(os.fspath(segments[0])))
        video = _add_video(output, first.streams.video[0], encoding, info)
        if alpha_mode is not None:
            output.metadata["comment"] = f"pullmatte: {alpha_mode} alpha"
        sound: Iterator[Packet[Stream]] = iter(())
        shift = start_shift(info)
        if audio_from is not None:
            source = stack.enter_context(av.open(os.fspath(audio_from)))
            tracks = {
                stream.index: _track(output, stream, encoding.muxer)
                for stream in source.streams.audio
            }
            packets = source.demux(source.streams.audio)
            sound = _sound(packets, tracks, shift, info.sound_span_s) if tracks else sound
        if info.sample_aspect_ratio != 1 and encoding.muxer in {"matroska", "webm"}:
            video.metadata["title"] = ROOM
        _interleave(output, _pictures(segments, video, info, shift), sound)
    if info.sample_aspect_ratio != 1 and encoding.muxer in {"matroska", "webm"}:
        set_pixel_aspect(destination, info)


def start_shift(info: VideoInfo) -> Fraction:
    """How much later picture and sound are put, because no container keeps what is before zero.

    Args:
        info: The clip's facts.

    Returns:
        Seconds, 0 for all but clips that begin before zero.
    """
    return max(Fraction(0), -info.pts[0] * info.time_base)


def check_times(info: VideoInfo, encoding: Encoding) -> list[str]:
    """Find out whether the container keeps the clip's timestamps to the last digit.

    Args:
        info: The clip's facts.
        encoding: How the output is encoded.

    Returns:
        Remarks for the user.
    """
    in_ms = info.time_base * 1000
    if encoding.muxer not in {"matroska", "webm"} or in_ms.denominator == 1:
        return []
    if all((pts * in_ms).denominator == 1 for pts in info.pts):
        return []
    return [f"{encoding.muxer} files count in milliseconds: timestamps are rounded to these"]


def check_audio(audio_from: Path | None, encoding: Encoding, destination: Path) -> list[str]:
    """Find out at once whether the container takes the sound as it is.

    Args:
        audio_from: File with sound, or None.
        encoding: How the output is encoded.
        destination: The output, for messages.

    Returns:
        Remarks for the user.

    Raises:
        UnsupportedFormat: The container can't hold a sound stream of that codec.
        ReadError: The file can't be read.
    """
    if audio_from is None:
        return []
    try:
        source = av.open(os.fspath(audio_from))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ReadError(f"can't read sound from {audio_from}: expected a video file") from error
    notes = []
    with source:
        for stream in source.streams.audio:
            name = stream.codec_context.name
            if _becomes_opus(stream, encoding.muxer):
                notes.append(f"sound: {name} was converted to Opus, WebM holds no {name}")
                continue
            try:
                with av.open(io.BytesIO(), "w", format=encoding.muxer) as trial:
                    trial.add_stream_from_template(stream)
                    trial.start_encoding()
            except (av.FFmpegError, ValueError) as error:
                raise UnsupportedFormat(
                    f"{destination.name}: {destination.suffix} can't hold {name} sound; use .mkv "
                    "(or .webm, which converts it), or --no-audio"
                ) from error
    return notes


@dataclass(frozen=True)
class _Track:
    """A sound stream of the output, and the converter if it can't be copied."""

    stream: AudioStream
    resampler: av.AudioResampler | None = None

    def packets(self, packet: Packet[AudioStream], shift: Fraction) -> Iterator[Packet[Stream]]:
        if self.resampler is None:
            if packet.size:
                packet.stream = self.stream
                offset = round(shift / packet.time_base)
                packet.pts = None if packet.pts is None else packet.pts + offset
                packet.dts = None if packet.dts is None else packet.dts + offset
                yield packet  # type: ignore[misc]
            return
        for frame in packet.decode():
            for piece in self.resampler.resample(frame):
                yield from self.stream.encode(piece)
        if not packet.size:
            for piece in self.resampler.resample(None):
                yield from self.stream.encode(piece)
            yield from self.stream.encode(None)


def _becomes_opus(stream: AudioStream, muxer: str) -> bool:
    return muxer == "webm" and stream.codec_context.name not in {"opus", "libopus", "vorbis"}


def _track(output: OutputContainer, stream: AudioStream, muxer: str) -> _Track:
    if not _becomes_opus(stream, muxer):
        return _Track(output.add_stream_from_template(stream))
    layout = "mono" if stream.codec_context.channels == 1 else "stereo"
    converted = output.add_stream("libopus", rate=48000, layout=layout)
    converted.codec_context.bit_rate = 128_000
    converted.codec_context.flags |= _BITEXACT
    return _Track(converted, av.AudioResampler("flt", layout, 48000, frame_size=960))


def _add_video(
    output: OutputContainer, template: VideoStream, encoding: Encoding, info: VideoInfo
) -> VideoStream:
    stream = output.add_stream_from_template(template)
    stream.time_base = info.time_base
    context = stream.codec_context
    context.sample_aspect_ratio = info.sample_aspect_ratio
    if encoding.muxer == "mov" and encoding.tag is not None:
        context.codec_tag = encoding.tag
    if "alpha_mode" in template.metadata:
        stream.metadata["alpha_mode"] = template.metadata["alpha_mode"]
    return stream


def _pictures(
    segments: list[Path], stream: VideoStream, info: VideoInfo, shift: Fraction
) -> Iterator[Packet[Stream]]:
    """The segments' packets with the source's timestamps."""
    number = 0
    offset = round(shift / info.time_base)
    for path in segments:
        with av.open(os.fspath(path)) as segment:
            for packet in segment.demux(segment.streams.video[0]):
                if packet.size == 0:
                    continue
                if number >= info.frame_count:
                    raise _unfit(path)
                packet.stream = stream
                packet.time_base = info.time_base
                packet.pts = packet.dts = info.pts[number] + offset
                packet.duration = _duration(info, number)
                number += 1
                yield packet  # type: ignore[misc]
    if number != info.frame_count:
        raise _unfit(segments[-1])


def _duration(info: VideoInfo, number: int) -> int:
    if number + 1 < info.frame_count:
        return info.pts[number + 1] - info.pts[number]
    return info.last_duration


def _sound(
    packets: Iterator[Packet[AudioStream]],
    tracks: dict[int, _Track],
    shift: Fraction,
    span_s: tuple[Fraction, Fraction] | None,
) -> Iterator[Packet[Stream]]:
    """The source's packets, of a span those that begin in it."""
    for packet in packets:
        if span_s is not None and packet.size:
            if not span_s[0] <= _time(packet) < span_s[1]:
                continue
            yield from tracks[packet.stream.index].packets(packet, shift - span_s[0])
        else:
            yield from tracks[packet.stream.index].packets(packet, shift)


def _interleave(
    output: OutputContainer, pictures: Iterator[Packet[Stream]], sound: Iterator[Packet[Stream]]
) -> None:
    """Mux both in the order of time, so that neither piles up in memory."""
    waiting = next(sound, None)
    for picture in pictures:
        time = _time(picture)
        while waiting is not None and _time(waiting) <= time:
            output.mux_one(waiting)
            waiting = next(sound, None)
        output.mux_one(picture)
    while waiting is not None:
        output.mux_one(waiting)
        waiting = next(sound, None)


def _time(packet: Packet[Any]) -> Fraction:
    stamp = packet.dts if packet.dts is not None else packet.pts
    return Fraction(stamp or 0) * packet.time_base


def _unfit(path: Path) -> WriteError:
    return WriteError(f"{path} doesn't hold the frames that it should; run again without --resume")
